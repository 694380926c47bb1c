//! Trees that meet in one place: what each of them brings there.

use super::given::{GivenTree, TreesError};
use crate::base::path::{Name, RelPath};
use crate::sys::dir::read_batches;
use crate::sys::stat::{Kind, stat_at};
use crate::sys::{Errno, at, errno_words};
use ignore::gitignore::Gitignore;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a tree brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    /// It has its place for itself.
    Whole,
    /// These paths of it, with their destinations; the directories above them are shared.
    Parts(Vec<(RelPath, RelPath)>),
}

/// A path of a tree, by the tree's index.
#[derive(Clone, Debug)]
struct Part {
    tree: usize,
    src: RelPath,
}

/// What meets in one place.
#[derive(Debug, Default)]
struct Meeting {
    /// What goes there.
    here: Vec<Part>,
    /// What goes somewhere below it, and where.
    below: Vec<(Part, RelPath)>,
}

/// What each of the `trees`, which go to `destined`, brings.
pub(super) fn merge(
    trees: &[GivenTree],
    destined: &[RelPath],
    excluded: &Gitignore,
) -> Result<Vec<Merged>, TreesError> {
    let meets = |i: usize, dst: &RelPath| {
        destined.iter().enumerate().any(|(j, other)| i != j && other.strip_prefix(dst).is_some())
    };
    let meeting = destined.iter().enumerate().any(|(i, dst)| meets(i, dst));
    // What is not there can only be verified, by what the journal has.
    if !meeting || trees.iter().any(|tree| tree.kind.is_none()) {
        return Ok(trees.iter().map(|_| Merged::Whole).collect());
    }
    let mut merger = Merger { trees, excluded, parts: vec![Vec::new(); trees.len()] };
    let all = (0..).zip(trees).zip(destined);
    let below = all.map(|((tree, given), dst)| (Part { tree, src: given.real.clone() }, dst.clone())).collect();
    merger.place(&RelPath::root(), Meeting { here: Vec::new(), below })?;
    let whole = |(parts, (tree, dst)): (Vec<(RelPath, RelPath)>, (&GivenTree, &RelPath))| {
        if parts == [(tree.real.clone(), dst.clone())] { Merged::Whole } else { Merged::Parts(parts) }
    };
    Ok(merger.parts.into_iter().zip(trees.iter().zip(destined)).map(whole).collect())
}

/// A merge at work.
struct Merger<'a> {
    trees: &'a [GivenTree],
    excluded: &'a Gitignore,
    /// What each tree brings.
    parts: Vec<Vec<(RelPath, RelPath)>>,
}

impl Merger<'_> {
    /// Shares out the place `dst`.
    fn place(&mut self, dst: &RelPath, Meeting { here, below }: Meeting) -> Result<(), TreesError> {
        if let ([only], true) = (&here[..], below.is_empty()) {
            self.parts[only.tree].push((only.src.clone(), dst.clone()));
            return Ok(());
        }
        let mut names: BTreeMap<Name, Meeting> = BTreeMap::new();
        for part in &here {
            let others = here.iter().chain(below.iter().map(|(part, _)| part));
            let other = others.map(|other| other.tree).find(|tree| *tree != part.tree).unwrap_or(part.tree);
            for name in self.names(part, other, dst)? {
                let part = Part { tree: part.tree, src: part.src.join(&name) };
                names.entry(name).or_default().here.push(part);
            }
        }
        if let (true, [first, ..]) = (names.is_empty() && below.is_empty(), &here[..]) {
            self.parts[first.tree].push((first.src.clone(), dst.clone()));
        }
        for (part, goes) in below {
            let Some(name) = goes.strip_prefix(dst).and_then(|tail| tail.names().next()) else { continue };
            let is_here = goes == dst.join(&name);
            let found = names.entry(name).or_default();
            if is_here { found.here.push(part) } else { found.below.push((part, goes)) }
        }
        names.into_iter().try_for_each(|(name, meeting)| self.place(&dst.join(&name), meeting))
    }

    /// The names in a directory that patterns do not leave out. It meets something of the tree `other`.
    fn names(&self, part: &Part, other: usize, dst: &RelPath) -> Result<Vec<Name>, TreesError> {
        let tree = &self.trees[part.tree];
        let path = Path::new("/").join(part.src.as_path());
        let failed = |errno| TreesError::Source(path.clone(), errno_words(errno));
        let dir = match at::open_dir(&path) {
            Ok(dir) => dir,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let shown: [PathBuf; 2] = [tree.shown.clone(), self.trees[other].shown.clone()];
                let [one, two] = shown;
                return Err(TreesError::Collision(one, two, dst.to_string()));
            }
            Err(errno) => return Err(failed(errno)),
        };
        let below = part.src.strip_prefix(&tree.real).unwrap_or_default();
        let mut names = Vec::new();
        let mut unread = None;
        read_batches(&dir, 1024, |batch| {
            for entry in batch {
                let kind = entry.kind.map_or_else(|| stat_at(&dir, &entry.name).map(|stat| stat.kind), Ok);
                match kind {
                    Ok(kind) if self.is_left_out(&below.join(&entry.name), kind) => {}
                    Ok(_) => names.push(entry.name),
                    Err(errno) => unread = Some(errno),
                }
            }
            unread.is_none()
        })
        .map_err(failed)?;
        unread.map_or(Ok(names), |errno| Err(failed(errno)))
    }

    fn is_left_out(&self, path: &RelPath, kind: Kind) -> bool {
        self.excluded.matched(path.as_path(), kind == Kind::Directory).is_ignore()
    }
}
