//! What impermanence's scripts do at boot with what is on the storage, predicted for each pair of what
//! is declared and what is there.

use crate::engine::mapping::model::EntryKind;
use crate::sys::stat::Kind;

/// What is at an entry's place on the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundOnStorage {
    Absent,
    /// Something above it is not a directory.
    Blocked,
    Directory,
    File,
    /// A FIFO, socket or device.
    Special(Kind),
    /// A symlink; to what, and whether that is on the same file system.
    Link(To, Stays),
}

/// Where a symlink leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    Directory,
    File,
    Nothing,
}

/// Whether what a symlink leads to outlives the reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stays {
    OnStorage,
    Elsewhere,
}

/// What happens at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Boot {
    /// It arrives at its live path.
    Works,
    /// It does not, or not for long: how that shows.
    Risks(&'static str),
    /// It does not: how it fails.
    Fails(&'static str),
    /// Nothing is there; how bad that is depends on the entry's need.
    Lacks(&'static str),
}

/// The outcome for one entry.
pub(super) fn at_boot(declared: EntryKind, found: FoundOnStorage) -> Boot {
    use {Boot::*, EntryKind as Declared};
    const ELSEWHERE: &str = "is a symlink that leaves the storage: what it leads to is not kept";
    match (declared, found) {
        (Declared::Directory | Declared::Tree, FoundOnStorage::Directory) => Works,
        (Declared::File | Declared::Tree, FoundOnStorage::File) => Works,
        (_, FoundOnStorage::Blocked) => {
            Fails("something above it is not a directory: activation fails with \"Not a directory\"")
        }

        (Declared::Directory, FoundOnStorage::Absent) => {
            Lacks("is not on the storage: an empty directory takes its place, and the old content stays in the backup")
        }
        (Declared::File, FoundOnStorage::Absent) => {
            Lacks("is not on the storage: the live path becomes a dangling symlink, and programs make a new file")
        }
        (Declared::Tree, FoundOnStorage::Absent) => Lacks("is not there"),

        (Declared::Directory, FoundOnStorage::File) => {
            Fails("is a regular file where a directory is declared: activation fails with \"mkdir: File exists\"")
        }
        (Declared::Directory, FoundOnStorage::Special(_)) => {
            Fails("is not a directory, but a directory is declared: activation fails with \"mkdir: File exists\"")
        }
        (Declared::Directory, FoundOnStorage::Link(To::File, _)) => {
            Fails("is a symlink to a file where a directory is declared: activation fails with \"mkdir: File exists\"")
        }
        (Declared::Directory, FoundOnStorage::Link(To::Nothing, _)) => {
            Fails("is a dangling symlink: mkdir is tried at its end and fails with \"No such file or directory\"")
        }

        (Declared::File, FoundOnStorage::Directory) => {
            Fails("is a directory where a file is declared: mount(8) fails with status 32, \"not a directory\"")
        }
        (Declared::File, FoundOnStorage::Link(To::Directory, _)) => Fails(
            "is a symlink to a directory where a file is declared: mount(8) fails with status 32, \"not a directory\"",
        ),
        (Declared::File, FoundOnStorage::Special(_)) => Risks("is not a regular file, but a file is declared"),
        (Declared::File, FoundOnStorage::Link(To::Nothing, _)) => {
            Fails("is a dangling symlink: it counts as missing, and the live path dangles as well")
        }

        (Declared::Directory, FoundOnStorage::Link(To::Directory, stays))
        | (Declared::File, FoundOnStorage::Link(To::File, stays)) => match stays {
            Stays::OnStorage => Works,
            Stays::Elsewhere => Risks(ELSEWHERE),
        },
        (Declared::Tree, FoundOnStorage::Special(_) | FoundOnStorage::Link(..)) => Works,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_of_declared_and_found() {
        use Stays::OnStorage;
        let word = |declared, found| match at_boot(declared, found) {
            Boot::Works => "works",
            Boot::Risks(why) | Boot::Fails(why) | Boot::Lacks(why) => why,
        };
        let table = [
            (EntryKind::Directory, FoundOnStorage::Directory, "works"),
            (EntryKind::Directory, FoundOnStorage::File, "File exists"),
            (EntryKind::Directory, FoundOnStorage::Link(To::Directory, OnStorage), "works"),
            (EntryKind::Directory, FoundOnStorage::Link(To::Directory, Stays::Elsewhere), "leaves the storage"),
            (EntryKind::Directory, FoundOnStorage::Link(To::File, OnStorage), "File exists"),
            (EntryKind::Directory, FoundOnStorage::Link(To::Nothing, Stays::Elsewhere), "No such file"),
            (EntryKind::Directory, FoundOnStorage::Special(Kind::Fifo), "File exists"),
            (EntryKind::Directory, FoundOnStorage::Absent, "empty directory"),
            (EntryKind::Directory, FoundOnStorage::Blocked, "Not a directory"),
            (EntryKind::File, FoundOnStorage::Directory, "status 32"),
            (EntryKind::File, FoundOnStorage::File, "works"),
            (EntryKind::File, FoundOnStorage::Link(To::Directory, OnStorage), "status 32"),
            (EntryKind::File, FoundOnStorage::Link(To::File, OnStorage), "works"),
            (EntryKind::File, FoundOnStorage::Link(To::File, Stays::Elsewhere), "leaves the storage"),
            (EntryKind::File, FoundOnStorage::Link(To::Nothing, Stays::Elsewhere), "dangl"),
            (EntryKind::File, FoundOnStorage::Absent, "dangling symlink"),
        ];
        for (declared, found, expected) in table {
            let said = word(declared, found);
            assert!(said.contains(expected), "{declared:?} {found:?}: {said}");
        }
    }
}
