//! What goes where: a plan with its names turned into numbers and its globs into paths, or
//! what a caller of the library made without one.

pub use super::ids::{Drift, IdConflict, IdKind};
use super::mode::Mode;
use super::renumber::Renumbering;
use crate::base::path::{Name, RelPath};
use crate::sys::stat::Kind;
use crate::sys::{Errno, errno_words};
use globset::GlobMatcher;
use ignore::gitignore::Gitignore;
use std::collections::HashMap;
use std::path::PathBuf;

/// Users, globs and defaults are already resolved.
#[derive(Debug)]
pub struct Mapping {
    /// Names the state; also the stem of the journal's file. ASCII letters,
    /// digits, `.`, `_` and `-` only, and it does not start with a dot.
    pub name: String,
    /// The backup tree.
    pub source: PathBuf,
    /// Prefix of every destination.
    pub root: PathBuf,
    /// The `[[target]]` tables in the file's order, then the `[[map]]` tables.
    pub targets: Vec<Target>,
    /// The `[[fixup]]` tables in the file's order.
    pub fixups: Vec<Fixup>,
    /// Names whose number differs between the backup and the target.
    pub drift: Vec<Drift>,
    /// Numbers that are one name's in the backup and another's on the target.
    pub id_conflicts: Vec<IdConflict>,
    /// How `--remap-ids` changes the backup's numbers.
    pub renumbering: Renumbering,
    /// What is wrong with the id maps but does not stop this plan, for the report.
    pub id_warnings: Vec<String>,
    /// What else is worth knowing before a run, for the report: id maps on the target that the plan replaces, what
    /// of a source is left out unasked.
    pub notes: Vec<String>,
    /// What the plan declares, as written: needed when the entries are not looked up.
    pub asked: Vec<Asked>,
    /// The directory of the journal, if it is not to be `.persistcp` on the first target's file system.
    pub state: Option<PathBuf>,
}

/// An entry as the plan declares it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Name of its target.
    pub target: String,
    /// Below the source.
    pub src: RelPath,
    /// Below the root.
    pub dst: RelPath,
    /// How bad its absence is.
    pub need: Need,
    /// The entries that it matches, if it is a pattern.
    pub pattern: Option<GlobMatcher>,
}

/// An entry that is inside another one and goes elsewhere: the other is copied without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it would be in the copy of the other, below the root.
    pub place: RelPath,
    /// Where the plan has it.
    pub declared: RelPath,
}

impl Mapping {
    /// What entries are copied without, because the plan declares it elsewhere.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOut> {
        let present = || {
            let entries = self.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, e)));
            entries.filter(|(_, e)| e.presence == Presence::Present)
        };
        let by_source: HashMap<&RelPath, (&Target, &Entry)> = present().map(|(t, e)| (&e.src, (t, e))).collect();
        let outer = |inner: &Entry| {
            let mut above = inner.src.parent();
            while let Some(path) = above {
                if let Some(outer) = by_source.get(&path) {
                    return Some(*outer);
                }
                above = path.parent();
            }
            None
        };
        let left_out = |(_, inner): (&Target, &Entry)| {
            let (target, outer) = outer(inner)?;
            let place = outer.dst.join_path(&inner.src.strip_prefix(&outer.src)?);
            let kind = if inner.kind == EntryKind::Directory { Kind::Directory } else { Kind::File };
            (place != inner.dst && !target.leaves_out_below_entry(&place, kind))
                .then(|| LeftOut { place, declared: inner.dst.clone() })
        };
        present().filter_map(left_out).collect()
    }
}

/// A storage area and what belongs in it.
#[derive(Debug)]
pub struct Target {
    /// For the report; unique in the plan.
    pub name: String,
    /// The directory inside the source that [`Self::to`] mirrors.
    pub from: RelPath,
    /// The directory below the root that receives it.
    pub to: RelPath,
    /// It is a `[[map]]`: [`Self::to`] is what the one entry becomes, a directory or not.
    pub is_map: bool,
    /// The default of the entries.
    pub need: Need,
    /// For parents that the backup does not have.
    pub parents: Attrs,
    /// The patterns as written, gitignore syntax anchored at [`Self::from`].
    pub exclude: Vec<String>,
    /// The same, built. Paths are matched relative to [`Self::from`].
    pub excluded: Gitignore,
    /// What to copy, sorted by destination; for a `[[map]]` the one tree.
    pub entries: Vec<Entry>,
}

impl Target {
    /// True when a pattern leaves out `path`, which lies below the root.
    #[must_use]
    pub fn excludes(&self, path: &RelPath, kind: Kind) -> bool {
        self.leaves_out(&self.to, path, kind)
    }

    fn leaves_out(&self, above: &RelPath, path: &RelPath, kind: Kind) -> bool {
        !self.excluded.is_empty()
            && path
                .strip_prefix(above)
                .is_some_and(|below| self.excluded.matched(below.as_path(), kind == Kind::Directory).is_ignore())
    }

    /// The same for `name` in a directory of the backup.
    #[must_use]
    pub fn excludes_in_source(&self, above: &RelPath, name: &Name, kind: Kind) -> bool {
        // The path is put together only where it can matter.
        !self.excluded.is_empty() && self.leaves_out(&self.from, &above.join(name), kind)
    }

    /// The pattern that leaves out `path` of the backup.
    #[must_use]
    pub fn pattern_over(&self, path: &RelPath, kind: Kind) -> Option<&str> {
        let below = path.strip_prefix(&self.from)?;
        match self.excluded.matched(below.as_path(), kind == Kind::Directory) {
            ignore::Match::Ignore(glob) => Some(glob.original()),
            _ => None,
        }
    }

