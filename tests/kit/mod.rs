//! Disks, runs and the comparator that the tests share.

pub(crate) mod attach;
pub(crate) mod attack;
pub(crate) mod attributes;
pub(crate) mod cuts;
pub(crate) mod damage;
pub(crate) mod disk;
pub(crate) mod dress;
pub(crate) mod faulty;
pub(crate) mod held;
pub(crate) mod journal;
pub(crate) mod mount;
pub(crate) mod nar;
pub(crate) mod nixos;
pub(crate) mod nobody;
pub(crate) mod odd;
pub(crate) mod promise;
pub(crate) mod random;
pub(crate) mod recorder;
pub(crate) mod rights;
pub(crate) mod run;
pub(crate) mod secrets;
pub(crate) mod skip;
pub(crate) mod snapshot;
pub(crate) mod strace;
pub(crate) mod tree;

use skip::skip;

/// True when root-only tests can run.
pub(crate) fn have_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root");
    }
    is_root
}

/// True when all of these programs are installed.
pub(crate) fn have_tools(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| std::env::split_paths(&path).any(|dir| dir.join(tool).exists());
    let missing: Vec<_> = tools.iter().filter(|tool| !is_there(tool)).collect();
    missing.iter().for_each(|tool| skip(&format!("the program {tool}")));
    missing.is_empty()
}

/// Leaves the test, loudly, when it cannot run.
macro_rules! need_root {
    () => {
        if !crate::kit::have_root() {
            return;
        }
    };
}
pub(crate) use need_root;

/// Leaves the test, loudly, when one of these programs is not installed.
macro_rules! need_tools {
    ($($tool:expr),+) => {
        if !crate::kit::have_tools(&[$($tool),+]) {
            return;
        }
    };
}
pub(crate) use need_tools;

/// Runs a command of the system; its failure is the test's.
pub(crate) fn system(program: &str, args: &[&std::ffi::OsStr]) {
    let out = std::process::Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// `system` with arguments of any type.
macro_rules! sh {
    ($program:expr $(, $arg:expr)* $(,)?) => {
        crate::kit::system($program, &[$(std::ffi::OsStr::new(&$arg)),*])
    };
}
pub(crate) use sh;
