//! The names of an inode that has several: the first is copied and the others are linked to
//! it, or copied as well where the target cannot link them.

use super::context::CopyContext;
use super::create::make_beside;
use super::directories::Directories;
use super::entry::{CopyEntry, Override};
use super::file::RegularFiles;
use super::immutable::ImmutableFlags;
use super::link::{Claim, Copied, CopiedAt, CopyResult, Links, Waiter};
use super::node::DirNode;
use super::rules::Rules;
use super::source::SourceTree;
use super::source_proof::SourceProof;
use super::special::SpecialFiles;
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, differences, has_same_content};
use crate::engine::compare::links::is_at_limit;
use crate::engine::events::counters::{Tally, add};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Reader, Row, RowChange, RowKey};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};
use rustix::fd::AsFd;
use std::sync::{Arc, PoisonError};

/// Copies and links the names of inodes that have several.
pub(super) struct LinkedNames {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
    pub(super) directories: Arc<Directories>,
    pub(super) flags: Arc<ImmutableFlags>,
    pub(super) proof: Arc<SourceProof>,
    pub(super) files: Arc<RegularFiles>,
    pub(super) special: Arc<SpecialFiles>,
    pub(super) links: Links,
}

/// A name of a group that is still to be handled.
enum LinkWork {
    Claim(Waiter),
    Link(Waiter, Copied),
}

impl LinkedNames {
    /// A name whose inode has several; it holds its directory. Where inode numbers prove nothing,
    /// the content is read through what `open` gives; `None` when that fails.
    pub(super) fn waiter<F: AsFd>(
        &self,
        entry: &CopyEntry<'_>,
        stat: &Stat,
        open: impl Fn() -> Result<F, Errno>,
    ) -> Option<Waiter> {
        let volume = self.source.volume_of(entry.dir, stat, &open);
        let content =
            if volume.proves_links() { None } else { Some(self.source.content_of(open().ok()?.as_fd(), stat)?) };
        entry.node().hold();
        let (dir, name) = (Arc::clone(entry.dir), entry.name.clone());
        Some(Waiter { dir, name, stat: *stat, own: entry.own, volume, content, known: None })
    }

    /// Copies or links a name whose inode has others, and all names that wait for it meanwhile.
    pub(super) fn copy(&self, waiter: Waiter) {
        let mut work = vec![LinkWork::Claim(waiter)];
        while let Some(next) = work.pop() {
            let claim = match next {
                LinkWork::Claim(waiter) if self.cx.run.stop.is_set() => {
                    self.directories.release(Arc::clone(&waiter.dir.node));
                    continue;
                }
                LinkWork::Claim(waiter) => {
                    let (volume, further) = (Arc::clone(&waiter.volume), waiter.stat.nlink.saturating_sub(1));
                    let claim = self.links.claim(waiter);
                    match claim {
                        Claim::First(_) => add(&volume.reread.names, further.into()),
                        Claim::Link(..) | Claim::Waits => add(&volume.reread.met, 1),
                    }
                    claim
                }
                LinkWork::Link(waiter, copied) => Claim::Link(waiter, copied),
            };
            match claim {
                // The thread that copies the first name releases it.
                Claim::Waits => {}
                Claim::First(waiter) => {
                    self.copy_first(&waiter, &mut work);
                    self.directories.release(Arc::clone(&waiter.dir.node));
                }
                Claim::Link(waiter, copied) => {
                    if !self.cx.run.stop.is_set() {
                        self.link(&waiter, &copied);
                    }
                    self.directories.release(Arc::clone(&waiter.dir.node));
                }
            }
        }
    }

