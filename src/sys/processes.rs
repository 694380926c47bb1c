//! What other processes have open, from `/proc` (proc(5)). A process that ends meanwhile, or that the caller may
//! not look into, has nothing open.

use super::stat::{Kind, Stat, stat_fd};
use rustix::fd::OwnedFd;
use rustix::fs::{Dir, Mode, OFlags};
use std::ffi::{CStr, OsStr};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A regular file that a process has open for writing.
#[derive(Clone, Debug)]
pub struct OpenForWriting {
    /// Its path, as the kernel tells it to this process: from another root, or once it is removed, it names
    /// something else or nothing.
    pub path: PathBuf,
    /// Its inode.
    pub stat: Stat,
    /// It is open for reading as well, and not only to append: a database rather than a log.
    pub is_rewritten: bool,
    /// A lock is held on it through this descriptor.
    pub is_locked: bool,
}

/// The ids of all other processes of this pid namespace.
#[must_use]
pub fn others() -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id| *id != std::process::id()).collect()
}

/// The files that `process` has open for writing, of those whose path `matters`.
#[must_use]
pub fn open_for_writing(process: u32, matters: impl Fn(&Path) -> bool) -> Vec<OpenForWriting> {
    // By names in an open directory: the kernel looks a process up anew for each path through /proc.
    let directory = |of: &str| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(format!("/proc/{process}/{of}"), flags, Mode::empty()).ok()
    };
    let Some(fds) = directory("fd") else { return Vec::new() };
    let Ok(entries) = Dir::read_from(&fds) else { return Vec::new() };
    let (mut infos, mut found, mut text) = (None, Vec::new(), Vec::new());
    for entry in entries {
        let Ok(entry) = entry else { break };
        let Ok(link) = rustix::fs::readlinkat(&fds, entry.file_name(), text) else {
            text = Vec::new();
            continue;
        };
        if matters(Path::new(OsStr::from_bytes(link.to_bytes()))) {
            infos = infos.or_else(|| directory("fdinfo"));
            let opened = infos.as_ref().and_then(|infos| look_at(&fds, infos, entry.file_name()));
            found.extend(opened.map(|(stat, (is_rewritten, is_locked))| {
                let path = PathBuf::from(OsStr::from_bytes(link.to_bytes()));
                OpenForWriting { path, stat, is_rewritten, is_locked }
            }));
        }
        text = link.into_bytes();
    }
    found
}

/// The inode of a regular file that is open for writing under this descriptor, and what its descriptor tells.
fn look_at(fds: &OwnedFd, infos: &OwnedFd, name: &CStr) -> Option<(Stat, (bool, bool))> {
    let info = rustix::fs::openat(infos, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = Vec::new();
    std::fs::File::from(info).read_to_end(&mut text).ok()?;
    let told = parse_info(&text)?;
    let file = rustix::fs::openat(fds, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = stat_fd(file).ok().filter(|stat| stat.kind == Kind::File)?;
    Some((stat, told))
}

/// Whether it is rewritten, and whether it is locked; `None` if it is not open for writing.
fn parse_info(info: &[u8]) -> Option<(bool, bool)> {
    let lines = || info.split(|b| *b == b'\n');
    let flags = lines().find_map(|line| line.strip_prefix(b"flags:"))?;
    let flags = u32::from_str_radix(std::str::from_utf8(flags).ok()?.trim(), 8).ok()?;
    let has = |flag: OFlags| flags & flag.bits() == flag.bits();
    let (rewrites, appends) = (has(OFlags::RDWR), has(OFlags::APPEND));
    let is_locked = lines().any(|line| line.starts_with(b"lock:"));
    (rewrites || has(OFlags::WRONLY)).then_some((rewrites && !appends, is_locked))
}

/// The name of a process (proc_pid_comm(5)).
#[must_use]
pub fn name(process: u32) -> String {
    let name = std::fs::read(format!("/proc/{process}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_string()
}

/// The control group of a process in the unified hierarchy, or in systemd's own (cgroups(7)).
#[must_use]
pub fn control_group(process: u32) -> Option<String> {
    let groups = std::fs::read(format!("/proc/{process}/cgroup")).ok()?;
    let groups = String::from_utf8_lossy(&groups).into_owned();
    let group =
        |prefix: &str| groups.lines().find_map(|line| line.split_once(prefix).map(|(_, path)| path.to_string()));
    group("0::").or_else(|| group(":name=systemd:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn flags_tell_a_database_from_a_log() {
        assert_eq!(parse_info(b"pos:\t0\nflags:\t0100002\nlock:\t1: POSIX\n"), Some((true, true)));
        assert_eq!(parse_info(b"flags:\t0102001\n"), Some((false, false)), "append only");
        assert_eq!(parse_info(b"flags:\t0100000\n"), None, "read only");
        assert_eq!(parse_info(b"nonsense"), None);
    }

    #[test]
    fn a_child_has_its_own_output_open() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_path_buf();
        let out = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
        // What this process writes its own errors to may be a file as well.
        let mut cat = std::process::Command::new("cat");
        let cat = cat.stdin(std::process::Stdio::piped()).stdout(out).stderr(std::process::Stdio::null());
        let mut child = cat.spawn().expect("started");
        child.stdin.as_mut().expect("piped").write_all(b"x").expect("written");
        assert!(others().contains(&child.id()));
        let open = open_for_writing(child.id(), |found| found == path);
        let [OpenForWriting { path: found, stat, is_rewritten: false, is_locked: false }] = &open[..] else {
            panic!("{open:?}")
        };
        assert_eq!((found, stat.ino), (&path, file.as_file().metadata().expect("a stat").ino()));
        // A pipe is no file.
        assert_eq!(open_for_writing(child.id(), |_| true).len(), 1);
        assert!(control_group(child.id()).is_none_or(|group| group.starts_with('/')));
        drop(child.stdin.take());
        child.wait().expect("ended");
        assert!(open_for_writing(child.id(), |_| true).is_empty());
    }
}
