//! Everything that is not a directory: skipped when an earlier run finished it,
//! linked when its inode was copied before, copied otherwise.

use super::context::CopyContext;
use super::directories::Directories;
use super::entry::{CopyEntry, Override};
use super::file::RegularFiles;
use super::job::OpenSource;
use super::link::Waiter;
use super::linked::LinkedNames;
use super::retyped::RetypedNames;
use super::source::SourceTree;
use super::special::SpecialFiles;
use super::stands::Stands;
use super::takeover::{Judgement, Takeover};
use crate::engine::events::counters::add;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::judge::SourceAccess;
use crate::sys::Errno;
use crate::sys::stat::{Kind, Stat};
use rustix::fd::AsFd;
use std::sync::Arc;

/// Handles each name that is not a directory.
pub(super) struct Leaves {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) directories: Arc<Directories>,
    pub(super) takeover: Takeover,
    pub(super) files: Arc<RegularFiles>,
    pub(super) special: Arc<SpecialFiles>,
    pub(super) linked: LinkedNames,
    pub(super) retyped: RetypedNames,
}

impl Leaves {
    /// Copies one entry that is not a directory.
    pub(super) fn copy(&self, entry: &CopyEntry<'_>, kind: Kind) {
        if kind == Kind::File {
            return self.copy_file(entry);
        }
        let (dir, name) = (entry.dir, entry.in_source());
        let failed = |operation, errno| {
            let problem = Problem::failed(entry.path(), ProblemKind::Unreadable, operation, errno);
            self.cx.problem(dir.node.target, problem);
        };
        match dir.src.stat_at(name) {
            Ok(stat) if self.source.is_barred(&stat) && !self.may_be_in_place(entry, &stat) => {
                match dir.src.open_handle(name) {
                    Ok(fd) => self.source.skip_mount(dir, entry.name, &fd, &stat),
                    Err(errno) => failed(Operation::OpenMount, errno),
                }
            }
            Ok(stat) => self.copy_other(entry, &stat),
            Err(errno) => failed(Operation::Stat, errno),
        }
    }

    fn copy_file(&self, entry: &CopyEntry<'_>) {
        let judged = match self.judge_unopened(entry) {
            Some((stat, judgement @ (Judgement::Finished(..) | Judgement::Kept))) => {
                return self.leave_as_it_is(entry, &stat, judgement);
            }
            Some((_, Judgement::Later)) => return self.retyped.add(entry, Kind::File),
            judged => judged,
        };
        if let Some(source) = self.source.open_file(entry) {
            let judged = judged.filter(|(stat, _)| source.stat.unchanged_since(stat));
            self.copy_opened(entry, &source, judged.map(|(_, judgement)| judgement));
        }
    }

    /// Copies, links or skips an open regular file, unless it is a mount that is not to be entered.
    pub(super) fn copy_opened(&self, entry: &CopyEntry<'_>, source: &OpenSource<'_>, judged: Option<Judgement>) {
        if self.source.is_barred(&source.stat) && !self.may_be_in_place(entry, &source.stat) {
            self.source.skip_mount(entry.dir, entry.name, &source.fd, &source.stat);
        } else {
            self.copy_regular(entry, source, judged);
        }
    }

    /// Copies, links or skips an open regular file.
    pub(super) fn copy_regular(&self, entry: &CopyEntry<'_>, source: &OpenSource<'_>, judged: Option<Judgement>) {
        let (stat, access) = (&source.stat, SourceAccess::Open(&source.fd));
        if self.settle_in_place(entry, stat) {
            return;
        }
        if stat.nlink > 1 {
            return self.copy_member(entry, stat, access, || Ok(&source.fd));
        }
        match judged.unwrap_or_else(|| self.takeover.judge(entry, stat, access)) {
            Judgement::Copy(stands) => {
                self.cx.count_file(entry.target(), stat);
                self.files.copy(&entry.with(Override { stands, ..entry.own }), source);
            }
            Judgement::Later => self.retyped.add(entry, stat.kind),
            judgement => self.leave_as_it_is(entry, stat, judgement),
        }
    }

    /// Counts a regular file that is not copied.
    fn leave_as_it_is(&self, entry: &CopyEntry<'_>, stat: &Stat, judgement: Judgement) {
        self.cx.count_file(entry.target(), stat);
        self.skip(entry, stat, judgement);
    }