    /// Copies the first name of a group; the names that waited for it are added to `work`.
    fn copy_first(&self, waiter: &Waiter, work: &mut Vec<LinkWork>) {
        let (dir, name) = (&waiter.dir, &waiter.name);
        let target = waiter.own.target_in(&dir.node);
        // A copy that replaced a link before is tried as a link again.
        let known = waiter.known.as_ref();
        let stands = known.is_some_and(|row| !row.wanted.lost.contains(Unpreserved::Apart));
        let elsewhere =
            if stands { None } else { self.cx.records.with_reader(|reader| self.linked_before(waiter, reader)) };
        let copied = if let Some(copied) = elsewhere {
            self.link(waiter, &copied);
            Some(copied)
        } else if let Some(row) = known {
            self.source.lost_before(&dir.node, name, row);
            self.cx.count_skipped(target, &waiter.stat);
            let at = CopiedAt::Node(Arc::clone(&dir.node));
            Some(Copied { at, name: name.clone(), row: Arc::clone(row) })
        } else {
            match self.copy_alone(waiter, waiter.own) {
                CopyResult::Complete(copied) => copied,
                CopyResult::Failed => None,
            }
        };
        match copied {
            Some(copied) => {
                let waiting = self.links.copied(waiter.key(), copied.clone());
                self.links.shed(|| {
                    self.cx.submit.flush();
                    self.cx.records.have_groups();
                });
                work.extend(waiting.into_iter().map(|w| LinkWork::Link(w, copied.clone())));
            }
            // The inode lost its other names meanwhile, or the copy failed: the others start again.
            None => work.extend(self.links.failed(waiter.key()).into_iter().map(LinkWork::Claim)),
        }
    }

    /// Copies a name with an inode of its own.
    fn copy_alone(&self, waiter: &Waiter, own: Override) -> CopyResult {
        let entry = waiter.entry().with(own);
        match waiter.stat.kind {
            Kind::File => match self.source.open_file(&entry) {
                Some(source) => self.files.copy(&entry, &source),
                None => CopyResult::Failed,
            },
            _ => self.special.copy(&entry, &waiter.stat),
        }
    }

    /// An intact copy of the same inode, finished by an earlier run.
    fn linked_before(&self, waiter: &Waiter, reader: Option<&Reader>) -> Option<Copied> {
        let reader = reader?;
        // A snapshot has the same inode numbers, but no links to anything outside.
        let same = |row: &Row| {
            waiter.is_of(row) && row.source.is_some_and(|s| s.volume.is_none_or(|id| id == waiter.volume.id))
        };
        let rows = self.cx.records.ask(reader.find_linked(waiter.stat.ino, same))?;
        rows.into_iter().find_map(|row| self.stands(waiter, row, reader))
    }

    /// The copy of `row`, if `waiter` can be linked to it.
    fn stands(&self, waiter: &Waiter, mut row: Row, reader: &Reader) -> Option<Copied> {
        if !self.proof.plan_stands(waiter, &row) || !self.proof.has_attributes_of(waiter, &row) {
            return None;
        }
        let parent = self.cx.records.ask(reader.path_of(row.dir))?;
        let name = Name::new(&row.name).ok()?;
        if self.rules.groups.share_of(&self.cx.run.mapping, &parent.join(&name)) != waiter.dir.position.share {
            return None;
        }
        let dir = self.cx.open_target(&parent).ok()?;
        let (target, (_, disk)) = (dir.stat_at(&name).ok()?, self.cx.file_system(&dir).ok()?);
        let checked = CheckedDir::on(&dir, disk);
        let limit = &self.cx.run.rate_limit;
        let same = is_the_same(&checked, &parent.join(&name), (&row, &target), limit);
        row.dst_ino = target.ino;
        same.then(|| Copied { at: CopiedAt::Path(parent), name, row: Arc::new(row) })
    }

    /// Links the copied inode to its next name, if that is still a name of the same source inode;
    /// copies again where that fails.
    fn link(&self, waiter: &Waiter, copied: &Copied) {
        if waiter.is_of(&copied.row) {
            return self.link_same(waiter, copied);
        }
        // The stat from before the copy may show an earlier state.
        let now = waiter.dir.src.stat_at(waiter.dir.in_source(&waiter.name)).ok().and_then(|stat| waiter.with(stat));
        if let Some(now) = now.filter(|now| now.is_of(&copied.row)) {
            return self.link_same(&now, copied);
        }
        let target = waiter.own.target_in(&waiter.dir.node);
        self.cx.problem(target, Problem::new(waiter.path(), ProblemKind::Link, Detail::NamesDiffer));
        drop(self.copy_alone(waiter, Override { stopgap: true, ..waiter.own }));
    }

