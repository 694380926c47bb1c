//! The walk of both trees at once.

use super::content::SameContent;
use super::holes::DataParts;
use super::pair::{HeldInode, PairWalk, PairedDir};
use crate::base::path::{Name, RelPath};
use crate::engine::copy::mount::{NotEntered, not_entered};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::PropertyValue;
use crate::engine::journal::{STATE_DIR, was_target};
use crate::engine::tree::node::SourceNode;
use crate::engine::tree::scheduler::{BATCH, Tasks, Visitor, Worker};
use crate::sys::dir::{DirEntry, LOST_AND_FOUND, SourceDir, read_batches};
use crate::sys::root::real_path;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A name in a directory of one side.
pub(super) type SideName<'a> = (&'a SourceDir, &'a Name);

impl Visitor for PairWalk<'_> {
    type Dir = PairedDir;
    type Handle = SourceDir;
    /// Names of the first side.
    type Reading = HashSet<Name>;

    fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    fn is_stopped(&self) -> bool {
        self.options.stop.is_set()
    }

    fn open(&self, dir: &PairedDir) -> Result<Arc<SourceDir>, Errno> {
        dir.src.open()
    }

    fn enter<'s>(&'s self, _: Worker<'_, 's>, above: &Arc<PairedDir>, name: &Name) -> Option<Arc<PairedDir>> {
        let path = above.path.join(name);
        let failed = |operation, errno| self.unreadable(&path, operation, errno);
        let opened = above.src.open_dir(name).and_then(|dir| dir.stat().map(|stat| (dir, stat)));
        let (src, stat) = opened.map_err(|errno| failed(Operation::OpenDirectory, errno)).ok()?;
        if stat.mount_root && !self.options.cross_mounts {
            match not_entered(path.clone(), &src, &stat, (above.dev, above.dst.open().ok())) {
                NotEntered::Problem(problem) => self.problem(*problem),
                NotEntered::Note(note) => self.problems.note(note),
            }
            return None;
        }
        let there = match above.dst.stat_at(name) {
            Ok(there) => there,
            Err(errno) => return self.absent(&path, errno),
        };
        if there.kind != Kind::Directory {
            self.retyped(&path, &stat, &there);
            return None;
        }
        let opened = above.dst.open_dir(name).and_then(|dir| dir.stat().map(|stat| (dir, stat)));
        let (dst, there) = opened.map_err(|errno| failed(Operation::OpenTarget, errno)).ok()?;
        let dev = stat.dev;
        let src = SourceNode::below(&above.src, name, src, &stat);
        let dst = SourceNode::below(&above.dst, name, dst, &there);
        self.directory(&path, (&src, &stat), (&dst, &there));
        Some(Arc::new(PairedDir { src, dst, path, dev }))
    }

    fn pre_visit<'s>(&'s self, _: Worker<'_, 's>, _: &Arc<PairedDir>) -> HashSet<Name> {
        HashSet::new()
    }

    fn sort(&self, dir: &PairedDir, seen: &mut HashSet<Name>, entry: &DirEntry) -> Option<Kind> {
        if self.is_passed_over((&dir.src, &dir.dst), &dir.path, &entry.name) {
            return None;
        }
        seen.insert(entry.name.clone());
        let kind = entry.kind.map_or_else(|| dir.src.stat_at(&entry.name).map(|stat| stat.kind), Ok);
        let path = || dir.path.join(&entry.name);
        let kind = kind.map_err(|errno| self.unreadable(&path(), Operation::Stat, errno)).ok()?;
        (!self.is_left_out(dir, &entry.name, kind)).then_some(kind)
    }

    fn leaves<'s>(&'s self, _: Worker<'_, 's>, dir: &Arc<PairedDir>, names: Vec<(Name, Kind)>) {
        let opened = dir.src.open().and_then(|src| dir.dst.open().map(|dst| (src, dst)));
        match opened {
            Ok((src, dst)) => {
                for (name, _) in names.into_iter().take_while(|_| !self.is_stopped()) {
                    self.leaf(&dir.path.join(&name), (&src, &name), (&dst, &name));
                }
            }
            Err(errno) => self.unreadable(&dir.path, Operation::OpenDirectory, errno),
        }
    }

    /// Looks for names that only the second side has.
    fn was_read(&self, dir: &PairedDir, seen: HashSet<Name>, result: Result<(), Errno>) {
        if let Err(errno) = result {
            return self.unreadable(&dir.path, Operation::ReadDirectory, errno);
        }
        if self.is_stopped() {
            return;
        }
        let read = dir.dst.open().and_then(|dst| {
            read_batches(&*dst, BATCH, |batch| {
                for entry in batch.into_iter().filter(|entry| !seen.contains(&entry.name)) {
                    let kind = entry.kind.unwrap_or(Kind::File);
                    let of_disk = self.is_passed_over((&dir.dst, &dir.src), &dir.path, &entry.name);
                    if !of_disk && !self.is_left_out(dir, &entry.name, kind) {
                        let path = dir.path.join(&entry.name);
                        self.problem(Problem::new(path, ProblemKind::Extra, Detail::OnlyInTarget));
                    }
                }
                true
            })
        });
        if let Err(errno) = read {
            self.unreadable(&dir.path, Operation::ReadDirectory, errno);
        }
    }
}

