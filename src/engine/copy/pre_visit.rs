//! The target side of a directory at its beginning: found, made, taken over or refused, and
//! closed before anything is made in it.

use super::altered::DirJudgement;
use super::dir_metadata::{DirMetadata, PostVisit};
use super::directories::Directories;
use super::entry::TargetName;
use super::guard::Guard;
use super::immutable::lift;
use super::node::{DirNode, NodeParts, NodePlace};
use super::post_visit::key_of;
use super::trust::{is_skeleton, may_apply};
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{Row, SourceId};
use crate::engine::judge::{DirInSource, is_as_created};
use crate::engine::mapping::explicit::Covering;
use crate::engine::meta::Wanted;
use crate::engine::meta::mark::{Mark, Was};
use crate::engine::volume::Volume;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use std::sync::{Arc, PoisonError};

/// What a directory gets at its end.
pub(super) struct NewDirectory {
    pub(super) wanted: Wanted,
    pub(super) source: Option<SourceId>,
    /// The source's file system.
    pub(super) volume: Option<Arc<Volume>>,
    pub(super) fixup: Option<usize>,
    pub(super) counted: bool,
}

/// Whether the journal must be told of a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It has a row.
    Recorded,
    /// It has none: a resume must find the id that its entries refer to.
    Announce,
}

/// A directory that was found under its name.
struct FoundDir<'a> {
    opened: &'a TargetDir,
    stat: &'a Stat,
    mark: Mark,
}

/// A directory that may be filled.
struct Entered {
    mark: Mark,
    /// It should have a mark and has none.
    unmarked: bool,
    judgement: DirJudgement,
}

/// The backup has something at the very place of this run's journal.
pub(crate) fn reserved(path: RelPath) -> Problem {
    Problem::new(path, ProblemKind::Unsupported, Detail::StateReserved)
}

impl Directories {
    /// Makes or opens the target directory and its node.
    pub(super) fn make(&self, at: TargetName<'_>, mut new: NewDirectory) -> Option<Arc<DirNode>> {
        let TargetName { above, name, target } = at;
        let failed = |operation, errno| self.cx.target_failed(target, at.path(), operation, errno);
        let row = self.cx.records.row(above, name);
        let brought = DirInSource { mtime: new.wanted.mtime, volume: new.volume.as_deref() };
        if !above.fresh && !self.may_enter(at, row.as_ref(), brought) {
            return None;
        }
        let found = self.find_or_make(above, name).map_err(|errno| failed(Operation::CreateDirectory, errno));
        let (opened, fresh) = found.ok()?;
        let recorded = row.filter(|row| row.id.is_some());
        // A remade directory keeps its id: its rows' entries are copied again and must not be orphaned.
        let id = recorded.as_ref().and_then(|row| row.id).unwrap_or_else(|| self.new_id());
        let prior = recorded.filter(|_| !fresh);
        let stat = opened.stat().map_err(|errno| failed(Operation::Stat, errno)).ok()?;
        if self.state == (stat.dev, stat.ino) {
            self.cx.problem(target, reserved(at.path()));
            return None;
        }
        let Entered { mark, unmarked, judgement } = if fresh {
            // A directory missing from the backup gets no attributes, and inherits none either.
            new.wanted.xattrs.get_or_insert_default();
            self.made(at, &opened, &stat, &new)?
        } else {
            self.found(at, (&opened, &stat), &new.wanted, prior.as_ref())?
        };
        let (altered, moved) = match judgement {
            DirJudgement::AsWanted => (None, false),
            DirJudgement::Moved => (None, true),
            DirJudgement::Altered(found) => (Some(found), false),
        };
        let unexplained = self.has_unexplained_names(at, prior.as_ref(), &stat, moved);
        let news = if prior.is_some() { News::Recorded } else { News::Announce };
        let post_visit = PostVisit::Apply(Box::new(DirMetadata {
            wanted: new.wanted,
            source: new.source,
            prior,
            altered,
            moved,
            unexplained,
            fixup: new.fixup,
            counted: new.counted,
        }));
        let node = self.node(at, opened, NodeParts { id, fresh, post_visit, mark }, news);
        let node = node.map_err(|e| failed(Operation::Stat, e)).ok()?;
        if unmarked {
            // Record it before anything is made in it.
            self.cx.submit.flush();
        }
        Some(node)
    }

    /// Looks at a directory that was just made, and marks it where a later run needs that.
    fn made(&self, at: TargetName<'_>, opened: &TargetDir, stat: &Stat, new: &NewDirectory) -> Option<Entered> {
        let TargetName { above, target, .. } = at;
        // Only where others may write in an ancestor could somebody have put it there.
        if self.cx.options.keep.owner.are_kept() && !above.disk.bare && !is_as_created(stat) {
            self.cx.target_failed(target, at.path(), Operation::CheckDirectory, Errno::STALE);
            return None;
        }
        // Nothing else tells a later run that a directory above `to` was made by us.
        let is_ancestor = !new.counted;
        let needs_mark = (is_ancestor || above.guard != Guard::Kept) && new.wanted.owner.is_some() && !above.disk.bare;
        let marked = needs_mark && self.mark_created(opened, &at.path());
        Some(Entered {
            mark: if marked { Mark::Ours(Was::Created) } else { Mark::None },
            unmarked: needs_mark && !marked,
            judgement: DirJudgement::AsWanted,
        })
    }

