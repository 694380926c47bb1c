//! Names on the target that the manifest does not have.
//!
//! They are looked for at and below the destinations of declared entries; whatever else is in a
//! directory on the way to an entry is not the plan's business. Nothing is ever removed.

use super::place::{Accepting, Listed};
use super::{UsePolicy, Verifier};
use crate::base::path::{Name, RelPath};
use crate::engine::compare::differences::CheckedDir;
use crate::engine::events::detail::{Detail, List};
use crate::engine::events::finding::{UseClass, UseFinding};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, STATE_DIR, State};
use crate::engine::tree::temporary::is_temporary;
use crate::sys::dir::{DirEntry, LOST_AND_FOUND, TargetDir, read_batches};
use crate::sys::leads_nowhere;
use crate::sys::stat::{Kind, Stat};

/// Names of one directory that get a problem each; one more counts the rest.
const NAMED: u64 = 16;

impl Verifier {
    /// Reports names of the directory `name` in `parent`, whose row is `row`, that have no row.
    /// Sockets and names that a pattern leaves out are not part of a copy.
    pub(super) fn extra_names(&self, parent: &TargetDir, name: &Name, path: &RelPath, row: &Row) {
        let (Some(id), State::Done | State::Bad) = (row.id, row.state) else { return };
        if !self.owned.covers(path) {
            return;
        }
        let read = parent.open_dir(name).and_then(|dir| {
            let (stat, mut found) = (dir.stat()?, ExtraNames::default());
            let listed = Listed { dir: &dir, stat: &stat, path, target: row.target };
            let checked = CheckedDir::of(&dir);
            read_batches(&dir, 512, |batch| {
                for entry in batch {
                    if self.is_extra(&listed, id, &entry) {
                        if self.in_use.makes_problem_of(UseClass::New) {
                            found.add(entry.name);
                        } else {
                            self.new_name(path.join(&entry.name), row);
                            if self.in_use == UsePolicy::Accepted
                                && let Ok(stat) = dir.stat_at(&entry.name)
                            {
                                let (name, path, target) = (&entry.name, &path.join(&entry.name), row.target);
                                self.accept(&Accepting { dir: (&checked, id), path, name, target }, &stat);
                            }
                        }
                    }
                }
                !self.run.stop.is_set()
            })?;
            Ok(found)
        });
        match read {
            Ok(found) => {
                found.problems(path, List::Manifest).into_iter().for_each(|problem| self.problem(row.target, problem))
            }
            // Already reported as missing or of another type.
            Err(errno) if leads_nowhere(errno) => {}
            Err(errno) => {
                self.problem(
                    row.target,
                    Problem::failed(path.clone(), ProblemKind::Io, Operation::ReadDirectory, errno),
                );
            }
        }
    }

    pub(super) fn new_name(&self, path: RelPath, above: &Row) {
        let target = self.targets.get(above.target as usize).cloned().unwrap_or_default();
        self.run.in_use.add(UseFinding { path, target, class: UseClass::New, count: 1, found: None });
    }

    fn is_extra(&self, listed: &Listed<'_>, id: i64, entry: &DirEntry) -> bool {
        self.ask(|reader| reader.knows(id, &entry.name)) == Some(false) && self.is_unplanned(listed, entry)
    }

    /// True for a name that no run of this plan could have left there.
    pub(crate) fn is_unplanned(&self, listed: &Listed<'_>, entry: &DirEntry) -> bool {
        let Listed { dir, stat, path, target } = *listed;
        if self.is_ours(stat, entry) {
            return false;
        }
        if is_temporary(&entry.name) {
            self.run.problems.note(Note::TemporaryLeft(path.join(&entry.name)));
            return false;
        }
        let Some(kind) = entry.kind.or_else(|| dir.stat_at(&entry.name).ok().map(|stat| stat.kind)) else {
            return false;
        };
        let excluded = self
            .run
            .mapping
            .targets
            .get(target as usize)
            .is_some_and(|target| target.leaves_out_below(self.owned.nearest(path), &path.join(&entry.name), kind));
        // What could not be copied there has a problem already, whatever has its name.
        kind != Kind::Socket
            && !excluded
            && self.ask(|reader| reader.has_problem(&path.join(&entry.name))) == Some(false)
    }

    /// The state of this and other plans, and what mkfs makes.
    fn is_ours(&self, above: &Stat, entry: &DirEntry) -> bool {
        let made = above.mount_root && [STATE_DIR.as_bytes(), LOST_AND_FOUND].contains(&entry.name.as_bytes());
        made || self.state == Some((above.dev, entry.ino))
    }
}

/// The extra names of one directory.
#[derive(Default)]
pub(crate) struct ExtraNames {
    first: Vec<Name>,
    count: u64,
}

impl ExtraNames {
    pub(crate) fn add(&mut self, name: Name) {
        if self.count <= NAMED {
            self.first.push(name);
        }
        self.count += 1;
    }

    /// One problem for each name, and one for all beyond [`NAMED`].
    pub(crate) fn problems(self, path: &RelPath, list: List) -> Vec<Problem> {
        let (named, count) = (usize::try_from(NAMED).unwrap_or(usize::MAX), self.count);
        let problem = |(at, name): (usize, &Name)| {
            let path = path.join(name);
            if at < named {
                return Problem::new(path, ProblemKind::Extra, Detail::Unlisted(list));
            }
            let rest = count - NAMED;
            Problem::new(path, ProblemKind::Extra, Detail::UnlistedToo(rest, list)).counting(rest)
        };
        self.first.iter().enumerate().map(problem).collect()
    }
}
