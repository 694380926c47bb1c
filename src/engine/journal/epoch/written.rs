//! What is written and not yet durable.

use super::gate::Permit;
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::{Advice, Detail};
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::journal::record::{Chunk, Record};
use crate::engine::journal::row::Row;
use crate::sys::Errno;
use crate::sys::dir::TargetDir;
use crate::sys::stat::Stat;
use std::sync::Arc;

/// An entry whose every system call has succeeded, waiting for the medium.
#[derive(Debug)]
pub struct Written {
    /// What the journal will say.
    pub record: Record,
    /// Index of its file system.
    pub file_system: usize,
    /// Data bytes, for progress.
    pub bytes: u64,
    /// What it replaces once it is durable.
    pub replace: Option<Replace>,
    /// Its share of the dirty bytes, given back when the epoch is sealed.
    pub permit: Option<Permit>,
    /// Its share of the memory for large rows, given back when the journal has it.
    pub memory: Option<Permit>,
}

impl Written {
    /// An entry that adds nothing to the dirty bytes.
    #[must_use]
    pub fn row(row: Row, file_system: usize) -> Self {
        Self { record: Record::Row(Box::new(row)), file_system, bytes: 0, replace: None, permit: None, memory: None }
    }

    /// A chunk whose `bytes` are written, with its share of the dirty ones.
    #[must_use]
    pub fn chunk(chunk: Chunk, file_system: usize, bytes: u64, permit: Permit) -> Self {
        let (replace, permit, memory) = (None, Some(permit), None);
        Self { record: Record::Chunk(chunk), file_system, bytes, replace, permit, memory }
    }

    /// Index of the plan's target, where the record says it.
    pub(in crate::engine::journal) fn target(&self) -> Option<u32> {
        match &self.record {
            Record::Row(row) => Some(row.target),
            Record::Chunk(_) => None,
        }
    }

    /// Its row, if it will take the place of something else.
    pub(in crate::engine::journal) fn replacing_row(&self) -> Option<Row> {
        match (&self.replace, &self.record) {
            // The new inode's ctime is not known before the rename; the older one's tells it from any change.
            (Some(replace), Record::Row(row)) => {
                let dst_ctime = replace.stands.map(|stands| stands.ctime).unwrap_or_default();
                Some(Row { dst_ctime, ..(**row).clone() })
            }
            _ => None,
        }
    }

    /// It is to replace something else.
    #[must_use]
    pub fn replacing(self, replace: Option<Replace>) -> Self {
        Self { replace, ..self }
    }
}

/// A directory of the target that can open itself again.
pub trait Directory: std::fmt::Debug + Send + Sync {
    /// A descriptor; `ESTALE` when the name belongs to another directory.
    fn open(&self) -> Result<Arc<TargetDir>, Errno>;
    /// Its path below the root.
    fn path(&self) -> RelPath;
}

/// A finished file under a temporary name. Its directory stays unfinished meanwhile.
#[derive(Debug)]
pub struct Replace {
    /// The directory of both names.
    pub dir: Arc<dyn Directory>,
    /// The temporary name.
    pub temporary: Name,
    /// The name that it gets.
    pub name: Name,
    /// What had that name when it was judged; nothing else may be replaced.
    pub stands: Option<Stat>,
    /// Names beside it that go before: logs of another state of a database.
    pub clears: Vec<Name>,
}

impl Replace {
    /// Removes the temporary name and reports what is in the way.
    pub(in crate::engine::journal) fn failed(&self, errno: Errno) -> Problem {
        // A leftover is recognised by its name and removed by the next run.
        self.dir.open().and_then(|dir| dir.unlink(&self.temporary)).ok();
        if errno == Errno::EXIST {
            return Problem::new(
                self.dir.path().join(&self.name),
                ProblemKind::ChangedTarget,
                Detail::ChangedWhileCopied,
            );
        }
        let mut problem = Problem::failed(self.dir.path().join(&self.name), ProblemKind::Io, Operation::Replace, errno);
        if errno == Errno::PERM {
            problem.advice = Some(Advice::LiftImmutable);
        }
        problem
    }

    /// Renames it over what it replaces, and returns the directory. After an error the old entry is still there.
    pub(in crate::engine::journal) fn put_in_place(&self) -> Result<Arc<TargetDir>, Errno> {
        let dir = self.dir.open()?;
        match (dir.stat_at(&self.name), &self.stands) {
            (Err(Errno::NOENT), _) => {}
            (Ok(now), Some(then)) if is_same(&now, then) => {}
            // Somebody is at work there: what is newer is not overwritten.
            (Ok(_), _) => return Err(Errno::EXIST),
            (Err(errno), _) => return Err(errno),
        }
        for log in &self.clears {
            match dir.unlink(log) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        dir.rename(&self.temporary, &self.name)?;
        Ok(dir)
    }

    /// Checks what the name is now, and puts the inode's new ctime into `row`.
    pub(in crate::engine::journal) fn settle(&self, dir: &TargetDir, row: &mut Row) -> Result<(), Errno> {
        let stat = dir.stat_at(&self.name)?;
        if stat.ino != row.dst_ino {
            // Somebody who may write here swapped the names meanwhile.
            return Err(Errno::STALE);
        }
        if stat.nlink > 1 {
            // Between two names of one inode rename(2) does nothing, and reports success.
            match dir.unlink(&self.temporary) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        // The rename moves the ctime that a resume compares.
        row.dst_ctime = stat.ctime;
        Ok(())
    }
}

/// True when nobody has changed the content since. Links may have been made or removed, and
/// flags of ours may have been lifted.
fn is_same(now: &Stat, then: &Stat) -> bool {
    (now.kind, now.ino, now.size, now.mtime) == (then.kind, then.ino, then.size, then.mtime)
        && (now.ctime == then.ctime || then.nlink > 1 || now.nlink != then.nlink || then.is_immutable_or_append())
}
