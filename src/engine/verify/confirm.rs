//! Entries found whole, but not as their rows say, are recorded after a syncfs.

use super::Verifier;
use super::verdicts::Moved;
use crate::base::clock;
use crate::base::path::{Name, RelPath};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::stop::StopReason;
use crate::engine::journal::Ascertained;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;

impl Verifier {
    /// Keeps what was found whole in `dir` until a syncfs.
    pub(super) fn confirm_later(&self, dir: &TargetDir, path: &RelPath, moved: Vec<Moved>) {
        let Some(target) = moved.first().map(|moved| moved.target) else { return };
        match self.keep(dir, moved) {
            Ok(true) => self.confirm(),
            Ok(false) => {}
            Err(errno) => {
                self.problem(target, Problem::failed(path.clone(), ProblemKind::Io, Operation::OpenDirectory, errno));
            }
        }
    }

    /// True when it is time to sync.
    fn keep(&self, dir: &TargetDir, moved: Vec<Moved>) -> Result<bool, Errno> {
        let at = clock::now().unix();
        let dev = dir.stat()?.dev;
        let (here, mounts): (Vec<_>, Vec<_>) = moved.into_iter().partition(|moved| moved.dev == dev);
        let mut due = false;
        if !here.is_empty() {
            due |=
                self.unconfirmed.add((dev, dir), at, here.into_iter().map(|moved| Ascertained::Whole(moved.seen)))?;
        }
        for Moved { dev, seen, .. } in mounts {
            // A file that is a mount point itself has no directory to sync through: it stays unverified.
            let Some(mount) = Name::new(&seen.name).ok().and_then(|name| dir.open_dir(&name).ok()) else { continue };
            if mount.stat()?.dev == dev {
                due |= self.unconfirmed.add((dev, &mount), at, [Ascertained::Whole(seen)])?;
            }
        }
        Ok(due)
    }

    /// Syncs what was found whole, and records it.
    pub(super) fn confirm(&self) {
        match self.unconfirmed.sync() {
            Ok(confirmed) => confirmed.into_iter().for_each(|confirmed| self.run.writer.confirm(confirmed)),
            Err(errno) => drop(self.run.stop.set(StopReason::NotDurable(errno, None))),
        }
    }
}
