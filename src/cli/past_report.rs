//! `persistcp report`: what the journal knows of past runs and of the target.
//! Takes no lock and writes nothing.

use super::exit::Exit;
use super::output::{fail, print_text};
use super::report_text;
use super::words::journal;
use crate::engine::journal::{JournalError, Location, PastRun, Reader, RunKind};
use crate::engine::manifest::NoCheckLine;
use crate::engine::{manifest, report};
use serde_json::{Value, json};
use std::io::{BufWriter, ErrorKind, Write};

/// What to show: the last reports for people, those and each entry as JSON lines, or lines for `b3sum --check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ReportFormat {
    Text,
    Json,
    B3sum,
}

/// Which run to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The last one that copied, and the last verification after it.
    Last,
    /// The one with this number.
    Run(i64),
    /// Lists all runs.
    List,
}

impl std::str::FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(run) => Ok(Self::Run(run)),
            Err(_) if text == "list" => Ok(Self::List),
            Err(_) => Err("expected the number of a run, or `list`".into()),
        }
    }
}

/// How many files are named on stderr; the rest is counted.
const NAMED: u64 = 50;

/// Shows the content of the journal at `location`.
#[must_use]
pub(super) fn show(location: &Location, form: ReportFormat, chosen: Chosen) -> Exit {
    let reader = match location.read() {
        Ok(Some(reader)) => reader,
        Ok(None) => {
            let place = location.database();
            let advice = "name its place with --state, or copy first";
            return fail(&format!("there is no journal at {}; {advice}", place.display()), Exit::Refused);
        }
        Err(error) => return fail(&journal::words(&error), Exit::Refused),
    };
    let shown = match (form, chosen) {
        (ReportFormat::B3sum, _) => check_lines(&reader),
        (_, Chosen::List) => list(&reader, form),
        (_, Chosen::Run(id)) => one(&reader, form, id),
        (ReportFormat::Text, Chosen::Last) => text(&reader),
        (ReportFormat::Json, Chosen::Last) => json_lines(&reader),
    };
    shown.unwrap_or_else(|error| fail(&journal::words(&error), Exit::Problems))
}

/// The last copying run that ended, and the last verification after it. A verification never takes
/// the place of the copy's report.
struct Last {
    copy: Option<PastRun>,
    verification: Option<PastRun>,
    /// Runs without an end: the last one of all, the last one that copied.
    endless: Vec<PastRun>,
}

impl Last {
    fn of(runs: Vec<PastRun>) -> Self {
        let copies = |run: &&PastRun| run.kind == RunKind::Copy;
        let mut endless: Vec<_> = runs.iter().rfind(copies).into_iter().chain(runs.last()).collect();
        endless.dedup_by_key(|run| run.id);
        endless.retain(|run| run.ended.is_none());
        let endless = endless.into_iter().cloned().collect();
        let copy = runs.iter().filter(copies).rfind(|run| run.ended.is_some()).cloned();
        let after = copy.as_ref().map_or(0, |run| run.id);
        let ended = |run: &&PastRun| run.kind != RunKind::Copy && run.ended.is_some() && run.id > after;
        Self { verification: runs.iter().rfind(ended).cloned(), copy, endless }
    }
}

fn text(reader: &Reader) -> Result<Exit, JournalError> {
    let runs = reader.runs()?;
    if runs.is_empty() {
        return Ok(fail("the journal has no run yet", Exit::Problems));
    }
    let last = Last::of(runs);
    for run in &last.endless {
        print_text(&format!("the run that began {} has not ended: it was killed, or is still running\n", run.started));
    }
    let mut exit = Exit::Ok;
    for run in last.copy.iter().chain(&last.verification) {
        exit = exit.max(tell(reader, run)?);
    }
    Ok(exit)
}

/// Prints the report of a run as it was printed at the time.
fn tell(reader: &Reader, run: &PastRun) -> Result<Exit, JournalError> {
    let Some(value) = parse(reader, run)? else {
        return Ok(fail(&format!("run {} has no report: it was killed, or is still running", run.id), Exit::Problems));
    };
    let Some(report) = report::from_json(value) else {
        return Ok(fail("the report in the journal is of another version; --format json shows it", Exit::Problems));
    };
    let what = if run.kind == RunKind::Copy { "copy" } else { "verification" };
    print_text(&format!("run {}, {what}, of {} to {}\n", run.id, run.started, run.ended.as_deref().unwrap_or("?")));
    Ok(print_text(&report_text::text(&report, true)))
}

