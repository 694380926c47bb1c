//! What earlier runs left that this one has no use for: entries that the plan no
//! longer declares stay on the target and are reported for as long as they are
//! there; halves of large files are removed.

use crate::copy::temporary_name;
use crate::journal::{Journal, JournalError, WriterHandle};
use crate::path::{Name, RelPath};
use crate::plan::resolved::Resolved;
use crate::problem::{Problem, ProblemKind, Problems};
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::file::set_times;
use crate::sys::root::Root;
use crate::sys::stat::Kind;
use crate::sys::xattr::Holder;
use crate::sys::{Errno, leads_nowhere};
use rustix::fs::OFlags;

/// Reports every such entry; one that is gone from the target is forgotten.
pub fn report(
    plan: &Resolved,
    journal: &Journal,
    writer: &WriterHandle,
    problems: &Problems,
) -> Result<(), JournalError> {
    let declared = journal.declared()?;
    for old in journal.undeclared()? {
        if declared.iter().any(|entry| old.dst.strip_prefix(&entry.dst).is_some()) {
            // An outer entry has taken it over; its rows are that one's.
            continue;
        }
        if is_gone(plan, &old.dst) {
            writer.forget(old.dst);
            continue;
        }
        let message = "an earlier run copied it and the plan no longer declares it; it stays as it is: \
                       remove it, or put the entry back";
        problems.add(Problem::new(old.dst, ProblemKind::Extra, message).in_target(&old.target));
    }
    writer.flush();
    Ok(())
}

/// Removes unfinished copies of large files that no run will finish: their source
/// is gone, or left out by now. Only for a run that was not stopped: what it did not
/// finish, nobody asks for.
pub fn clear_unfinished(
    plan: &Resolved,
    journal: &Journal,
    writer: &WriterHandle,
    problems: &Problems,
) -> Result<(), JournalError> {
    let reader = journal.reader()?;
    for row in reader.partial()? {
        let (parent, Ok(name)) = (reader.path_of(row.dir)?, Name::new(&row.name)) else { continue };
        let path = parent.join(&name);
        if is_in_source(plan, &path) {
            // It could not be read or written, which is a problem already; a later run goes
            // on with it. Without its half, a row would speak for whoever gets the inode next.
            if !stands(plan, &parent, &name, row.dst_ino) {
                writer.forget(path);
            }
            continue;
        }
        match open_target(&plan.root, &parent).and_then(|dir| remove(&dir, &name, row.dst_ino)) {
            Ok(true) => {
                problems.note(format!("{path}: the unfinished copy of an earlier run was removed, its source is gone"));
            }
            Ok(false) => {}
            Err(errno) if leads_nowhere(errno) => {}
            Err(errno) => {
                // The row stays, so that the next run tries again.
                let what = "remove the unfinished copy of an earlier run";
                let mut problem = Problem::failed(path, ProblemKind::Io, what, errno);
                problem.message.push_str("; its source is gone and it may be torn: look at it and remove it");
                problems.add(problem);
                continue;
            }
        }
        writer.forget(path);
    }
    writer.flush();
    Ok(())
}

/// True when the backup has what goes to `path`, and no pattern leaves it out.
fn is_in_source(plan: &Resolved, path: &RelPath) -> bool {
    let Ok(source) = Root::open(&plan.source) else { return true };
    plan.targets.iter().any(|target| {
        !target.leaves_out_below_entry(path, false)
            && target.entries.iter().any(|entry| {
                let src = path.strip_prefix(&entry.dst).map(|below| entry.src.join_path(&below));
                src.is_some_and(|src| source.open_in(&src, OFlags::PATH | OFlags::NOFOLLOW).is_ok())
            })
    })
}

/// True unless the target surely has no such inode at either name.
fn stands(plan: &Resolved, parent: &RelPath, name: &Name, ino: u64) -> bool {
    let dir = match open_target(&plan.root, parent) {
        Ok(dir) => dir,
        Err(errno) => return !leads_nowhere(errno),
    };
    [temporary_name(name), name.clone()].iter().any(|at| match dir.stat_at(at) {
        Ok(stat) => (stat.kind, stat.ino) == (Kind::File, ino),
        Err(errno) => errno != Errno::NOENT,
    })
}

/// Unlinks the inode, as it was born, from its own or its temporary name.
fn remove(dir: &TargetDir, name: &Name, ino: u64) -> Result<bool, Errno> {
    for at in [temporary_name(name), name.clone()] {
        let stat = match dir.stat_at(&at) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        if (stat.kind, stat.ino) != (Kind::File, ino) {
            continue;
        }
        if (stat.nlink, stat.mode) != (1, 0o600) {
            // Dressed already, or somebody else's by now.
            return Err(Errno::BUSY);
        }
        // The directory has its times already.
        let above = dir.stat()?;
        dir.unlink(&at)?;
        return set_times(Holder::file(dir), Some(above.atime), above.mtime).map(|()| true);
    }
    Ok(false)
}

/// True when nothing has the name any more; what cannot be looked at is still there.
fn is_gone(plan: &Resolved, path: &RelPath) -> bool {
    let (Some(parent), Some(name)) = (path.parent(), path.last()) else { return false };
    let stat = open_target(&plan.root, &parent).and_then(|dir| dir.stat_at(&name));
    matches!(stat, Err(Errno::NOENT | Errno::NOTDIR))
}
