//! The report for a tired person: the verdict first, then each target, then every problem, then what
//! to do next.

use crate::base::human::{bytes, count, duration, rate};
use crate::base::path::escape;
use crate::cli::by_directory::{by_weight, use_of_target};
use crate::cli::in_use;
use crate::cli::trees_name::is_of_trees;
use crate::cli::words::problem::message;
use crate::cli::words::{note, stop, unpreserved, value};
use crate::engine::content::medium::Medium;
use crate::engine::content::way::{Decision, LargeFiles, TrialVerdict, Way};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::fixup::Settled;
use crate::engine::report::{Outcome, Report, Totals};
use std::fmt::Write;

/// How many problems are shown; the JSON report has more.
const SHOWN: usize = 50;
/// How many notes are shown, unless all are asked for.
const NOTES: usize = 10;

/// The whole report; `detailed` with all notes, what was measured for large files, and names of what is in use.
#[must_use]
pub(super) fn text(report: &Report, detailed: bool) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write(&mut out, report, detailed).ok();
    out
}

fn write(out: &mut String, report: &Report, detailed: bool) -> std::fmt::Result {
    writeln!(out, "{}", verdict(report))?;
    for cause in &report.reason {
        writeln!(out, "  {}", stop::cause(cause))?;
    }
    if report.outcome == Outcome::Refused {
        return Ok(());
    }
    writeln!(out)?;
    for target in &report.targets {
        line(out, &target.name, &target.totals)?;
    }
    if report.targets.len() > 1 {
        line(out, "all", &report.totals)?;
    }
    writeln!(out, "  took {}", duration(report.totals.seconds))?;
    for large in &report.large_files {
        large_files(out, large, detailed)?;
    }
    if let Some(medium) = report.medium {
        writeln!(out, "  the target was read {}", medium_words(medium))?;
    }
    if !report.absent.is_empty() {
        writeln!(out, "\ndeclared, but not in the backup:")?;
        for absent in &report.absent {
            writeln!(out, "  {:<11} {}", absent.need.word(), absent.path)?;
        }
    }
    if !report.fixups.is_empty() {
        writeln!(out, "\nfixups:")?;
    }
    for fixup in &report.fixups {
        let result = match fixup.result {
            Settled::Changed => "changed",
            Settled::AlreadySo => "already so",
            Settled::Failed => "FAILED",
        };
        writeln!(out, "  {} {} ({result})", fixup.path, value::words(&fixup.now))?;
    }
    out.push_str(&crate::plan::drift(&report.ids));
    if !report.notes.is_empty() {
        writeln!(out, "\nnotes:")?;
        let shown = if detailed { report.notes.len() } else { NOTES };
        report.notes.iter().take(shown).try_for_each(|note| writeln!(out, "  {}", note::words(note)))?;
        if report.notes.len() > shown {
            writeln!(out, "  … and {} more (with -v, and in the JSON report)", report.notes.len() - shown)?;
        }
    }
    in_use::section(out, &report.in_use, detailed)?;
    problems(out, report)?;
    next(out, report)
}

/// What came of it, and how much of the target was in use.
fn verdict(report: &Report) -> String {
    let used = in_use::summary(&report.in_use.counts);
    if used.is_empty() { outcome(report) } else { format!("{}; in use since it was copied: {used}", outcome(report)) }
}

fn outcome(report: &Report) -> String {
    let plan = &report.plan;
    let problems = report.problem_count;
    let s = if problems == 1 { "" } else { "s" };
    match report.outcome {
        Outcome::Done if report.totals.copied == 0 && report.totals.skipped > 0 => {
            let all = match report.totals.skipped {
                1 => "its entry was".into(),
                skipped => format!("all {} entries were", count(skipped)),
            };
            format!("{plan}: nothing to copy; {all} finished by an earlier run")
        }
        Outcome::Done => format!("{plan}: done, no problems"),
        Outcome::Problems => format!("{plan}: finished with {problems} problem{s}"),
        Outcome::Stopped if problems > 0 => format!("{plan}: STOPPED EARLY, {problems} problem{s} so far"),
        Outcome::Stopped => format!("{plan}: STOPPED EARLY"),
        Outcome::Refused => format!("{plan}: refused, nothing was written"),
    }
}

