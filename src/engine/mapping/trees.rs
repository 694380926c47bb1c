//! The mapping of trees that are named by path: sources and a destination as rsync means them.
//!
//! `SRC/` (and `.`, `..`, `SRC/.`) is what is in a directory, `SRC` is the directory or file itself, which
//! keeps its name below a destination that is a directory. A symlink is followed only by its slash. Each
//! source has a place of its own: those that contain one another, or would meet, are refused.

use super::given::{DestinationPlace, GivenTree, TreesError};
use super::model::{Asked, Attrs, Entry, EntryKind, Mapping, Need, Presence, Target};
use super::renumber::Renumbering;
use crate::base::path::{RelPath, escape};
use crate::sys::stat::Kind;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::path::{Path, PathBuf};

/// What is to be copied where, as it was typed.
#[derive(Clone, Copy, Debug)]
pub struct NamedTrees<'a> {
    /// Files and directories; a slash at the end means what is in it.
    pub sources: &'a [PathBuf],
    /// A directory, or the new name of a single file.
    pub destination: &'a Path,
    /// Gitignore patterns, anchored at each source.
    pub exclude: &'a [String],
    /// What is copied must be there; otherwise only the journal tells.
    pub sources_needed: bool,
}

/// The deepest directory that holds all of them, or is the only one.
fn common(trees: &[GivenTree]) -> RelPath {
    let tops = trees.iter().map(|tree| match tree.kind {
        Some(Kind::Directory) => tree.real.clone(),
        _ => tree.real.parent().unwrap_or_default(),
    });
    let shared = |a: RelPath, b: RelPath| {
        let pairs = a.names().zip(b.names()).take_while(|(a, b)| a == b);
        pairs.fold(RelPath::root(), |path, (name, _)| path.join(&name))
    };
    tops.reduce(shared).unwrap_or_default()
}

/// Refuses sources that contain one another, and those that would meet where they go.
fn separate(trees: &[GivenTree], destined: &[RelPath], root: &Path) -> Result<(), TreesError> {
    let all = || trees.iter().zip(destined).enumerate();
    for (i, (outer, to)) in all() {
        for (_, (other, below)) in all().filter(|(j, _)| *j != i) {
            let shown = || (outer.shown.clone(), other.shown.clone());
            if other.real.strip_prefix(&outer.real).is_some() {
                let (outer, inner) = shown();
                return Err(TreesError::Nested(inner, outer));
            }
            if below.strip_prefix(to).is_some() {
                let ((one, two), place) = (shown(), root.join(to.as_path()));
                let meet = if outer.contents { TreesError::Merged } else { TreesError::Collision };
                return Err(meet(one, two, place));
            }
        }
    }
    Ok(())
}

/// The patterns, built.
pub fn patterns(exclude: &[String]) -> Result<Gitignore, TreesError> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in exclude {
        builder.add_line(None, pattern).map_err(|error| TreesError::Pattern(pattern.clone(), error.to_string()))?;
    }
    builder.build().map_err(|error| TreesError::Pattern(String::new(), error.to_string()))
}

/// A mapping of named trees, and what its journal can be recognised by.
#[derive(Debug)]
pub struct TreesMapping {
    /// What goes where; its name and its journal's place are not determined yet.
    pub mapping: Mapping,
    /// The directory for what is copied.
    pub directory: PathBuf,
    /// What tells this command from others: the sources' paths as typed, absolute.
    pub key: Vec<u8>,
}

