//! What verification must report beyond the rows: that the manifest is incomplete. Rows tell what
//! was copied; this tells what was not: an unfinished run, what the last one could not copy or
//! keep, unfinished directories and files, and declared entries that have no row.

use super::events::kind::ProblemKind;
use super::events::problem::{Problem, Problems};
use super::journal::{Declared, Journal, JournalError, PastRun, Reader};
use super::mapping::model::{Mapping, Need};
use crate::base::path::{Name, RelPath};
use crate::engine::events::detail::{CopyCut, Detail, StaleCause};
use crate::engine::stale::is_there;
use crate::sys::leads_nowhere;
use crate::sys::root::Root;
use rustix::fs::OFlags;

/// Directories that get a problem each; one more counts the rest.
const NAMED: u32 = 16;

/// How a pass knows what the source no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownStale {
    /// From the last run that copied.
    Recorded,
    /// It asks the source itself.
    Asked,
}

/// Reports all of it. `targets` are the names by the journal's numbers, which are not the
/// plan's order.
pub fn report(
    plan: &Mapping,
    targets: &[String],
    journal: &Journal,
    problems: &Problems,
    stale: KnownStale,
) -> Result<(), JournalError> {
    let reader = journal.reader()?;
    match reader.last_copy()? {
        None => unfinished(problems, RelPath::root(), Detail::NothingCopied),
        Some(run) if run.copied.is_none() => {
            unfinished(problems, RelPath::root(), cut(run, reader.verify_load(false)?.0));
        }
        Some(_) => {}
    }
    let mut failed = None;
    reader.each_problem(|problem| {
        // What is in the way of something else has another problem.
        let asks = stale == KnownStale::Asked || problem.attribute.as_deref() == StaleCause::Retyped.attribute();
        // Its owner's doing may have been accepted since that run.
        let is_owners = || match reader.find_path(&problem.path)? {
            Some(row) => reader.is_owners(&row),
            None => Ok(false),
        };
        if problem.kind == ProblemKind::Stale {
            match if asks || !is_there(plan, &problem.path) { Ok(true) } else { is_owners() } {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        // If it was copied, its row tells whether somebody changed it, but not another file of its database.
        let told = || reader.find_path(&problem.path).map(|row| row.is_some_and(|row| !row.was_in_place()));
        match if problem.kind == ProblemKind::ChangedTarget && problem.attribute.is_none() { told() } else { Ok(false) }
        {
            Ok(true) => {}
            Ok(false) => drop(problems.add(problem)),
            Err(error) => failed = Some(error),
        }
    })?;
    failed.map_or(Ok(()), Err)?;
    rows(&reader, targets, problems)?;
    entries(journal, problems)?;
    asked(plan, &journal.declared()?, problems);
    Ok(())
}

/// Reports that there was nothing to verify, unless something else says why.
pub fn nothing(journal: &Journal, problems: &Problems) -> Result<(), JournalError> {
    if problems.count() == 0 && journal.reader()?.verify_load(false)?.0 == 0 {
        unfinished(problems, RelPath::root(), Detail::NothingVerified);
    }
    Ok(())
}

/// Reports declared entries that the backup had and that have no row, unless a problem with
/// exactly their path says why; the most needed first.
pub fn entries(journal: &Journal, problems: &Problems) -> Result<(), JournalError> {
    let reader = journal.reader()?;
    let mut entries = journal.declared()?;
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.need));
    for entry in entries.into_iter().filter(|entry| entry.present) {
        if reader.find_path(&entry.dst)?.is_none() && !reader.has_problem(&entry.dst)? {
            missing(problems, entry.dst, &entry.target, Detail::NotCopied(entry.need));
        }
    }
    Ok(())
}

/// Reports what the current plan declares and no run has looked for.
fn asked(plan: &Mapping, declared: &[Declared], problems: &Problems) {
    let source = Root::open(&plan.source).ok();
    let is_absent = |src: &RelPath| {
        let found = source.as_ref().map(|source| source.open_in(src, OFlags::PATH | OFlags::NOFOLLOW));
        found.is_some_and(|found| found.is_err_and(leads_nowhere))
    };
    let mut asked: Vec<_> = plan.asked.iter().collect();
    asked.sort_by_key(|asked| std::cmp::Reverse(asked.need));
    for asked in asked {
        let known = declared.iter().any(|entry| {
            entry.dst == asked.dst
                || asked.pattern.as_ref().is_some_and(|pattern| pattern.is_match(entry.dst.as_path()))
        });
        // A run would list what the backup lacks as well.
        let optional = asked.need < Need::Required && asked.pattern.is_none() && is_absent(&asked.src);
        if !known && !optional {
            missing(problems, asked.dst.clone(), &asked.target, Detail::NotLookedFor(asked.need));
        }
    }
}

fn missing(problems: &Problems, path: RelPath, target: &str, detail: Detail) {
    problems.add(Problem::new(path, ProblemKind::Missing, detail).in_target(target));
}

fn unfinished(problems: &Problems, path: RelPath, detail: Detail) {
    problems.add(Problem::new(path, ProblemKind::Unfinished, detail));
}

/// How the interrupted run began, how far it got, and what resumes it.
fn cut(run: PastRun, finished: u64) -> Detail {
    Detail::CopyCut(Box::new(CopyCut {
        began: run.started,
        stopped: run.ended.is_some(),
        finished,
        // The source may have grown since it was counted.
        expected: run.expected.filter(|expected| *expected > finished),
        command: run.command,
    }))
}

/// Reports rows of unfinished directories and large files, unless a problem with exactly their
/// path says why.
fn rows(reader: &Reader, targets: &[String], problems: &Problems) -> Result<(), JournalError> {
    let target = |index: u32| targets.get(index as usize).map_or("", String::as_str);
    for row in reader.partial()? {
        let Ok(name) = Name::new(&row.name) else { continue };
        let path = reader.path_of(row.dir)?.join(&name);
        if !reader.has_problem(&path)? {
            problems
                .add(Problem::new(path, ProblemKind::Missing, Detail::FileUnfinished).in_target(target(row.target)));
        }
    }
    let (rows, all) = reader.open_directories(NAMED + 1)?;
    for (at, row) in (0..).zip(rows) {
        let Ok(name) = Name::new(&row.name) else { continue };
        let path = reader.path_of(row.dir)?.join(&name);
        if reader.has_problem(&path)? {
            continue;
        }
        let rest = all - u64::from(NAMED).min(all);
        let problem = if at < NAMED {
            Problem::new(path, ProblemKind::Unfinished, Detail::DirectoryUnfinished)
        } else {
            Problem::new(path, ProblemKind::Unfinished, Detail::DirectoriesUnfinished(rest)).counting(rest)
        };
        problems.add(problem.in_target(target(row.target)));
    }
    Ok(())
}
