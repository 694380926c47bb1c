//! Databases that processes have open while they are to be copied: worth a note for each service, as a copy may
//! be torn until it is made again when the service is stopped.

use crate::base::path::RelPath;
use crate::engine::events::note::{InUse, Note, OpenedBy};
use crate::engine::in_place::is_entry_in_place;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::{Entry, Mapping, Presence};
use crate::sys::filesystem::{mount_id, space};
use crate::sys::processes::{self, OpenForWriting};
use crate::sys::root::{Root, real_path};
use crate::sys::stat::stat_fd;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What belongs to a database of SQLite besides itself.
const BESIDE: [&[u8]; 3] = [b"-wal", b"-shm", b"-journal"];

/// Opens a file of any type, without following a symlink.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW);

/// A note for each service that has a database open for writing which the plan copies. On a read-only source
/// nobody is asked.
pub(super) fn notes(plan: &Mapping, source: &Root, cross_mounts: bool) -> Vec<Note> {
    // What cannot be told is not worth a refusal.
    let (Ok(top), Ok(space)) = (real_path(source), space(source)) else { return Vec::new() };
    if space.read_only {
        return Vec::new();
    }
    let present = plan.targets.iter().flat_map(|target| &target.entries).filter(|e| e.presence == Presence::Present);
    let copied = present.filter(|entry| !is_entry_in_place(plan, source, entry));
    let trees: Vec<OpenTree> = copied.map(|entry| OpenTree::new(&top, source, entry)).collect();
    let index = Index::new(plan);
    let below = |path: &Path| RelPath::new(path.strip_prefix(&top).ok()?.as_os_str().as_bytes()).ok();
    let is_copied = |path: &Path| {
        below(path).is_some_and(|below| {
            let brought = index.brought_from(plan, &below);
            // Behind a symlink the plan's name for it is another one.
            brought.is_empty() || brought.iter().any(|one| !one.is_left_out())
        })
    };
    let is_there = |file: &OpenForWriting| {
        let Some(found) = below(&file.path).and_then(|below| source.open_strict(&below, HANDLE).ok()) else {
            return false;
        };
        let mount = mount_id(&found).ok();
        let on_it = |tree: &OpenTree| file.path.starts_with(&tree.path) && (cross_mounts || tree.mount == mount);
        stat_fd(&found).is_ok_and(|stat| stat.is_inode_of(&file.stat)) && trees.iter().any(on_it)
    };
    let mut found: BTreeMap<OpenedBy, InUse> = BTreeMap::new();
    for process in processes::others() {
        let open = processes::open_for_writing(process, |path| trees.iter().any(|tree| path.starts_with(&tree.path)));
        for path in
            open.into_iter().filter(|file| is_database(file) && is_there(file)).map(|file| database_of(&file.path))
        {
            if !is_copied(&path) {
                continue;
            }
            let name = processes::name(process);
            let unit = unit(processes::control_group(process).as_deref(), &name);
            let new = || InUse { unit: unit.clone(), process, name, files: Vec::new() };
            let files = &mut found.entry(unit.clone()).or_insert_with(new).files;
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    found.into_values().map(|in_use| Note::InUse(Box::new(in_use))).collect()
}

/// What is copied of an entry.
struct OpenTree {
    path: PathBuf,
    /// The id of the mount that it is on, as far as the kernel tells.
    mount: Option<u64>,
}

impl OpenTree {
    fn new(top: &Path, source: &Root, entry: &Entry) -> Self {
        let mount = source.open_strict(&entry.real, HANDLE).and_then(mount_id).ok();
        Self { path: top.join(entry.real.as_path()), mount }
    }
}

fn is_database(file: &OpenForWriting) -> bool {
    file.is_rewritten || file.is_locked || BESIDE.iter().any(|end| file.path.as_os_str().as_bytes().ends_with(end))
}

/// The database that `path` is, or lies beside.
fn database_of(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    let database = BESIDE.iter().find_map(|end| bytes.strip_suffix(*end));
    database.map_or_else(|| path.to_path_buf(), |bytes| PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

/// What to stop: the innermost service of a control group, else the process of this name.
fn unit(group: Option<&str>, process: &str) -> OpenedBy {
    let parts = || group.unwrap_or_default().split('/');
    let of_user = parts().any(|part| part.starts_with("user@"));
    match parts().rfind(|part| part.ends_with(".service")) {
        Some(service) if service.starts_with("user@") => OpenedBy::Process(process.to_string()),
        Some(service) if of_user => OpenedBy::UserService(service.to_string()),
        Some(service) => OpenedBy::Service(service.to_string()),
        None => OpenedBy::Process(process.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_names_what_to_stop() {
        let service = |name: &str| OpenedBy::Service(name.into());
        assert_eq!(unit(Some("/system.slice/postgresql.service"), "postgres"), service("postgresql.service"));
        assert_eq!(unit(Some("/system.slice/docker.service/x"), "x"), service("docker.service"));
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/";
        assert_eq!(unit(Some(&format!("{user}mail.service")), "mail"), OpenedBy::UserService("mail.service".into()));
        assert_eq!(unit(Some(&format!("{user}app-firefox-1.scope")), "firefox"), OpenedBy::Process("firefox".into()));
        assert_eq!(unit(Some("/"), "sh"), OpenedBy::Process("sh".into()));
        assert_eq!(unit(None, "sh"), OpenedBy::Process("sh".into()));
    }

    #[test]
    fn what_lies_beside_a_database_stands_for_it() {
        assert_eq!(database_of(Path::new("/a/app.db-wal")), PathBuf::from("/a/app.db"));
        assert_eq!(database_of(Path::new("/a/app.db")), PathBuf::from("/a/app.db"));
    }
}
