//! What a copy is put over.

use crate::engine::judge::DatabaseLogs;
use crate::sys::stat::Stat;

/// What stood on the target when a name was judged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stands {
    /// What had the name; nothing else may be replaced.
    pub(super) there: Option<Stat>,
    /// Logs of another state of the database, which go before it is replaced.
    pub(super) logs: DatabaseLogs,
}
