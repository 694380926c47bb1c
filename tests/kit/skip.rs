//! The one place where a test says that it cannot run, or not all of it.

use std::io::Write;

/// Says so, and writes `lacks` and the test down where `PERSISTCP_SKIPS` names a file:
/// `scripts/test` lists these, and fails where what they lack could be had.
pub(crate) fn skip(lacks: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    eprintln!("SKIPPED: {test} lacks {lacks}");
    if let Some(file) = std::env::var_os("PERSISTCP_SKIPS") {
        let mut list = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(list, "{lacks}: {test}").unwrap();
    }
}