fn line(out: &mut String, name: &str, t: &Totals) -> std::fmt::Result {
    let files = if t.files == 1 { "file " } else { "files" };
    write!(out, "  {name:<10} {:>9} {files} {:>9}", count(t.files), bytes(t.bytes))?;
    write!(out, " | copied {} ({}, {})", count(t.copied), bytes(t.copied_bytes), rate(t.copied_bytes, t.seconds))?;
    if t.shared_bytes > 0 {
        write!(out, " | shared with the source {}", bytes(t.shared_bytes))?;
    }
    if t.reused_bytes > 0 {
        write!(out, " | resumed after {}", bytes(t.reused_bytes))?;
    }
    write!(out, " | already done {}", count(t.skipped))?;
    if t.in_place > 0 {
        write!(out, " | in place {}", count(t.in_place))?;
    }
    if t.excluded > 0 {
        write!(out, " | left out by patterns {}", count(t.excluded))?;
    }
    if t.accepted > 0 {
        write!(out, " | kept as accepted {}", count(t.accepted))?;
    }
    if t.stale > 0 {
        write!(out, " | no longer in the source {}", count(t.stale))?;
    }
    if t.deleted > 0 {
        write!(out, " | removed {} ({})", count(t.deleted), bytes(t.deleted_bytes))?;
    }
    if t.verified > 0 {
        write!(out, " | verified {} ({})", count(t.verified), bytes(t.verified_bytes))?;
    }
    writeln!(out, " | problems {}", count(t.problems))
}

/// How large files were copied; `detailed` also what was measured.
fn large_files(out: &mut String, large: &LargeFiles, detailed: bool) -> std::fmt::Result {
    let (size, rate) = (bytes(large.bytes), rate(large.bytes, large.seconds));
    writeln!(out, "  large files ({size}, {rate}) were copied {}: {}", large.way, reason(large))?;
    if detailed {
        for decision in &large.decisions {
            let Decision { seconds, way, bytes_per_second, verdict } = decision;
            let verdict = match verdict {
                TrialVerdict::First => "the first",
                TrialVerdict::Faster => "faster: used from here on",
                TrialVerdict::Slower => "not clearly faster than the best",
                TrialVerdict::Fell => "slow for long: the others are tried again",
            };
            writeln!(out, "    after {seconds:.1} s {way}: {:.0} MiB/s, {verdict}", bytes_per_second / 1_048_576.0)?;
        }
    }
    Ok(())
}

/// Why large files were copied so.
fn reason(large: &LargeFiles) -> &'static str {
    let others = |way: &Way| large.decisions.iter().any(|decision| decision.way != *way);
    match large.decisions.last() {
        None => "too little to measure",
        Some(_) if !others(&large.way) => "no other way was tried",
        Some(_) => "the fastest that was tried",
    }
}

pub(super) fn medium_words(medium: Medium) -> &'static str {
    match medium {
        Medium::Direct => "from the medium (direct: O_DIRECT, past the page cache)",
        Medium::Evicted => "from the medium (evicted: the page cache was emptied and checked)",
        Medium::Cached => {
            "from memory at least in part (cached): this file system has no medium below the page cache, \
             or did not let go of it"
        }
    }
}