    fn link_same(&self, waiter: &Waiter, copied: &Copied) {
        if !self.proof.plan_stands(waiter, &copied.row) {
            let target = waiter.own.target_in(&waiter.dir.node);
            self.cx.problem(target, Problem::new(waiter.path(), ProblemKind::ChangedSource, Detail::BecameName));
            return drop(self.copy_alone(waiter, Override { stopgap: true, ..waiter.own }));
        }
        let known = waiter.known.as_deref().cloned();
        match (self.make_link(waiter, copied, known.as_ref()), known) {
            (Ok((None, _)), Some(known)) => {
                self.skip(waiter, &known);
                add(&self.tally(waiter).hardlinks, 1);
            }
            (Ok((temporary, stat)), _) => self.record_link(waiter, copied, temporary, &stat),
            (Err(errno), known) => self.not_linked(waiter, copied, known, errno),
        }
    }

    /// Makes the link beside what has its name, if it is not there already. An earlier run
    /// recorded `known` under this name.
    fn make_link(&self, waiter: &Waiter, copied: &Copied, known: Option<&Row>) -> Result<(Option<Name>, Stat), Errno> {
        let (node, name) = (&waiter.dir.node, &waiter.name);
        let from = match &copied.at {
            CopiedAt::Node(node) => node.open()?,
            CopiedAt::Path(path) => Arc::new(self.cx.open_target(path)?),
        };
        let apart = known.is_some_and(|row| row.dst_ino != copied.row.dst_ino);
        if apart && is_larger_group(&from, &*node.open()?, copied, name) {
            return Err(Errno::MLINK);
        }
        self.link_here(&from, node, copied, name)
    }

    /// Hands in a link that was made, under its name or a temporary one.
    fn record_link(&self, waiter: &Waiter, copied: &Copied, temporary: Option<Name>, stat: &Stat) {
        let (node, name) = (&waiter.dir.node, &waiter.name);
        let key = RowKey { dir: node.id, name: name.as_bytes(), target: waiter.own.target_in(node) };
        let row = copied.row.alias(key, stat.ctime);
        let tally = self.tally(waiter);
        add(&tally.hardlinks, 1);
        add(&tally.copied, 1);
        let replace = temporary.map(|temporary| node.replacing(temporary, name, waiter.own.stands));
        self.cx.submit.send(Written::row(row, node.file_system).replacing(replace));
    }

    /// The link could not be made: the name keeps or gets an inode of its own, where that helps.
    fn not_linked(&self, waiter: &Waiter, copied: &Copied, known: Option<Row>, errno: Errno) {
        let node = &waiter.dir.node;
        match (errno, known) {
            (errno, known) if node.disk.cannot(errno) => {
                if !known.as_ref().is_some_and(|row| row.wanted.lost.contains(Unpreserved::Links)) {
                    self.cx.lost(node, waiter.path(), Unpreserved::Links);
                }
                match known {
                    Some(known) => self.keep_apart(waiter, known),
                    None => drop(self.copy_apart(waiter, Override { apart: Some(Unpreserved::Links), ..waiter.own })),
                }
            }
            (Errno::ISDIR | Errno::NOTUNIQ | Errno::NOSPC | Errno::DQUOT | Errno::ROFS, _) => {
                self.cx.target_failed(node.target, waiter.path(), Operation::Link, errno);
            }
            (Errno::MLINK, Some(known)) => self.keep_apart(waiter, known),
            (Errno::MLINK, None) => self.link_further(waiter, copied),
            (errno, known) => {
                let lost = Problem::lost(waiter.path(), Unpreserved::Apart, node.disk.dev);
                self.cx.problem(node.target, lost.because(Operation::Link, errno));
                match known {
                    Some(known) => self.skip(waiter, &known),
                    None => drop(self.copy_alone(waiter, Override { apart: Some(Unpreserved::Apart), ..waiter.own })),
                }
            }
        }
    }

    fn tally(&self, waiter: &Waiter) -> &Tally {
        self.cx.tally(waiter.own.target_in(&waiter.dir.node))
    }

    /// Leaves a name as `known` has it.
    fn skip(&self, waiter: &Waiter, known: &Row) {
        self.source.lost_before(&waiter.dir.node, &waiter.name, known);
        let tally = self.tally(waiter);
        add(&tally.skipped, 1);
        add(&tally.skipped_bytes, waiter.stat.size);
    }

