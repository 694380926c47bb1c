//! What the journal is given: rows, and the chunks of large files.

use super::row::Row;
use crate::base::path::Name;
use crate::engine::content::digest::ChunkValue;

/// One chunk of a large file that the target has.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The directory's id.
    pub(super) dir: i64,
    /// The file's name in it.
    pub(super) name: Vec<u8>,
    /// Its place in the file, in chunks.
    pub(super) index: u64,
    /// Its value.
    pub(super) value: ChunkValue,
}

impl Chunk {
    /// The chunk `index` of the file `name` in the directory `dir`.
    #[must_use]
    pub fn new(dir: i64, name: &Name, index: u64, value: ChunkValue) -> Self {
        Self { dir, name: name.as_bytes().to_vec(), index, value }
    }
}

/// What an epoch makes durable.
#[derive(Clone, Debug)]
pub enum Record {
    /// An entry.
    Row(Box<Row>),
    /// A chunk of an entry that is unfinished, or is being repaired.
    Chunk(Chunk),
}
