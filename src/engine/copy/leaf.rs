//! Everything that is not a directory: skipped when an earlier run finished it,
//! linked when its inode was copied before, copied otherwise.

use super::create::make_beside;
use super::dir::OpenDir;
use super::file::Source;
use super::link::{Outcome, Waiter};
use super::node::DirNode;
use super::source_proof::Means;
use super::takeover::Verdict;
use super::{AppliedMetadata, Engine, Override};
use crate::base::path::Name;
use crate::engine::events::counters::add;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::{Reader, Row, SourceId, State};
use crate::engine::meta::{Attributes, Wanted};
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};
use std::sync::Arc;

impl Engine {
    /// Copies one entry of `dir` that is not a directory.
    pub(super) fn copy_leaf(
        &self,
        dir: &Arc<OpenDir>,
        name: &Name,
        kind: Kind,
        reader: Option<&Reader>,
        own: Override,
    ) {
        if kind == Kind::File {
            let judged = match reader.and_then(|reader| self.judge_unopened(dir, name, reader, own)) {
                Some((stat, verdict @ (Verdict::Finished(..) | Verdict::Kept))) => {
                    let target = own.target_in(&dir.node);
                    return self.leave_as_it_is(dir, name, target, &stat, verdict);
                }
                judged => judged,
            };
            match self.open_source(dir, name) {
                Some(source) if self.is_barred(&source.stat) => {
                    let path = dir.node.path().join(name);
                    self.skip_mount(dir.node.target, path, &source.fd, &source.stat, dir.dev);
                }
                Some(source) => {
                    let judged = judged.filter(|(stat, _)| source.stat.unchanged_since(stat));
                    self.copy_regular(dir, name, &source, judged.map(|(_, verdict)| verdict), (own, reader));
                }
                None => {}
            }
            return;
        }
        match dir.src.stat_at(dir.in_source(name)) {
            Ok(stat) if self.is_barred(&stat) => {
                let path = dir.node.path().join(name);
                match dir.src.open_handle(dir.in_source(name)) {
                    Ok(fd) => self.skip_mount(dir.node.target, path, &fd, &stat, dir.dev),
                    Err(errno) => self.problem(
                        dir.node.target,
                        Problem::failed(path, ProblemKind::Unreadable, "open the mount", errno),
                    ),
                }
            }
            Ok(stat) => self.copy_other(dir, name, &stat, reader, own),
            Err(errno) => {
                let path = dir.node.path().join(name);
                self.problem(dir.node.target, Problem::failed(path, ProblemKind::Unreadable, "look at", errno));
            }
        }
    }

    /// True for the root of a mount that is not to be entered.
    pub(super) fn is_barred(&self, stat: &Stat) -> bool {
        stat.mount_root && !self.options.cross_mounts
    }

    /// Copies, links or skips an open regular file.
    pub(super) fn copy_regular(
        &self,
        dir: &Arc<OpenDir>,
        name: &Name,
        source: &Source,
        judged: Option<Verdict>,
        (own, reader): (Override, Option<&Reader>),
    ) {
        let target = own.target_in(&dir.node);
        if source.stat.nlink > 1 {
            self.count_file(target, &source.stat);
            return self.copy_member(
                dir,
                name,
                &source.stat,
                (own, reader),
                Means::Open(&source.fd),
                || Ok(&source.fd),
            );
        }
        let verdict =
            judged.unwrap_or_else(|| self.judge(dir, name, &source.stat, own, reader, Means::Open(&source.fd)));
        match verdict {
            Verdict::Copy(stands) => {
                self.count_file(target, &source.stat);
                self.copy_file(dir, name, source, Override { stands, ..own });
            }
            verdict => self.leave_as_it_is(dir, name, target, &source.stat, verdict),
        }
    }

    /// Counts a regular file that is not copied.
    fn leave_as_it_is(&self, dir: &OpenDir, name: &Name, target: u32, stat: &Stat, verdict: Verdict) {
        self.count_file(target, stat);
        self.skip(dir, name, target, stat, verdict);
    }

