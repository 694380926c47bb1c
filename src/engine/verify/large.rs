//! Large files by chunks: read a few at a time, and the bad ones named.

use super::Verifier;
use super::subject::Subject;
use crate::engine::content::digest::{CHUNK, ChunkValue, chunks_of, merge};
use crate::engine::content::medium::{ReadError, Reading};
use crate::engine::events::detail::{BadChunks, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::{Row, RowChange};
use crate::sys::Errno;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Chunks of one file that are read at a time.
const AT_ONCE: usize = 8;
/// Ranges that a message names.
const NAMED: usize = 4;

/// What was found so far.
#[derive(Default)]
struct Bad {
    chunks: Vec<u64>,
    stopped: bool,
    failure: Option<(Operation, Errno)>,
}

impl Verifier {
    /// The recorded chunks of a large file, if all are there and make up its digest; otherwise the
    /// file is read as a whole.
    pub(super) fn chunks_of(&self, row: &Row) -> Option<Vec<ChunkValue>> {
        if !row.has_chunks() {
            return None;
        }
        let chunks = self.ask(|reader| reader.chunks(row.dir, &row.name))?;
        let values: Vec<ChunkValue> = chunks.into_iter().map(|(_, value)| value).collect();
        (merge(&values, row.size) == row.digest).then_some(values)
    }

    /// Reads every chunk; the journal forgets those that differ if they are to be repaired, so that
    /// only they are copied again.
    pub(super) fn compare_chunks(
        &self,
        reading: &Reading,
        subject: &Subject<'_>,
        standing: RowChange,
        expected: &[ChunkValue],
    ) -> Result<Option<Problem>, ReadError> {
        let Subject { path, row, .. } = *subject;
        let next = AtomicUsize::new(0);
        let bad = Mutex::new(Bad::default());
        let serve = || {
            loop {
                let at = next.fetch_add(1, Relaxed);
                let Some(value) = expected.get(at) else { return };
                let found = self.buffers.with(|buffer| reading.chunk(at as u64, buffer, &self.run.rate_limit));
                let mut bad = bad.lock().unwrap_or_else(PoisonError::into_inner);
                match found {
                    Ok(found) if found == *value => {}
                    Ok(_) => bad.chunks.push(at as u64),
                    Err(ReadError::Stopped) => return bad.stopped = true,
                    // When it is rewritten, the device replaces an unreadable sector.
                    Err(ReadError::Failed(operation, errno)) => {
                        bad.chunks.push(at as u64);
                        bad.failure.get_or_insert((operation, errno));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(AT_ONCE).min(expected.len()) {
                if std::thread::Builder::new().name("chunks".into()).spawn_scoped(scope, serve).is_err() {
                    // The threads that did start, this one among them, read all chunks.
                    break;
                }
            }
            serve();
        });
        let Bad { chunks: mut bad, stopped, failure } = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
        if stopped {
            return Err(ReadError::Stopped);
        }
        if bad.is_empty() {
            return Ok(None);
        }
        bad.sort_unstable();
        let count = chunks_of(row.size);
        let range = |i: &u64| (i * CHUNK, row.size.min((i + 1) * CHUNK) - 1);
        let ranges = bad.iter().take(NAMED).map(range).collect();
        let found = BadChunks { bad: bad.len(), of: count, ranges, failure };
        if self.mend.covers(standing) {
            self.run.writer.bad_chunks(row.dir, row.name.clone(), bad);
        }
        Ok(Some(Problem::new(path.clone(), ProblemKind::Content, Detail::BadChunks(Box::new(found)))))
    }
}
