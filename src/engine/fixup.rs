//! Corrections after the copy, and the proof that they hold.
//!
//! The copier has already applied them to everything that it wrote, so nothing is ever wider than
//! at its end; this pass handles what was there before. Each inode is compared with what all
//! fixups together ask for, so none undoes another. If an inode had that and was given something
//! else since, somebody has changed it: it is kept and reported until `--repair` restores it.

mod attributes;
mod below;

use super::events::kind::ProblemKind;
use super::events::no_thread::NoThread;
use super::events::operation::Operation;
use super::events::problem::{Problem, Problems};
use super::events::unpreserved::Disk;
use super::events::value::PropertyValue;
use super::journal::{AcceptedAs, AcceptedRow, Fixed, Reader, Row, RowChange, State};
use super::judge::altered;
use super::mapping::explicit::{Covering, Explicit};
use super::mapping::model::{Fixup, Mapping};
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::Detail;
use crate::sys::dir::{TargetDir, open_target};
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use attributes::{OwnerAndMode, has};
use below::{Met, RecursiveFixup};
use std::collections::BTreeMap;

/// What one fixup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixupOutcome {
    /// The fixup's path below the root.
    pub path: String,
    /// How it ended.
    pub result: Settled,
    /// Inodes that this run changed.
    pub changed: u64,
    /// What the path has now.
    pub now: PropertyValue,
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

/// What a pass over the fixups works with.
#[derive(Clone, Copy)]
pub struct FixupContext<'a> {
    /// The plan.
    pub plan: &'a Mapping,
    /// Owners are set.
    pub owners: bool,
    /// What somebody has changed is restored.
    pub repair: bool,
    /// What earlier runs recorded, if there is a journal.
    pub journal: Option<&'a Reader>,
    /// Where failures go.
    pub problems: &'a Problems,
}

/// Inodes that wait to be handled while the walk goes on; each holds a directory open.
const FOUND: usize = 8;

/// The result of applying the fixups, to be reported and recorded.
#[derive(Debug, Default)]
pub struct AppliedFixups {
    /// How each ended.
    pub outcomes: Vec<FixupOutcome>,
    /// Rows whose inodes were changed; to be recorded once those are durable.
    pub fixed: Vec<Fixed>,
    /// The value of [`FIXED`]: the attributes of each path that has no row.
    pub paths: String,
}

/// The key in the journal that holds the paths of fixups with what they had at the end of the last
/// run.
pub const FIXED: &str = "fixups";

/// Applies every fixup. `by_copy` tells which ones the copier has applied to something.
#[must_use]
pub fn apply(means: FixupContext<'_>, by_copy: &[bool]) -> AppliedFixups {
    let mut applied = AppliedFixups::default();
    let before = recorded_paths(means.journal);
    let mut paths = BTreeMap::new();
    for (i, fixup) in means.plan.fixups.iter().enumerate() {
        let own = before.get(&fixup.path.to_string()).copied();
        let mut pass = Pass { means, fixup, own, write: true, changed: 0, failed: false, fixed: Vec::new() };
        let now = pass.run();
        let result = match (pass.failed, by_copy.get(i) == Some(&true) || pass.changed > 0) {
            (true, _) => Settled::Failed,
            (false, true) => Settled::Changed,
            (false, false) => Settled::AlreadySo,
        };
        let now = match now {
            Ok(now) => {
                // What somebody else has set must not pass for ours.
                paths.insert(fixup.path.to_string(), own.filter(|_| pass.failed).unwrap_or(now));
                value(now)
            }
            Err(why) => why,
        };
        applied.outcomes.push(FixupOutcome { path: fixup.path.to_string(), result, changed: pass.changed, now });
        applied.fixed.append(&mut pass.fixed);
    }
    applied.paths = serde_json::to_string(&paths).unwrap_or_default();
    applied
}

fn recorded_paths(journal: Option<&Reader>) -> BTreeMap<String, OwnerAndMode> {
    let text = journal.and_then(|journal| journal.meta(FIXED).ok().flatten());
    // An unreadable journal has already ended the run; without one, fixups are applied as declared.
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn value(((uid, gid), mode): OwnerAndMode) -> PropertyValue {
    PropertyValue::OwnerAndMode(uid, gid, mode)
}

/// Checks every fixup without changing anything.
pub fn check(means: FixupContext<'_>) {
    for fixup in &means.plan.fixups {
        let mut pass = Pass { means, fixup, own: None, write: false, changed: 0, failed: false, fixed: Vec::new() };
        // Failures are among the problems.
        pass.run().ok();
    }
}

struct Pass<'a> {
    means: FixupContext<'a>,
    fixup: &'a Fixup,
    /// What its path had at the end of the last run.
    own: Option<OwnerAndMode>,
    write: bool,
    changed: u64,
    failed: bool,
    fixed: Vec<Fixed>,
}

