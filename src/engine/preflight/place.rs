//! Where a target will be written, or why it cannot be.

use super::allow::{Allow, Refusals};
use crate::base::path::RelPath;
use crate::engine::events::refusal::{Destination, Refusal};
use crate::engine::journal::STATE_DIR;
use crate::engine::mapping::model::{Mapping, Target};
use crate::sys::dir::{LOST_AND_FOUND, TargetDir, open_target, read_batches};
use crate::sys::filesystem::{Identity, Space, identity, space};
use crate::sys::{Errno, mounts};
use std::path::{Path, PathBuf};

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

fn place(plan: &Mapping, target: &Target) -> Result<TargetPlace, Refusal> {
    let mut dir =
        open_target(&plan.root, &RelPath::root()).map_err(|errno| Refusal::RootUnopened(plan.root.clone(), errno))?;
    let mut existing = RelPath::root();
    for name in target.to.names() {
        match dir.open_dir(&name) {
            Ok(next) => dir = next,
            Err(Errno::NOENT) => break,
            // An earlier run made it from a map of a file.
            Err(Errno::NOTDIR | Errno::LOOP) if target.is_map && existing.join(&name) == target.to => break,
            Err(errno) => {
                return Err(Refusal::NoWay(destination(plan, &existing.join(&name)), errno));
            }
        }
        existing = existing.join(&name);
    }
    let wrap = |errno| Refusal::Untold(destination(plan, &existing), errno);
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
pub fn devices(plan: &Mapping) -> Vec<Result<u64, Refusal>> {
    plan.targets.iter().map(|target| place(plan, target).map(|place| place.dev)).collect()
}

/// The device number and properties of a target's file system.
#[must_use]
pub fn room(plan: &Mapping, target: &Target) -> Option<(u64, Space)> {
    place(plan, target).ok().map(|place| (place.dev, place.space))
}

/// A path below the plan's root.
pub(super) fn destination(plan: &Mapping, path: &RelPath) -> Destination {
    Destination { root: plan.root.clone(), path: path.clone() }
}

impl TargetPlace {
    pub(super) fn refusals(&self, plan: &Mapping, target: &Target, allow: &Allow, ours: bool) -> Refusals {
        let mut out = Vec::new();
        let shown = || destination(plan, &target.to);
        if !allow.volatile {
            if self.space.is_volatile() {
                let kind = self.mount.as_ref().map_or("unknown", |m| m.kind.as_str());
                out.push(Refusal::Volatile(shown(), kind.to_string(), self.point()));
            } else if self.point() == Path::new("/") && !allow.system_root {
                out.push(Refusal::OnSystemRoot(shown()));
            }
        }
        if let Some(kind) = self.space.without_owners()
            && !allow.no_owner
        {
            out.push(Refusal::WithoutOwners(shown(), kind));
        }
        if !ours && !allow.nonempty && self.existing == target.to && self.is_filled() {
            out.push(Refusal::NotEmpty(shown()));
        }
        out
    }

    /// Which file system it is; `None` if that cannot be told.
    pub(super) fn identity(&self) -> Option<Identity> {
        identity(&self.dir).ok()
    }

    /// The mount point of a target that is read-only.
    pub(super) fn read_only(&self) -> Option<PathBuf> {
        self.space.read_only.then(|| self.point())
    }

    /// Where its file system is mounted; empty if that is not known.
    fn point(&self) -> PathBuf {
        self.mount.as_ref().map(|m| m.point.clone()).unwrap_or_default()
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
