//! Files and directories that only their owner may open.

use super::context::CheckContext;
use super::row::CheckRow;
use crate::base::path::RelPath;
use crate::sys::leads_nowhere;
use crate::sys::stat::Kind;

/// What must be private.
#[derive(Clone, Copy)]
pub(super) enum Guarded {
    /// 0600, or 0400.
    File,
    /// 0700.
    Directory,
    /// Others may read, but only the owner may write.
    Written,
}

/// Checks the mode of `path`, and its owner if that is known. `None` when it is not there.
pub(super) fn check(
    context: &CheckContext,
    id: &'static str,
    path: &RelPath,
    what: Guarded,
    owner: Option<u32>,
) -> Option<CheckRow> {
    let stat = match context.tree.stat_through(path) {
        Ok(stat) => stat,
        Err(errno) if leads_nowhere(errno) => return None,
        Err(errno) => return Some(CheckRow::unreadable(id, path, errno)),
    };
    let (kind, mode, forbidden) = match what {
        Guarded::File => (Kind::File, 0o600, 0o7177),
        Guarded::Directory => (Kind::Directory, 0o700, 0o077),
        Guarded::Written => (Kind::File, 0o644, 0o022),
    };
    if stat.kind != kind {
        let why = format!("is {}, not {}", stat.kind.words(), kind.words());
        return Some(CheckRow::fail(id, path, why).mend(context.bring_anew(path)));
    }
    let mut wrong = Vec::new();
    let (mut chown, mut chmod) = (None, None);
    if let Some(owner) = owner.filter(|owner| *owner != stat.uid) {
        wrong.push(format!("belongs to {}, not to {owner}", stat.uid));
        chown = Some(owner.to_string());
    }
    if stat.mode & forbidden != 0 || matches!(what, Guarded::Directory) && stat.mode & 0o700 != 0o700 {
        wrong.push(format!("has mode {:04o}, not {mode:04o}", stat.mode));
        chmod = Some(format!("{mode:04o}"));
    }
    Some(if wrong.is_empty() {
        CheckRow::pass(id, path, format!("{}:{} {:04o}", stat.uid, stat.gid, stat.mode))
    } else {
        CheckRow::fail(id, path, format!("{}: programs refuse it, or others read it", wrong.join(" and "))).mend(
            context.tree.command(path, |at| {
                let commands = chown.map(|owner| at.chown(&owner)).into_iter().chain(chmod.map(|mode| at.chmod(&mode)));
                commands.collect::<Vec<_>>().join(" && ")
            }),
        )
    })
}
