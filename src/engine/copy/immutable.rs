//! Immutable and append-only inodes. Their flags forbid links, renames, new children and any
//! other change of attributes, so they are set when everything else is done and durable.
//! Where an earlier run set them, they are lifted again from what must change.

use super::context::CopyContext;
use crate::base::path::{Name, RelPath};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, State};
use crate::sys::dir::TargetDir;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::{Errno, flags, leads_nowhere};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use std::sync::Arc;

/// Rows that are read at once.
const PAGE: u32 = 512;

/// Sets these flags last of all, and lifts those set by a run of this plan.
pub(super) struct ImmutableFlags {
    cx: Arc<CopyContext>,
}

impl ImmutableFlags {
    pub(super) fn new(cx: &Arc<CopyContext>) -> Self {
        Self { cx: Arc::clone(cx) }
    }

    /// Sets the flags on every finished entry that shall have them.
    pub(super) fn set_all(&self) {
        if self.cx.run.stop.is_set() {
            return;
        }
        self.cx.submit.flush();
        let Some(reader) = self.cx.records.ask(self.cx.run.journal.reader()) else { return };
        let mut after = (-1, Vec::new());
        while let Some(page) = self.cx.records.ask(reader.immutable_page((after.0, &after.1), PAGE)) {
            let Some(last) = page.last() else { return };
            after = (last.dir, last.name.clone());
            for row in page {
                let (Some(parent), Ok(name)) = (self.cx.records.ask(reader.path_of(row.dir)), Name::new(&row.name))
                else {
                    return;
                };
                let (path, target, wanted) = (parent.join(&name), row.target, row.wanted.flags);
                let set = self.cx.open_target(&parent).and_then(|dir| self.set_on(&dir, &name, row, &path));
                // Gone, or of another type: verification reports it, or the plan no longer has it.
                let Err(errno) = set.or_else(|e| if leads_nowhere(e) { Ok(()) } else { Err(e) }) else { continue };
                for flag in wanted.intersection(Flags::IMMUTABLE_OR_APPEND).each() {
                    let failed = Problem::failed(path.clone(), ProblemKind::Flags, Operation::SetFlags(flag), errno);
                    self.cx.problem(target, failed.about(flag.to_string().as_bytes()));
                }
            }
        }
    }

    fn set_on(&self, dir: &TargetDir, name: &Name, mut row: Row, path: &RelPath) -> Result<(), Errno> {
        let wanted = row.wanted.flags.intersection(Flags::IMMUTABLE_OR_APPEND);
        let fd = open(dir, name, row.kind())?;
        // The name belongs to another inode: verification reports it.
        if stat_fd(&fd)?.ino != row.dst_ino {
            return Ok(());
        }
        let (file_system, disk) = self.cx.file_system(dir)?;
        let set = flags::get(&fd).and_then(|now| {
            let missing = !wanted.difference(now).is_empty();
            if missing { flags::set(&fd, now.union(wanted)) } else { Err(Errno::ALREADY) }
        });
        match set {
            Ok(()) => row.dst_ctime = stat_fd(&fd)?.ctime,
            Err(Errno::ALREADY) => return Ok(()),
            Err(errno) if disk.cannot(errno) => {
                row.wanted.lost.insert(Unpreserved::Flags);
                row.wanted.given_up = row.wanted.given_up.union(wanted);
                row.wanted.flags = row.wanted.flags.difference(Flags::IMMUTABLE_OR_APPEND);
                let problem = Problem::failed(path.clone(), ProblemKind::Flags, Operation::SetFlags(wanted), errno);
                self.cx.problem(row.target, problem.of_disk(disk.dev, Unpreserved::Flags));
            }
            Err(errno) => return Err(errno),
        }
        self.cx.submit.send(Written::row(row, file_system));
        Ok(())
    }

    /// [`lift`] for `name`, which is about to be replaced.
    pub(super) fn lift_at(&self, dir: &TargetDir, above: i64, name: &Name) -> Result<(), Errno> {
        let stat = match dir.stat_at(name) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        if stat.kind != Kind::File || !stat.is_immutable_or_append() {
            return Ok(());
        }
        let row = self.cx.records.with_reader(|reader| Some(self.cx.records.ask(reader?.find(above, name)).flatten()));
        let Some(row) = row else { return Ok(()) };
        // Of the descriptor: the name may belong to another inode meanwhile.
        let fd = open(dir, name, stat.kind)?;
        let stat = stat_fd(&fd)?;
        // Of what --overwrite replaces, somebody else's go as well.
        let (mut row, overwrite) = (row, self.cx.options.overwrite);
        if let Some(row) = row.as_mut().filter(|_| overwrite) {
            row.wanted.flags = row.wanted.flags.union(Flags::IMMUTABLE_OR_APPEND);
        }
        lift(fd, &stat, row.as_ref())
    }
}

/// Lifts the flags from an entry that must be replaced or filled, if an earlier run of this
/// plan set them; anybody else's are left alone.
pub(super) fn lift(fd: impl AsFd, stat: &Stat, row: Option<&Row>) -> Result<(), Errno> {
    // Or a repair found that somebody had set them, and puts that right.
    let ours = row.is_some_and(|row| {
        row.dst_ino == stat.ino
            && (row.state == State::Bad || !row.wanted.flags.intersection(Flags::IMMUTABLE_OR_APPEND).is_empty())
    });
    if ours && stat.is_immutable_or_append() {
        flags::get(fd.as_fd()).and_then(|now| flags::set(fd, now.difference(Flags::IMMUTABLE_OR_APPEND)))?;
    }
    Ok(())
}

fn open(dir: &TargetDir, name: &Name, kind: Kind) -> Result<OwnedFd, Errno> {
    match kind {
        Kind::Directory => dir.open_dir(name).map(TargetDir::into_fd),
        _ => dir.open_file(name, OFlags::empty()),
    }
}
