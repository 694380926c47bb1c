//! The tests' own comparator. It shares no code with the product: a tree is read
//! by directory descriptor, at any depth, and compared attribute by attribute.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, SeekFrom};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: FileType,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, u64),
    pub(crate) size: u64,
    pub(crate) rdev: u64,
    pub(crate) content: String,
    pub(crate) link: Vec<u8>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The letters of lsattr(1) that a user can ask for.
    pub(crate) flags: String,
    /// Where the data lies; compared by [`holes`] alone, as file systems round differently.
    pub(crate) extents: Vec<(u64, u64)>,
    /// The first path, in order, of the same inode.
    pub(crate) group: Vec<u8>,
    pub(crate) allocated: u64,
}

pub(crate) type Snapshot = BTreeMap<Vec<u8>, Node>;

/// Everything at and below `root`, but not persistcp's state nor sockets, which are not copied.
pub(crate) fn take(root: &Path) -> Snapshot {
    let mut nodes = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let fd = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    visit(&fd, Vec::new(), &mut nodes, &mut inodes);
    let mut first: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
    for (path, node) in &mut nodes {
        node.group = first.entry(inodes[path]).or_insert_with(|| path.clone()).clone();
    }
    nodes
}

fn visit(fd: &OwnedFd, path: Vec<u8>, nodes: &mut Snapshot, inodes: &mut BTreeMap<Vec<u8>, (u64, u64)>) {
    let stat = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH).unwrap();
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind == FileType::Socket {
        return;
    }
    let proc = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut xattrs = BTreeMap::new();
    if let Ok(names) = xattr::list_deref(&proc) {
        for name in names {
            let bytes = std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()).to_vec();
            // XFS shows each ACL a second time under a name of its own.
            if !bytes.starts_with(b"trusted.SGI_ACL_") {
                xattrs.insert(bytes, xattr::get_deref(&proc, &name).unwrap().unwrap());
            }
        }
    }
    let link = match kind {
        FileType::Symlink => rustix::fs::readlinkat(fd, c"", Vec::new()).unwrap().into_bytes(),
        _ => Vec::new(),
    };
    inodes.insert(path.clone(), (stat.st_dev, stat.st_ino));
    let (content, extents) = match kind {
        FileType::RegularFile => content(&proc, stat.st_size as u64),
        _ => Default::default(),
    };
    nodes.insert(
        path.clone(),
        Node {
            kind,
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            mtime: (stat.st_mtime, stat.st_mtime_nsec as u64),
            size: if kind == FileType::RegularFile { stat.st_size as u64 } else { 0 },
            rdev: if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) { stat.st_rdev } else { 0 },
            content,
            link,
            xattrs,
            flags: if matches!(kind, FileType::RegularFile | FileType::Directory) {
                flags(&proc)
            } else {
                String::new()
            },
            extents,
            group: Vec::new(),
            allocated: stat.st_blocks as u64 * 512,
        },
    );
    if kind != FileType::Directory {
        return;
    }
    let reading =
        rustix::fs::openat(fd, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
    for entry in Dir::read_from(&reading).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_bytes();
        if [b".".as_slice(), b"..", b".persistcp", b"lost+found"].contains(&name) {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let child = rustix::fs::openat(fd, entry.file_name(), flags, Mode::empty()).unwrap();
        let mut below = path.clone();
        below.push(b'/');
        below.extend_from_slice(name);
        visit(&child, below, nodes, inodes);
    }
}

/// Flags of ioctl_iflags(2) that are not the file system's own layout.
fn flags(path: &str) -> String {
    const MEANT: [(u32, char); 14] = [
        (0x1, 's'),
        (0x2, 'u'),
        (0x4, 'c'),
        (0x8, 'S'),
        (0x10, 'i'),
        (0x20, 'a'),
        (0x40, 'd'),
        (0x80, 'A'),
        (0x400, 'm'),
        (0x4000, 'j'),
        (0x8000, 't'),
        (0x1_0000, 'D'),
        (0x2_0000, 'T'),
        (0x80_0000, 'C'),
    ];
    let file = std::fs::File::open(path).unwrap();
    // A file system without flags has none set.
    let bits = rustix::fs::ioctl_getflags(&file).map_or(0, |flags| flags.bits());
    MEANT.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| letter).collect()
}

