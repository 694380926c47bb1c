//! From written to durable: the syncfs behind every row that the copier finishes.

use super::file_systems::FileSystems;
use super::gate::Permit;
use super::written::Written;
use crate::engine::journal::record::Record;
use crate::sys::Errno;

/// Entries that the medium has. Only `Epoch::seal` makes one.
#[derive(Debug)]
pub struct Durable {
    records: Vec<Record>,
    /// Held until the records are in the journal.
    memory: Vec<Permit>,
}

impl Durable {
    /// What may now be recorded.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

/// Entries that are synced together.
#[derive(Debug, Default)]
pub(in crate::engine::journal) struct Epoch {
    pub(in crate::engine::journal) items: Vec<Written>,
    pub(in crate::engine::journal) bytes: u64,
    /// Bytes of its large rows.
    pub(in crate::engine::journal) memory: u64,
}

/// The result of an epoch: what may be recorded, and replacements that are durable under
/// their temporary names.
pub(in crate::engine::journal) struct Sealed {
    pub(in crate::engine::journal) durable: Durable,
    pub(in crate::engine::journal) replacing: Vec<Written>,
}

impl Epoch {
    pub(in crate::engine::journal) fn push(&mut self, item: Written) {
        self.bytes += item.bytes;
        self.memory += item.memory.as_ref().map_or(0, Permit::bytes);
        self.items.push(item);
    }

    /// Syncs every file system of the epoch.
    pub(in crate::engine::journal) fn seal(self, file_systems: &FileSystems) -> Result<Sealed, Errno> {
        file_systems.sync(self.items.iter().map(|item| item.file_system).collect())?;
        let durable = Durable { records: Vec::with_capacity(self.items.len()), memory: Vec::new() };
        let mut sealed = Sealed { durable, replacing: Vec::new() };
        for item in self.items {
            if item.replace.is_some() {
                sealed.replacing.push(item);
            } else {
                sealed.durable.records.push(item.record);
                sealed.durable.memory.extend(item.memory);
            }
        }
        Ok(sealed)
    }
}
