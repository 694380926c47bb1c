//! The rows of one directory, a page at a time.

use crate::engine::journal::{JournalError, Reader, Row};

/// Rows that are read at once.
const PAGE: u32 = 256;

/// Calls `each` with the rows of the directory `id`; those may be forgotten meanwhile.
pub(super) fn each_row(
    reader: &Reader,
    id: i64,
    mut each: impl FnMut(Row) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut after = Vec::new();
    loop {
        let rows = reader.rows_in(id, &after, PAGE)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after.clone_from(&last.name);
        rows.into_iter().try_for_each(&mut each)?;
    }
}
