//! What a run would do with an entry that is not a directory.

use super::items::{Foreseen, ForeseenItem};
use super::walk::{PreviewDir, PreviewWalk};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::{CheckedDir, differences, has_same_content};
use crate::engine::compare::recorded::{KnownWanted, is_wanted};
use crate::engine::content::reread;
use crate::engine::in_place::{LinkAt, is_in_place};
use crate::engine::journal::{Proof, Row, RowChange, State};
use crate::engine::mapping::explicit::Explicit;
use crate::engine::meta::{Attributes, Wanted};
use crate::engine::selection::PlanOverrides;
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use std::sync::PoisonError;

impl PreviewWalk<'_> {
    /// Judges `name` of `dir`, which the source calls `in_source`.
    pub(super) fn leaf(&self, dir: &PreviewDir, (name, in_source): (&Name, &Name), own: Explicit) {
        let path = dir.path.join(name);
        let Ok(stat) = dir.src.stat_at(in_source) else { return self.unreadable(dir.target, path, Kind::File) };
        if matches!(stat.kind, Kind::Socket | Kind::Directory) {
            return;
        }
        let what = self.foresee(dir, (name, in_source), own, &stat);
        let mut bytes = if stat.kind == Kind::File { stat.size } else { 0 };
        if stat.nlink > 1 && bytes > 0 {
            let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
            if !linked.insert((stat.dev, stat.ino)) {
                bytes = 0;
            }
        }
        self.item(&ForeseenItem { what, kind: stat.kind, entries: 1, bytes, path, target: dir.target });
    }

    fn foresee(&self, dir: &PreviewDir, names: (&Name, &Name), own: Explicit, stat: &Stat) -> Foreseen {
        let plan = &self.parts.mapping;
        let kept = if self.options.overwrite { Foreseen::Changed } else { Foreseen::Kept };
        let row = self.recorded(dir.id, names.0);
        let Ok(there) = dir.on_target(plan, names.0) else { return Foreseen::Unreadable };
        match (row, there) {
            (_, Some((_, there))) if self.leads_home(dir, names.1, &dir.path.join(names.0), (stat, &there)) => {
                Foreseen::InPlace
            }
            (Some(row), _) if row.was_in_place() && !self.options.overwrite => {
                match self.compare_source(dir, names, own, (stat, &row)) {
                    Foreseen::Changed => Foreseen::Kept,
                    other => other,
                }
            }
            (Some(row), None) if row.state == State::Done => Foreseen::Missing,
            (_, None) => Foreseen::New,
            // A first run replaces what is there, and says so.
            (None, Some((target, there))) => {
                let same = (there.kind, there.size, there.mtime) == (stat.kind, stat.size, stat.mtime)
                    && !(self.options.newer_kept && self.is_other_content(dir, names, &target, &there));
                let known = self.parts.known.get(dir.target as usize).copied().unwrap_or(false);
                let newer = self.options.newer_kept && there.mtime >= stat.mtime;
                if same || !known && !newer { Foreseen::Changed } else { kept }
            }
            (Some(row), Some((target, there))) if matches!(row.state, State::Done | State::Bad) => {
                let checked = CheckedDir::of(&target);
                if row.still_damaged(&there, checked.disk) {
                    return Foreseen::Changed;
                }
                match row.standing(&there, checked.disk) {
                    RowChange::Changed => kept,
                    RowChange::Touched if !self.is_untouched(&target, &dir.path.join(names.0), &row, &there) => kept,
                    RowChange::AsRecorded if !row.target_unchanged(&there, checked.disk) => Foreseen::Changed,
                    RowChange::AsRecorded | RowChange::Touched => self.compare_source(dir, names, own, (stat, &row)),
                }
            }
            (Some(_), Some(_)) => Foreseen::Changed,
        }
    }

    /// True when the source's name leads to the inode `there` of the target.
    fn leads_home(&self, dir: &PreviewDir, name: &Name, place: &RelPath, (stat, there): (&Stat, &Stat)) -> bool {
        if stat.kind != Kind::Symlink || there.kind == Kind::Symlink {
            return is_in_place(stat, there);
        }
        let Ok(src) = dir.src.open() else { return false };
        let Ok(text) = src.read_link(name) else { return false };
        LinkAt { source: &self.parts.source, dir: &src, name, text: &text }
            .leads_to(place, Some(there))
            .unwrap_or(false)
    }

    /// Whether two files of the same size and time differ, or cannot be read to tell.
    fn is_other_content(
        &self,
        dir: &PreviewDir,
        (name, in_source): (&Name, &Name),
        target: &TargetDir,
        there: &Stat,
    ) -> bool {
        let source = || dir.src.open_file(in_source);
        there.kind == Kind::File
            && !reread::is_same(source, || target.open_file(name, OFlags::empty()), self.rate_limit)
    }

    /// Whether content and attributes of a touched entry are as recorded.
    fn is_untouched(&self, target: &TargetDir, path: &RelPath, row: &Row, there: &Stat) -> bool {
        let (checked, Some(name)) = (CheckedDir::of(target), path.last()) else { return false };
        there.rdev == row.rdev
            && has_same_content(&checked, &name, row, self.rate_limit).is_ok_and(|same| same)
            && differences(&checked, path, &name, row, there).is_empty()
    }

    /// Compares the source with the row, as a run does.
    fn compare_source(
        &self,
        dir: &PreviewDir,
        (name, in_source): (&Name, &Name),
        own: Explicit,
        (stat, row): (&Stat, &Row),
    ) -> Foreseen {
        let group = self.parts.groups.say(stat, dir.share);
        let mut wanted = Wanted::from_source(stat, Attributes::default(), &self.options.keep);
        PlanOverrides { own, fixups: (&dir.covering, name), group }.put_over(&mut wanted, &self.parts.mapping);
        if !row.source_looks_the_same(stat) || !is_wanted(row, &wanted, KnownWanted::Stat) {
            return Foreseen::Changed;
        }
        if stat.kind == Kind::Symlink {
            let text = dir.src.open().and_then(|src| src.read_link(in_source));
            return if text.is_ok_and(|text| row.link == Some(text)) { Foreseen::Unchanged } else { Foreseen::Changed };
        }
        let volume = self.volumes.of(stat.dev, || dir.src.open(), |_, _| {});
        match row.source_proof(stat, &volume) {
            Proof::Holds => Foreseen::Unchanged,
            Proof::Changed => Foreseen::Changed,
            Proof::Unproven(_) if stat.kind != Kind::File => Foreseen::Unchanged,
            Proof::Unproven(_) => {
                let Ok(fd) = dir.src.open_file(in_source) else { return Foreseen::Unreadable };
                let Some(digest) = row.digest else { return Foreseen::Changed };
                let pages = self.drivers.of(stat.dev, &fd).cached_pages();
                match reread::digest_as(digest.algorithm, fd.as_fd(), stat, pages, self.rate_limit) {
                    Ok(Some(read)) if read == digest => Foreseen::Unchanged,
                    Ok(_) => Foreseen::Changed,
                    Err(_) => Foreseen::Unreadable,
                }
            }
        }
    }
}