impl NamedTrees<'_> {
    /// Looks at all of them.
    pub fn mapping(&self) -> Result<TreesMapping, TreesError> {
        let mut trees = Vec::new();
        for source in self.sources {
            let tree = GivenTree::of(source, self.sources_needed)?;
            // Twice the same is once.
            if !trees.iter().any(|other: &GivenTree| (&other.real, other.contents) == (&tree.real, tree.contents)) {
                trees.push(tree);
            }
        }
        let place = DestinationPlace::of(self.destination)?;
        let single_file = self.is_single_file(&trees, &place)?;
        let (root, base) = place.root(trees.iter().any(|tree| tree.contents));
        let destined = trees.iter().map(|tree| {
            let name = tree.real.last().filter(|_| !tree.contents && !single_file);
            name.map_or_else(|| base.clone(), |name| base.join(&name))
        });
        let destined = destined.collect::<Vec<_>>();
        let source = common(&trees);
        let excluded = patterns(self.exclude)?;
        separate(&trees, &destined, &root)?;
        let mut targets: Vec<Target> = Vec::new();
        for (tree, dst) in trees.iter().zip(&destined) {
            let name = unique(dst, &targets);
            targets.push(self.target(name, (tree, dst), &source, &excluded));
        }
        let asked = targets.iter().flat_map(asked).collect();
        let mut key = Vec::new();
        for tree in &trees {
            key.extend_from_slice(tree.lexical.as_bytes());
            key.extend_from_slice(if tree.contents { b"/\0" } else { b"\0" });
        }
        let mapping = Mapping {
            name: String::new(),
            source: Path::new("/").join(source.as_path()),
            root,
            targets,
            fixups: Vec::new(),
            drift: Vec::new(),
            id_conflicts: Vec::new(),
            renumbering: Renumbering::default(),
            id_warnings: Vec::new(),
            notes: Vec::new(),
            asked,
            state: None,
        };
        Ok(TreesMapping { mapping, directory: place.directory(single_file), key })
    }

    /// Whether the destination is the new name of the only source, which is no directory.
    fn is_single_file(&self, trees: &[GivenTree], place: &DestinationPlace) -> Result<bool, TreesError> {
        let file_there = place.kind.is_some_and(|kind| kind != Kind::Directory);
        let [only] = trees else {
            return if file_there { Err(TreesError::OntoFile(self.destination.into())) } else { Ok(false) };
        };
        let is_file = match only.kind {
            Some(kind) => kind != Kind::Directory,
            // What is there tells what was copied.
            None => file_there,
        };
        if file_there && (!is_file || place.asks_directory) {
            return Err(TreesError::OntoFile(self.destination.into()));
        }
        Ok(is_file && !place.asks_directory && place.kind != Some(Kind::Directory))
    }

    fn target(
        &self,
        name: String,
        (tree, to): (&GivenTree, &RelPath),
        source: &RelPath,
        excluded: &Gitignore,
    ) -> Target {
        let need = Need::Required;
        let below = |path: &RelPath| path.strip_prefix(source).unwrap_or_default();
        let presence = if tree.kind.is_some() { Presence::Present } else { Presence::Absent };
        let entry = Entry {
            real: below(&tree.real),
            src: below(&tree.real),
            link: None,
            follow: None,
            dst: to.clone(),
            kind: EntryKind::Tree,
            need,
            uid: None,
            gid: None,
            mode: None,
            presence,
        };
        Target {
            name,
            from: below(&tree.real),
            to: to.clone(),
            is_map: true,
            need,
            parents: Attrs { uid: 0, gid: 0, mode: 0o755 },
            exclude: self.exclude.to_vec(),
            excluded: excluded.clone(),
            entries: vec![entry],
        }
    }
}

/// What a target asks for, as far as it is there.
fn asked(target: &Target) -> Vec<Asked> {
    let present = target.entries.iter().filter(|entry| entry.presence == Presence::Present);
    let ask = |Entry { src, dst, need, .. }: &Entry| {
        let (target, src, dst, need) = (target.name.clone(), src.clone(), dst.clone(), *need);
        Asked { target, src, dst, need, pattern: None }
    };
    present.map(ask).collect()
}

/// The last name of `dst`, or a further one if a target has that.
fn unique(dst: &RelPath, targets: &[Target]) -> String {
    let name = dst.last().map_or_else(String::new, |name| escape(name.as_bytes()).into_owned());
    let is_taken = |name: &String| targets.iter().any(|target| target.name == *name);
    let others = (2..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.clone()).chain(others).find(|name| !is_taken(name)).unwrap_or_default()
}