    /// `full` has as many names as its file system allows (65 000 on ext4): the next ones go to
    /// another copy. One thread makes it; the others wait for it.
    fn link_further(&self, waiter: &Waiter, full: &Copied) {
        let key = waiter.key();
        let mut further = self.links.further.lock().unwrap_or_else(PoisonError::into_inner);
        let next = further.get(&key).filter(|next| next.row.dst_ino != full.row.dst_ino).cloned();
        if let Some(next) = next {
            drop(further);
            return self.link(waiter, &next);
        }
        self.cx.run.problems.note(Note::LinksExhausted(waiter.path()));
        if let Some(copied) = self.copy_apart(waiter, waiter.own) {
            further.insert(key, copied);
        }
    }

    /// Starts a further inode for the group.
    fn copy_apart(&self, waiter: &Waiter, own: Override) -> Option<Copied> {
        let CopyResult::Complete(Some(copied)) = self.copy_alone(waiter, own) else { return None };
        self.links.replace(waiter.key(), copied.clone());
        Some(copied)
    }

    /// An earlier run gave this name another inode than `copied` of the same group, and that
    /// inode is intact: nothing to do.
    fn keep_apart(&self, waiter: &Waiter, known: Row) {
        self.skip(waiter, &known);
        if known.alias {
            add(&self.tally(waiter).hardlinks, 1);
        }
        let at = CopiedAt::Node(Arc::clone(&waiter.dir.node));
        let copied = Copied { at, name: waiter.name.clone(), row: Arc::new(known) };
        self.links.replace(waiter.key(), copied);
    }

    /// Links `copied` to `name` in `node`, or to a temporary name if `name` is taken. Returns the
    /// name used and the inode as it now is.
    fn link_here(
        &self,
        from: &TargetDir,
        node: &DirNode,
        copied: &Copied,
        name: &Name,
    ) -> Result<(Option<Name>, Stat), Errno> {
        let ours = |stat: &Stat| stat.ino == copied.row.dst_ino && stat.kind == copied.row.kind();
        if !node.fresh
            && let Ok(there) = node.open()?.stat_at(name)
            && ours(&there)
        {
            return Ok((None, there));
        }
        let to = &*self.directories.open_to_fill(node)?;
        // A replacement has its temporary name until its epoch is sealed, its own afterwards.
        let link_as = |new: &Name| match to.link_from(from, &copied.name, new) {
            Err(Errno::NOENT) => match Name::new(&copied.row.name) {
                Ok(settled) => to.link_from(from, &settled, new),
                Err(_) => Err(Errno::NOENT),
            },
            result => result,
        };
        let ((), temporary) = make_beside(to, name, node.fresh, link_as)?;
        if temporary.is_some() {
            self.flags.lift_at(to, node.id, name)?;
        }
        let at = temporary.as_ref().unwrap_or(name);
        let stat = to.stat_at(at)?;
        if ours(&stat) {
            return Ok((temporary, stat));
        }
        // Somebody swapped the first copy: what was linked is not ours.
        to.unlink(at)?;
        Err(Errno::STALE)
    }
}

/// True when nobody has changed what `row` describes; links that this plan's runs made or
/// removed have moved its ctime.
fn is_the_same(checked: &CheckedDir<'_>, path: &RelPath, (row, there): (&Row, &Stat), rate_limit: &RateLimit) -> bool {
    match row.standing(there, checked.disk) {
        RowChange::AsRecorded => true,
        RowChange::Changed => false,
        RowChange::Touched => {
            let Some(name) = path.last() else { return false };
            let found = differences(checked, path, &name, row, there);
            found.is_empty() && has_same_content(checked, &name, row, rate_limit).unwrap_or(false)
        }
    }
}

/// True when the inode at `name` has more names than the copied one: an earlier run reached
/// the limit, and moving all names over would gain nothing.
fn is_larger_group(from: &TargetDir, to: &TargetDir, copied: &Copied, name: &Name) -> bool {
    let names = |dir: &TargetDir, name| dir.stat_at(name).map_or(0, |stat| stat.nlink);
    let there = names(to, name);
    is_at_limit(there as usize) && there > names(from, &copied.name)
}
