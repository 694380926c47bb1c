//! What is copied while a system call fails: small trees that make every kind of call.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::dress::{ACCESS, DEFAULT, acl, add_flags, capability, drop_flags, mode, node};
use crate::kit::sh;
use rustix::fs::{FileType, IFlags};
use std::os::unix::fs::{FileExt, chown, symlink};
use std::path::Path;

const MIB: u64 = 1 << 20;

/// What a case begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// An empty target, but for a few entries in the places of others.
    First,
    /// A finished copy, whose source has changed here and there.
    Again,
    /// Files without holes that go past the page cache.
    Dense,
    /// Files whose blocks the copies share.
    Shared,
    /// Inodes of a project of quotas, on file systems that know such.
    Project,
}

impl Scene {
    /// Its disks: the target's, and the source's where it needs one of its own.
    pub(super) fn world(self) -> (World, Option<Attached>) {
        if !matches!(self, Self::Project | Self::Shared) {
            return (World::ext4(400), None);
        }
        let world = World::new("xfs", 320, &[]);
        if self == Self::Shared {
            let old = world.persist.join("old");
            std::fs::create_dir(&old).unwrap();
            let source = Attached::new(&["--bind", old.to_str().unwrap()], &world.data());
            return (world, Some(source));
        }
        let source = Attached::fresh("xfs", 320, &world.path().join("source.img"), &world.data());
        (world, Some(source))
    }

    /// Makes the source.
    pub(super) fn plant(self, world: &World) {
        if self == Self::Shared {
            world.file("data/some", vec![7; 5000]);
            world.file("data/dir/more", vec![8; 3 << 19]);
            let sparse = std::fs::File::create(world.data().join("sparse")).unwrap();
            sparse.set_len(4 * MIB).unwrap();
            sparse.write_all_at(&[9; 5000], MIB).unwrap();
        }
        if matches!(self, Self::Dense | Self::Shared) {
            for (name, size) in [("chunked", 64 * MIB + 5), ("direct", 32 * MIB + 4100)] {
                let bytes: Vec<u8> = (0..size).map(|i| (i / 4096 + i) as u8).collect();
                world.file(&format!("data/{name}"), bytes);
            }
            return;
        }
        if self == Self::Project {
            for name in ["data/f", "data/dir/g", "data/dir/of-none"] {
                world.file(name, name);
            }
            for name in ["f", "dir", "dir/g"] {
                sh!("chattr", "-p", "4711", world.data().join(name));
            }
            return;
        }
        world.file("data/empty", "");
        world.file("data/some", vec![7; 5000]);
        world.file("data/more", vec![8; 3 << 19]);
        world.file("data/replaced", "new");
        world.file("data/dir/deep/er/file", "x");
        let dressed = world.file("data/dir/dressed", "dressed");
        chown(&dressed, Some(1000), Some(100)).unwrap();
        xattr::set(&dressed, "user.note", b"kept").unwrap();
        xattr::set(&dressed, "security.capability", &capability(0x400, true)).unwrap();
        xattr::set(&dressed, ACCESS, &acl(7, &[(1234, 5)], 4, &[], 0)).unwrap();
        mode(&dressed, 0o4750);
        let dir = world.data().join("dir");
        xattr::set(&dir, DEFAULT, &acl(7, &[(1234, 5)], 5, &[], 0)).unwrap();
        xattr::set(&dir, ACCESS, &acl(7, &[(1234, 5)], 7, &[], 0)).unwrap();
        mode(&dir, 0o1770);
        symlink("dir/dressed", world.data().join("symlink")).unwrap();
        node(&world.data().join("fifo"), FileType::Fifo, 0);
        world.file("data/linked", "linked");
        std::fs::hard_link(world.data().join("linked"), dir.join("linked")).unwrap();
        std::fs::hard_link(world.data().join("linked"), world.data().join("linked-too")).unwrap();
        let large = std::fs::File::create(world.data().join("large")).unwrap();
        large.set_len(65 * MIB + 9).unwrap();
        for at in [0, 20 * MIB, 64 * MIB] {
            large.write_all_at(&[9; 100_000], at).unwrap();
        }
        add_flags(&world.file("data/undumped", "x"), IFlags::NODUMP);
        add_flags(&world.file("data/immutable", "x"), IFlags::IMMUTABLE);
    }

    /// Makes the target what a case begins with; `round` tells one case's changes from another's.
    pub(super) fn set(self, world: &World, round: u64) {
        match self {
            Self::Again => change(world, round),
            Self::First => {
                clear(world);
                // What stands in the way of the copy.
                std::fs::create_dir_all(world.target().join("dir/deep")).unwrap();
                std::fs::create_dir(world.target().join("empty")).unwrap();
                std::fs::write(world.target().join("replaced"), "old").unwrap();
                std::fs::write(world.target().join("linked-too"), "old").unwrap();
                std::fs::write(world.target().join("symlink"), "old").unwrap();
                xattr::set(world.target().join("dir"), DEFAULT, &acl(7, &[(77, 7)], 5, &[], 0)).unwrap();
            }
            Self::Dense | Self::Project | Self::Shared => clear(world),
        }
    }
}

/// Removes the copy and all that persistcp knows of it.
pub(super) fn clear(world: &World) {
    unlock(&world.target().join("immutable"));
    for path in [world.target(), world.persist.join(".persistcp")] {
        if path.exists() {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

fn unlock(path: &Path) {
    if path.exists() {
        drop_flags(path, IFlags::IMMUTABLE);
    }
}

fn change(world: &World, round: u64) {
    let data = world.data();
    world.file("data/replaced", format!("new in round {round}"));
    world.file(&format!("data/dir/round-{}", round % 5), format!("{round}"));
    world.file("data/linked", format!("linked in round {round}"));
    unlock(&data.join("immutable"));
    add_flags(&world.file("data/immutable", format!("{round}")), IFlags::IMMUTABLE);
    let turning = data.join("turning");
    if turning.symlink_metadata().is_ok() {
        std::fs::remove_file(&turning).unwrap();
    }
    match round % 3 {
        0 => std::fs::write(&turning, "a file").unwrap(),
        1 => symlink("elsewhere", &turning).unwrap(),
        _ => node(&turning, FileType::Fifo, 0),
    }
    xattr::set(data.join("dir/dressed"), "user.note", format!("{round}").as_bytes()).unwrap();
    let large = std::fs::OpenOptions::new().write(true).open(data.join("large")).unwrap();
    large.write_all_at(&round.to_le_bytes(), 20 * MIB).unwrap();
}
