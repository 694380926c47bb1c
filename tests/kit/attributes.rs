//! One tree with every attribute that ext4, XFS and btrfs can all hold.

use super::disk::World;
use super::dress::{ACCESS, DEFAULT, acl, capability, mode, node};
use super::sh;
use filetime::FileTime;
use rustix::fs::{FileType, makedev};
use std::os::unix::fs::{FileExt, chown, lchown, symlink};

/// Every attribute at once; directories' modes and times last.
pub(crate) fn everything(world: &World) {
    let dir = world.data();
    world.file("data/plain", "plain");
    world.file("data/empty", "");
    modes_and_owners(world);
    attributes(world);
    world.file("data/sub/deep/file", vec![3; 200_000]);
    let sparse = std::fs::File::create(dir.join("sub/sparse")).unwrap();
    sparse.set_len(3 << 20).unwrap();
    sparse.write_all_at(&[5; 9000], 1 << 20).unwrap();
    symlink("/absolute/nowhere", dir.join("dangling")).unwrap();
    symlink("plain", dir.join("link")).unwrap();
    // XFS holds no longer ones.
    symlink("l".repeat(1023), dir.join("long")).unwrap();
    lchown(dir.join("link"), Some(1000), Some(100)).unwrap();
    xattr::set(dir.join("link"), "trusted.onlink", b"v").unwrap();
    node(&dir.join("fifo"), FileType::Fifo, 0);
    node(&dir.join("null"), FileType::CharacterDevice, makedev(1, 3));
    node(&dir.join("whiteout"), FileType::CharacterDevice, 0);
    node(&dir.join("block"), FileType::BlockDevice, makedev(7, 99));
    std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    for (first, other) in [("plain", "sub/linked"), ("link", "sub/samelink"), ("fifo", "sub/deep/samefifo")] {
        std::fs::hard_link(dir.join(first), dir.join(other)).unwrap();
    }
    let times = [
        ("plain", 1, 123_456_789),
        ("empty", -1_000_000_000, 5),
        ("none", -2_147_483_648, 0),
        ("setuid", 4_294_967_303, 999_999_999),
        ("capable", 2_147_483_648, 1),
        ("link", 2_000_000_000, 1),
        ("dangling", -1, 1),
        ("fifo", 77, 7),
        ("null", 2_500_000_000, 8),
        ("sticky", 3_000_000_000, 3),
        ("sub/deep", 11, 999_999_999),
        ("sub", -12, 999_999_999),
        ("locked", 13, 999_999_999),
        ("", 14, 999_999_999),
    ];
    for (name, sec, nsec) in times {
        let time = FileTime::from_unix_time(sec, nsec);
        filetime::set_symlink_file_times(dir.join(name), time, time).unwrap();
    }
}

fn modes_and_owners(world: &World) {
    for (name, owner, bits) in
        [("setuid", (1000, 100), 0o6755), ("stuck", (u32::MAX - 1, 7), 0o1604), ("none", (0, 0), 0)]
    {
        let path = world.file(&format!("data/{name}"), "#!");
        chown(&path, Some(owner.0), Some(owner.1)).unwrap();
        mode(&path, bits);
    }
    for (name, bits) in [("sticky", 0o1777), ("locked", 0o000), ("readonly", 0o555), ("shared", 0o3770)] {
        world.file(&format!("data/{name}/inside"), name);
        chown(world.data().join(name), Some(33), Some(62)).unwrap();
        mode(&world.data().join(name), bits);
    }
}

fn attributes(world: &World) {
    let file = world.file("data/capable", "x");
    xattr::set(&file, "security.capability", &capability(0x2000 | 0x400, true)).unwrap();
    let file = world.file("data/attributes", "x");
    for (name, value) in [("user.empty", b"".as_slice()), ("user.large", &[7; 2000]), ("trusted.t", b"\0\xff")] {
        xattr::set(&file, name, value).unwrap();
    }
    let users: Vec<_> = (0..12).map(|n| (2000 + n, (n % 8) as u16)).collect();
    xattr::set(&file, ACCESS, &acl(6, &users, 0, &[(5, 6)], 4)).unwrap();
    // The largest value that ext4 takes: a block without its header, end mark and entry.
    let file = world.file("data/full", "x");
    xattr::set(&file, "user.max", &[0xa5; 4096 - 32 - 4 - 20]).unwrap();
    let dir = world.data().join("journal");
    std::fs::create_dir(&dir).unwrap();
    chown(&dir, Some(0), Some(62)).unwrap();
    world.file("data/journal/before", "without the ACL that later files inherit");
    xattr::set(&dir, DEFAULT, &acl(7, &[(0, 7), (1234, 5)], 5, &[(62, 5)], 0)).unwrap();
    world.file("data/journal/after", "with it");
    xattr::set(&dir, "user.on-a-directory", b"v").unwrap();
    mode(&dir, 0o2750);
    sh!("chattr", "+d", file);
}
