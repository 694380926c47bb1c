//! persistcp: see the library and `persistcp --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    persistcp::cli::main().into()
}
