//! What the journal says, while a run is alive as well: the library reads it without a lock.

use persistcp::base::path::RelPath;
use persistcp::engine::journal::{Location, Reader, Row, State};
use persistcp::engine::manifest;
use persistcp::sys::stat::Kind;
use std::path::Path;

/// Of the plan `t` in `state`; `None` before a run has made the tables.
pub(crate) fn reader(state: &Path) -> Option<Reader> {
    Location::new(state.to_path_buf(), "t").read().unwrap()
}

/// The finished entries.
pub(crate) fn done(reader: &Reader) -> Vec<(RelPath, Row)> {
    let mut done = Vec::new();
    let take = |path, row: Row| {
        if row.state == State::Done {
            done.push((path, row));
        }
        true
    };
    manifest::each(reader, take).unwrap();
    done
}

pub(crate) fn is_file(row: &Row) -> bool {
    row.kind() == Kind::File
}
