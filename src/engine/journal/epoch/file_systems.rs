//! The syncfs descriptor of each file system, opened before anything is written to it.

use crate::engine::events::unpreserved::Disk;
use crate::sys::Errno;
use crate::sys::filesystem::{SyncFd, space};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// The file systems that are written to, each with its own syncfs descriptor.
#[derive(Debug, Default)]
pub struct FileSystems(Mutex<Vec<(Disk, Arc<SyncFd>)>>);

impl FileSystems {
    /// The index of the file system with device number `dev`, opened through
    /// `dir` when it is new. Must be called before anything is written to it.
    pub fn index(&self, dev: u64, dir: impl AsFd) -> Result<usize, Errno> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known.iter().position(|(disk, _)| disk.dev == dev) {
            return Ok(index);
        }
        let bare = space(&dir)?.may_lack_owners();
        known.push((Disk { dev, bare }, Arc::new(SyncFd::open(dir)?)));
        Ok(known.len() - 1)
    }

    /// The file system at `index`.
    #[must_use]
    pub fn disk(&self, index: usize) -> Option<Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(index).map(|(disk, _)| *disk)
    }

    /// Syncs every file system that was written to.
    pub fn sync_all(&self) -> Result<(), Errno> {
        let known: Vec<_> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(_, fd)| Arc::clone(fd)).collect();
        known.iter().try_for_each(|fd| fd.sync())
    }

    /// Syncs the file systems at `indices`.
    pub(crate) fn sync(&self, mut indices: Vec<usize>) -> Result<(), Errno> {
        indices.sort_unstable();
        indices.dedup();
        // An index only comes from this table, which never shrinks.
        indices.into_iter().try_for_each(|index| self.get(index).ok_or(Errno::BADF)?.sync())
    }

    fn get(&self, index: usize) -> Option<Arc<SyncFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(index).map(|(_, fd)| Arc::clone(fd))
    }
}
