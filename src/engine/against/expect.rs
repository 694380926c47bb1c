//! What the target is to have of one entry, given the backup as it is now.

use super::walk::ComparisonWalk;
use crate::base::path::{Name, RelPath};
use crate::engine::driver::missing_subvolume;
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::{Proof, Row, RowChange, RowKey, SourceId};
use crate::engine::mapping::explicit::{Covering, Explicit};
use crate::engine::meta::Wanted;
use crate::engine::selection::PlanOverrides;
use crate::sys::Errno;
use crate::sys::dir::{SourceDir, TargetDir};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use std::sync::PoisonError;

/// One entry of the backup.
pub(super) struct BackupEntry<'a> {
    pub(super) name: &'a Name,
    pub(super) path: &'a RelPath,
    pub(super) target: u32,
    /// The journal's id of the directory.
    pub(super) dir: Option<i64>,
    /// Of its directory.
    pub(super) share: u32,
    pub(super) stat: &'a Stat,
    pub(super) holder: Holder<'a>,
    /// The directory that it is in, if it is not a directory itself.
    pub(super) near: Option<&'a SourceDir>,
    /// What the plan says of an entry itself.
    pub(super) own: Explicit,
    /// The fixups that say something of what is in its directory.
    pub(super) covering: &'a Covering,
    /// It is the root of a mount that is not entered.
    pub(super) is_mount_point: bool,
}

impl ComparisonWalk<'_> {
    /// The row that a copier would write, except for the content.
    pub(super) fn expected(&self, seen: &BackupEntry<'_>, dst: &TargetDir) -> Row {
        let BackupEntry { name, path, target, stat, .. } = *seen;
        let near = || match seen.near {
            Some(near) => Root::again(near).ok(),
            None => Root::again(seen.holder.fd()).ok(),
        };
        let (attributes, problems) = self.drivers.attributes(seen.holder, stat, near, || path.clone());
        problems.into_iter().for_each(|problem| self.verifier().problem(target, problem));
        let mut wanted = Wanted::from_source(stat, attributes, &self.of.keep);
        if self.drivers.is_empty_subvolume(stat, seen.holder.fd()) {
            self.verifier().problem(target, missing_subvolume(path.clone()));
            wanted.mtime = None;
        }
        if seen.is_mount_point {
            wanted.mtime = None;
        }
        let group = self.of.groups.say(stat, seen.share);
        let overrides = PlanOverrides { own: seen.own, fixups: (seen.covering, name), group };
        overrides.put_over(&mut wanted, &self.verifier().run.mapping);
        if wanted.rights.taken {
            self.verifier().run.problems.note_rights_taken(path.clone());
        }
        let recorded = self.recorded(seen.dir, name);
        if let Some(row) = &recorded {
            wanted.give_up(&row.wanted);
        }
        let volume = self.volumes.of(stat.dev, || Ok::<_, Errno>(seen.holder.fd()), |_, _| {});
        // Only a copy of exactly this state of the source tells about its links and blocks.
        let same = |row: &Row| match row.source_proof(stat, &volume) {
            Proof::Holds => true,
            Proof::Unproven(_) => !volume.proves_links(),
            Proof::Changed => false,
        };
        let recorded = recorded.filter(same);
        // Elsewhere one number may be that of several inodes.
        let is_linked = stat.nlink > 1 && stat.kind != Kind::Directory && volume.proves_links();
        let key = RowKey { dir: seen.dir.unwrap_or(-1), name: name.as_bytes(), target };
        let mut row = Row::expected(key, stat, SourceId::of(stat, &volume), wanted);
        match &recorded {
            Some(recorded) => {
                // If its inode was touched, it is read under each of its names.
                let is_untouched = || {
                    let there = dst.stat_at(name);
                    there.is_ok_and(|there| recorded.standing(&there, Disk::usual(there.dev)) == RowChange::AsRecorded)
                };
                row.alias = is_linked && recorded.alias && is_untouched() && self.verifier().is_vouched_for(recorded);
                row = row.made_as(recorded);
            }
            None => {
                let ino = dst.stat_at(name).map_or(0, |there| there.ino);
                let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
                row.dst_ino =
                    if is_linked { *linked.entry((stat.dev, stat.ino, seen.share)).or_insert(ino) } else { ino };
            }
        }
        row
    }
}
