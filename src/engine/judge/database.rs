//! A database and its logs are one state: SQLite plays a log back into whatever database it lies
//! beside. So they are brought together or not at all, whatever holds one of them back: no database
//! is put under a log of another state, no log beside another database, and none without the other.
//!
//! The index of a log (`-shm`) only shows that somebody has the database open: who opens it first
//! makes that index anew ([Recovery](https://www.sqlite.org/walformat.html#recovery)).

use super::evidence::SourceAccess;
use super::fate::{DatabaseFate, FateAnswer, HeldBy, Untold};
use super::leaf::{FileStanding, LeafCase};
use super::logs::{DatabaseLogs, INDEX, SUFFIXES, database_of};
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
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;

/// How a database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

impl LeafCase<'_> {
    /// The logs on the target that would not belong to what is brought, or the problem of keeping
    /// both.
    pub(super) fn together(&self) -> Result<Result<DatabaseLogs, Problem>, Untold> {
        let Some(database) = self.database()? else { return Ok(Ok(DatabaseLogs::default())) };
        let (other, by) = match self.at.fate_of(&database, &mut || self.fate(&database))? {
            DatabaseFate::Brought(logs) if database == *self.at.name() => return Ok(Ok(logs)),
            DatabaseFate::Brought(_) => return Ok(Ok(DatabaseLogs::default())),
            DatabaseFate::HeldBack(other, by) => (other, by),
        };
        let named = escape(other.as_bytes()).into_owned();
        let detail = match by {
            HeldBy::Changed if other == database => Detail::DatabaseChanged(named),
            HeldBy::Changed if database == *self.at.name() => Detail::DatabaseLog(named),
            HeldBy::Changed | HeldBy::Waiting => Detail::DatabaseHeldBack(named),
        };
        Ok(Err(Problem::new(self.at.path(), ProblemKind::ChangedTarget, detail).about(other.as_bytes())))
    }

    /// True for a log that is gone while its database is there, and --overwrite restores what
    /// somebody has made of both: what they have folded into the database is replaced with it.
    pub(super) fn is_missed_log(&self) -> Result<bool, Untold> {
        let Some(database) = database_of(self.at.name()).filter(|_| self.policy.overwrite) else { return Ok(false) };
        Ok(self.at.open()?.stat_at(&database).is_ok() && self.is_database(&database)?)
    }

    /// The database that this file is or belongs to, if it has another file. A few looks at the
    /// target tell that most have none.
    fn database(&self) -> Result<Option<Name>, Untold> {
        let name = self.at.name();
        if let Some(database) = database_of(name)
            && self.is_known(&database)?
            && self.is_database(&database)?
        {
            return Ok(Some(database));
        }
        for suffix in SUFFIXES {
            if let Ok(log) = Name::new(&[name.as_bytes(), suffix].concat())
                && self.is_known(&log)?
            {
                return Ok(if self.there.is_none() || self.is_database(name)? { Some(name.clone()) } else { None });
            }
        }
        Ok(None)
    }

    /// True when the target has `name`, or had it, if it has content.
    fn is_known(&self, name: &Name) -> Result<bool, Untold> {
        match self.at.open()?.stat_at(name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(!name.as_bytes().ends_with(INDEX) && self.at.row_of(name).is_some()),
            Err(Errno::NAMETOOLONG) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Asks what would become of each file of `database` by itself.
    fn fate(&self, database: &Name) -> FateAnswer {
        let (mut logs, mut held) = (DatabaseLogs::default(), None);
        let files = SUFFIXES.iter().enumerate().map(|(bit, suffix)| (Some(bit), *suffix));
        for (log, suffix) in [(None, &b""[..])].into_iter().chain(files) {
            let Ok(name) = Name::new(&[database.as_bytes(), suffix].concat()) else { continue };
            let Some((standing, in_source)) = self.standing_of(&name)? else { continue };
            let by = match standing {
                FileStanding::Same => continue,
                FileStanding::Waiting if suffix == INDEX => continue,
                FileStanding::Waiting => HeldBy::Waiting,
                FileStanding::Changed => HeldBy::Changed,
            };
            match log {
                Some(bit) if self.policy.overwrite && !in_source => logs.add(bit),
                _ => drop(held.get_or_insert((name, by))),
            }
        }
        Ok(held.map_or(DatabaseFate::Brought(logs), |(name, by)| DatabaseFate::HeldBack(name, by)))
    }

    /// How the file `name` beside this one stands, and whether the source has it.
    fn standing_of(&self, name: &Name) -> Result<Option<(FileStanding, bool)>, Untold> {
        let (dir, row) = (self.at.open()?, self.at.row_of(name));
        let there = match dir.stat_at(name) {
            Ok(there) => Some(there),
            Err(Errno::NOENT | Errno::NAMETOOLONG) => None,
            Err(errno) => return Err(errno.into()),
        };
        match (self.in_source.stat_beside(name), &there) {
            (Some(source), _) if source.kind == Kind::File => {
                let (at, in_source) = (self.at.other(name), self.in_source.other(name));
                let case = LeafCase {
                    policy: self.policy,
                    at: &*at,
                    row: row.as_ref(),
                    there: there.as_ref(),
                    source: &source,
                    in_source: &*in_source,
                    access: SourceAccess::Name,
                };
                Ok(Some((case.standing()?, true)))
            }
            (_, Some(there)) if there.kind == Kind::File => {
                let is_theirs = match row {
                    Some(row) if row.state == State::Done => self.is_changed(name, &row, there)?,
                    row => row.is_none(),
                };
                Ok(Some((if is_theirs { FileStanding::Changed } else { FileStanding::Same }, false)))
            }
            (_, _) => Ok(None),
        }
    }

    /// True when the content of `name` is not what was recorded.
    fn is_changed(&self, name: &Name, row: &Row, there: &Stat) -> Result<bool, Untold> {
        let disk = self.at.disk();
        match row.standing(there, disk) {
            RowChange::AsRecorded => Ok(false),
            RowChange::Changed => Ok(true),
            RowChange::Touched => {
                let dir = self.at.open()?;
                match has_same_content(&CheckedDir::on(&dir, disk), name, row, self.policy.rate_limit) {
                    Ok(same) => Ok(!same),
                    Err(ReadError::Stopped) => Err(Untold::Ending),
                    Err(ReadError::Failed(operation, errno)) => Err(Untold::Failed(operation, errno)),
                }
            }
        }
    }

    /// True where `name`, on the target or else in the source, is a SQLite database, or an empty
    /// file that may be one whose content is all in its log.
    pub(super) fn is_database(&self, name: &Name) -> Result<bool, Untold> {
        let dir = self.at.open()?;
        match dir.stat_at(name) {
            Ok(there) if there.kind != Kind::File => Ok(false),
            Ok(_) => begins_as_database(dir.open_file(name, OFlags::empty())),
            Err(Errno::NOENT | Errno::NAMETOOLONG) => match self.in_source.stat_beside(name) {
                // What cannot be read there has a problem of its own.
                Some(stat) if stat.kind == Kind::File => {
                    Ok(begins_as_database(self.in_source.other(name).open_file()).unwrap_or(false))
                }
                _ => Ok(false),
            },
            Err(errno) => Err(errno.into()),
        }
    }
}

/// The other files of the database that `name` of `dir` is or belongs to, as far as they are there.
pub(crate) fn database_files(dir: &TargetDir, name: &Name) -> Vec<Name> {
    for database in database_of(name).into_iter().chain([name.clone()]) {
        let logs = SUFFIXES.iter().filter_map(|suffix| Name::new(&[database.as_bytes(), suffix].concat()).ok());
        let others: Vec<_> = logs.chain([database.clone()]).filter(|other| other != name).collect();
        let others: Vec<_> = others.into_iter().filter(|other| dir.stat_at(other).is_ok()).collect();
        if !others.is_empty() && begins_as_database(dir.open_file(&database, OFlags::empty())).unwrap_or(false) {
            return others;
        }
    }
    Vec::new()
}

fn begins_as_database(file: Result<OwnedFd, Errno>) -> Result<bool, Untold> {
    let mut head = [0; MAGIC.len()];
    let fd = file.map_err(|errno| Untold::Failed(Operation::Open, errno))?;
    let read = file::read_full(fd, &mut head, 0).map_err(|errno| Untold::Failed(Operation::Read, errno))?;
    Ok(read == 0 || head == *MAGIC)
}
