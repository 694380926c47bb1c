//! persistcp: see the library and `persistcp --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    persistcp::sys::signals::ignore_file_size_limit();
    let exit = persistcp::cli::main();
    persistcp::sys::fault::write_counts();
    exit.into()
}
