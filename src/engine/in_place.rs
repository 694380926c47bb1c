//! What is in its place already, as the source's path leads to the target's own inode: a mount of it,
//! or a symlink to it.

use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::value::Appearance;
use crate::engine::mapping::model::{Entry, Mapping};
use crate::sys::dir::{SourceDir, open_target};
use crate::sys::root::{Root, real_path};
use crate::sys::stat::{Stat, stat_fd};
use crate::sys::{Errno, leads_nowhere};
use rustix::fs::OFlags;
use std::os::unix::ffi::OsStrExt;

/// True when the source's inode with the stat `source` is what the target has at its place, where it is
/// `there`. A mount that brings the source's inode to the target is the other way round: what is below
/// it is not on the target's file system.
#[must_use]
pub(crate) fn is_in_place(source: &Stat, there: &Stat) -> bool {
    source.is_inode_of(there) && (source.mount_root || !there.mount_root)
}

/// True when `entry` is in its place as a whole. What cannot be looked at is not known to be.
pub(crate) fn is_entry_in_place(plan: &Mapping, source: &Root, entry: &Entry) -> bool {
    let (Some(above), Some(name)) = (entry.dst.parent(), entry.dst.last()) else { return false };
    let found = source.open_strict(&entry.real, OFlags::PATH | OFlags::NOFOLLOW).and_then(stat_fd);
    let there = || open_target(&plan.root, &above).and_then(|dir| dir.stat_at(&name));
    found.is_ok_and(|stat| there().is_ok_and(|there| is_in_place(&stat, &there)))
}

/// What an earlier run found in its place, and now looks like `there`, while the source has `source`.
pub(crate) fn was_in_place(path: RelPath, source: Appearance, there: &Stat) -> Problem {
    let mut problem = Problem::differs(path, ProblemKind::ChangedTarget, source, Appearance::from(there));
    problem.detail = Detail::WasInPlace;
    problem
}

/// A symlink of the source.
#[derive(Clone, Copy)]
pub(crate) struct LinkAt<'a> {
    pub(crate) source: &'a Root,
    /// The directory that it is in.
    pub(crate) dir: &'a SourceDir,
    pub(crate) name: &'a Name,
    pub(crate) text: &'a [u8],
}

impl LinkAt<'_> {
    /// True when it leads to `place` below the target's root, where its copy would go: by its text, or to
    /// the inode `there`. Its copy would be a link to itself.
    pub(crate) fn leads_to(self, place: &RelPath, there: Option<&Stat>) -> Result<bool, Errno> {
        // An absolute text means the same wherever the link is.
        let is_absolute = self.text.first() == Some(&b'/');
        if is_absolute && meant(&RelPath::root().join(self.name), self.text).as_ref() == Some(place) {
            return Ok(true);
        }
        if is_absolute && there.is_none() {
            return Ok(false);
        }
        let at = match self.path() {
            // Deeper than any path reaches: nothing leads from there to a place that has one.
            Err(Errno::NAMETOOLONG) => return Ok(false),
            at => at?,
        };
        if meant(&at, self.text).as_ref() == Some(place) {
            return Ok(true);
        }
        let Some(there) = there else { return Ok(false) };
        match self.source.open_in(&at, OFlags::PATH).and_then(stat_fd) {
            Ok(led) => Ok(led.is_inode_of(there)),
            Err(errno) if leads_nowhere(errno) || errno == Errno::NAMETOOLONG => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Its path in the source, according to the kernel.
    fn path(self) -> Result<RelPath, Errno> {
        let (dir, top) = (real_path(self.dir)?, real_path(self.source)?);
        // A directory that was moved out of the source has none.
        let below = dir.strip_prefix(&top).map_err(|_| Errno::XDEV)?;
        let above = RelPath::new(below.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
        Ok(above.join(self.name))
    }
}

/// Where the symlink at `at` with this text would lead if every name existed, judging by its text
/// alone. `None` if the text is not a path.
pub(crate) fn meant(at: &RelPath, text: &[u8]) -> Option<RelPath> {
    let mut to = if text.first() == Some(&b'/') { RelPath::root() } else { at.parent()? };
    for part in text.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            // At the top it stays at the top, as in a file system.
            b".." => to = to.parent().unwrap_or_default(),
            _ => to = to.join(&Name::new(part).ok()?),
        }
    }
    Some(to)
}
