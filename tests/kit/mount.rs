//! File systems of every kind, mounted for as long as a value lives.

use super::sh;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fs {
    Ext4,
    Xfs,
    Btrfs,
    Tmpfs,
    Overlay,
    /// The FAT family, as a FUSE driver shows it: the kernel of a test machine may have none.
    Exfat,
    /// Any directory by FUSE, without extended attributes.
    Bindfs,
}

impl Fs {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Tmpfs => "tmpfs",
            Self::Overlay => "overlay",
            Self::Exfat => "exfat",
            Self::Bindfs => "bindfs",
        }
    }
}

/// A mounted file system; dropping it unmounts.
pub(crate) struct Mounted {
    point: PathBuf,
    device: Option<String>,
    below: Option<Box<Mounted>>,
}

impl Mounted {
    /// Mounts a new, empty file system at `point`, which is made if need be; images
    /// and layers go beside it, below `scratch`.
    pub(crate) fn new(fs: Fs, scratch: &Path, point: &Path) -> Self {
        std::fs::create_dir_all(point).unwrap();
        let mut mounted = Self { point: point.to_path_buf(), device: None, below: None };
        let layer = |name: &str| {
            let path = scratch.join(format!("{}-{name}", fs.name()));
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        match fs {
            Fs::Ext4 => mounted.image(scratch, 160, &["mkfs.ext4", "-q", "-F", "-b", "4096"]),
            Fs::Xfs => mounted.image(scratch, 320, &["mkfs.xfs", "-q", "-f"]),
            Fs::Btrfs => mounted.image(scratch, 256, &["mkfs.btrfs", "-q", "-f"]),
            Fs::Tmpfs => sh!("mount", "-t", "tmpfs", "none", point),
            Fs::Overlay => {
                let base = layer("layers");
                mounted.below = Some(Box::new(Self::new(Fs::Ext4, &layer("image"), &base)));
                for name in ["lower", "upper", "work"] {
                    std::fs::create_dir(base.join(name)).unwrap();
                }
                let base = base.display();
                let options = format!("lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work");
                sh!("mount", "-t", "overlay", "overlay", "-o", options, point);
            }
            Fs::Exfat => {
                let image = image(scratch, 160);
                sh!("mkfs.exfat", image);
                let out = Command::new("losetup").args(["-f", "--show"]).arg(&image).output().unwrap();
                assert!(out.status.success(), "losetup: {}", String::from_utf8_lossy(&out.stderr));
                let device = String::from_utf8(out.stdout).unwrap().trim().to_string();
                sh!("mount.exfat-fuse", "-o", "rw", device, point);
                mounted.device = Some(device);
            }
            Fs::Bindfs => sh!("bindfs", "--xattr-none", layer("behind"), point),
        }
        mounted
    }

    /// From here on reading moves no access times.
    pub(crate) fn still(&self) {
        sh!("mount", "-o", "remount,bind,noatime", self.point);
    }

    fn image(&self, scratch: &Path, mib: u64, mkfs: &[&str]) {
        let image = image(scratch, mib);
        let out = Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image).output().unwrap();
        assert!(out.status.success(), "{mkfs:?}: {}", String::from_utf8_lossy(&out.stderr));
        sh!("mount", "-o", "loop", image, self.point);
    }
}

fn image(scratch: &Path, mib: u64) -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    std::fs::create_dir_all(scratch).unwrap();
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = scratch.join(format!("image-{n}"));
    std::fs::File::create(&path).unwrap().set_len(mib << 20).unwrap();
    path
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.point).status().ok();
        drop(self.below.take());
        if let Some(device) = &self.device {
            // The driver lets go of it a moment after the lazy unmount.
            for _ in 0..50 {
                if Command::new("losetup").args(["-d", device]).status().is_ok_and(|s| s.success()) {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}
