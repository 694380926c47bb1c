//! Declared entries that the plan's patterns leave out completely: a pattern wider than intended
//! must not look like a finished copy.
//!
//! The search is no visitor of the scheduler: it ends at the first name that is kept, nearly always
//! in the first batch, where threads would cost more than they save; and the pattern that it reports
//! is the first one in its own order.

use crate::base::path::RelPath;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::model::{Entry, Mapping, Presence, Target};
use crate::engine::tree::node::ENTRY;
use crate::sys::Errno;
use crate::sys::dir::{DirEntry, read_batches};
use crate::sys::root::Root;
use crate::sys::stat::{Kind, stat_at};
use rustix::fd::AsFd;

/// One problem for each entry that has content, all of which is left out.
#[must_use]
pub fn left_out(plan: &Mapping, source: &Root) -> Vec<Problem> {
    let mut found = Vec::new();
    let index = Index::new(plan);
    for target in plan.targets.iter().filter(|target| !target.excluded.is_empty()) {
        for entry in target.entries.iter().filter(|entry| entry.presence == Presence::Present) {
            let mut search = PatternSearch { target, entry, index: &index, pattern: None };
            // The copy reports what cannot be read.
            if let (Ok(false), Some(pattern)) = (search.finds_something(source), search.pattern) {
                let problem =
                    Problem::new(entry.dst.clone(), ProblemKind::Excluded, Detail::AllExcluded(pattern.to_string()));
                found.push(problem.in_target(&target.name));
            }
        }
    }
    found
}

/// Looks for something that an entry keeps.
struct PatternSearch<'p> {
    target: &'p Target,
    entry: &'p Entry,
    index: &'p Index,
    /// The first pattern that left out more than the path that it names.
    pattern: Option<String>,
}

impl PatternSearch<'_> {
    /// True as soon as something other than a directory is kept; nearly always at once.
    fn finds_something(&mut self, source: &Root) -> Result<bool, Errno> {
        let mut waiting = vec![RelPath::root()];
        while let Some(below) = waiting.pop() {
            let dir = match source.open_strict(&self.entry.real.join_path(&below), ENTRY) {
                Ok(dir) => dir,
                // A file or a link, which is kept.
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(true),
                Err(errno) => return Err(errno),
            };
            let mut kept = false;
            read_batches(&dir, 1024, |batch| {
                for entry in batch {
                    kept |= self.keeps(&dir, &below, &entry, &mut waiting);
                }
                !kept
            })?;
            if kept {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True for a pattern that is the path itself, and so intended.
    fn is_named_by(&self, pattern: &str, src: &RelPath) -> bool {
        let below = src.strip_prefix(&self.target.from);
        below.is_some_and(|below| pattern.starts_with('/') && pattern.trim_matches('/').as_bytes() == below.as_bytes())
    }

    fn keeps(&mut self, dir: impl AsFd, below: &RelPath, entry: &DirEntry, waiting: &mut Vec<RelPath>) -> bool {
        let path = below.join(&entry.name);
        let src = self.entry.src.join_path(&path);
        // A declared entry is copied, and directories on the way to it are made, whatever the patterns say.
        if self.index.find(&src).is_some() {
            return true;
        }
        let kind = entry.kind.or_else(|| stat_at(dir, &entry.name).ok().map(|stat| stat.kind));
        let is_dir = kind == Some(Kind::Directory);
        if let Some(pattern) = self.target.pattern_over(&src, kind.unwrap_or(Kind::File)) {
            if !self.is_named_by(pattern, &src) {
                self.pattern.get_or_insert_with(|| pattern.to_string());
            }
            return false;
        }
        if is_dir {
            waiting.push(path);
        }
        !is_dir && kind != Some(Kind::Socket)
    }
}
