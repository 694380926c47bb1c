//! One case for each attribute: what it is called in the table, what makes it
//! below an empty directory, and in which respects a copy may differ.

use super::aspect::Aspect::{self, *};
use filetime::FileTime;
use rustix::fs::{CWD, FileType, Mode, makedev};
use std::io::{Error, Result};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::process::Command;

/// Makes a case; an error says that this file system cannot hold it.
type Make = Box<dyn Fn(&Path) -> Result<()>>;

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) make: Make,
    /// What the case is about.
    pub(crate) aspects: &'static [Aspect],
}

/// The case in which the target has something that the source does not.
pub(crate) const CLEARED: &str = "a default ACL of the target, cleared";

fn case(name: &str, aspects: &'static [Aspect], make: impl Fn(&Path) -> Result<()> + 'static) -> Case {
    Case { name: name.to_string(), make: Box::new(make), aspects }
}

fn file(dir: &Path) -> Result<std::path::PathBuf> {
    let path = dir.join("f");
    std::fs::write(&path, "content")?;
    Ok(path)
}

fn node(path: &Path, kind: FileType, major: u32, minor: u32) -> Result<()> {
    Ok(rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), makedev(major, minor))?)
}

fn mtime(path: &Path, sec: i64, nsec: u32) -> Result<()> {
    let time = FileTime::from_unix_time(sec, nsec);
    filetime::set_symlink_file_times(path, time, time)?;
    // What this file system rounds or clamps is not there to be copied.
    let stat = rustix::fs::lstat(path)?;
    if (stat.st_mtime, stat.st_mtime_nsec) == (sec, nsec.into()) { Ok(()) } else { Err(unsupported()) }
}

fn unsupported() -> Error {
    Error::from_raw_os_error(95)
}

/// A command of the system; its failure says that this cannot be held.
fn try_run(program: &str, args: &[&str], path: &Path) -> Result<()> {
    let out = Command::new(program).args(args).arg(path).output()?;
    if out.status.success() { Ok(()) } else { Err(Error::other(String::from_utf8_lossy(&out.stderr).into_owned())) }
}

/// Sets a flag and checks that it is there: some are accepted and dropped.
fn chattr(flag: char, path: &Path) -> Result<()> {
    try_run("chattr", &[&format!("+{flag}")], path)?;
    let out = Command::new("lsattr").arg("-d").arg(path).output()?;
    let shown = String::from_utf8_lossy(&out.stdout).split_whitespace().next().unwrap_or_default().to_string();
    if shown.contains(flag) { Ok(()) } else { Err(unsupported()) }
}

pub(crate) fn all() -> Vec<Case> {
    let mut all = Vec::new();
    content(&mut all);
    types(&mut all);
    owner_and_mode(&mut all);
    times(&mut all);
    xattrs(&mut all);
    links(&mut all);
    flags(&mut all);
    all
}

fn content(all: &mut Vec<Case>) {
    all.push(case("content, at block edges and empty", &[Content, Size], |d| {
        for size in [0, 1, 4095, 4096, 4097, 100_000] {
            std::fs::write(d.join(size.to_string()), vec![7; size])?;
        }
        Ok(())
    }));
    all.push(case("content of a large file", &[Content, Size], |d| {
        std::fs::write(d.join("large"), vec![5; (33 << 20) + 123])
    }));
    all.push(case("holes", &[Holes, Content, Size], |d| {
        for (name, at) in [("end", 0), ("middle", 6 << 20), ("start", (8 << 20) - 4)] {
            let file = std::fs::File::create(d.join(name))?;
            file.set_len(8 << 20)?;
            std::os::unix::fs::FileExt::write_all_at(&file, b"data", at)?;
        }
        std::fs::File::create(d.join("all"))?.set_len(16 << 20)
    }));
}

fn types(all: &mut Vec<Case>) {
    all.push(case("symlinks, verbatim", &[Type, Target], |d| {
        symlink("/absolute/nowhere", d.join("absolute"))?;
        symlink("../../up", d.join("up"))?;
        symlink("x".repeat(1000), d.join("long"))
    }));
    all.push(case("FIFOs", &[Type], |d| node(&d.join("fifo"), FileType::Fifo, 0, 0)));
    all.push(case("character devices", &[Type, Device], |d| node(&d.join("null"), FileType::CharacterDevice, 1, 3)));
    all.push(case("block devices", &[Type, Device], |d| node(&d.join("loop"), FileType::BlockDevice, 7, 300)));
    all.push(case("whiteouts (0:0)", &[Type, Device], |d| {
        // Seen through an overlay, a whiteout is nothing at all.
        let path = d.join("whiteout");
        node(&path, FileType::CharacterDevice, 0, 0)?;
        rustix::fs::lstat(&path).map(drop).map_err(|_| unsupported())
    }));
    all.push(case("names: 255 bytes, spaces, newlines, not UTF-8", &[Type], |d| {
        use std::os::unix::ffi::OsStrExt;
        for name in [&[b'n'; 255][..], b"a b", b"new\nline", b"\xff\xfe"] {
            std::fs::write(d.join(std::ffi::OsStr::from_bytes(name)), "x")?;
        }
        Ok(())
    }));
}

