//! The source's file systems: recognised across mounts and reboots, and how far their inode numbers
//! and clocks can be trusted.
//!
//! A volume is identified by its kind and by something that does not depend on the device number:
//! `f_fsid`, the UUID for XFS and btrfs, otherwise what was mounted. Rows of the journal have its
//! number in the table `volume`.
//!
//! Observed on Linux 6.18: `f_fsid` is the device number on XFS, squashfs and the FAT family, 0 on
//! every FUSE file system, derived from the UUID on ext4 and erofs, and new at each mount on tmpfs.
//! squashfuse and mergerfs give each name of a linked file its own inode number; bindfs passes on
//! those of several file systems.

use crate::engine::events::note::Note;
use crate::sys::filesystem::{BTRFS, Identity, XFS, identity};
use crate::sys::mounts;
use crate::sys::stat::Stat;
use rustix::fd::AsFd;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// How far its inode numbers can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InodeNumbers {
    /// Two names with one number are one inode, today and after a reboot.
    Real,
    /// A driver makes them up, or passes on those of several file systems.
    Doubtful,
}

/// How far its change times can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Any change of an inode moves its ctime.
    Ticks,
    /// A driver may pass on such a ctime, or a copy of the mtime, or a constant.
    Doubtful,
    /// They are stored like any other attribute, or are the mtime.
    Static,
}

/// In linux/magic.h, or in the file system's own headers: file systems of this kernel on a
/// disk, or in memory, that keep one inode for all names of a file and a ctime of their own.
const LOCAL: [u64; 17] = [
    0xef53,      // ext2, ext3, ext4
    XFS,         //
    BTRFS,       //
    0xf2f5_2010, // f2fs
    ZFS,         //
    0xca45_1a4e, // bcachefs
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x3153_464a, // jfs
    0x5265_4973, // reiserfs
    0x3434,      // nilfs2
    0x2405_1905, // ubifs
    0x7461_636f, // ocfs2
    0x0116_1970, // gfs2
    0x482b,      // hfsplus
    0x7366_746e, // ntfs3
    0x5346_544e, // ntfs
];
/// Read-only images: an inode has one number, its ctime is what the image says.
const IMAGES: [u64; 4] = [0x7371_7368, 0xe0f5_e1e2, 0x28cd_3d45, 0x7275]; // squashfs, erofs, cramfs, romfs
/// Numbers are made up, and the ctime is only the mtime or the btime.
const WITHOUT: [u64; 4] = [0x4d44, 0x2011_bab0, 0x9660, 0x1501_3346]; // vfat, exfat, iso9660, udf
/// NFS passes on the server's ctime, and a number that may be that of several inodes if the server
/// exports several file systems as one.
const NFS: u64 = 0x6969;

fn worth(magic: u64) -> (InodeNumbers, Clock) {
    match magic {
        _ if LOCAL.contains(&magic) => (InodeNumbers::Real, Clock::Ticks),
        _ if IMAGES.contains(&magic) => (InodeNumbers::Real, Clock::Static),
        _ if WITHOUT.contains(&magic) => (InodeNumbers::Doubtful, Clock::Static),
        NFS => (InodeNumbers::Doubtful, Clock::Ticks),
        // FUSE, overlayfs with layers of any kind, 9p, SMB, and what is not known.
        _ => (InodeNumbers::Doubtful, Clock::Doubtful),
    }
}

/// One file system of the source.
#[derive(Debug)]
pub struct Volume {
    /// Its number in the journal.
    pub id: i64,
    /// Its type, as in the mount table.
    pub kind: String,
    /// Numbers of other subvolumes and snapshots of the same file system: shared files have one inode
    /// number and one ctime in all of them.
    relatives: Vec<i64>,
    /// Numbers of those that may be this one: neither key has anything that stays the same wherever it is mounted.
    perhaps: Vec<i64>,
    inodes: InodeNumbers,
    clock: Clock,
    /// What was read again because of it.
    pub reread: Reread,
}

/// Entries whose stat did not prove that they are what was copied. They were read again, and were
/// unchanged.
#[derive(Debug, Default)]
pub struct Reread {
    /// Its clock proves nothing.
    pub clock: AtomicU64,
    /// Inode numbers, change times or the volume itself are not those that were recorded.
    pub numbers: AtomicU64,
    /// Names that its inodes have besides the first that was met.
    pub names: AtomicU64,
    /// How many of those were met.
    pub met: AtomicU64,
}

