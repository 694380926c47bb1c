//! Tells the use of a target from trouble: what its owner does there is no problem, what nobody did
//! is one.

use crate::engine::events::finding::UseClass;
use crate::engine::events::unpreserved::{Disk, Unpreserved};
use crate::engine::journal::Row;
use crate::sys::stat::{Kind, Stat};

/// How an entry of the target is not what was recorded, where its content, type or presence is
/// concerned. Other attributes are never explained by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deviation {
    /// It is gone; whether names came or went in its directory since that was recorded.
    Gone { names_moved: bool },
    /// Something else is there.
    Other(Traces),
}

/// What a stat tells about who gave an entry other content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Traces {
    /// It is of another type.
    pub(super) retyped: bool,
    /// Another inode, or the same one with another ctime: somebody was there. Nothing but the
    /// kernel sets a ctime.
    pub(super) visited: bool,
    /// The same inode, with the recorded size and modification time: whoever writes moves them.
    pub(super) unwritten: bool,
}

impl Traces {
    /// What `stat`, found in the place of what `row` describes, tells.
    pub(super) fn of(row: &Row, stat: &Stat, disk: Disk) -> Self {
        let same_size = stat.kind != Kind::File || row.size == stat.size;
        let looks_alike = row.kind() == stat.kind && same_size && row.wanted.mtime.is_none_or(|t| t == stat.mtime);
        // A file system that makes up inode numbers and ctimes leaves nothing but these to tell by.
        let (replaced, restamped) =
            if disk.bare { (false, !looks_alike) } else { (stat.ino != row.dst_ino, stat.ctime != row.dst_ctime) };
        Self { retyped: row.kind() != stat.kind, visited: replaced || restamped, unwritten: looks_alike && !replaced }
    }
}

/// What its owner did with an entry; `None` for trouble. `declared` for one at or above which
/// nothing may vanish: a declared entry, or a directory on the way to one.
///
/// | found | class |
/// |---|---|
/// | gone, its directory was changed since | removed |
/// | gone, its directory was not changed since | trouble: missing |
/// | gone or of another type, and declared | trouble: whatever was below it is out of reach |
/// | other content, inode and ctime as recorded | trouble: damaged |
/// | other content, another ctime, size and modification time as recorded | trouble: a later change of an attribute moves the ctime as well, and damage must not pass for a change |
/// | other content, another inode, size or modification time | changed |
pub(super) fn class(found: Deviation, declared: bool) -> Option<UseClass> {
    match found {
        Deviation::Gone { names_moved } => (names_moved && !declared).then_some(UseClass::Removed),
        Deviation::Other(Traces { retyped, visited, unwritten }) => {
            (visited && !unwritten && !(retyped && declared)).then_some(UseClass::Changed)
        }
    }
}

/// True when names came or went in the directory that `row` describes and that is now `stat`.
pub(super) fn names_moved(row: &Row, stat: &Stat, disk: Disk) -> bool {
    let moved = match row.wanted.mtime {
        Some(recorded) => recorded != stat.mtime && !row.wanted.lost.contains(Unpreserved::Mtime),
        // A run that copied found its names changed, and left its times.
        None => row.source.is_some(),
    };
    // Whoever removes a name and sets the time back moves the ctime.
    moved || !disk.bare && (row.dst_ino, row.dst_ctime) != (stat.ino, stat.ctime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(retyped: bool, visited: bool, unwritten: bool) -> Deviation {
        Deviation::Other(Traces { retyped, visited, unwritten })
    }

    #[test]
    fn every_row_of_the_table() {
        let gone = |names_moved| Deviation::Gone { names_moved };
        let cases = [
            (gone(true), false, Some(UseClass::Removed)),
            (gone(false), false, None),
            (gone(true), true, None),
            (gone(false), true, None),
            (other(false, false, true), false, None),
            (other(false, false, false), false, None),
            (other(false, true, true), false, None),
            (other(false, true, false), false, Some(UseClass::Changed)),
            (other(false, true, false), true, Some(UseClass::Changed)),
            (other(true, true, false), false, Some(UseClass::Changed)),
            (other(true, true, false), true, None),
        ];
        for (found, declared, expected) in cases {
            assert_eq!(class(found, declared), expected, "{found:?}, declared: {declared}");
        }
    }
}