fn owner_and_mode(all: &mut Vec<Case>) {
    all.push(case("user id", &[Owner], |d| chown(file(d)?, Some(1000), None)));
    all.push(case("group id", &[Owner], |d| chown(file(d)?, None, Some(100))));
    all.push(case("ids above 65 535", &[Owner], |d| chown(file(d)?, Some(3_000_000_001), Some(70_000))));
    all.push(case("owner of a symlink", &[Type, Owner], |d| {
        symlink("x", d.join("l"))?;
        lchown(d.join("l"), Some(1000), Some(100))
    }));
    for (name, bits) in [
        ("each of the nine permission bits", (0..9).map(|n| 1 << n).collect()),
        ("set-user-ID", vec![0o4000, 0o4755]),
        ("set-group-ID", vec![0o2000, 0o2755]),
        ("sticky", vec![0o1000, 0o1777]),
    ] {
        let bits: Vec<u32> = bits;
        let of_directories = bits.clone();
        all.push(case(&format!("mode, {name}, of files"), &[Mode_], move |d| {
            for bit in &bits {
                let path = d.join(format!("{bit:o}"));
                std::fs::write(&path, "x")?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(*bit))?;
            }
            Ok(())
        }));
        all.push(case(&format!("mode, {name}, of directories"), &[Mode_], move |d| {
            for bit in &of_directories {
                let path = d.join(format!("{bit:o}"));
                std::fs::create_dir(&path)?;
                std::fs::write(path.join("inside"), "x")?;
                std::fs::set_permissions(path, PermissionsExt::from_mode(*bit))?;
            }
            Ok(())
        }));
    }
    all.push(case("directory modes 0555 and 0000", &[Mode_], |d| {
        for (name, mode) in [("read-only", 0o555), ("locked", 0)] {
            std::fs::create_dir(d.join(name))?;
            std::fs::write(d.join(name).join("inside"), "x")?;
            std::fs::set_permissions(d.join(name), PermissionsExt::from_mode(mode))?;
        }
        Ok(())
    }));
    all.push(case("set-user-ID of another owner", &[Mode_, Owner], |d| {
        let path = file(d)?;
        chown(&path, Some(1000), Some(100))?;
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o6755))
    }));
}

fn times(all: &mut Vec<Case>) {
    all.push(case("mtime, nanoseconds", &[Mtime], |d| mtime(&file(d)?, 1_700_000_001, 123_456_789)));
    all.push(case("mtime before 1970", &[Mtime], |d| mtime(&file(d)?, -1_000_000_000, 5)));
    all.push(case("mtime after 2038", &[Mtime], |d| mtime(&file(d)?, 4_000_000_000, 1)));
    all.push(case("mtime after 2446 (ext4's last)", &[Mtime], |d| mtime(&file(d)?, 16_000_000_000, 0)));
    all.push(case("mtime after 2486 (xfs's last)", &[Mtime], |d| mtime(&file(d)?, 20_000_000_000, 0)));
    all.push(case("mtime of a symlink", &[Type, Mtime], |d| {
        symlink("x", d.join("l"))?;
        mtime(&d.join("l"), 1_000_000_000, 999_999_999)
    }));
    all.push(case("mtime of directories", &[Mtime], |d| {
        std::fs::create_dir_all(d.join("outer/inner"))?;
        std::fs::write(d.join("outer/inner/f"), "x")?;
        mtime(&d.join("outer/inner"), 1_000_000_001, 1)?;
        mtime(&d.join("outer"), 1_000_000_000, 999_999_999)
    }));
    all.push(case("atime (with --atime)", &[Atime], |d| {
        let path = file(d)?;
        filetime::set_file_atime(&path, FileTime::from_unix_time(1_600_000_000, 987_654_321))
    }));
}

