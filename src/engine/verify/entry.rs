//! One entry of the target against its row: metadata, and content from the medium.

use super::subject::{Looked, Subject};
use super::together::ReadBack;
use super::{Depth, Scope, Verifier};
use crate::base::path::RelPath;
use crate::engine::compare::differences::{changed, differences, unreachable, without_moved_times};
use crate::engine::content::medium::{ReadError, Reading};
use crate::engine::events::counters::add;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, RowChange};
use crate::sys::stat::Kind;

impl Verifier {
    /// All differences of one entry from `row`, which the journal recorded or the source asks for;
    /// `recorded` is the journal's, if there is one; `read` the content, if it was read already.
    pub(crate) fn entry(&self, subject: &Subject<'_>, recorded: Option<&Row>, read: Option<ReadBack<'_>>) -> Looked {
        let Subject { dir: checked, path, name, row } = *subject;
        let stat = match checked.dir.stat_at(name) {
            Ok(stat) => stat,
            Err(errno) => return Looked::Unreachable(unreachable(path, errno)),
        };
        if let Scope::Since(since) = self.scope
            && !since.asks_for(row, &stat)
        {
            // Nothing has changed, nor has what could not be preserved.
            self.tell_unpreserved(path, row, stat.dev);
            return Looked::LeftOut;
        }
        let standing = match recorded {
            Some(recorded) if recorded.still_damaged(&stat, checked.disk) => RowChange::AsRecorded,
            Some(recorded) => recorded.standing(&stat, checked.disk),
            None => RowChange::AsRecorded,
        };
        if let (Some(recorded), RowChange::Changed) = (recorded, standing) {
            return Looked::At { stat, standing, found: vec![changed(path, recorded, &stat)] };
        }
        let mut found = differences(checked, path, name, row, &stat);
        without_moved_times(&mut found, standing, recorded.unwrap_or(row));
        let look_inside = self.depth == Depth::Content && row.size == stat.size;
        let is_file = stat.kind == row.kind() && stat.kind == Kind::File;
        // Only its content tells what was done to the inode since, by any of its names.
        let vouched = row.alias && standing == RowChange::AsRecorded && self.is_vouched_for(row);
        if is_file && look_inside && !vouched {
            match self.content(subject, standing, read) {
                Ok(problem) => found.extend(problem),
                Err(ReadError::Stopped) => return Looked::Stopped,
                Err(ReadError::Failed(operation, errno)) => {
                    found.push(Problem::failed(path.clone(), ProblemKind::Io, operation, errno));
                }
            }
        }
        self.tell_unpreserved(path, row, stat.dev);
        let touched = recorded.filter(|_| standing == RowChange::Touched);
        let is_other = |p: &Problem| matches!(p.kind, ProblemKind::Content | ProblemKind::Target | ProblemKind::Type);
        if let Some(recorded) = touched.filter(|_| found.iter().any(is_other)) {
            let found = vec![changed(path, recorded, &stat)];
            return Looked::At { stat, standing: RowChange::Changed, found };
        }
        Looked::At { stat, standing, found }
    }

    /// True when the content of this further name is verified under another one.
    pub(crate) fn is_vouched_for(&self, row: &Row) -> bool {
        self.ask(|reader| reader.verified_with(row)).unwrap_or(false)
    }

    /// What the file system cannot hold was counted when it was copied; a pass that only verifies
    /// counts it again. No run can repair it. For an inode with several names it is reported once.
    fn tell_unpreserved(&self, path: &RelPath, row: &Row, dev: u64) {
        if self.scope == Scope::Unverified || row.alias {
            return;
        }
        for unpreserved in row.wanted.lost.each() {
            self.problem(row.target, Problem::lost(path.clone(), unpreserved, dev));
        }
    }

    fn content(
        &self,
        subject: &Subject<'_>,
        standing: RowChange,
        read: Option<ReadBack<'_>>,
    ) -> Result<Option<Problem>, ReadError> {
        let Subject { dir: checked, path, name, row } = *subject;
        let Some(digest) = row.digest else { return Ok(None) };
        let (reading, bytes) = match read {
            Some(ReadBack { reading, bytes }) => (reading?, bytes),
            None => (Reading::open(checked.dir, name)?, None),
        };
        let found = match self.chunks_of(row) {
            Some(chunks) => self.compare_chunks(&reading, subject, standing, &chunks),
            None => reading.digest_of(bytes, digest.algorithm, &self.run.rate_limit).map(|found| {
                let hex = |bytes: &[u8; 32]| format!("BLAKE3 {}", blake3::Hash::from_bytes(*bytes).to_hex());
                (found != digest).then(|| {
                    Problem::differs(path.clone(), ProblemKind::Content, hex(&digest.bytes), hex(&found.bytes))
                })
            }),
        };
        let bytes = reading.finish(checked.backing, &self.medium);
        if let Some(tally) = self.run.counters.targets.get(row.target as usize) {
            add(&tally.verified_bytes, bytes);
        }
        found
    }
}