/// A hash of the blocks that are not zero, so that holes and zeros compare equal;
/// and where the data lies.
fn content(path: &str, size: u64) -> (String, Vec<(u64, u64)>) {
    let mut extents = Vec::new();
    let mut file = std::fs::File::open(path).unwrap();
    let mut hasher = blake3::Hasher::new();
    let mut block = [0; 4096];
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
        at = start - start % 4096;
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap().min(size);
        extents.push((start, end));
        rustix::fs::seek(&file, SeekFrom::Start(at)).unwrap();
        while at < end {
            let want = (size - at).min(4096) as usize;
            file.read_exact(&mut block[..want]).unwrap();
            if block[..want].iter().any(|b| *b != 0) {
                hasher.update(&at.to_le_bytes());
                hasher.update(&block[..want]);
            }
            at += want as u64;
        }
        if at >= size {
            break;
        }
    }
    (hasher.finalize().to_hex().to_string(), extents)
}

/// All differences, one a line; empty when the trees are the same.
pub(crate) fn diff(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let shown = |path: &[u8]| path.escape_ascii().to_string();
    let mut out = Vec::new();
    for (path, want) in expected {
        let Some(have) = found.get(path) else {
            out.push(format!("{}: missing", shown(path)));
            continue;
        };
        let mut differs = |what: &str, a: String, b: String| {
            if a != b {
                out.push(format!("{}: {what}: {a} became {b}", shown(path)));
            }
        };
        differs("type", format!("{:?}", want.kind), format!("{:?}", have.kind));
        differs("mode", format!("{:o}", want.mode), format!("{:o}", have.mode));
        differs("owner", format!("{:?}", want.owner), format!("{:?}", have.owner));
        differs("mtime", format!("{:?}", want.mtime), format!("{:?}", have.mtime));
        differs("size", want.size.to_string(), have.size.to_string());
        differs("device", want.rdev.to_string(), have.rdev.to_string());
        differs("content", want.content.clone(), have.content.clone());
        differs("target", shown(&want.link), shown(&have.link));
        differs("links", shown(&want.group), shown(&have.group));
        differs("flags", want.flags.clone(), have.flags.clone());
        differs("xattrs", format!("{:?}", want.xattrs), format!("{:?}", have.xattrs));
        // A hole that was filled; file systems round differently, so a megabyte is let pass.
        if want.kind == FileType::RegularFile && have.allocated > want.allocated + (1 << 20) {
            out.push(format!("{}: {} bytes allocated became {}", shown(path), want.allocated, have.allocated));
        }
    }
    out.extend(found.keys().filter(|p| !expected.contains_key(*p)).map(|p| format!("{}: extra", shown(p))));
    out
}

/// Files whose holes lie elsewhere, one a line: for two trees on the same kind of file system.
pub(crate) fn holes(expected: &Snapshot, found: &Snapshot) -> Vec<String> {
    let both = expected.iter().filter_map(|(path, want)| Some((path, want, found.get(path)?)));
    let moved = both.filter(|(_, want, have)| want.extents != have.extents);
    moved.map(|(p, w, h)| format!("{}: data at {:?} became {:?}", p.escape_ascii(), w.extents, h.extents)).collect()
}

/// Fails with every difference between two trees.
#[track_caller]
pub(crate) fn assert_same(expected: &Path, found: &Path) {
    let differences = diff(&take(expected), &take(found));
    assert!(
        differences.is_empty(),
        "{} differs from {}:\n{}",
        found.display(),
        expected.display(),
        differences.join("\n")
    );
}
