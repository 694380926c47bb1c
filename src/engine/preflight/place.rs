//! Where a target will be written, or why it cannot be.

use super::allow::{Allow, Refusals};
use crate::base::path::RelPath;
use crate::engine::journal::STATE_DIR;
use crate::engine::mapping::model::{Mapping, Target};
use crate::sys::dir::{LOST_AND_FOUND, TargetDir, open_target, read_batches};
use crate::sys::filesystem::{Space, space};
use crate::sys::{Errno, errno_words, mounts};

/// Where a target will be written: the deepest directory of its path that exists.
pub(super) struct TargetPlace {
    pub(super) dir: TargetDir,
    /// That directory's path below the root.
    existing: RelPath,
    pub(super) space: Space,
    pub(super) dev: u64,
    pub(super) mount: Option<mounts::Mount>,
}

pub(super) fn places(plan: &Mapping, refusals: &mut Refusals) -> Vec<Option<TargetPlace>> {
    let mut found = Vec::new();
    for target in &plan.targets {
        match place(plan, target) {
            Ok(place) => found.push(Some(place)),
            Err(refusal) => {
                if !refusals.contains(&refusal) {
                    refusals.push(refusal);
                }
                found.push(None);
            }
        }
    }
    found
}

fn place(plan: &Mapping, target: &Target) -> Result<TargetPlace, String> {
    let shown = plan.root.display();
    let mut dir = open_target(&plan.root, &RelPath::root())
        .map_err(|e| format!("the root {shown} cannot be opened: {}; mount the new disk there", errno_words(e)))?;
    let mut existing = RelPath::root();
    for name in target.to.names() {
        match dir.open_dir(&name) {
            Ok(next) => dir = next,
            Err(Errno::NOENT) => break,
            // An earlier run made it from a map of a file.
            Err(Errno::NOTDIR | Errno::LOOP) if target.is_map && existing.join(&name) == target.to => break,
            Err(errno) => {
                return Err(format!(
                    "{shown}{}: {}; a target's path must be directories, not symlinks or files",
                    existing.join(&name),
                    errno_words(errno)
                ));
            }
        }
        existing = existing.join(&name);
    }
    let wrap = |e| format!("{shown}{existing}: {}", errno_words(e));
    Ok(TargetPlace {
        space: space(&dir).map_err(wrap)?,
        dev: dir.stat().map_err(wrap)?.dev,
        mount: mounts::of(&dir).map_err(wrap)?,
        existing: existing.clone(),
        dir,
    })
}

/// The device number of each target's file system, or why it cannot be told.
#[must_use]
pub fn devices(plan: &Mapping) -> Vec<Result<u64, String>> {
    plan.targets.iter().map(|target| place(plan, target).map(|place| place.dev)).collect()
}

/// The device number and properties of a target's file system.
#[must_use]
pub fn room(plan: &Mapping, target: &Target) -> Option<(u64, Space)> {
    place(plan, target).ok().map(|place| (place.dev, place.space))
}

impl TargetPlace {
    pub(super) fn refusals(&self, plan: &Mapping, target: &Target, allow: &Allow, ours: bool) -> Refusals {
        let mut out = Vec::new();
        let shown = format!("{}{}", plan.root.display(), target.to);
        let point = self.mount.as_ref().map(|m| m.point.display().to_string()).unwrap_or_default();
        let kind = self.mount.as_ref().map_or("unknown", |m| m.kind.as_str());
        if !allow.volatile {
            if self.space.is_volatile() {
                out.push(format!(
                    "the target {shown} lies on {kind} (mounted at {point}), which forgets everything at power-off; \
                     mount the new disk, or pass --allow-volatile"
                ));
            } else if point == "/" {
                out.push(format!(
                    "the target {shown} is not on a mount of its own but on the running system's root; \
                     mount the new disk, or pass --allow-volatile"
                ));
            }
        }
        if let Some(kind) = self.space.without_owners()
            && !allow.no_owner
        {
            out.push(format!("the target {shown} is {kind}, which keeps no owners and modes; use ext4, xfs or btrfs"));
        }
        if !ours && !allow.nonempty && self.existing == target.to && self.is_filled() {
            out.push(format!(
                "the target {shown} is not empty, and not by this plan; empty it, or pass --allow-nonempty to write \
                 into it (what is there stays, except names that the plan copies)"
            ));
        }
        out
    }

    /// The refusal for a target that is read-only.
    pub(super) fn read_only(&self, plan: &Mapping, target: &Target) -> Option<String> {
        let point = self.mount.as_ref().map(|m| m.point.display().to_string()).unwrap_or_default();
        let shown = format!("{}{}", plan.root.display(), target.to);
        self.space.read_only.then(|| format!("the target {shown} is mounted read-only at {point}; mount it read-write"))
    }

    fn is_filled(&self) -> bool {
        let mut filled = false;
        let read = read_batches(&self.dir, 64, |batch| {
            filled |= batch.iter().any(|e| ![LOST_AND_FOUND, STATE_DIR.as_bytes()].contains(&e.name.as_bytes()));
            !filled
        });
        // A directory that cannot be read is not known to be empty.
        filled || read.is_err()
    }
}
