//! The Nix store's database, which may only be copied while no process has it open.
//!
//! SQLite's readers and writers hold POSIX locks on the database, and in WAL mode on its
//! `-shm` file, for as long as they have it open (sqlite.org/walformat.html, "The WAL-Index
//! File Format"). A copy made while somebody writes may be torn.

use crate::base::path::RelPath;
use crate::engine::events::note::Note;
use crate::engine::events::refusal::Refusal;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::{Mapping, Presence};
use crate::engine::preflight::SourceFinding;
use crate::sys::file::lock_holder;
use crate::sys::root::Root;
use crate::sys::stat::stat_fd;
use crate::sys::{errno_words, leads_nowhere};
use rustix::fs::OFlags;

const DATABASE: &[u8] = b"nix/var/nix/db/db.sqlite";

/// Checks the database if the plan copies it.
pub fn look(plan: &Mapping, source: &Root) -> Option<SourceFinding> {
    let database = RelPath::new(DATABASE).ok()?;
    let mut brought = Index::new(plan).brought_from(plan, &database);
    brought.retain(|brought| brought.entry.presence == Presence::Present && !brought.is_left_out());
    if brought.is_empty() {
        return None;
    }
    let beside = |suffix: &str| {
        let path = RelPath::new(&[DATABASE, suffix.as_bytes()].concat()).unwrap_or_default();
        match source.open_in(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW) {
            Err(errno) if leads_nowhere(errno) => Ok(None),
            opened => opened.map(Some),
        }
    };
    let shown = plan.source.join(database.as_path()).display().to_string();
    let unknown = |suffix: &str, errno| {
        SourceFinding::Note(Note::Told(format!(
            "{shown}{suffix} cannot be read: {}; whether Nix has its database open is not known",
            errno_words(errno)
        )))
    };
    for suffix in ["", "-shm"] {
        let holder = match beside(suffix).and_then(|fd| fd.map_or(Ok(None), |fd| lock_holder(&fd))) {
            Ok(Some(pid)) if pid > 0 => format!("process {pid}"),
            // A process in another pid namespace, or a lock of an open file description.
            Ok(Some(_)) => "a process".to_string(),
            Ok(None) => continue,
            Err(errno) => return Some(unknown(suffix, errno)),
        };
        return Some(SourceFinding::Refusal(Refusal::Told(format!(
            "{holder} has the Nix store's database {shown} open: its WAL is live, and a copy could be torn\n  stop it \
             (systemctl stop nix-daemon.socket nix-daemon.service), copy from a snapshot, or leave the database out \
             (exclude = [\"/var/nix/db\"]) and bring it with `nix-store --dump-db` and `nix-store --load-db`"
        ))));
    }
    for suffix in ["-wal", "-journal"] {
        match beside(suffix).and_then(|fd| fd.map_or(Ok(0), |fd| stat_fd(&fd).map(|stat| stat.size))) {
            Ok(0) => {}
            Ok(_) => {
                return Some(SourceFinding::Note(Note::Told(format!(
                    "{shown}{suffix} is not empty: the machine did not end cleanly, or the backup was taken while Nix \
                     ran. Both files are copied, and SQLite puts them together when Nix opens them; `nix-store --verify` \
                     on the new machine tells"
                ))));
            }
            Err(errno) => return Some(unknown(suffix, errno)),
        }
    }
    None
}
