//! A database and its logs are one state: SQLite plays a log back into whatever database it lies
//! beside. So no database is put under a log of another state, and no log beside another database.

use super::decision::JudgedName;
use super::history::Policy;
use super::logs::{DatabaseLogs, SUFFIXES};
use super::others::was_there_before;
use super::source::SourceName;
use crate::base::path::{Name, escape};
use crate::engine::compare::differences::{CheckedDir, has_same_content};
use crate::engine::content::medium::ReadError;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, RowChange, State};
use crate::sys::dir::TargetDir;
use crate::sys::stat::{Kind, Stat};
use crate::sys::{Errno, file};
use rustix::fs::OFlags;

/// How a database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A name that is to be brought from the source to where the target has `there`.
pub(super) struct BroughtName<'a> {
    pub(super) policy: &'a Policy<'a>,
    pub(super) at: &'a dyn JudgedName,
    pub(super) source: &'a dyn SourceName,
    pub(super) there: Option<&'a Stat>,
}

/// Why the files of a database could not be told apart.
pub(super) enum Untold {
    Ending,
    Failed(Operation, Errno),
}

impl From<Errno> for Untold {
    fn from(errno: Errno) -> Self {
        Self::Failed(Operation::Stat, errno)
    }
}

impl BroughtName<'_> {
    /// The logs on the target that would not belong to what is brought, or the problem of keeping
    /// both.
    pub(super) fn logs(&self) -> Result<Result<DatabaseLogs, Problem>, Untold> {
        let dir = self.at.open()?;
        let name = self.at.name().as_bytes();
        // One look tells that most names are no log and have none.
        for suffix in SUFFIXES {
            if let Some(base) = name.strip_suffix(suffix)
                && let Ok(database) = Name::new(base)
                && !self.policy.overwrite
                && self.is_foreign(&dir, &database)?
                && is_database(&dir, &database)?
            {
                return Ok(Err(self.kept(Detail::DatabaseChanged(escape(base).into_owned()), base)));
            }
        }
        let mut foreign = DatabaseLogs::default();
        for (bit, suffix) in SUFFIXES.iter().enumerate() {
            let Ok(log) = Name::new(&[name, suffix].concat()) else { continue };
            if self.is_foreign(&dir, &log)? && (self.there.is_none() || is_database(&dir, self.at.name())?) {
                foreign.add(bit);
            }
        }
        match foreign.beside(self.at.name()).next() {
            Some(log) if !self.policy.overwrite => {
                Ok(Err(self.kept(Detail::DatabaseLog(log.to_string()), log.as_bytes())))
            }
            _ => Ok(Ok(foreign)),
        }
    }

    fn kept(&self, detail: Detail, other: &[u8]) -> Problem {
        Problem::new(self.at.path(), ProblemKind::ChangedTarget, detail).about(other)
    }

    /// True for a regular file that somebody made or changed since the runs that are recorded.
    fn is_foreign(&self, dir: &TargetDir, name: &Name) -> Result<bool, Untold> {
        let there = match dir.stat_at(name) {
            Ok(there) if there.kind == Kind::File => there,
            Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        match self.at.row_of(name) {
            Some(row) if row.state == State::Done => self.is_changed(dir, name, &row, &there),
            Some(_) => Ok(false),
            // The source's own replaces it.
            None => Ok(!(was_there_before(self.policy.history, self.at, &there) && self.source.has_beside(name))),
        }
    }

    fn is_changed(&self, dir: &TargetDir, name: &Name, row: &Row, there: &Stat) -> Result<bool, Untold> {
        let disk = self.at.disk();
        match row.standing(there, disk) {
            RowChange::AsRecorded => Ok(false),
            RowChange::Changed => Ok(true),
            RowChange::Touched => {
                match has_same_content(&CheckedDir::on(dir, disk), name, row, self.policy.rate_limit) {
                    Ok(same) => Ok(!same),
                    Err(ReadError::Stopped) => Err(Untold::Ending),
                    Err(ReadError::Failed(operation, errno)) => Err(Untold::Failed(operation, errno)),
                }
            }
        }
    }
}

/// True for a SQLite database, or an empty file that may be one whose content is all in its log.
fn is_database(dir: &TargetDir, name: &Name) -> Result<bool, Untold> {
    let mut head = [0; MAGIC.len()];
    let fd = dir.open_file(name, OFlags::empty()).map_err(|errno| Untold::Failed(Operation::Open, errno))?;
    let read = file::read_full(fd, &mut head, 0).map_err(|errno| Untold::Failed(Operation::Read, errno))?;
    Ok(read == 0 || head == *MAGIC)
}
