//! What the journal knows of earlier runs: when they ran, how they ended, and what
//! they could not copy or keep.

use super::reader::Reader;
use super::run_kind::RunKind;
use crate::base::path::RelPath;
use crate::engine::events::detail::Detail;
use crate::engine::events::journal_error::JournalError;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::UnpreservedSet;
use crate::engine::events::value::PropertyValue;
use crate::sys::errno_from_name;
use crate::sys::stat::Time;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row};

/// How the copying runs of a plan ended so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// When the first one began to write.
    pub began: Option<Time>,
    /// At least one came to its end, with or without problems.
    pub ended: bool,
    /// The last one was stopped or killed: the target may have entries that it did not record.
    pub interrupted: bool,
    /// One of them found something in its place, or may have.
    pub in_place: bool,
    /// `--restart` set an older journal aside, and no run has finished since.
    pub restarted: bool,
}

/// The key of `meta` that records that something is in its place, or may be.
pub(super) const IN_PLACE: &str = "in_place";

impl Past {
    /// The same beside a journal that was set aside: runs that it knew had already written.
    pub(super) fn after_restart(self) -> Self {
        Self { began: None, restarted: !self.ended, ..self }
    }
}

/// Asks how they ended; `resumed` when there are rows.
pub(super) fn past(connection: &Connection, resumed: bool) -> Result<Past, Error> {
    let mut statement = connection
        .prepare("SELECT coalesce(outcome IN ('ok', 'problems'), 0) FROM run WHERE kind = 'copy' ORDER BY id")?;
    let ends: Vec<bool> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let began = connection.query_row("SELECT value FROM meta WHERE key = 'began'", [], |row| row.get::<_, String>(0));
    let began = began.optional()?.and_then(|text| {
        let (sec, nsec) = text.split_once('.')?;
        Some(Time { sec: sec.parse().ok()?, nsec: nsec.parse().ok()? })
    });
    let in_place =
        connection.query_row("SELECT EXISTS(SELECT 1 FROM meta WHERE key = ?1)", [IN_PLACE], |row| row.get(0))?;
    // A first run that ended before it copied anything left nothing behind.
    let wrote = began.is_some() || ends.contains(&true) || resumed;
    let ended = ends.contains(&true);
    Ok(Past { began, ended, interrupted: wrote && ends.last() == Some(&false), in_place, restarted: false })
}

/// One run of the plan.
#[derive(Clone, Debug)]
pub struct PastRun {
    /// Its number.
    pub id: i64,
    /// What it did to the target.
    pub kind: RunKind,
    /// RFC 3339.
    pub started: String,
    /// The same; `None` when it was killed, or is still running.
    pub ended: Option<String>,
    /// The word of its exit status.
    pub outcome: Option<String>,
    /// Problems in its report.
    pub problems: Option<u64>,
    /// The command that goes on.
    pub command: Option<String>,
    /// Entries that it had to handle.
    pub expected: Option<u64>,
    /// When its copy was complete; `None` when it was stopped or killed before.
    pub copied: Option<String>,
}

const RUN: &str =
    "SELECT id, kind, started, ended, outcome, report ->> '$.problem_count', command, expected, copied FROM run";

fn decode(row: &Row<'_>) -> Result<PastRun, Error> {
    let unsigned = |column| row.get::<_, Option<i64>>(column).map(|value| value.map(i64::cast_unsigned));
    let kind: String = row.get(1)?;
    Ok(PastRun {
        id: row.get(0)?,
        kind: RunKind::from_word(&kind).ok_or_else(|| Error::FromSqlConversionFailure(1, Type::Text, kind.into()))?,
        started: row.get(2)?,
        ended: row.get(3)?,
        outcome: row.get(4)?,
        problems: unsigned(5)?,
        command: row.get(6)?,
        expected: unsigned(7)?,
        copied: row.get(8)?,
    })
}

impl Reader {
    /// All runs, the oldest first.
    pub fn runs(&self) -> Result<Vec<PastRun>, JournalError> {
        let ask = || self.connection().prepare(&format!("{RUN} ORDER BY id"))?.query_map([], decode)?.collect();
        self.wrap(ask())
    }

    /// The last run that copied, whatever became of it.
    pub fn last_copy(&self) -> Result<Option<PastRun>, JournalError> {
        let sql = format!("{RUN} WHERE kind = 'copy' ORDER BY id DESC LIMIT 1");
        self.wrap(self.connection().query_row(&sql, [], decode).optional())
    }

    /// The report of a run, as JSON; `None` when it has none.
    pub fn report_of(&self, run: i64) -> Result<Option<String>, JournalError> {
        let sql = "SELECT report FROM run WHERE id = ?1";
        self.wrap(self.connection().query_row(sql, [run], |row| row.get(0)).optional().map(Option::flatten))
    }

    /// Calls `each` with what the last copying runs could not copy or keep, by path.
    pub fn each_problem(&self, mut each: impl FnMut(Problem)) -> Result<(), JournalError> {
        let mut ask = || {
            let mut statement = self.connection().prepare(
                "SELECT path, kind, attribute, target, message, expected, found, lost, op, errno FROM problem ORDER BY path",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // A kind of a later release.
                let Some(kind) = ProblemKind::from_word(&row.get::<_, String>(1)?) else { continue };
                let path = RelPath::new(&row.get::<_, Vec<u8>>(0)?).unwrap_or_default();
                let mut problem = Problem::new(path, kind, Detail::Told(row.get(4)?));
                problem.target = row.get(3)?;
                problem.attribute = Some(row.get::<_, String>(2)?).filter(|attribute| !attribute.is_empty());
                problem.expected = row.get::<_, Option<String>>(5)?.map(PropertyValue::Plain);
                problem.found = row.get::<_, Option<String>>(6)?.map(PropertyValue::Plain);
                problem.op = row.get::<_, Option<String>>(8)?.and_then(|word| Operation::recorded(&word));
                problem.errno = row.get::<_, Option<String>>(9)?.and_then(|name| errno_from_name(&name));
                let lost = UnpreservedSet::from_bits(row.get(7)?).each().next();
                each(lost.into_iter().fold(problem, |problem, unpreserved| problem.of_disk(0, unpreserved)));
            }
            Ok(())
        };
        self.wrap(ask())
    }

    /// True when one of the last copying runs had a problem with just this path.
    pub fn has_problem(&self, path: &RelPath) -> Result<bool, JournalError> {
        let sql = "SELECT EXISTS(SELECT 1 FROM problem WHERE path = ?1)";
        let ask = || self.connection().prepare_cached(sql)?.query_row([path.as_bytes()], |row| row.get(0));
        self.wrap(ask())
    }
}
