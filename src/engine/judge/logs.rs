//! The logs of a database, by their names.

use crate::base::path::Name;

/// What SQLite calls a database's logs, by what follows its name.
pub(super) const SUFFIXES: [&[u8]; 3] = [b"-wal", b"-journal", INDEX];
/// What it calls the index of a log, which has no content of its own.
pub(super) const INDEX: &[u8] = b"-shm";

/// The database whose log `name` is by its name. No two suffixes fit one name.
pub(super) fn database_of(name: &Name) -> Option<Name> {
    SUFFIXES.iter().find_map(|suffix| Name::new(name.as_bytes().strip_suffix(*suffix)?).ok())
}

/// Some of the logs that a database can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseLogs(u8);

impl DatabaseLogs {
    /// Adds the one with this place in [`SUFFIXES`].
    pub(super) fn add(&mut self, suffix: usize) {
        self.0 |= 1 << suffix;
    }

    /// Their names beside the database `name`.
    pub(crate) fn beside(self, name: &Name) -> impl Iterator<Item = Name> + '_ {
        let some = SUFFIXES.iter().enumerate().filter(move |(bit, _)| self.0 & 1 << bit != 0);
        some.filter_map(|(_, suffix)| Name::new(&[name.as_bytes(), suffix].concat()).ok())
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}
