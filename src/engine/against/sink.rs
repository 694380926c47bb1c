//! What the comparison does with what the plan selects.

use super::expect::BackupEntry;
use super::leaf::LeafPair;
use super::walk::{ComparedDir, ComparisonWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::copy::reserved;
use crate::engine::events::operation::Operation;
use crate::engine::in_place::is_in_place;
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::mapping::index::InnerName;
use crate::engine::selection::{DeclaredBelow, Position, Selected, SelectedLeaves, Selection, SelectionSink};
use crate::engine::tree::node::{SourceNode, TargetNode};
use crate::engine::tree::scheduler::Worker;
use crate::sys::Errno;
use crate::sys::dir::SourceDir;
use crate::sys::stat::Stat;
use crate::sys::xattr::Holder;
use std::collections::HashSet;
use std::sync::Arc;

impl SelectionSink for ComparisonWalk<'_> {
    type Dir = ComparedDir;
    /// Names that the backup has.
    type Seen = HashSet<Name>;

    fn selection(&self) -> Selection<'_> {
        let (tasks, index) = (&self.tasks, &self.index);
        let (plan, stop) = (&*self.verifier().run.mapping, &self.verifier().run.stop);
        Selection { plan, index, tasks, stop, cross_mounts: self.of.cross_mounts }
    }

    fn position<'d>(&self, dir: &'d ComparedDir) -> Position<'d> {
        Position { src: &dir.src, cursor: dir.cursor, target: dir.target }
    }

    fn path(&self, dir: &ComparedDir) -> RelPath {
        dir.path.clone()
    }

    /// An entry is compared by itself, where it goes.
    fn inner<'s>(&'s self, _: Worker<'_, 's>, inner: InnerName, at: usize, (dir, name): (&Arc<ComparedDir>, &Name)) {
        match inner {
            InnerName::Way(entry) | InnerName::WayInPlaceOfEntry(entry) | InnerName::WayInPlaceOfSymlink(entry) => {
                self.on_the_way(DeclaredBelow { entry, at }, &dir.path, name);
            }
            InnerName::Walked | InnerName::Elsewhere | InnerName::Entry(_) => {}
        }
    }

    fn leaves(&self, dir: &Arc<ComparedDir>, names: SelectedLeaves<'_, Self>) {
        let Some(sides) = self.sides(dir) else { return };
        for (name, kind) in names {
            self.leaf(&LeafPair { dir, sides: &sides, name: &name, own: Explicit::default() }, kind);
        }
    }

    fn subtree(&self, above: &Arc<ComparedDir>, name: &Name, found: Selected) -> Option<Arc<ComparedDir>> {
        self.compare_below(above, name, found, false)
    }

    fn is_in_place(&self, dir: &ComparedDir, name: &Name, stat: &Stat) -> bool {
        let there = dir.dst.open().and_then(|target| target.stat_at(name));
        there.is_ok_and(|there| is_in_place(stat, &there))
    }

    fn mount(&self, dir: &ComparedDir, name: &Name, (src, stat): (&SourceDir, &Stat)) {
        self.report_mount(dir, &dir.path.join(name), src, stat);
    }

    fn mount_point(&self, above: &Arc<ComparedDir>, name: &Name, found: Selected) {
        self.compare_below(above, name, found, true);
    }

    fn failed(&self, dir: &ComparedDir, name: Option<&Name>, (operation, errno): (Operation, Errno)) {
        let path = name.map_or_else(|| dir.path.clone(), |name| dir.path.join(name));
        self.unreadable(dir.target, path, operation, errno);
    }

    fn seen(&self, _: &ComparedDir) -> HashSet<Name> {
        HashSet::new()
    }

    fn saw(&self, seen: &mut HashSet<Name>, name: &Name) {
        seen.insert(name.clone());
    }

    /// Looks for names that the backup does not have.
    fn saw_all(&self, dir: &ComparedDir, seen: HashSet<Name>) {
        self.stale(dir, &seen);
        if let Ok(dst) = dir.dst.open() {
            self.extra(dir, &dst, &seen);
        }
    }
}

impl ComparisonWalk<'_> {
    /// Compares a directory; `None` if there is nothing to compare below it.
    fn compare_below(
        &self,
        above: &Arc<ComparedDir>,
        name: &Name,
        found: Selected,
        is_mount_point: bool,
    ) -> Option<Arc<ComparedDir>> {
        let Selected { src, stat, cursor } = found;
        let there = above.dst.open().ok()?;
        let path = above.path.join(name);
        // The journal is not a copy of what the backup has under its name.
        let inode = there.stat_at(name).ok().map(|there| (there.dev, there.ino));
        if inode.is_some() && inode == self.verifier().state {
            self.verifier().problem(above.target, reserved(path));
            return None;
        }
        let seen = BackupEntry {
            name,
            path: &path,
            target: above.target,
            dir: above.id,
            share: above.share,
            stat: &stat,
            holder: Holder::file(&src),
            near: None,
            own: Explicit::default(),
            covering: &above.covering,
            is_mount_point,
        };
        if self.is_settled_in_place(&seen, &there) || self.is_owners_directory(&seen, &there) {
            return None;
        }
        let id = self.directory(&seen, &above.path, &there);
        // A missing directory is already reported.
        let (dst, there) = there.open_dir(name).and_then(|dst| dst.stat().map(|stat| (dst, stat))).ok()?;
        let covering = Covering::of(&self.verifier().run.mapping, &path);
        Some(Arc::new(ComparedDir {
            src: SourceNode::below(&above.src, name, src, &stat),
            dst: TargetNode::below(&above.dst, name, dst, &there),
            path,
            target: above.target,
            id,
            cursor,
            share: above.share,
            dev: stat.dev,
            covering,
        }))
    }
}
