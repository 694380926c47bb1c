//! Does and reports what the judge has decided about a name that is not a directory.

use super::context::CopyContext;
use super::entry::{CopyEntry, TargetName};
use super::source_proof::SourceProof;
use super::stands::Stands;
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::StaleCause;
use crate::engine::events::note::Note;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{AcceptedRow, Reader, Row};
use crate::engine::judge::{
    FateAnswer, FinishedName, JudgedLeaf, JudgedName, LeafCase, NameDecision, SourceAccess, found,
};
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use std::sync::Arc;

/// What to do with a name.
#[derive(Debug)]
pub(super) enum Judgement {
    /// Nothing: an earlier run finished it, and neither side has changed since.
    Finished(Arc<Row>, Stat),
    /// Copy it over this.
    Copy(Stands),
    /// Copy it when the directory that has its place is removed, at the end.
    Later,
    /// Keep what is there; a problem says why.
    Kept,
}

/// Has names judged.
pub(super) struct Takeover {
    pub(super) cx: Arc<CopyContext>,
    pub(super) proof: Arc<SourceProof>,
}

impl Takeover {
    /// Judges a name that is not a directory in the source, which looks like `stat`.
    pub(super) fn judge(&self, entry: &CopyEntry<'_>, stat: &Stat, access: SourceAccess<'_>) -> Judgement {
        let (node, name, at) = (entry.node(), entry.name, entry.at());
        // What earlier runs had in a directory that is new now went with the old one.
        if node.fresh {
            return Judgement::Copy(Stands::default());
        }
        let failed = |operation, errno| {
            self.cx.target_failed(node.target, at.path(), operation, errno);
            Judgement::Kept
        };
        let there = match node.open().and_then(|target| found(target.stat_at(name))) {
            Ok(there) => there,
            Err(errno) => return failed(Operation::Stat, errno),
        };
        // Without an answer the run is ending.
        let Some(row) = self.cx.records.row_of(entry) else { return Judgement::Kept };
        let (in_source, judged) = (self.proof.of(*entry), JudgedEntry { cx: &self.cx, at, reader: entry.reader });
        let case = LeafCase {
            policy: self.cx.policy(node.target),
            at: &judged,
            row: row.as_deref(),
            there: there.as_ref(),
            source: stat,
            in_source: &in_source,
            access,
        };
        let is_retyped = case.is_retyped();
        if is_retyped {
            // If it has content it stays, and only --delete removes it.
            let retyped = Problem::stale(at.path(), StaleCause::Retyped, 1);
            let target = self.cx.run.mapping.targets.get(node.target as usize).map_or("", |target| &target.name);
            self.cx.run.problems.record_only(retyped.in_target(target));
        }
        match (case.judge(), row, there) {
            (NameDecision::Finished(finished), Some(row), Some(there)) => {
                let FinishedName { wanted, row: moved } = *finished;
                self.cx.note_rights(&wanted, || at.path());
                let row = moved.map_or(row, |moved| {
                    self.cx.submit.send(Written::row(moved.clone(), node.file_system));
                    Arc::new(moved)
                });
                Judgement::Finished(row, there)
            }
            (NameDecision::Copy(note, logs), row, there) => {
                note.into_iter().for_each(|note| self.cx.run.problems.note(note));
                logs.beside(name).for_each(|log| self.cx.run.problems.note(Note::LogRemoved(at.path(), log)));
                // Logs without their database; those of one that is replaced go with it.
                if there.is_none()
                    && !logs.is_empty()
                    && let Err(errno) =
                        node.open().and_then(|dir| logs.beside(name).try_for_each(|log| dir.unlink(&log)))
                {
                    return failed(Operation::Replace, errno);
                }
                // What is recorded below a directory that is gone must be forgotten before its row changes.
                let was_directory = row.is_some_and(|row| row.id.is_some()) && entry.reader.is_some();
                if was_directory && (there.is_none() || is_retyped && self.cx.options.delete) {
                    return Judgement::Later;
                }
                Judgement::Copy(Stands { there, logs })
            }
            (NameDecision::Keep(problems), ..) => {
                self.cx.keep(node.target, problems);
                Judgement::Kept
            }
            (NameDecision::Failed(operation, errno), ..) => failed(operation, errno),
            (NameDecision::Ending | NameDecision::Enter | NameDecision::Finished(_), ..) => Judgement::Kept,
        }
    }
}

/// A name of the target with a connection to the journal.
pub(super) struct JudgedEntry<'a> {
    pub(super) cx: &'a CopyContext,
    pub(super) at: TargetName<'a>,
    pub(super) reader: Option<&'a Reader>,
}

impl JudgedName for JudgedEntry<'_> {
    fn path(&self) -> RelPath {
        self.at.path()
    }

    fn name(&self) -> &Name {
        self.at.name
    }

    fn disk(&self) -> Disk {
        self.at.above.disk
    }

    fn open(&self) -> Result<Arc<TargetDir>, Errno> {
        self.at.above.open()
    }

    fn accepted(&self) -> Option<AcceptedRow> {
        let TargetName { above, name, .. } = self.at;
        self.reader.and_then(|reader| self.cx.records.ask(reader.accepted(above.id, name)).flatten())
    }
}

impl JudgedLeaf for JudgedEntry<'_> {
    fn other<'s>(&'s self, name: &'s Name) -> Box<dyn JudgedLeaf + 's> {
        Box::new(JudgedEntry { at: TargetName { name, ..self.at }, ..*self })
    }

    fn fate_of(&self, database: &Name, find: &mut dyn FnMut() -> FateAnswer) -> FateAnswer {
        self.at.above.databases.fate(database, find)
    }

    fn row_of(&self, name: &Name) -> Option<Row> {
        self.reader.and_then(|reader| self.cx.records.ask(reader.find(self.at.above.id, name)).flatten())
    }

    fn is_vouched_for(&self, row: &Row) -> bool {
        self.reader.and_then(|reader| self.cx.records.ask(reader.vouched_for(row))).unwrap_or(false)
    }
}
