//! Small files of one directory that are read back by one call, before each is compared.

use crate::base::path::Name;
use crate::engine::content::medium::{ReadError, Reading};
use crate::engine::content::read_ahead::{LARGEST, ReadAhead};
use crate::engine::journal::Row;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Kind;

/// A file that was opened, and perhaps read, together with others.
pub(crate) struct ReadBack<'r> {
    /// The open file, or why it could not be opened.
    pub(super) reading: Result<Reading, ReadError>,
    /// Its bytes, if they were read, or why they could not be.
    pub(super) bytes: Option<Result<&'r [u8], Errno>>,
}

/// Reads those of `rows` that are small files in `dir`; the others, and where nothing can be read so, are left
/// to the comparison.
pub(super) fn read_together<'r>(dir: &TargetDir, rows: &[Row], ahead: &'r mut ReadAhead) -> Vec<Option<ReadBack<'r>>> {
    // The content of a further name is usually verified under another one.
    let is_small = |row: &&Row| {
        row.kind() == Kind::File && row.digest.is_some() && !row.alias && (1..=LARGEST as u64).contains(&row.size)
    };
    if rows.iter().filter(is_small).count() < 2 {
        return Vec::new();
    }
    let open = |row: &Row| {
        let name = Name::new(&row.name).ok().filter(|_| is_small(&row))?;
        Some(Reading::open(dir, &name))
    };
    let opened: Vec<_> = rows.iter().map(open).collect();
    let requests: Vec<_> = opened.iter().map(|reading| reading.as_ref()?.as_ref().ok()?.request()).collect();
    let read = ahead.read(&requests);
    drop(requests);
    let taken = opened.into_iter().zip(read).map(|(reading, bytes)| Some(ReadBack { reading: reading?, bytes }));
    taken.collect()
}
