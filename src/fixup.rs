//! Corrections after the copy, and the proof that they hold.
//!
//! The copier has already put them on everything that it wrote, so nothing is
//! ever wider than at its end; this pass sees to what was there before. Each inode is
//! held to what all fixups together say of it, so none undoes another's word.

use crate::meta::{Rights, SET_ID, lends_rights};
use crate::path::{Name, RelPath};
use crate::plan::explicit::{Covering, Explicit};
use crate::plan::resolved::{Fixup, Resolved};
use crate::problem::{Problem, ProblemKind, Problems};
use crate::sys::dir::{TargetDir, open_target, read_batches};
use crate::sys::file;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, errno_words};

/// What one fixup did.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub struct Outcome {
    /// The fixup's path below the root.
    pub path: String,
    /// How it ended.
    pub result: Settled,
    /// Inodes that this run changed.
    pub changed: u64,
    /// What the path has now, for people.
    pub now: String,
}

/// How a fixup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    /// This run changed something.
    Changed,
    /// Everything was as the plan wants it.
    AlreadySo,
    /// It could not be applied, or did not hold; a problem says why.
    Failed,
}

/// Applies every fixup. `by_copy` tells which ones the copier has put on something.
pub fn apply(plan: &Resolved, owners: bool, by_copy: &[bool], problems: &Problems) -> Vec<Outcome> {
    plan.fixups
        .iter()
        .enumerate()
        .map(|(i, fixup)| one(plan, fixup, owners, by_copy.get(i).copied().unwrap_or(false), problems))
        .collect()
}

/// Checks every fixup without changing anything.
pub fn check(plan: &Resolved, owners: bool, problems: &Problems) {
    for fixup in &plan.fixups {
        let mut pass = Pass { plan, fixup, owners, problems, write: false, changed: 0, failed: false };
        pass.run(&plan.root);
    }
}

fn one(plan: &Resolved, fixup: &Fixup, owners: bool, by_copy: bool, problems: &Problems) -> Outcome {
    let mut pass = Pass { plan, fixup, owners, problems, write: true, changed: 0, failed: false };
    let now = pass.run(&plan.root);
    let result = match (pass.failed, by_copy || pass.changed > 0) {
        (true, _) => Settled::Failed,
        (false, true) => Settled::Changed,
        (false, false) => Settled::AlreadySo,
    };
    Outcome { path: fixup.path.to_string(), result, changed: pass.changed, now }
}

struct Pass<'a> {
    plan: &'a Resolved,
    fixup: &'a Fixup,
    owners: bool,
    problems: &'a Problems,
    write: bool,
    changed: u64,
    failed: bool,
}

impl Pass<'_> {
    fn run(&mut self, root: &std::path::Path) -> String {
        let path = &self.fixup.path;
        let (Some(parent), Some(name)) = (path.parent(), path.last()) else { return String::new() };
        let opened = open_target(root, &parent).and_then(|dir| dir.stat_at(&name).map(|stat| (dir, stat)));
        let (dir, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.fail(path, format!("fixup: {}", errno_words(errno)));
                return "not there".into();
            }
        };
        let (said, _) = Covering::of(self.plan, &parent).say(self.plan, &name, stat.kind);
        self.settle(&dir, &name, path, &stat, said);
        if self.fixup.recursive && stat.kind == Kind::Directory {
            self.below(root);
        }
        match dir.stat_at(&name) {
            Ok(now) => format!("{}:{} {:04o}", now.uid, now.gid, now.mode),
            Err(errno) => errno_words(errno),
        }
    }

    /// Everything below, directory by directory; a list of paths keeps the
    /// descriptors few at any depth.
    fn below(&mut self, root: &std::path::Path) {
        let mut waiting = vec![self.fixup.path.clone()];
        while let Some(path) = waiting.pop() {
            let dir = match open_target(root, &path) {
                Ok(dir) => dir,
                Err(errno) => {
                    self.fail(&path, format!("fixup: {}", errno_words(errno)));
                    continue;
                }
            };
            let covering = Covering::of(self.plan, &path);
            let read = read_batches(&dir, 1024, |batch| {
                for entry in batch {
                    let child = path.join(&entry.name);
                    match dir.stat_at(&entry.name) {
                        Ok(stat) => {
                            let (said, _) = covering.say(self.plan, &entry.name, stat.kind);
                            self.settle(&dir, &entry.name, &child, &stat, said);
                            if stat.kind == Kind::Directory {
                                waiting.push(child);
                            }
                        }
                        Err(errno) => self.fail(&child, format!("fixup: {}", errno_words(errno))),
                    }
                }
                true
            });
            if let Err(errno) = read {
                self.fail(&path, format!("fixup: read: {}", errno_words(errno)));
            }
        }
    }

    fn settle(&mut self, dir: &TargetDir, name: &Name, path: &RelPath, stat: &Stat, said: Explicit) {
        let mode = said.mode.filter(|_| stat.kind != Kind::Symlink);
        let wanted = |stat: &Stat| {
            let owner = if self.owners {
                (said.uid.unwrap_or(stat.uid), said.gid.unwrap_or(stat.gid))
            } else {
                (stat.uid, stat.gid)
            };
            // As while copying: the new owner has not lent these rights out.
            let given = owner != (stat.uid, stat.gid) && lends_rights(stat.kind);
            let had = if given { stat.mode & !SET_ID } else { stat.mode };
            (owner, mode.map_or(had, |mode| mode.of(had, stat.kind == Kind::Directory)))
        };
        let (owner, new_mode) = wanted(stat);
        if (owner, new_mode) == ((stat.uid, stat.gid), stat.mode) {
            return;
        }
        if self.write {
            let result = change(dir, name, stat, owner, new_mode);
            let now = result.and_then(|()| dir.stat_at(name));
            match now {
                Ok(now) if (owner, new_mode) == ((now.uid, now.gid), now.mode) => {
                    self.changed += 1;
                    if mode.is_none() && new_mode != stat.mode {
                        self.problems.note_each(Rights::WORDS, path.clone());
                    }
                }
                Ok(now) => self.fail(path, format!("fixup did not hold: {}:{} {:04o}", now.uid, now.gid, now.mode)),
                Err(errno) => self.fail(path, format!("fixup: {}", errno_words(errno))),
            }
        } else {
            let shown = |owner: (u32, u32), mode| format!("{}:{} {mode:04o}", owner.0, owner.1);
            let (expected, found) = (shown(owner, new_mode), shown((stat.uid, stat.gid), stat.mode));
            self.failed = true;
            self.problems.add(Problem::differs(path.clone(), ProblemKind::Fixup, expected, found));
        }
    }

    fn fail(&mut self, path: &RelPath, message: String) {
        self.failed = true;
        self.problems.add(Problem::new(path.clone(), ProblemKind::Fixup, message));
    }
}

/// Owner first: chown(2) clears set-ID bits, also those that the plan's mode asks for. Both
/// go to the inode that was looked at, whatever has its name by now.
fn change(dir: &TargetDir, name: &Name, stat: &Stat, owner: (u32, u32), mode: u32) -> Result<(), Errno> {
    let handle = dir.open_handle(name)?;
    let now = stat_fd(&handle)?;
    if (now.dev, now.ino) != (stat.dev, stat.ino) {
        return Err(Errno::STALE);
    }
    if owner != (stat.uid, stat.gid) {
        file::chown(Holder::handle(&handle), owner.0, owner.1)?;
    }
    if stat.kind == Kind::Symlink { Ok(()) } else { file::chmod(Holder::handle(&handle), mode) }
}