    /// Counts what is not copied, and what its row says that it has lost.
    fn skip(&self, dir: &OpenDir, name: &Name, target: u32, stat: &Stat, verdict: Verdict) {
        if let Verdict::Finished(row, _) = verdict {
            self.lost_before(&dir.node, name, &row);
        }
        self.count_skipped(target, stat);
    }

    /// Copies, links or skips a name whose inode has others.
    fn copy_member<F: AsFd>(
        &self,
        dir: &Arc<OpenDir>,
        name: &Name,
        stat: &Stat,
        (own, reader): (Override, Option<&Reader>),
        means: Means<'_>,
        open: impl Fn() -> Result<F, Errno>,
    ) {
        let volume = self.volume_of(dir, stat, &open);
        let waiter = Waiter::new(self, dir, name, *stat, volume, own, &open);
        let means = waiter.as_ref().map_or(means, |waiter| waiter.means(means));
        let (known, stands) = match self.judge(dir, name, stat, own, reader, means) {
            Verdict::Finished(row, there) => (Some(Arc::from(row)), Some(there)),
            Verdict::Copy(stands) => (None, stands),
            Verdict::Kept => {
                self.count_skipped(own.target_in(&dir.node), stat);
                if waiter.is_some() {
                    self.release(Arc::clone(&dir.node));
                }
                return;
            }
        };
        match waiter {
            Some(waiter) => {
                let own = Override { stands, ..own };
                self.copy_linked(Waiter { known, own, ..waiter });
            }
            None if self.stop.is_set() => {}
            None => {
                let own = Override { stands, ..self.unmatched(dir, name, own) };
                match stat.kind {
                    Kind::File => {
                        if let Some(source) = self.open_source(dir, name) {
                            self.copy_file(dir, name, &source, own);
                        }
                    }
                    _ => drop(self.copy_special(dir, name, stat, own)),
                }
            }
        }
    }

    /// Counts what an earlier run has copied, or what stays as it is.
    pub(super) fn count_skipped(&self, target: u32, stat: &Stat) {
        let tally = self.tally(target);
        add(&tally.skipped, 1);
        if stat.kind == Kind::File {
            add(&tally.skipped_bytes, stat.size);
        }
    }

    /// What a name gets whose content had to be read to tell which others are links of it, and
    /// could not be.
    fn unmatched(&self, dir: &OpenDir, name: &Name, own: Override) -> Override {
        let message = "it has further names, and could not be read to tell which; it has a copy with an inode of its own, \
                       until the next run";
        let target = own.target_in(&dir.node);
        self.problem(target, Problem::new(dir.node.path().join(name), ProblemKind::Link, message));
        Override { stopgap: true, ..own }
    }

    fn count_file(&self, target: u32, stat: &Stat) {
        let tally = self.tally(target);
        add(&tally.files, 1);
        add(&tally.bytes, stat.size);
        add(&tally.allocated, stat.allocated);
    }

    /// Judges a regular file without opening it: all that a second run does of most. Whatever
    /// is not plain is left to the ordinary way.
    fn judge_unopened(&self, dir: &OpenDir, name: &Name, reader: &Reader, own: Override) -> Option<(Stat, Verdict)> {
        let stat = dir.src.stat_at(dir.in_source(name)).ok()?;
        if stat.kind != Kind::File || stat.nlink > 1 || self.is_barred(&stat) {
            return None;
        }
        let verdict = self.judge(dir, name, &stat, own, Some(reader), Means::Name);
        Some((stat, verdict))
    }

    fn copy_other(&self, dir: &Arc<OpenDir>, name: &Name, stat: &Stat, reader: Option<&Reader>, own: Override) {
        let tally = self.tally(own.target_in(&dir.node));
        match stat.kind {
            Kind::Socket => {
                add(&tally.sockets, 1);
                self.problems.note(format!("socket not copied: {}", dir.node.path().join(name)));
                return;
            }
            Kind::Symlink => add(&tally.symlinks, 1),
            Kind::Fifo | Kind::CharDevice | Kind::BlockDevice => add(&tally.special, 1),
            Kind::File | Kind::Directory => {
                let path = dir.node.path().join(name);
                let message = format!("the source changed: {} took the entry's place", stat.kind.words());
                self.problem(dir.node.target, Problem::new(path, ProblemKind::ChangedSource, message));
                return;
            }
        }
        if stat.nlink > 1 {
            let open = || dir.src.open_handle(dir.in_source(name));
            return self.copy_member(dir, name, stat, (own, reader), Means::Name, open);
        }
        match self.judge(dir, name, stat, own, reader, Means::Name) {
            Verdict::Copy(stands) => {
                self.copy_special(dir, name, stat, Override { stands, ..own });
            }
            verdict => self.skip(dir, name, own.target_in(&dir.node), stat, verdict),
        }
    }

