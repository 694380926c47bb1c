//! What the plan itself says about an inode, decided in one place by the destination's path.

use super::mode::Change;
use super::model::{Entry, Fixup, Mapping};
use crate::base::path::{Name, RelPath};
use crate::sys::stat::Kind;

/// Owner, group and mode that the plan gives an inode, overriding the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explicit {
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The mode.
    pub mode: Option<Change>,
}

impl Explicit {
    /// True when the backup's values are kept.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// This, overridden by `later`.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            uid: later.uid.or(self.uid),
            gid: later.gid.or(self.gid),
            mode: match (self.mode, later.mode) {
                (Some(first), Some(second)) => Some(first.then(second)),
                (first, second) => second.or(first),
            },
        }
    }
}

impl Entry {
    /// What an entry says about itself.
    #[must_use]
    pub fn explicit(&self) -> Explicit {
        Explicit {
            uid: self.uid,
            gid: self.gid,
            mode: self.mode.as_ref().map(crate::engine::mapping::mode::Mode::change),
        }
    }
}

impl Fixup {
    /// What it says about its own path.
    fn here(&self) -> Explicit {
        Explicit {
            uid: self.uid,
            gid: self.gid,
            mode: self.mode.as_ref().map(crate::engine::mapping::mode::Mode::change),
        }
    }

    /// What it says about an inode of this kind below its path.
    fn below(&self, kind: Kind) -> Explicit {
        let mode = match kind {
            Kind::Directory => self.dir_mode.as_ref(),
            Kind::File => self.file_mode.as_ref(),
            _ => None,
        };
        Explicit { uid: self.uid, gid: self.gid, mode: mode.map(crate::engine::mapping::mode::Mode::change) }
    }
}

/// The fixups that apply in one directory, in the plan's order: together they determine each
/// inode's final state.
#[derive(Clone, Debug, Default)]
pub struct Covering(Vec<(usize, Reach)>);

#[derive(Clone, Debug)]
enum Reach {
    /// Everything in the directory and below it.
    All,
    /// One name in it.
    Only(Name),
}

impl Covering {
    /// Those of the directory `dir`, a path below the root.
    #[must_use]
    pub fn of(plan: &Mapping, dir: &RelPath) -> Self {
        let reach = |fixup: &Fixup| {
            if fixup.recursive && dir.strip_prefix(&fixup.path).is_some() {
                return Some(Reach::All);
            }
            let only = fixup.path.last().filter(|_| fixup.path.parent().as_ref() == Some(dir));
            only.map(Reach::Only)
        };
        Self(plan.fixups.iter().enumerate().filter_map(|(i, fixup)| Some((i, reach(fixup)?))).collect())
    }

    /// What they say about `name` in that directory, and which of them decides.
    #[must_use]
    pub fn say(&self, plan: &Mapping, name: &Name, kind: Kind) -> (Explicit, Option<usize>) {
        let mut said = (Explicit::default(), None);
        for (index, reach) in &self.0 {
            let fixup = &plan.fixups[*index];
            let word = match reach {
                Reach::All => fixup.below(kind),
                Reach::Only(only) if only == name => fixup.here(),
                Reach::Only(_) => continue,
            };
            said = (said.0.then(word), Some(*index));
        }
        said
    }
}
