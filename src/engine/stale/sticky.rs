//! Immutable and append-only flags that runs of the plan set on what must go, and on the
//! directories that it is in. A kill while they are lifted is no loss: the next run sets them on
//! every inode whose row asks for them before it removes anything.

use crate::base::path::{Name, RelPath};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Removals, Row};
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::flags::{self, Flags};
use crate::sys::stat::{Kind, Stat, Time, stat_fd};
use crate::sys::{Errno, leads_nowhere};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use std::path::Path;

/// What of the flags of an inode with `stat` a run of the plan set, by its `row`.
fn ours(row: &Row, stat: &Stat) -> Flags {
    let set = if row.dst_ino == stat.ino { row.wanted.flags } else { Flags::empty() };
    set.intersection(stat.sticky_flags())
}

fn lift(fd: impl AsFd, flags: Flags) -> Result<(), Errno> {
    flags::set(fd.as_fd(), flags::get(fd.as_fd())?.difference(flags))
}

fn put_back(fd: impl AsFd, flags: Flags) -> Result<(), Errno> {
    flags::set(fd.as_fd(), flags::get(fd.as_fd())?.union(flags))
}

/// A regular file whose flags were lifted, so that one of its names can go.
pub(super) struct LiftedFile {
    fd: OwnedFd,
    flags: Flags,
}

impl LiftedFile {
    /// Lifts them from `name`, which looks like `stat`; `None` if a run has set none.
    pub(super) fn lift(dir: &TargetDir, name: &Name, row: &Row, stat: &Stat) -> Result<Option<Self>, Errno> {
        let flags = ours(row, stat);
        if flags.is_empty() || stat.kind != Kind::File {
            return Ok(None);
        }
        let fd = dir.open_file(name, OFlags::empty())?;
        if stat_fd(&fd)?.ino != stat.ino {
            return Err(Errno::STALE);
        }
        lift(&fd, flags)?;
        Ok(Some(Self { fd, flags }))
    }

    /// Sets them again, for its other names or because it stays.
    pub(super) fn put_back(&self) -> Result<(), Errno> {
        put_back(&self.fd, self.flags)
    }
}

/// A directory whose flags were lifted.
struct LiftedDir {
    path: RelPath,
    id: i64,
    ino: u64,
    flags: Flags,
    /// Of its row.
    recorded: Time,
}

/// The directories whose flags were lifted so that names in them can go.
#[derive(Default)]
pub(super) struct LiftedDirs(Vec<LiftedDir>);

impl LiftedDirs {
    /// Lifts them from `dir` at `path`, as far as a run has set them.
    pub(super) fn lift(&mut self, dir: &TargetDir, path: &RelPath, row: &Row) -> Result<(), Errno> {
        let (stat, Some(id)) = (dir.stat()?, row.id) else { return Ok(()) };
        let flags = ours(row, &stat);
        if !flags.is_empty() {
            lift(dir, flags)?;
            self.0.push(LiftedDir { path: path.clone(), id, ino: stat.ino, flags, recorded: row.dst_ctime });
        }
        Ok(())
    }

    /// True for the directory with this id.
    pub(super) fn has(&self, id: Option<i64>) -> bool {
        self.0.iter().any(|lifted| Some(lifted.id) == id)
    }

    /// Sets them again on those that are still there; returns what failed.
    pub(super) fn put_back(&mut self, root: &Path, removals: &mut Removals) -> Vec<Problem> {
        let mut failed = Vec::new();
        for LiftedDir { path, id, ino, flags, recorded } in std::mem::take(&mut self.0) {
            let done = open_target(root, &path).and_then(|dir| {
                // Another inode has the name: this one is gone.
                if dir.stat()?.ino == ino {
                    put_back(&dir, flags)?;
                    removals.settle(id, ino, recorded, dir.stat()?.ctime);
                }
                Ok(())
            });
            match done {
                Err(errno) if !leads_nowhere(errno) => {
                    failed.push(Problem::failed(path, ProblemKind::Flags, Operation::SetFlags(flags), errno));
                }
                _ => {}
            }
        }
        failed
    }
}
