//! The one place where a system call can be made to fail, or to wait, for tests.
//!
//! Only builds with `debug_assertions` have it; in a release `next` returns `None` and costs nothing.
//! `PERSISTCP_FAULT` controls it:
//!
//! | value | effect |
//! |---|---|
//! | `write:17:EIO` | the 17th call of that kind in the process fails, once |
//! | `read:3:short` | the third read moves fewer bytes than asked for |
//! | `create:9:hold=FILE` | the ninth call creates `FILE`; it and those after it wait until that is removed |
//! | `count:FILE` | nothing fails; `FILE` says at the end how many calls of each kind there were |

use rustix::io::Errno;

/// Declares the kinds of system calls, each with its name in `PERSISTCP_FAULT`.
macro_rules! kinds {
    ($($(#[$doc:meta])* $op:ident = $name:literal,)*) => {
        /// A kind of system call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is named after its call, or after what it asks for")]
        pub enum Op {
            $($(#[$doc])* $op,)*
        }

        /// In the order of their numbers.
        #[cfg(debug_assertions)]
        const NAMES: &[(Op, &str)] = &[$((Op::$op, $name),)*];
    };
}

kinds! {
    Open = "open",
    Create = "create",
    Mkdir = "mkdir",
    Mknod = "mknod",
    Symlink = "symlink",
    Link = "link",
    Rename = "rename",
    Unlink = "unlink",
    Rmdir = "rmdir",
    Read = "read",
    Write = "write",
    Stat = "stat",
    Getdents = "getdents",
    Readlink = "readlink",
    Chown = "chown",
    Chmod = "chmod",
    Utimens = "utimens",
    ListXattr = "listxattr",
    GetXattr = "getxattr",
    SetXattr = "setxattr",
    RemoveXattr = "removexattr",
    GetFlags = "getflags",
    SetFlags = "setflags",
    GetProject = "getproject",
    SetProject = "setproject",
    Truncate = "truncate",
    Fallocate = "fallocate",
    SeekData = "seekdata",
    Syncfs = "syncfs",
    SyncRange = "syncrange",
    Reflink = "reflink",
    Close = "close",
    Statfs = "statfs",
    Fcntl = "fcntl",
    Flock = "flock",
    /// fadvise(2): failure only costs speed.
    Advise = "advise",
    /// preadv2(2) of one byte, to see whether it is cached.
    Probe = "probe",
    /// io_uring_setup(2): files are then read one by one.
    Ring = "ring",
}

/// What a call does instead of its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(debug_assertions), expect(dead_code, reason = "nothing fails on purpose in a release"))]
pub(super) enum Fault {
    /// It fails.
    Fails(Errno),
    /// It moves fewer bytes.
    Short,
}

/// How many bytes a short transfer of `length` bytes moves: whole blocks if possible, as `O_DIRECT`
/// does.
pub(super) fn shortened(length: usize) -> usize {
    match length / 2 {
        half if half > 4096 => half - half % 4096,
        _ if length > 4096 => 4096,
        half => half.max(1),
    }
}

#[cfg(not(debug_assertions))]
#[inline(always)]
pub(super) fn next(_: Op) -> Option<Fault> {
    None
}

/// Writes the number of calls, if that was asked for.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn write_counts() {}

#[cfg(debug_assertions)]
pub use inject::write_counts;

#[cfg(debug_assertions)]
pub(super) use inject::next;

#[cfg(debug_assertions)]
mod inject {
    use super::{Fault, NAMES, Op};
    use crate::sys::errno::errno_from_name;
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    static CALLS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

    enum Wish {
        Nothing,
        Count(std::ffi::OsString),
        Fail { op: Op, nth: u64, fault: Fault, text: String },
        Hold { op: Op, nth: u64, file: PathBuf },
    }

    fn wish() -> &'static Wish {
        static WISH: OnceLock<Wish> = OnceLock::new();
        WISH.get_or_init(|| match std::env::var("PERSISTCP_FAULT") {
            Err(_) => Wish::Nothing,
            Ok(text) => match text.strip_prefix("count:") {
                Some(file) => Wish::Count(file.into()),
                // A test with a misspelt fault must not pass for lack of one.
                None => parse(&text).unwrap_or_else(|| panic!("PERSISTCP_FAULT={text} is no fault")),
            },
        })
    }

    fn parse(text: &str) -> Option<Wish> {
        let mut parts = text.splitn(3, ':');
        let (op, nth, fault) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let op = NAMES.iter().find(|(_, name)| *name == op)?.0;
        if let Some(file) = fault.strip_prefix("hold=") {
            return Some(Wish::Hold { op, nth, file: file.into() });
        }
        let fault = match fault {
            "short" => Fault::Short,
            name => Fault::Fails(errno_from_name(name)?),
        };
        Some(Wish::Fail { op, nth, fault, text: text.to_string() })
    }

    /// Waits until somebody removes `file`, which the `first` call creates.
    fn hold(file: &Path, first: bool) {
        if first && let Err(error) = std::fs::write(file, "") {
            panic!("{}: {error}", file.display());
        }
        while file.symlink_metadata().is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Counts a call of kind `op`, and returns its fault, if any.
    pub(in crate::sys) fn next(op: Op) -> Option<Fault> {
        let call = CALLS[op as usize].fetch_add(1, Relaxed) + 1;
        match wish() {
            Wish::Fail { op: wished, nth, fault, text } if *wished == op && *nth == call => {
                let trace = std::backtrace::Backtrace::capture();
                // The run fails even if stderr is closed.
                let made = [Op::Create, Op::Mkdir].iter().any(|op| CALLS[*op as usize].load(Relaxed) > 0);
                let when = if made { "" } else { " before anything was made" };
                writeln!(std::io::stderr(), "fault injected: {text}{when}\n{trace}").ok();
                Some(*fault)
            }
            Wish::Hold { op: wished, nth, file } if *wished == op && *nth <= call => {
                hold(file, *nth == call);
                None
            }
            _ => None,
        }
    }

    /// Writes the number of calls, if that was asked for.
    pub fn write_counts() {
        let Wish::Count(file) = wish() else { return };
        let lines = NAMES.iter().map(|(op, name)| format!("{name} {}\n", CALLS[*op as usize].load(Relaxed)));
        if let Err(error) = std::fs::write(file, lines.collect::<String>()) {
            panic!("{}: {error}", file.display());
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_kind_has_a_name_of_its_own() {
            for (_, name) in NAMES {
                assert_eq!(NAMES.iter().filter(|(_, other)| other == name).count(), 1, "{name}");
            }
        }

        #[test]
        fn only_what_names_a_call_and_an_error_is_a_fault() {
            assert!(matches!(parse("write:17:EIO"), Some(Wish::Fail { op: Op::Write, nth: 17, .. })));
            assert!(
                matches!(parse("read:3:hold=/a:b"), Some(Wish::Hold { op: Op::Read, nth: 3, file }) if file == Path::new("/a:b"))
            );
            for text in ["", "write", "write:x:EIO", "write:1:EWHAT", "writ:1:EIO", "write:1:hold"] {
                assert!(parse(text).is_none(), "{text}");
            }
        }
    }
}