pub(super) fn problems(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.problem_count == 0 {
        return Ok(());
    }
    // Without a plan nobody has named the directory that the paths are below.
    let in_full = is_of_trees(&report.plan);
    let below = if in_full { escape(report.root.trim_end_matches('/').as_bytes()) } else { "".into() };
    match report.root.as_str() {
        "/" | "" => writeln!(out, "\nproblems:")?,
        _ if in_full => writeln!(out, "\nproblems:")?,
        root => writeln!(out, "\nproblems (paths below {root}):")?,
    }
    let listed = by_weight(&report.problems);
    for problem in listed.iter().take(SHOWN) {
        let kind = problem.kind.word();
        let about = problem.attribute.as_ref().map(|a| format!(" {a}")).unwrap_or_default();
        write!(out, "  {below}{}: {kind}{about}: {}", problem.path, message(problem))?;
        match problem.unpreserved() {
            Some(what) if problem.count > 1 => {
                writeln!(
                    out,
                    " ({} on {} entries, this is the first)",
                    unpreserved::words(what),
                    count(problem.count)
                )?;
            }
            // An older report does not tell what was lost, and what is extra counts in its words.
            None if problem.count > 1 && is_told(problem) && problem.kind != ProblemKind::Extra => {
                writeln!(out, " ({} entries, this is the first)", problem.count)?;
            }
            _ => writeln!(out)?,
        }
    }
    let shown: u64 = listed.iter().take(SHOWN).map(|p| p.count).sum();
    let rest = report.problem_count.saturating_sub(shown);
    if rest > 0 {
        writeln!(out, "  … and {} more (--report FILE.json lists them)", count(rest))?;
        use_of_target(out, &listed)?;
    }
    Ok(())
}

fn is_told(problem: &Problem) -> bool {
    matches!(problem.detail, Detail::Told(_))
}

fn next(out: &mut String, report: &Report) -> std::fmt::Result {
    match report.outcome {
        Outcome::Done => writeln!(out, "\nnext: the same command with --verify-only proves it again at any time"),
        Outcome::Stopped => match &report.resume {
            Some(command) => writeln!(out, "\nnext: what is done is kept; resume with\n  {command}"),
            None => Ok(()),
        },
        _ => {
            let steps = next_steps(&report.problems);
            writeln!(out, "\nnext:")?;
            steps.iter().try_for_each(|step| writeln!(out, "  {step}"))
        }
    }
}

/// What helps against the kinds of problems that there are.
fn next_steps(problems: &[Problem]) -> Vec<&'static str> {
    let step = |problem: &Problem| match problem.kind {
        ProblemKind::Stale => {
            "the source no longer has it (stale): look at it; --delete removes what nobody has changed since it was copied"
        }
        ProblemKind::ChangedTarget => {
            "somebody has changed it on the target (changed-target): keep it, or replace it by what the source has with \
             --overwrite"
        }
        ProblemKind::Extra => "no run made it, or none asks for it any more (extra): keep it, or remove it by hand",
        _ => {
            "the others: mend the causes above and run the same command again; it copies only what is missing or differs \
             (after --verify-only: the same with --repair in its place)"
        }
    };
    let mut steps: Vec<&str> = by_weight(problems).into_iter().map(step).collect();
    steps.dedup();
    // A single step is about all of them.
    if let [only] = &mut steps[..] {
        *only = only.strip_prefix("the others: ").unwrap_or(only);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::RelPath;

    #[test]
    fn what_is_next_follows_the_kinds_of_problems() {
        let of = |kinds: &[ProblemKind]| {
            let problem = |kind: &ProblemKind| Problem::new(RelPath::root(), *kind, Detail::Gone);
            next_steps(&kinds.iter().map(problem).collect::<Vec<_>>()).join("\n")
        };
        let all =
            of(&[ProblemKind::Extra, ProblemKind::Io, ProblemKind::Stale, ProblemKind::Stale, ProblemKind::Missing]);
        let words = ["the others: mend the causes", "--delete", "by hand"];
        assert!(all.lines().count() == 3 && all.lines().zip(words).all(|(line, word)| line.contains(word)), "{all}");
        assert!(!of(&[ProblemKind::Stale]).contains("mend the causes"));
        assert!(of(&[ProblemKind::ChangedTarget]).contains("--overwrite"));
        assert!(of(&[ProblemKind::Io]).starts_with("mend the causes"));
    }
}
