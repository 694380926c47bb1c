//! What is in its place, where comparing it with itself says nothing, and what an earlier run found there.

use super::expect::BackupEntry;
use super::leaf::LeafPair;
use super::walk::ComparisonWalk;
use crate::base::path::{Name, RelPath};
use crate::engine::in_place::{LinkAt, is_in_place, was_in_place};
use crate::engine::journal::State;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};

impl ComparisonWalk<'_> {
    /// True when the source's inode with this stat is what the target has as `name` in `dst`.
    pub(super) fn is_at_its_place(&self, dst: &TargetDir, name: &Name, stat: &Stat) -> bool {
        dst.stat_at(name).is_ok_and(|there| is_in_place(stat, &there))
    }

    /// True for a symlink of the source that leads to what the target has in its place.
    pub(super) fn leads_home(&self, leaf: &LeafPair<'_>, path: &RelPath, text: &[u8]) -> bool {
        let LeafPair { sides, name, .. } = *leaf;
        let there = sides.dst.stat_at(name).ok().filter(|there| there.kind != Kind::Symlink);
        let link = LinkAt { source: self.of.source, dir: &sides.src, name, text };
        there.is_some_and(|there| link.leads_to(path, Some(&there)).unwrap_or(false))
    }

    /// True for a directory above entries that is in its place, or was when a run came there: it is not the
    /// plan's.
    pub(super) fn is_parent_in_place(&self, dst: &TargetDir, above: &RelPath, name: &Name, stat: &Stat) -> bool {
        let is_recorded = || self.recorded(self.id_of(above), name).is_some_and(|row| row.state == State::Ancestor);
        self.is_at_its_place(dst, name, stat) || is_recorded()
    }

    /// True for a directory that is in its place, or that an earlier run found there; of that a problem says
    /// that the source has another one.
    pub(super) fn is_settled_in_place(&self, seen: &BackupEntry<'_>, dst: &TargetDir) -> bool {
        let Ok(there) = dst.stat_at(seen.name) else { return false };
        if is_in_place(seen.stat, &there) {
            return true;
        }
        let was = self.recorded(seen.dir, seen.name).is_some_and(|row| row.was_in_place());
        if was {
            self.verifier().problem(seen.target, was_in_place(seen.path.clone(), seen.stat.into(), &there));
        }
        was
    }
}
