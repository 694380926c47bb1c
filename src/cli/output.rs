//! How all commands print and end.

use super::exit::Exit;
use crate::base::path::printable;
use std::io::Write;

/// Prints to stdout; a reader that closed the pipe has read enough.
pub(super) fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => fail(&format!("stdout: {error}"), Exit::Problems),
    }
}

/// The same for people: names from disks and plans cannot control the terminal.
pub(super) fn print_text(text: &str) -> Exit {
    print(&printable(text))
}

/// Prints a message to stderr and returns the exit status.
pub(super) fn fail(message: &str, exit: Exit) -> Exit {
    // With stderr closed only the exit status can tell.
    writeln!(std::io::stderr(), "persistcp: {}", printable(message)).ok();
    exit
}