    /// The same for a path that was not reached through its directories: a pattern that leaves out one
    /// of them, below the nearest entry above, leaves it out as well.
    #[must_use]
    pub fn leaves_out_below_entry(&self, path: &RelPath, kind: Kind) -> bool {
        let above = self.entries.iter().map(|e| &e.dst).filter(|dst| path.strip_prefix(dst).is_some());
        self.leaves_out_below(above.max_by_key(|dst| dst.depth()), path, kind)
    }

    /// The same if the entry's destination is known.
    #[must_use]
    pub fn leaves_out_below(&self, entry: Option<&RelPath>, path: &RelPath, kind: Kind) -> bool {
        if self.excluded.is_empty() {
            return false;
        }
        let top = entry.map_or(0, RelPath::depth);
        let mut at = Some((path.clone(), kind));
        while let Some((path, kind)) = at.filter(|(path, _)| path.depth() > top) {
            if self.excludes(&path, kind) {
                return true;
            }
            at = path.parent().map(|path| (path, Kind::Directory));
        }
        false
    }
}

/// One path to copy.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Below the source, as the plan names it.
    pub src: RelPath,
    /// Below the source, on a path without symlinks. It is read there, and nothing is followed any
    /// more.
    pub real: RelPath,
    /// A symlink at `src` or on the way to it.
    pub link: Option<Link>,
    /// What the plan says about such a symlink.
    pub follow: Option<bool>,
    /// Below the root.
    pub dst: RelPath,
    /// What the plan says it is.
    pub kind: EntryKind,
    /// How bad its absence is.
    pub need: Need,
    /// The owner of the entry itself, when the plan overrides the backup's.
    pub uid: Option<u32>,
    /// The group of the entry itself, when the plan overrides the backup's.
    pub gid: Option<u32>,
    /// The mode of the entry itself, when the plan overrides or changes the backup's.
    pub mode: Option<Mode>,
    /// Whether the backup has it.
    pub presence: Presence,
}

impl Entry {
    /// A symlink whose treatment the plan leaves open, or one that would lead home if its way were there.
    #[must_use]
    pub fn unasked_link(&self) -> Option<&Link> {
        let is_absent = self.presence == Presence::Absent;
        let is_open = |link: &Link| if link.leads_home { is_absent } else { self.follow.is_none() && !is_absent };
        self.link.as_ref().filter(|link| is_open(link))
    }

    /// True for a symlink to its own place on the target, which leads nowhere in this source: it says that
    /// what is there is in use, and not that the entry is gone.
    #[must_use]
    pub fn is_elsewhere_in_use(&self) -> bool {
        self.presence == Presence::Absent && self.link.as_ref().is_some_and(|link| link.leads_home)
    }
}

/// A symlink at an entry or on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where it leads, below the source; `None`: nowhere.
    pub to: Option<RelPath>,
    /// What it leads to is copied, otherwise the link.
    pub followed: bool,
    /// It is not the entry, but one of the directories above.
    pub is_on_the_way: bool,
    /// It leads, or would lead, to where the entry is copied.
    pub leads_home: bool,
}

/// What an entry is declared to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// From `directories`.
    Directory,
    /// From `files`: anything but a directory.
    File,
    /// From `[[map]]`: whatever is there.
    Tree,
}

impl EntryKind {
    /// The word of JSON and of tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
            Self::Tree => "tree",
        }
    }
}

/// How an entry was found in the backup, seen through the symlinks that are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there, and of the declared kind.
    Present,
    /// It is missing, or a glob without a match.
    Absent,
    /// It is not what the plan declares: `found` says what it is.
    WrongKind {
        /// For example "a regular file".
        found: &'static str,
    },
    /// It could not be read.
    Unreadable {
        /// What the kernel answered.
        errno: Errno,
    },
}

impl Presence {
    /// The word of JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
            Self::WrongKind { .. } => "wrong-kind",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// What else there is to say: what it is instead, or the error.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Present | Self::Absent => None,
            Self::WrongKind { found } => Some((*found).to_string()),
            Self::Unreadable { errno } => Some(errno_words(*errno)),
        }
    }
}

/// How much an entry is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Its absence is listed.
    Optional,
    /// Its absence is listed.
    Recommended,
    /// Its absence refuses the run.
    Required,
    /// Its absence refuses the run.
    Critical,
}

impl Need {
    /// The word of the plan.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Recommended => "recommended",
            Self::Required => "required",
            Self::Critical => "critical",
        }
    }

    /// What a word of the plan means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Optional, Self::Recommended, Self::Required, Self::Critical].into_iter().find(|need| need.word() == word)
    }
}

/// Owner, group and mode as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attrs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Mode, 12 bits.
    pub mode: u32,
}

/// A correction after the copy.
#[derive(Clone, Debug)]
pub struct Fixup {
    /// Below the root.
    pub path: RelPath,
    /// The owner to set.
    pub uid: Option<u32>,
    /// The group to set.
    pub gid: Option<u32>,
    /// The mode of the path itself, or a change of it.
    pub mode: Option<Mode>,
    /// Owner and group of everything below as well.
    pub recursive: bool,
    /// Mode of every directory below (only with `recursive`).
    pub dir_mode: Option<Mode>,
    /// Mode of every regular file below (only with `recursive`).
    pub file_mode: Option<Mode>,
}
