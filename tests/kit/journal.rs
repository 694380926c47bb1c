//! The journal as it is on the disk, also while a run holds it locked.

use super::disk::World;
use rusqlite::Connection;

/// A copy of the journal with its log, opened; looking at it changes nothing.
pub(crate) fn copy(world: &World) -> Option<(tempfile::TempDir, Connection)> {
    let scratch = tempfile::TempDir::new_in(world.path()).unwrap();
    let state = world.persist.join(".persistcp");
    for name in ["t.sqlite", "t.sqlite-wal"] {
        // The log ends, and begins, at any time.
        std::fs::copy(state.join(name), scratch.path().join(name)).ok();
    }
    let connection = Connection::open(scratch.path().join("t.sqlite")).ok()?;
    Some((scratch, connection))
}
