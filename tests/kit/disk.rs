//! A scratch place with a source, and a root that has a real file system mounted at `persist`.

use super::sh;
use std::path::{Path, PathBuf};

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) source: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) persist: PathBuf,
    image: Option<PathBuf>,
}

impl World {
    fn bare() -> Self {
        // Beside the build, not in /tmp: that may be a tmpfs, which is refused as a target.
        let dir = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (source, root) = (dir.path().join("backup"), dir.path().join("mnt"));
        let persist = root.join("persist");
        std::fs::create_dir(&source).unwrap();
        std::fs::create_dir_all(&persist).unwrap();
        Self { dir, source, root, persist, image: None }
    }

    /// A loop-mounted file system of `mib` MiB made by `mkfs.kind args`.
    pub(crate) fn new(kind: &str, mib: u64, args: &[&str]) -> Self {
        let mut world = Self::bare();
        let image = world.dir.path().join("image");
        super::attach::make_image(kind, mib, args, &image);
        sh!("mount", "-o", "loop", image, world.persist);
        world.image = Some(image);
        world
    }

    pub(crate) fn ext4(mib: u64) -> Self {
        Self::new("ext4", mib, &["-b", "4096"])
    }

    pub(crate) fn tmpfs() -> Self {
        let mut world = Self::bare();
        sh!("mount", "-t", "tmpfs", "none", world.persist);
        world.image = Some(PathBuf::new());
        world
    }

    /// A plain directory: not a mount of its own.
    pub(crate) fn plain() -> Self {
        Self::bare()
    }

    /// Writes a file below the source, with its parents.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes the plan that moves `data` to /persist/data, with more text after it.
    pub(crate) fn plan(&self, more: &str) -> PathBuf {
        self.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n{more}\n[[map]]\nname = \"data\"\nfrom = \"/data\"\nto = \"/persist/data\"\n",
            self.source, self.root
        ))
    }

    /// Writes a plan as it is.
    pub(crate) fn plan_text(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("plan.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.persist.join("data")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.source.join("data")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.image.is_some() {
            std::process::Command::new("umount").arg("-l").arg(&self.persist).status().ok();
        }
    }
}