    /// `row`, as which the target stands, when it is what the source and the plan ask for. Its
    /// source may have got another inode on the way.
    pub(super) fn current(
        &self,
        dir: &OpenDir,
        name: &Name,
        stat: &Stat,
        own: Override,
        row: Row,
        means: Means<'_>,
    ) -> Option<Row> {
        if !row.source_looks_the_same(stat) {
            return None;
        }
        // The plan may ask for another owner or mode than when the row was written.
        let (attributes, has_acls) = match self.named_acls(dir, name, stat, &row) {
            Some(attributes) => (attributes, true),
            None => (Attributes::default(), false),
        };
        let mut wanted = Wanted::from_source(stat, attributes, &self.options.keep);
        self.put_plan_over_leaf(&mut wanted, own, dir, name, stat);
        let current = (wanted.owner, wanted.mode) == (row.wanted.owner, row.wanted.mode)
            && (!has_acls || wanted.xattrs.iter().zip(&row.wanted.xattrs).all(|(now, then)| now.same_acls(then)));
        if !current {
            return None;
        }
        self.note_rights(&wanted, || dir.node.path().join(name));
        self.prove_source(dir, name, stat, own, row, means)
    }

    /// Where names differ between the two machines, an earlier run may have renumbered what
    /// this one does not, or the other way round: the source's attributes, when the row has
    /// an ACL of which that could be true.
    fn named_acls(&self, dir: &OpenDir, name: &Name, stat: &Stat, row: &Row) -> Option<Attributes> {
        let xattrs = row.wanted.xattrs.as_ref().filter(|_| !self.plan.drift.is_empty())?;
        if !xattrs.have_named_acls() || row.wanted.lost.contains(Unpreserved::Acl) {
            return None;
        }
        let handle = dir.src.open().and_then(|src| src.open_handle(dir.in_source(name))).ok()?;
        Some(Attributes::read(Holder::handle(&handle), stat).0)
    }

    /// True when the row of another name of the same inode has the owner and mode that this
    /// name shall have: an earlier run may have had another plan, or other numbers.
    pub(super) fn plan_stands(&self, waiter: &Waiter, row: &Row) -> bool {
        let Waiter { dir, name, stat, own, .. } = waiter;
        let mut wanted = Wanted::from_source(stat, Attributes::default(), &self.options.keep);
        self.put_plan_over_leaf(&mut wanted, *own, dir, name, stat);
        (wanted.owner, wanted.mode) == (row.wanted.owner, row.wanted.mode)
    }

    pub(super) fn copy_alone(&self, waiter: &Waiter, own: Override) -> Outcome {
        match waiter.stat.kind {
            Kind::File => match self.open_source(&waiter.dir, &waiter.name) {
                Some(source) => self.copy_file(&waiter.dir, &waiter.name, &source, own),
                None => Outcome::No,
            },
            _ => self.copy_special(&waiter.dir, &waiter.name, &waiter.stat, own),
        }
    }

