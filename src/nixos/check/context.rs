//! What every check reads, put together once.

use super::home::{self, Home};
use super::id_files::IdFiles;
use super::plan_file::PlanFile;
use super::row::Remedy;
use super::system::{self, Booted, Fstab};
use super::tree::SystemTree;
use crate::base::path::{Name, RelPath};
use crate::base::shell;
use crate::sys::mounts::Mount;
use crate::sys::{Errno, mounts};
use std::os::unix::ffi::OsStrExt;

/// Shared by all checks, read only.
pub(super) struct CheckContext {
    pub(super) tree: SystemTree,
    pub(super) file: PlanFile,
    pub(super) booted: Booted,
    /// An error if `/proc` is not mounted.
    pub(super) mounts: Result<Vec<Mount>, Errno>,
    pub(super) ids: IdFiles,
    pub(super) homes: Vec<Home>,
    pub(super) fstab: Fstab,
}

/// True for what a row's command has moved aside: nothing uses it.
pub(super) fn is_aside(name: &Name) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".aside") || name.ends_with(b"~") && name.windows(8).any(|part| part == b".aside.~")
}

impl CheckContext {
    pub(super) fn new(tree: SystemTree, file: PlanFile, booted: Booted) -> Self {
        let ids = IdFiles::read(&tree);
        let homes = home::of(&tree.plan, &file, &ids);
        let fstab = system::fstab(&tree, booted);
        Self { tree, file, booted, mounts: mounts::table(), ids, homes, fstab }
    }

    /// A mount of the table by its id.
    pub(super) fn mount(&self, id: u64) -> Option<&Mount> {
        self.mounts.as_ref().ok()?.iter().find(|mount| mount.id == id)
    }

    /// The command that runs the plan on this root.
    pub(super) fn run_plan(&self, options: &str) -> String {
        let words = [&self.file.path, &self.tree.plan.root].map(|path| shell::word(path.as_os_str().as_bytes()));
        format!("persistcp --plan {} --root {}{options}", words[0], words[1])
    }

    /// The command that restores what is missing from the target.
    pub(super) fn bring_back(&self) -> String {
        self.run_plan(" --repair")
    }

    /// The command that replaces a broken `path` by the backup's and keeps the broken one beside it: a run
    /// never reverts what somebody has changed.
    pub(super) fn bring_anew(&self, path: &RelPath) -> Remedy {
        self.aside(path).then(Remedy::Run(self.bring_back()))
    }

    /// The command that moves `path` aside; what was moved there before gets a number.
    pub(super) fn aside(&self, path: &RelPath) -> Remedy {
        self.tree.command_by_name(path, |word| format!("mv -T --backup=numbered {word} {word}.aside"))
    }
}