fn parse(reader: &Reader, run: &PastRun) -> Result<Option<Value>, JournalError> {
    Ok(reader.report_of(run.id)?.and_then(|report| serde_json::from_str(&report).ok()))
}

fn list(reader: &Reader, form: ReportFormat) -> Result<Exit, JournalError> {
    for run in reader.runs()? {
        let line = if form == ReportFormat::Json {
            summary(&run).to_string()
        } else {
            let end = run.ended.as_ref().map_or("has not ended".into(), |ended| format!("to {ended}"));
            let outcome = run.outcome.as_deref().unwrap_or("unfinished");
            let problems = run.problems.map(|n| format!(", {n} problems")).unwrap_or_default();
            format!("{:>4}  {:<6}  {} {end}  {outcome}{problems}", run.id, run.kind.word(), run.started)
        };
        print_text(&format!("{line}\n"));
    }
    Ok(Exit::Ok)
}

fn summary(run: &PastRun) -> Value {
    json!({
        "run": run.id,
        "kind": run.kind.word(),
        "started": run.started,
        "ended": run.ended,
        "outcome": run.outcome,
        "problem_count": run.problems,
        "copied": run.copied,
    })
}

fn one(reader: &Reader, form: ReportFormat, id: i64) -> Result<Exit, JournalError> {
    let Some(run) = reader.runs()?.into_iter().find(|run| run.id == id) else {
        return Ok(fail(&format!("the journal has no run {id}; --run list shows all"), Exit::Problems));
    };
    if form != ReportFormat::Json {
        return tell(reader, &run);
    }
    let mut line = summary(&run);
    line["report"] = json!(parse(reader, &run)?);
    Ok(print_text(&format!("{line}\n")))
}

fn json_lines(reader: &Reader) -> Result<Exit, JournalError> {
    let (last, targets) = (Last::of(reader.runs()?), reader.targets()?);
    let report = |run: &Option<PastRun>| run.as_ref().map_or(Ok(None), |run| parse(reader, run));
    let mut out = Out::new();
    let first = json!({
        "report": report(&last.copy)?,
        "run": last.copy.as_ref().map(|run| run.id),
        "verification": report(&last.verification)?,
        "verification_run": last.verification.as_ref().map(|run| run.id),
        "unfinished_since": last.endless.last().map(|run| &run.started),
    });
    out.line(&first.to_string());
    manifest::each(reader, |path, row| out.line(&manifest::entry(&path, &row, &targets).to_string()))?;
    Ok(out.end(Exit::Ok))
}

fn check_lines(reader: &Reader) -> Result<Exit, JournalError> {
    let mut out = Out::new();
    let mut left_out = 0_u64;
    manifest::each(reader, |path, row| match manifest::check_line(&path, &row) {
        None => true,
        Some(Ok(line)) => out.line(&line),
        Some(Err(why)) => {
            left_out += 1;
            if left_out <= NAMED {
                fail(&format!("{path}: left out: {}", no_line(why)), Exit::Problems);
            }
            true
        }
    })?;
    if left_out == 0 {
        return Ok(out.end(Exit::Ok));
    }
    fail(&format!("{left_out} files cannot be written as lines for b3sum; --verify-only checks all"), Exit::Problems);
    Ok(out.end(Exit::Problems))
}

fn no_line(why: NoCheckLine) -> &'static str {
    match why {
        NoCheckLine::OtherDigest => "a file with holes of 8 GiB and more has a digest of another kind",
        NoCheckLine::NotUtf8 => "the name is not UTF-8, which b3sum refuses",
        NoCheckLine::NoDigest => "its digest is not recorded",
    }
}

/// Lines to stdout. A reader that closed the pipe has read enough.
struct Out {
    stream: BufWriter<std::io::StdoutLock<'static>>,
    failed: Option<std::io::Error>,
}

impl Out {
    fn new() -> Self {
        Self { stream: BufWriter::with_capacity(1 << 16, std::io::stdout().lock()), failed: None }
    }

    /// False when the reader is gone.
    fn line(&mut self, line: &str) -> bool {
        let written = self.stream.write_all(line.as_bytes()).and_then(|()| self.stream.write_all(b"\n"));
        self.failed = written.err();
        self.failed.is_none()
    }

    fn end(mut self, exit: Exit) -> Exit {
        match self.failed.take().or_else(|| self.stream.flush().err()) {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => fail(&format!("stdout: {error}"), Exit::Problems),
            _ => exit,
        }
    }
}