/// True for a directory without entries.
fn is_empty(dir: &SourceDir, name: &Name) -> Result<bool, Errno> {
    let mut empty = true;
    read_batches(dir.open_dir(name)?, 1, |_| {
        empty = false;
        false
    })?;
    Ok(empty)
}

impl PairWalk<'_> {
    /// True for what is not a part of a tree: the journal of a copy at its top, of which there is a note, and
    /// what mkfs makes at the top of a file system while it is empty and the `other` side has no copy of it.
    fn is_passed_over(&self, (dir, other): (&SourceNode, &SourceNode), path: &RelPath, name: &Name) -> bool {
        let is_journal = path.is_root() && name.as_bytes() == STATE_DIR.as_bytes();
        if !is_journal && name.as_bytes() != LOST_AND_FOUND {
            return false;
        }
        // What cannot be looked at is compared, and a problem there.
        let Ok(dir) = dir.open() else { return false };
        if !is_journal {
            return other.stat_at(name).is_err_and(|errno| errno == Errno::NOENT)
                && dir.stat().is_ok_and(|stat| stat.mount_root)
                && is_empty(&dir, name).unwrap_or(false);
        }
        let is_state = was_target(&*dir).unwrap_or(false);
        if is_state && let Ok(top) = real_path(&*dir) {
            self.problems.note(Note::JournalLeftOut(top.join(STATE_DIR)));
        }
        is_state
    }

    fn is_left_out(&self, dir: &PairedDir, name: &Name, kind: Kind) -> bool {
        let excluded = &self.options.excluded;
        !excluded.is_empty() && excluded.matched(dir.path.join(name).as_path(), kind == Kind::Directory).is_ignore()
    }

    /// The metadata of a directory on both sides.
    pub(super) fn directory(&self, path: &RelPath, (src, one): (&SourceNode, &Stat), (dst, two): (&SourceNode, &Stat)) {
        self.entries.fetch_add(1, Relaxed);
        match src.open().and_then(|src| dst.open().map(|dst| (src, dst))) {
            Ok((src, dst)) => {
                let held = |dir: &Arc<SourceDir>| Arc::clone(dir);
                let (src, dst) = (held(&src), held(&dst));
                let one = HeldInode { holder: Holder::file(&*src), stat: one };
                self.metadata(path, one, HeldInode { holder: Holder::file(&*dst), stat: two });
            }
            Err(errno) => self.unreadable(path, Operation::OpenDirectory, errno),
        }
    }

    fn absent<T>(&self, path: &RelPath, errno: Errno) -> Option<T> {
        match errno {
            Errno::NOENT => {
                self.problem(Problem::new(path.clone(), ProblemKind::Missing, Detail::OnlyInSource));
            }
            _ => self.unreadable(path, Operation::Stat, errno),
        }
        None
    }

    fn retyped(&self, path: &RelPath, one: &Stat, two: &Stat) {
        self.problem(Problem::differs(path.clone(), ProblemKind::Type, one.kind, two.kind));
    }

    /// Compares what is not a directory on the first side.
    pub(super) fn leaf(&self, path: &RelPath, (src, from): SideName<'_>, (dst, to): SideName<'_>) {
        let one = match src.stat_at(from) {
            Ok(one) => one,
            Err(errno) => return self.unreadable(path, Operation::Stat, errno),
        };
        self.entries.fetch_add(1, Relaxed);
        let two = match dst.stat_at(to) {
            Ok(two) => two,
            // No copy brings it: it belongs to a running program.
            Err(Errno::NOENT) if one.kind == Kind::Socket => return self.problems.note(Note::Socket(path.clone())),
            Err(errno) => {
                self.absent::<()>(path, errno);
                return;
            }
        };
        if one.kind != two.kind {
            return self.retyped(path, &one, &two);
        }
        let is_new = self.linked.is_new(path, &one, &two);
        let proven = |dir: &SourceDir, dev| self.volumes.of(dev, || Ok::<_, Errno>(dir), |_, _| {}).proves_links();
        if !is_new && proven(src, one.dev) && proven(dst, two.dev) {
            return;
        }
        if one.kind == Kind::File {
            self.files.fetch_add(1, Relaxed);
            let open = |(dir, name): SideName<'_>, operation| {
                let opened = dir.open_file(name).and_then(|fd| stat_fd(&fd).map(|stat| (fd, stat)));
                opened.map_err(|errno| self.unreadable(path, operation, errno)).ok()
            };
            let Some((left, one)) = open((src, from), Operation::Open) else { return };
            let Some((right, two)) = open((dst, to), Operation::OpenTarget) else { return };
            let held = |fd, stat| HeldInode { holder: Holder::file(fd), stat };
            self.metadata(path, held(&left, &one), held(&right, &two));
            return self.contents_of(path, (left, &one), (right, &two));
        }
        let held =
            |(dir, name): SideName<'_>| dir.open_handle(name).map_err(|e| self.unreadable(path, Operation::Open, e));
        let (Ok(left), Ok(right)) = (held((src, from)), held((dst, to))) else { return };
        if one.kind == Kind::Symlink {
            match file::read_link(&left).and_then(|text| file::read_link(&right).map(|other| (text, other))) {
                Ok((text, other)) => self.texts(path, &text, &other),
                Err(errno) => self.unreadable(path, Operation::ReadSymlink, errno),
            }
        }
        let inode = |fd, stat| HeldInode { holder: Holder::handle(fd), stat };
        self.metadata(path, inode(&left, &one), inode(&right, &two));
    }

    /// Size, holes and content of two regular files.
    fn contents_of(&self, path: &RelPath, (left, one): (OwnedFd, &Stat), (right, two): (OwnedFd, &Stat)) {
        if one.size != two.size {
            let (expected, found) = (one.size.to_string(), two.size.to_string());
            return self.problem(Problem::differs(path.clone(), ProblemKind::Size, expected, found));
        }
        let sparse = [one, two].iter().any(|stat| stat.allocated < stat.size);
        let parts = sparse.then(|| DataParts::of([left.as_fd(), right.as_fd()], one.size));
        let parts = match parts.transpose() {
            Ok(parts) => parts,
            Err(errno) => return self.unreadable(path, Operation::FindData, errno),
        };
        if let Some(parts) = parts.as_ref().filter(|parts| parts.differ()) {
            let [expected, found] = parts.bytes.map(PropertyValue::Allocated);
            self.problem(Problem::differs(path.clone(), ProblemKind::Holes, expected, found));
        }
        if self.options.metadata_only || one.size == 0 {
            return;
        }
        match self.contents.compare([left, right], one.size, parts.as_ref()) {
            Ok(SameContent::Same | SameContent::Unknown) => {}
            Ok(SameContent::DiffersAt(offset)) => {
                self.problem(Problem::new(path.clone(), ProblemKind::Content, Detail::DiffersAt(offset)));
            }
            Err((side, operation, errno)) => {
                let kind = if side == 0 { ProblemKind::Unreadable } else { ProblemKind::Io };
                self.problem(Problem::failed(path.clone(), kind, operation, errno));
            }
        }
    }
}