impl Pass<'_> {
    /// Returns what the path has in the end, or why that is not known.
    fn run(&mut self) -> Result<OwnerAndMode, PropertyValue> {
        let root = &self.means.plan.root;
        let path = &self.fixup.path;
        let (Some(parent), Some(name)) = (path.parent(), path.last()) else {
            return Err(PropertyValue::Plain(String::new()));
        };
        let opened = open_target(root, &parent).and_then(|dir| dir.stat_at(&name).map(|stat| (dir, stat)));
        let (dir, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.failed(path, Operation::FixUp, errno);
                return Err(PropertyValue::NotThere);
            }
        };
        let (said, _) = Covering::of(self.means.plan, &parent).say(self.means.plan, &name, stat.kind);
        self.settle(&dir, path, &stat, said);
        if self.fixup.recursive && stat.kind == Kind::Directory {
            self.below();
        }
        match dir.stat_at(&name) {
            Ok(now) => Ok(((now.uid, now.gid), now.mode)),
            Err(errno) => Err(PropertyValue::Unread(errno)),
        }
    }

    /// Everything below. What the walk finds different is checked again and handled here, one after
    /// the other: two names may be one inode.
    fn below(&mut self) {
        let (send, met) = crossbeam_channel::bounded(FOUND);
        let below = RecursiveFixup::new(self.means.plan, self.means.owners, send);
        let path = &self.fixup.path;
        std::thread::scope(|threads| {
            let walk = std::thread::Builder::new().name("fixups".into());
            if let Err(error) = walk.spawn_scoped(threads, move || below.run(path)) {
                let detail = Detail::FixupWithoutThread(NoThread::One(error.to_string()));
                self.fail(Problem::new(path.clone(), ProblemKind::Fixup, detail));
            }
            for met in met {
                match met {
                    Met::Other { dir, name, path, said } => match dir.stat_at(&name) {
                        Ok(stat) => self.settle(&dir, &path, &stat, said),
                        Err(errno) => self.failed(&path, Operation::FixUp, errno),
                    },
                    Met::Failed(problem) => self.fail(problem),
                }
            }
        });
    }

    fn settle(&mut self, dir: &TargetDir, path: &RelPath, stat: &Stat, said: Explicit) {
        let mode = said.mode.filter(|_| stat.kind != Kind::Symlink);
        let wanted = attributes::wanted(stat, said, self.means.owners);
        if wanted == has(stat) {
            return;
        }
        let Some(name) = path.last() else { return };
        let row = self.row(path);
        let recorded = match &row {
            Some(row) => Some((row.wanted.owner.unwrap_or(wanted.0), row.wanted.mode)),
            None => self.own.filter(|_| *path == self.fixup.path),
        };
        let standing = row.as_ref().map(|row| row.standing(stat, Disk::usual(stat.dev)));
        let had = recorded == Some(wanted);
        // Nor does a repair undo what was accepted.
        if (had || row.is_none()) && self.is_accepted(path, stat) {
            return;
        }
        let altered = !self.means.repair && had;
        if self.write && !altered {
            let result = change(dir, &name, stat, wanted.0, wanted.1);
            match result.and_then(|()| dir.stat_at(&name)) {
                Ok(now) if wanted == has(&now) => {
                    self.changed += 1;
                    self.fixed.extend(row.zip(standing).map(|(row, standing)| Fixed::new(&row, standing, &now)));
                    if mode.is_none() && wanted.1 != stat.mode {
                        self.means.problems.note_rights_taken(path.clone());
                    }
                }
                Ok(now) => {
                    self.fail(Problem::new(
                        path.clone(),
                        ProblemKind::Fixup,
                        Detail::FixupUndone((now.uid, now.gid), now.mode),
                    ));
                }
                Err(errno) => self.failed(path, Operation::FixUp, errno),
            }
        } else if altered && self.write {
            self.failed = true;
            // Changed content is already reported, and covers the rest.
            if standing == Some(RowChange::Changed) {
                return;
            }
            self.report_altered(path, wanted, has(stat), row.as_ref());
        } else if row.is_none() || recorded != Some(wanted) {
            // If it has a row, it is compared with that.
            self.failed = true;
            let problem = Problem::differs(path.clone(), ProblemKind::Fixup, value(wanted), value(has(stat)));
            self.means.problems.add(problem);
        }
    }

    /// The row of a path that a run has finished.
    fn row(&self, path: &RelPath) -> Option<Row> {
        let row = self.means.journal?.find_path(path).ok().flatten();
        row.filter(|row| matches!(row.state, State::Done | State::Bad))
    }

    /// True when its owner set what it has, and that was accepted.
    fn is_accepted(&self, path: &RelPath, stat: &Stat) -> bool {
        let accepted = self.means.journal.and_then(|journal| journal.accepted_at(path).ok().flatten());
        accepted.is_some_and(|AcceptedRow { what, row }| {
            let owner = row.wanted.owner.is_none_or(|owner| owner == (stat.uid, stat.gid));
            what == AcceptedAs::Content && row.kind() == stat.kind && owner && row.wanted.mode == stat.mode
        })
    }

    /// Reports the same as the copy, which looks at every entry of the source.
    fn report_altered(&self, path: &RelPath, wanted: OwnerAndMode, found: OwnerAndMode, row: Option<&Row>) {
        let ((uid, gid), mode) = wanted;
        let ((has_uid, has_gid), has_mode) = found;
        let differences = [
            (ProblemKind::Owner, uid.to_string(), has_uid.to_string()),
            (ProblemKind::Group, gid.to_string(), has_gid.to_string()),
            (ProblemKind::Mode, format!("{mode:04o}"), format!("{has_mode:04o}")),
        ];
        let target = row.and_then(|row| self.means.plan.targets.get(row.target as usize));
        for (kind, expected, found) in differences.into_iter().filter(|(_, expected, found)| expected != found) {
            let problem = altered(Problem::differs(path.clone(), kind, expected, found));
            self.means.problems.add(problem.in_target(target.map_or("", |target| &target.name)));
        }
    }

    fn failed(&mut self, path: &RelPath, op: Operation, errno: Errno) {
        self.fail(Problem::failed(path.clone(), ProblemKind::Fixup, op, errno));
    }

    fn fail(&mut self, problem: Problem) {
        self.failed = true;
        self.means.problems.add(problem);
    }
}

/// Owner first: chown(2) clears set-ID bits, even those that the plan's mode asks for. Both are
/// applied to the inode that was checked, whatever has its name now.
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
