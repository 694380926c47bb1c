//! Random trees: every type, hostile names, links, holes and attributes up to
//! what ext4 takes. All randomness comes from the seed.

use super::dress::{ACCESS, DEFAULT, acl, add_flags, capability, drop_flags, mode, node};
use super::random::Random;
use filetime::FileTime;
use rustix::fs::{FileType, IFlags, makedev};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::path::{Path, PathBuf};

const NAMES: &[&[u8]] = &[
    b"plain",
    b"a b",
    b" lead",
    b"trail ",
    b"new\nline",
    b"\xff\xfe",
    b"-rf",
    b"--delete",
    b"'",
    b"\"q\"",
    b"$(x)",
    b"\\",
    b"back\\slash",
    b"*",
    b"?[a]",
    b"{a,b}",
    b"...",
    b"..a",
    b"~",
    b"#c",
    b"!neg",
    b"\t",
    b"\x1b[31m",
    b"%s",
    "…é".as_bytes(),
    b"e\xcc\x81",
    b".hidden",
    b"C:\\x",
    b"a.tmp",
    &[b'n'; 255],
    &[0xfe; 255],
];
const SIZES: &[u64] = &[0, 0, 1, 11, 100, 511, 512, 4095, 4096, 4097, 8192, 65_535, 65_536, 65_537, 131_073];
const MODES: &[u32] = &[0o644, 0o600, 0o755, 0, 0o555, 0o2755, 0o1777, 0o4755, 0o6711, 0o7777, 0o444];
const IDS: &[u32] = &[0, 0, 1, 1000, 65_534, 65_536, 4_000_000_000, u32::MAX - 1];
/// The ends of ext4's range among them.
const SECONDS: &[i64] =
    &[-2_147_483_648, -1_000_000_000, -1, 0, 1, 1_700_000_000, 2_147_483_648, 4_294_967_296, 15_032_385_535];
/// What a file system block holds of one inode's attributes, with room for their names.
const XATTR_ROOM: usize = 2800;

/// What was grown, and how to go on with it.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) dirs: Vec<PathBuf>,
    /// The first name of every other inode, but of sockets.
    leaves: Vec<(PathBuf, FileType)>,
    sticky: Vec<PathBuf>,
    pub(crate) sockets: u64,
}

impl Tree {
    /// Grows a tree at `root`, which must not exist.
    pub(crate) fn grow(root: &Path, random: &mut Random) -> Self {
        std::fs::create_dir(root).unwrap();
        let mut tree = Self { dirs: vec![root.to_path_buf()], ..Self::default() };
        let entries = random.between(5, 60);
        tree.sprout(entries, random);
        for (path, kind) in &tree.leaves {
            dress(path, *kind, random);
        }
        for dir in &tree.dirs {
            dress(dir, FileType::Directory, random);
        }
        // Last of all: they forbid the rest.
        tree.flags(random);
        tree
    }

    fn sprout(&mut self, entries: u64, random: &mut Random) {
        for _ in 0..entries {
            let path = self.place(random);
            let kind = match random.below(20) {
                0..4 => {
                    std::fs::create_dir(&path).unwrap();
                    self.dirs.push(path);
                    continue;
                }
                4..12 => FileType::RegularFile,
                12..14 => FileType::Symlink,
                14 => FileType::Fifo,
                15 if random.once_in(3) => FileType::BlockDevice,
                15 => FileType::CharacterDevice,
                16 if random.once_in(3) => FileType::Socket,
                _ if self.leaves.is_empty() => FileType::RegularFile,
                _ => {
                    std::fs::hard_link(&random.pick(&self.leaves).0, &path).unwrap();
                    continue;
                }
            };
            make(&path, kind, random);
            match kind {
                FileType::Socket => self.sockets += 1,
                _ => self.leaves.push((path, kind)),
            }
        }
    }

    /// A path that nothing has yet.
    fn place(&self, random: &mut Random) -> PathBuf {
        loop {
            let name = match random.below(3) {
                0 => random.pick(NAMES).to_vec(),
                1 => format!("n{}", random.below(1000)).into_bytes(),
                _ => {
                    let length = 1 + random.below(12).pow(2);
                    let mut name = random.bytes(length as usize);
                    name.iter_mut().for_each(|b| *b = if matches!(*b, 0 | b'/') { b'_' } else { *b });
                    name
                }
            };
            let path = random.pick(&self.dirs).join(OsStr::from_bytes(&name));
            // Below PATH_MAX, so that the generator can use paths.
            if name != b"." && name != b".." && path.as_os_str().len() < 2000 && path.symlink_metadata().is_err() {
                return path;
            }
        }
    }

    fn flags(&mut self, random: &mut Random) {
        let files = self.leaves.iter().filter(|(_, kind)| *kind == FileType::RegularFile).map(|(path, _)| path);
        for path in files.chain(&self.dirs) {
            if random.once_in(10) {
                add_flags(path, *random.pick(&[IFlags::NODUMP, IFlags::NOATIME, IFlags::SYNC]));
            }
            if random.once_in(40) {
                add_flags(path, *random.pick(&[IFlags::IMMUTABLE, IFlags::APPEND]));
                self.sticky.push(path.clone());
            }
        }
    }