    /// Makes a symlink, FIFO or device node; none of them is ever opened.
    fn copy_special(&self, dir: &Arc<OpenDir>, name: &Name, stat: &Stat, own: Override) -> Outcome {
        let node = &dir.node;
        let path = || node.path().join(name);
        let unreadable = |operation, errno| {
            self.problem(node.target, Problem::failed(path(), ProblemKind::Unreadable, operation, errno));
        };
        // From here on the handle is the source: the name may mean something else by now.
        let source = dir.src.open_handle(dir.in_source(name)).and_then(|handle| Ok((stat_fd(&handle)?, handle)));
        let (stat, handle) = match source {
            Ok((now, handle)) if now.kind == stat.kind => (now, handle),
            Ok(_) => {
                unreadable("the source changed", Errno::STALE);
                return Outcome::No;
            }
            Err(errno) => {
                unreadable("open the source", errno);
                return Outcome::No;
            }
        };
        let attributes = self.source_attributes(node.target, Holder::handle(&handle), &stat, || dir.beside(), path);
        let link = match stat.kind {
            Kind::Symlink => match file::read_link(&handle) {
                Ok(text) => Some(text),
                Err(errno) => {
                    unreadable("read the symlink", errno);
                    return Outcome::No;
                }
            },
            _ => None,
        };
        let (made, temporary) = match self.make_special(node, name, &stat, link.as_deref()) {
            Ok(made) => made,
            Err(errno) if node.disk.cannot(errno) => {
                self.lost(node, path(), if link.is_some() { Unpreserved::Symlinks } else { Unpreserved::Special });
                return Outcome::No;
            }
            Err(errno) => {
                self.target_failed(node.target, path(), &format!("create {}", stat.kind.words()), errno);
                return Outcome::No;
            }
        };
        let volume = self.volume_of(dir, &stat, || Ok(&handle));
        let id = SourceId::of_whole(&stat, &volume, &attributes);
        let mut wanted = Wanted::from_source(&stat, attributes, &self.options.keep);
        if !stat.flags.is_empty() && !volume.is_image() {
            wanted.lost.insert(Unpreserved::SpecialFlags);
        }
        own.apart.map(|unpreserved| wanted.lost.insert(unpreserved));
        let fixup = self.put_plan_over_leaf(&mut wanted, own, dir, name, &stat);
        fixup.into_iter().for_each(|f| self.fixup_changed(f));
        self.note_rights(&wanted, path);
        let AppliedMetadata { stat: made, whole } =
            match self.apply_metadata(node, Holder::handle(&made), &mut wanted, path) {
                Ok(applied) => applied,
                Err(errno) => {
                    self.target_failed(node.target, path(), "finish the copy", errno);
                    return Outcome::No;
                }
            };
        let target = own.target_in(node);
        add(&self.tally(target).copied, 1);
        let row = Row {
            dir: node.id,
            name: name.as_bytes().to_vec(),
            id: None,
            target,
            state: State::Done,
            size: stat.size,
            rdev: stat.rdev,
            nlink: stat.nlink,
            source: id.filter(|_| whole && !own.stopgap),
            dst_ino: made.ino,
            dst_ctime: made.ctime,
            allocated: made.allocated,
            alias: false,
            digest: None,
            link,
            wanted,
            verified: None,
        };
        let replace = temporary.map(|temporary| node.replacing(temporary, name, own.stands));
        self.hand_in(node, name, row, 0, replace, None)
    }

    /// Makes the node under its name, or under a temporary one if that is taken,
    /// and comes back with a handle on it. Whoever may write in the directory can
    /// put another inode there before it is held: `STALE` unless it is of the same
    /// make and has no other name, so that giving it away gives nothing away.
    fn make_special(
        &self,
        node: &DirNode,
        name: &Name,
        stat: &Stat,
        link: Option<&[u8]>,
    ) -> Result<(OwnedFd, Option<Name>), Errno> {
        let target = self.open_to_fill(node)?;
        let make = |name: &Name| match link {
            Some(text) => target.make_symlink(text, name),
            None => target.make_node(name, stat.kind, stat.rdev),
        };
        let ((), temporary) = make_beside(&target, name, node.fresh, make)?;
        if temporary.is_some() {
            self.lift_immutable_at(&target, node.id, name)?;
        }
        let created = temporary.as_ref().unwrap_or(name);
        let held = target.open_handle(created).and_then(|handle| Ok((stat_fd(&handle)?, handle)));
        let (made, handle) = match held {
            Ok(held) => held,
            Err(errno) => {
                // No row will say whose it is.
                target.unlink(created).ok();
                return Err(errno);
            }
        };
        let same = made.kind == stat.kind
            && made.nlink == 1
            && match link {
                Some(text) => file::read_link(&handle)? == text,
                None => made.rdev == stat.rdev || stat.kind == Kind::Fifo,
            };
        if same { Ok((handle, temporary)) } else { Err(Errno::STALE) }
    }
}
