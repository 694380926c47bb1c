//! File systems that are mounted for one test, in the source or elsewhere.

use super::{sh, system};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A mount that ends with the test.
pub(crate) struct Attached(PathBuf);

impl Attached {
    /// `mount args point`; the directory is made.
    pub(crate) fn new(args: &[&str], point: &Path) -> Self {
        std::fs::create_dir_all(point).unwrap();
        Self::over(args, point)
    }

    /// The same over what is there, a file for example.
    pub(crate) fn over(args: &[&str], point: &Path) -> Self {
        let mut all: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        all.push(point.as_os_str());
        system("mount", &all);
        Self(point.to_path_buf())
    }

    /// Takes over a mount that another program has made.
    pub(crate) fn held(point: &Path) -> Self {
        Self(point.to_path_buf())
    }

    pub(crate) fn tmpfs(options: &str, point: &Path) -> Self {
        Self::new(&["-t", "tmpfs", "-o", options, "none"], point)
    }

    /// A fresh file system of `mib` MiB in `image`.
    pub(crate) fn fresh(kind: &str, mib: u64, image: &Path, point: &Path) -> Self {
        make_image(kind, mib, &[], image);
        Self::image(image, "loop", point)
    }

    pub(crate) fn image(image: &Path, options: &str, point: &Path) -> Self {
        Self::new(&["-o", options, image.to_str().unwrap()], point)
    }

    /// Unmounts now, and fails if anything still holds it.
    pub(crate) fn unmount(self) {
        // A process that another test starts holds this one's descriptors until its exec.
        let busy = || !std::process::Command::new("umount").arg(&self.0).output().unwrap().status.success();
        if (0..50).all(|_| {
            busy() && {
                std::thread::sleep(std::time::Duration::from_millis(20));
                true
            }
        }) {
            sh!("umount", self.0);
        }
        std::mem::forget(self);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// `mkfs.kind args` on a sparse file of `mib` MiB.
pub(crate) fn make_image(kind: &str, mib: u64, args: &[&str], image: &Path) {
    std::fs::File::create(image).unwrap().set_len(mib << 20).unwrap();
    let quiet = if kind == "ext4" { "-F" } else { "-f" };
    let mut all: Vec<&OsStr> = ["-q", quiet].into_iter().chain(args.iter().copied()).map(OsStr::new).collect();
    all.push(image.as_os_str());
    system(&format!("mkfs.{kind}"), &all);
}