impl Volume {
    fn of(id: i64, key: &VolumeKey, recorded: &[(i64, String)]) -> Self {
        let (inodes, clock) = worth(key.magic);
        let relatives = match key.family {
            Some(ref family) => recorded.iter().filter(|(_, k)| k.starts_with(family)).map(|(id, _)| *id).collect(),
            None => Vec::new(),
        };
        let alike = |text: &str| key.alike.as_ref().is_some_and(|alike| text.starts_with(alike));
        let may_be = |text: &str| text == UNKNOWN || alike(text);
        let perhaps = recorded.iter().filter(|(_, text)| may_be(text)).map(|(id, _)| *id).collect();
        Self { id, kind: key.kind.clone(), relatives, perhaps, inodes, clock, reread: Reread::default() }
    }

    /// True when the volume with this number is this one, or shares its inodes.
    #[must_use]
    pub fn shares_inodes_with(&self, id: i64) -> bool {
        self.id == id || self.relatives.contains(&id)
    }

    /// True when the volume with this number is another subvolume or snapshot of the same file system.
    #[must_use]
    pub fn is_relative_of(&self, id: i64) -> bool {
        self.id != id && self.relatives.contains(&id)
    }

    /// True when the volume with this number is certainly another file system.
    #[must_use]
    pub fn is_another_than(&self, id: i64) -> bool {
        !self.shares_inodes_with(id) && !self.perhaps.contains(&id)
    }

    /// True when an inode with this stat has not changed as long as its ctime is the same.
    #[must_use]
    pub fn clock_proves(&self, stat: &Stat) -> bool {
        match self.clock {
            Clock::Ticks => true,
            // A copy of the mtime, or a constant, is not after it.
            Clock::Doubtful => stat.ctime > stat.mtime,
            Clock::Static => false,
        }
    }

    /// True when names with one inode number, one stat and several links are one file.
    #[must_use]
    pub fn proves_links(&self) -> bool {
        self.inodes == InodeNumbers::Real && self.clock == Clock::Ticks
    }

    /// True for a read-only image: erofs shows everything in it as immutable.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.inodes == InodeNumbers::Real && self.clock == Clock::Static
    }

    /// True when inode numbers may differ after the next mount.
    #[must_use]
    pub fn makes_up_numbers(&self) -> bool {
        self.inodes == InodeNumbers::Doubtful
    }

    /// Notes about it for the end of a run.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        let mut notes = Vec::new();
        let clock = count(&self.reread.clock);
        if clock > 0 {
            notes.push(Note::RereadForTimes(clock, self.kind.clone()));
        }
        let numbers = count(&self.reread.numbers);
        if numbers > 0 {
            notes.push(Note::RereadForNumbers(numbers, self.makes_up_numbers().then(|| self.kind.clone())));
        }
        let missing = count(&self.reread.names).saturating_sub(count(&self.reread.met));
        if missing > 0 && !self.proves_links() {
            notes.push(Note::NamesNotFound(missing, self.kind.clone()));
        }
        notes
    }
}

/// How a volume is recognised.
#[derive(Debug)]
struct VolumeKey {
    text: String,
    kind: String,
    magic: u64,
    /// What the keys of all its subvolumes begin with.
    family: Option<String>,
    /// What the keys begin with of file systems that it cannot be told from: a driver may show the same under
    /// another name, and a snapshot of ZFS has an id of its own.
    alike: Option<String>,
}

/// The key of what could not be identified.
const UNKNOWN: &str = "unknown";
const ZFS: u64 = 0x2fc1_2fc1;

impl VolumeKey {
    /// For the file system with the device number `dev` that holds `fd`.
    fn of(dev: u64, fd: impl AsFd) -> Self {
        let mount = mounts::of(&fd).ok().flatten();
        let known = identity(&fd);
        let magic = known.as_ref().map_or(0, |id| id.magic);
        let kind = mount.as_ref().map_or_else(|| format!("a file system {magic:#x}"), |mount| mount.kind.clone());
        let mounted = mount.map(|mount| mount.source.to_string_lossy().into_owned()).unwrap_or_default();
        let zfs = || (magic == ZFS).then(|| format!("{magic:x} "));
        let (text, family, alike) = match known {
            Ok(Identity { magic: BTRFS, fsid, uuid: Some(uuid), .. }) => {
                let family = format!("btrfs {} ", hex(&uuid));
                (format!("{family}{fsid:x}"), Some(family), None)
            }
            Ok(Identity { uuid: Some(uuid), .. }) => (format!("{kind} {}", hex(&uuid)), None, None),
            Ok(Identity { fsid, .. }) if ![0, dev].contains(&fsid) => (format!("{magic:x} {fsid:x}"), None, zfs()),
            // Anything that changes with every mount would never be recognised.
            _ if worth(magic).1 == Clock::Static => (kind.clone(), None, None),
            _ => (format!("{kind} {mounted}"), None, Some(format!("{kind} "))),
        };
        Self { text, kind, magic, family, alike }
    }
}

