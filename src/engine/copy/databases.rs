//! The databases of a directory: what becomes of the files of each is decided once, before the first
//! of them is touched, as their tasks come in any order.

use crate::base::path::Name;
use crate::engine::judge::{DatabaseFate, FateAnswer};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Those of one directory, by the name of the database.
#[derive(Debug, Default)]
pub(super) struct DatabaseFates(Mutex<BTreeMap<Name, DatabaseFate>>);

impl DatabaseFates {
    /// What was decided for `database`, or what `find` does. A failure is not kept: each of the files
    /// reports its own.
    pub(super) fn fate(&self, database: &Name, find: &mut dyn FnMut() -> FateAnswer) -> FateAnswer {
        // Held while it is found, so that no other of its files is replaced meanwhile.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fate) = known.get(database) {
            return Ok(fate.clone());
        }
        let fate = find()?;
        known.insert(database.clone(), fate.clone());
        Ok(fate)
    }
}