fn xattrs(all: &mut Vec<Case>) {
    all.push(case("user.* attributes", &[User], |d| xattr::set(file(d)?, "user.a", b"\0binary\xff")));
    all.push(case("user.* attributes, empty value", &[User], |d| xattr::set(file(d)?, "user.empty", b"")));
    for size in [3000, 15_000, 65_536] {
        all.push(case(&format!("user.* attributes, {size} bytes"), &[User], move |d| {
            xattr::set(file(d)?, "user.large", &vec![b'v'; size])
        }));
    }
    all.push(case("user.* attributes of a directory", &[User], |d| {
        std::fs::create_dir(d.join("d"))?;
        xattr::set(d.join("d"), "user.a", b"1")
    }));
    all.push(case("trusted.* attributes", &[Trusted], |d| xattr::set(file(d)?, "trusted.a", b"1")));
    all.push(case("trusted.* attributes of a symlink", &[Type, Trusted], |d| {
        symlink("x", d.join("l"))?;
        xattr::set(d.join("l"), "trusted.a", b"1")
    }));
    all.push(case("trusted.* attributes of a FIFO", &[Type, Trusted], |d| {
        node(&d.join("p"), FileType::Fifo, 0, 0)?;
        xattr::set(d.join("p"), "trusted.a", b"1")
    }));
    all.push(case("security.* attributes (an SELinux label)", &[Security], |d| {
        xattr::set(file(d)?, "security.selinux", b"system_u:object_r:etc_t:s0\0")
    }));
    all.push(case("capabilities", &[Security], |d| {
        let path = file(d)?;
        chown(&path, Some(1000), None)?;
        try_run("setcap", &["cap_net_raw+ep"], &path)
    }));
    all.push(case("access ACL with named users and groups", &[Acl, Mode_], |d| {
        try_run("setfacl", &["-m", "u:1234:r,g:5:rw,m::rwx"], &file(d)?)
    }));
    all.push(case("default ACL with named users", &[Acl, Mode_], |d| {
        std::fs::create_dir(d.join("d"))?;
        try_run("setfacl", &["-m", "u:1234:rx,d:u:1234:rwx,d:g:62:rx"], &d.join("d"))
    }));
    all.push(case(CLEARED, &[Acl, Mode_], |d| {
        std::fs::create_dir(d.join("d"))?;
        file(d).map(drop)
    }));
}

fn links(all: &mut Vec<Case>) {
    type Inode = fn(&Path) -> Result<()>;
    let kinds: [(&str, Inode); 4] = [
        ("files", |p| std::fs::write(p, "shared")),
        ("symlinks", |p| symlink("x", p)),
        ("FIFOs", |p| node(p, FileType::Fifo, 0, 0)),
        ("device nodes", |p| node(p, FileType::CharacterDevice, 1, 7)),
    ];
    for (what, make) in kinds {
        all.push(case(&format!("hard links of {what}"), &[Type, Links], move |d| {
            std::fs::create_dir(d.join("sub"))?;
            make(&d.join("one"))?;
            for other in ["two", "sub/three"] {
                std::fs::hard_link(d.join("one"), d.join(other))?;
            }
            Ok(())
        }));
    }
}

fn flags(all: &mut Vec<Case>) {
    for (flag, name) in [
        ('i', "immutable"),
        ('a', "append-only"),
        ('d', "no dump"),
        ('A', "no atime"),
        ('S', "synchronous"),
        ('C', "no copy-on-write"),
        ('c', "compressed"),
        ('m', "not compressed"),
    ] {
        all.push(case(&format!("chattr +{flag} ({name})"), &[Flags], move |d| {
            let path = d.join("f");
            // Some only work before there is content.
            std::fs::write(&path, "")?;
            if !matches!(flag, 'i' | 'a') {
                chattr(flag, &path)?;
            }
            std::fs::write(&path, "content")?;
            if matches!(flag, 'i' | 'a') { chattr(flag, &path) } else { Ok(()) }
        }));
    }
    for (flag, name) in
        [('i', "immutable"), ('D', "synchronous"), ('T', "top of hierarchy"), ('P', "project inherited")]
    {
        all.push(case(&format!("chattr +{flag} of a directory ({name})"), &[Flags], move |d| {
            let dir = d.join("d");
            std::fs::create_dir(&dir)?;
            std::fs::write(dir.join("inside"), "x")?;
            chattr(flag, &dir)
        }));
    }
    all.push(case("project id", &[Project], |d| try_run("chattr", &["-p", "4711"], &file(d)?)));
}

/// A tree of all cases that the file system of `dir` can hold, each in a directory
/// of its number; which ones it cannot.
pub(crate) fn build(dir: &Path, cases: &[Case]) -> Vec<bool> {
    std::fs::create_dir(dir).unwrap();
    let mut held = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let place = dir.join(n.to_string());
        std::fs::create_dir(&place).unwrap();
        let made = (case.make)(&place);
        if made.is_err() {
            // What is half made must not be compared.
            Command::new("chattr").args(["-R", "-f", "-ia"]).arg(&place).status().unwrap();
            std::fs::remove_dir_all(&place).unwrap();
        }
        held.push(made.is_ok());
    }
    held
}