impl VolumeKey {
    fn unknown() -> Self {
        let kind = "an unknown file system".into();
        Self { text: UNKNOWN.into(), kind, magic: 0, family: None, alike: None }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All volumes of a run, by device number.
#[derive(Debug)]
pub struct Volumes(RwLock<KnownVolumes>);

#[derive(Debug)]
struct KnownVolumes {
    by_device: HashMap<u64, Arc<Volume>>,
    /// Numbers and keys, those of earlier runs first.
    keys: Vec<(i64, String)>,
}

impl Volumes {
    /// Knows what the journal has `recorded`.
    #[must_use]
    pub fn new(recorded: Vec<(i64, String)>) -> Self {
        Self(RwLock::new(KnownVolumes { by_device: HashMap::new(), keys: recorded }))
    }

    /// The volume that is mounted with device number `dev`; `open` gives a descriptor on it, and `record`
    /// gets the number and the key of one that the journal does not have. One that cannot be identified
    /// is not trusted in anything.
    pub fn of<F: AsFd, E>(
        &self,
        dev: u64,
        open: impl FnOnce() -> Result<F, E>,
        record: impl FnOnce(i64, &str),
    ) -> Arc<Volume> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).by_device.get(&dev) {
            return Arc::clone(known);
        }
        let key = match open() {
            Ok(fd) => VolumeKey::of(dev, fd),
            Err(_) => VolumeKey::unknown(),
        };
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.by_device.get(&dev) {
            return Arc::clone(known);
        }
        let recorded = known.keys.iter().find(|(_, text)| *text == key.text).map(|(id, _)| *id);
        let id = recorded.unwrap_or_else(|| {
            let id = known.keys.iter().map(|(id, _)| *id).max().unwrap_or(0) + 1;
            record(id, &key.text);
            known.keys.push((id, key.text.clone()));
            id
        });
        let volume = Arc::new(Volume::of(id, &key, &known.keys));
        known.by_device.insert(dev, Arc::clone(&volume));
        volume
    }

    /// Notes about all of them.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.by_device.values().flat_map(|volume| volume.notes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_keeps_its_number_under_another_device_number() {
        let here = || std::fs::File::open(".");
        let first = Volumes::new(Vec::new());
        let mut recorded = Vec::new();
        let one = first.of(1, here, |id, key| recorded.push((id, key.to_string())));
        assert_eq!((one.id, recorded.len()), (1, 1), "{recorded:?}");
        let later = Volumes::new(vec![(3, "btrfs 00 1".into()), (7, recorded[0].1.clone())]);
        assert_eq!(later.of(9, here, |_, key| panic!("{key} is known")).id, 7);
        assert_eq!(later.of(8, || Err::<std::fs::File, ()>(()), |id, _| assert_eq!(id, 8)).id, 8);
    }

    #[test]
    fn snapshots_of_one_btrfs_share_inodes() {
        let key = VolumeKey {
            text: "btrfs aa 2".into(),
            kind: "btrfs".into(),
            magic: BTRFS,
            family: Some("btrfs aa ".into()),
            alike: None,
        };
        let volume = Volume::of(4, &key, &[(1, "btrfs aa 1".into()), (2, "btrfs ab 1".into())]);
        assert_eq!([1, 2, 4].map(|id| volume.shares_inodes_with(id)), [true, false, true]);
        assert!(volume.proves_links());
        assert_eq!([1, 2, 4].map(|id| volume.is_another_than(id)), [false, true, false]);
    }

    #[test]
    fn what_is_known_by_the_name_of_its_mount_may_be_the_same_under_another() {
        let key = |text: &str, alike: Option<&str>| VolumeKey {
            text: text.into(),
            alike: alike.map(str::to_string),
            ..VolumeKey::unknown()
        };
        let recorded = [(1, "fuse.sshfs a:/".into()), (2, "ef53 77".into()), (3, "unknown".into())];
        let volume = Volume::of(9, &key("fuse.sshfs b:/", Some("fuse.sshfs ")), &recorded);
        assert_eq!([1, 2, 3].map(|id| volume.is_another_than(id)), [false, true, false]);
        let volume = Volume::of(9, &key("1021994 5", None), &recorded);
        assert_eq!([1, 2, 3].map(|id| volume.is_another_than(id)), [true, true, false]);
    }
}