    /// Changes content, attributes and inodes here and there, and adds names.
    pub(crate) fn change(&mut self, random: &mut Random) {
        self.sticky.drain(..).for_each(|path| drop_flags(&path, IFlags::IMMUTABLE | IFlags::APPEND));
        // New symlinks and nodes would inherit these two, and no call could give them to their copies.
        self.dirs.iter().for_each(|dir| drop_flags(dir, IFlags::NODUMP | IFlags::NOATIME));
        let known = self.leaves.len();
        self.sprout(random.between(1, 8), random);
        for (path, kind) in &self.leaves[..known] {
            let file = *kind == FileType::RegularFile;
            match random.below(12) {
                0 if file => {
                    let file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
                    std::io::Write::write_all(&mut &file, &random.bytes(700)).unwrap();
                }
                1 if file => std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(5).unwrap(),
                2 => {
                    std::fs::remove_file(path).unwrap();
                    make(path, *random.pick(&[FileType::RegularFile, FileType::Symlink, FileType::Fifo]), random);
                }
                3 => dress(path, *kind, random),
                _ => {}
            }
        }
        let dir = random.pick(&self.dirs);
        mode(dir, *random.pick(MODES));
    }
}

fn make(path: &Path, kind: FileType, random: &mut Random) {
    match kind {
        FileType::RegularFile if random.once_in(3) => sparse(path, random),
        FileType::RegularFile => {
            let size = if random.once_in(25) { random.between(200_000, 700_000) } else { *random.pick(SIZES) };
            std::fs::write(path, random.bytes(size as usize)).unwrap();
        }
        FileType::Symlink => {
            let target = match random.below(5) {
                0 => b"../../../../../../etc/passwd".to_vec(),
                1 => b"/absolute/nowhere".to_vec(),
                2 => vec![b'l'; *random.pick(&[59, 60, 61, 1000, 4095])],
                3 => b"\xff\n'\\ ".to_vec(),
                _ => b".".to_vec(),
            };
            symlink(OsStr::from_bytes(&target), path).unwrap();
        }
        // 0:0 is overlayfs's whiteout.
        FileType::CharacterDevice => node(path, kind, *random.pick(&[0, makedev(1, 3), makedev(200, 70_000)])),
        FileType::BlockDevice => node(path, kind, makedev(7, 99)),
        _ => node(path, kind, 0),
    }
}

/// Holes at the start, in the middle, at the end, everywhere, or taking turns with data.
fn sparse(path: &Path, random: &mut Random) {
    let file = std::fs::File::create(path).unwrap();
    let size = *random.pick(&[4096, 8192, 100_000, 300_001, 5 << 20]);
    file.set_len(size).unwrap();
    let write = |at: u64, length: u64, random: &mut Random| {
        let length = length.min(size - at.min(size));
        file.write_all_at(&random.bytes(length as usize), at).unwrap();
    };
    match random.below(5) {
        0 => {}
        1 => write(size / 2, size, random),
        2 => write(0, size / 2, random),
        3 => {
            write(0, 1, random);
            write(size - 1, 1, random);
        }
        _ => (0..64).for_each(|block| write(block * 8192, 4096, random)),
    }
}

/// Owner, attributes, mode, times: in the order in which none undoes another.
fn dress(path: &Path, kind: FileType, random: &mut Random) {
    lchown(path, Some(*random.pick(IDS)), Some(*random.pick(IDS))).unwrap();
    xattrs(path, kind, random);
    if kind != FileType::Symlink {
        mode(path, if random.once_in(4) { random.below(0o10000) as u32 } else { *random.pick(MODES) });
    }
    let nanos = *random.pick(&[0, 1, 123_456_789, 999_999_999]);
    let time = FileTime::from_unix_time(*random.pick(SECONDS), nanos);
    filetime::set_symlink_file_times(path, time, time).unwrap();
}

fn xattrs(path: &Path, kind: FileType, random: &mut Random) {
    for old in xattr::list(path).unwrap() {
        xattr::remove(path, old).unwrap();
    }
    let inner = matches!(kind, FileType::RegularFile | FileType::Directory);
    if inner && random.once_in(25) {
        fullest(path, random);
        return;
    }
    let mut room = XATTR_ROOM;
    let mut set = |name: &[u8], value: &[u8]| {
        if value.len() <= room {
            room -= value.len();
            xattr::set(path, OsStr::from_bytes(name), value).unwrap();
        }
    };
    if inner && random.once_in(3) {
        let length = *random.pick(&[0, 1, 30, 300, 1500]);
        let names: [&[u8]; 3] = [b"user.a", b"user.\xff \n", b"user.n"];
        let name = *random.pick(&names);
        set(name, &random.bytes(length));
        set(b"user.second", &random.bytes(7));
    }
    if random.once_in(6) {
        let length = *random.pick(&[0, 2, 600]);
        set(b"trusted.t", &random.bytes(length));
    }
    if random.once_in(12) {
        set(b"security.made-up", b"\0");
    }
    if kind == FileType::RegularFile && random.once_in(8) {
        set(b"security.capability", &capability(random.below(1 << 31) as u32, random.once_in(2)));
    }
    if kind != FileType::Symlink && random.once_in(5) {
        set(ACCESS.as_bytes(), &random_acl(random));
    }
    if kind == FileType::Directory && random.once_in(4) {
        set(DEFAULT.as_bytes(), &random_acl(random));
    }
}

/// One attribute as large as the file system takes.
fn fullest(path: &Path, random: &mut Random) {
    let largest = (3000..4096).rev().find(|n| xattr::set(path, "user.max", &random.bytes(*n)).is_ok());
    largest.expect("some size fits");
}

pub(crate) fn random_acl(random: &mut Random) -> Vec<u8> {
    let mut perm = || random.below(8) as u16;
    let (owner, group, other) = (perm(), perm(), perm());
    let users = [(0, perm()), (1234, perm()), (u32::MAX - 1, perm())];
    let groups = [(5, perm()), (100_000, perm())];
    let (users, groups) = (&users[..random.below(4) as usize], &groups[..random.below(3) as usize]);
    acl(owner, users, group, groups, other)
}