    /// Decides about a directory that was there.
    fn found(
        &self,
        at: TargetName<'_>,
        (opened, stat): (&TargetDir, &Stat),
        wanted: &Wanted,
        prior: Option<&Row>,
    ) -> Option<Entered> {
        let failed = |operation, errno| self.cx.target_failed(at.target, at.path(), operation, errno);
        let mark = self.mark_of(opened, stat, prior, || at.path());
        let mark = mark.map_err(|errno| failed(Operation::ReadMark, errno)).ok()?;
        if !self.may_apply(at, &FoundDir { opened, stat, mark }, wanted, prior) {
            let detail = Detail::ForeignDirectory(stat.uid, stat.mode);
            self.cx.problem(at.target, Problem::new(at.path(), ProblemKind::Owner, detail));
            return None;
        }
        let judgement = match mark {
            // Marked for this name: an earlier run was filling it.
            Mark::Ours(_) => DirJudgement::AsWanted,
            Mark::None | Mark::Other => self.judge(at, opened, stat, prior)?,
        };
        lift(opened, stat, prior).map_err(|errno| failed(Operation::LiftFlags, errno)).ok()?;
        Some(Entered { mark, unmarked: false, judgement })
    }

    /// Whether the directory found under `name` is to get its metadata. A directory that two
    /// names of the plan lead to was moved between them.
    fn may_apply(&self, at: TargetName<'_>, found: &FoundDir<'_>, wanted: &Wanted, prior: Option<&Row>) -> bool {
        let TargetName { above, name, .. } = at;
        let FoundDir { opened, stat, mark } = found;
        let claimed = || {
            let others = self.cx.records.with_reader(|reader| {
                self.cx.records.ask(reader?.has_other_directory(stat.ino, above.target, above.id, name))
            });
            others.unwrap_or(false)
        };
        let first = || {
            let mut seen = self.guarded.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert((stat.dev, stat.ino))
        };
        // Marked for this name it was this plan's here, whatever the journal says of its inode number.
        let ours = matches!(mark, Mark::Ours(_));
        let allowed = ours || may_apply(above, stat, wanted, prior, claimed) || is_skeleton(opened);
        allowed && (above.guard == Guard::Kept || first())
    }

    /// The existing target directory, or a new one; true when it is new.
    fn find_or_make(&self, above: &DirNode, name: &Name) -> Result<(TargetDir, bool), Errno> {
        // After an earlier run most directories exist already, and those above are left as they are.
        if !above.fresh {
            match above.open()?.open_dir(name) {
                Err(Errno::NOENT) => {}
                Err(Errno::NOTDIR | Errno::LOOP) => self.make_way(above, name)?,
                opened => return opened.map(|dir| (dir, false)),
            }
        }
        let dir = self.open_to_fill(above)?;
        match dir.make_dir(name) {
            Ok(()) => dir.open_dir(name).map(|made| (made, true)),
            Err(Errno::EXIST) if above.fresh => Err(Errno::NOTUNIQ),
            Err(Errno::EXIST) => dir.open_dir(name).map(|there| (there, false)),
            Err(errno) => Err(errno),
        }
    }

    /// Removes anything but a directory from a directory's name, which belongs to the plan. Of a
    /// symlink the link itself is removed, never its target.
    fn make_way(&self, above: &DirNode, name: &Name) -> Result<(), Errno> {
        let dir = self.open_to_fill(above)?;
        let found = dir.stat_at(name)?;
        self.flags.lift_at(&dir, above.id, name)?;
        dir.unlink(name)?;
        self.cx.run.problems.note(Note::DirectoryInPlaceOf(above.path().join(name), found.kind));
        Ok(())
    }

    /// The node of an opened target directory.
    pub(super) fn node(
        &self,
        at: TargetName<'_>,
        opened: TargetDir,
        parts: NodeParts,
        news: News,
    ) -> Result<Arc<DirNode>, Errno> {
        let TargetName { above, name, target } = at;
        let stat = opened.stat()?;
        let (file_system, disk) = self.cx.file_system(&opened)?;
        let covering = match self.cx.run.mapping.fixups.as_slice() {
            [] => Covering::default(),
            _ => Covering::of(&self.cx.run.mapping, &above.path().join(name)),
        };
        let place = NodePlace { target, file_system, disk, covering };
        let node = DirNode::new(Some((above, name)), place, parts, opened, &self.budget)?;
        if news == News::Announce {
            let row = match &node.post_visit {
                PostVisit::Apply(metadata) => {
                    Row::open_directory(key_of(&node), node.id, metadata.source, &stat, metadata.wanted.clone())
                }
                PostVisit::InPlace(found) => {
                    let wanted = found.wanted.clone().unwrap_or_else(|| Wanted::plain_directory(stat.mode, None));
                    Row::open_directory(key_of(&node), node.id, Some(SourceId::in_place(&stat)), &stat, wanted)
                }
                PostVisit::Nothing => Row::ancestor(key_of(&node), node.id, &stat),
            };
            self.cx.submit.send(Written::row(row, file_system));
        }
        Ok(node)
    }
}