    /// Counts what is not copied, and the losses that its row records.
    fn skip(&self, entry: &CopyEntry<'_>, stat: &Stat, judgement: Judgement) {
        if let Judgement::Finished(row, _) = judgement {
            self.source.lost_before(entry.node(), entry.name, &row);
        }
        self.cx.count_skipped(entry.target(), stat);
    }

    /// Copies, links or skips a name whose inode has others.
    fn copy_member<F: AsFd>(
        &self,
        entry: &CopyEntry<'_>,
        stat: &Stat,
        access: SourceAccess<'_>,
        open: impl Fn() -> Result<F, Errno>,
    ) {
        let waiter = self.linked.waiter(entry, stat, open);
        let access = waiter.as_ref().map_or(access, |waiter| waiter.access(access));
        let judgement = self.takeover.judge(entry, stat, access);
        if stat.kind == Kind::File && !matches!(judgement, Judgement::Later) {
            self.cx.count_file(entry.target(), stat);
        }
        let (known, stands) = match judgement {
            Judgement::Finished(row, there) => (Some(row), Stands { there: Some(there), ..Stands::default() }),
            Judgement::Copy(stands) => (None, stands),
            Judgement::Later => {
                self.retyped.add(entry, stat.kind);
                if waiter.is_some() {
                    self.directories.release(Arc::clone(entry.node()));
                }
                return;
            }
            Judgement::Kept => {
                self.cx.count_skipped(entry.target(), stat);
                if waiter.is_some() {
                    self.directories.release(Arc::clone(entry.node()));
                }
                return;
            }
        };
        match waiter {
            Some(waiter) => {
                let own = Override { stands, ..entry.own };
                self.linked.copy(Waiter { known, own, ..waiter });
            }
            None if self.cx.run.stop.is_set() => {}
            None => {
                let entry = entry.with(Override { stands, ..self.unmatched(entry) });
                match stat.kind {
                    Kind::File => {
                        if let Some(source) = self.source.open_file(&entry) {
                            self.files.copy(&entry, &source);
                        }
                    }
                    _ => drop(self.special.copy(&entry, stat)),
                }
            }
        }
    }

    /// For a name whose content had to be read, to tell which other names are links to it, and
    /// could not be.
    fn unmatched(&self, entry: &CopyEntry<'_>) -> Override {
        self.cx.problem(entry.target(), Problem::new(entry.path(), ProblemKind::Link, Detail::NamesUnread));
        Override { stopgap: true, ..entry.own }
    }

    /// Judges a regular file without opening it, which is enough for most files of a second run.
    /// Anything out of the ordinary is left to the usual way.
    fn judge_unopened(&self, entry: &CopyEntry<'_>) -> Option<(Stat, Judgement)> {
        entry.reader?;
        let stat = entry.dir.src.stat_at(entry.in_source()).ok()?;
        let is_usual = stat.kind == Kind::File && stat.nlink == 1 && !self.source.is_barred(&stat);
        if !is_usual || self.needs_in_place(entry, &stat) {
            return None;
        }
        let judgement = self.takeover.judge(entry, &stat, SourceAccess::Name);
        Some((stat, judgement))
    }

    fn copy_other(&self, entry: &CopyEntry<'_>, stat: &Stat) {
        if stat.kind != Kind::Socket && self.settle_in_place(entry, stat) {
            return;
        }
        let tally = self.cx.tally(entry.target());
        match stat.kind {
            Kind::Socket => {
                add(&tally.sockets, 1);
                self.cx.run.problems.note(Note::Socket(entry.path()));
                return;
            }
            Kind::Symlink => add(&tally.symlinks, 1),
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => add(&tally.special, 1),
            Kind::File | Kind::Directory => {
                let problem = Problem::new(entry.path(), ProblemKind::ChangedSource, Detail::EntryReplaced(stat.kind));
                self.cx.problem(entry.node().target, problem);
                return;
            }
        }
        if stat.nlink > 1 {
            let open = || entry.dir.src.open_handle(entry.in_source());
            return self.copy_member(entry, stat, SourceAccess::Name, open);
        }
        match self.takeover.judge(entry, stat, SourceAccess::Name) {
            Judgement::Copy(stands) => {
                self.special.copy(&entry.with(Override { stands, ..entry.own }), stat);
            }
            Judgement::Later => self.retyped.add(entry, stat.kind),
            judgement => self.skip(entry, stat, judgement),
        }
    }
}
