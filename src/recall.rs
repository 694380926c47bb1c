//! `persistcp report`: what the journal knows of past runs and of the target.
//! Takes no lock and writes nothing.

use crate::cli::{fail, print_text};
use crate::exit::Exit;
use crate::journal::{JournalError, Location, PastRun, Reader};
use crate::manifest;
use crate::report;
use serde_json::{Value, json};
use std::io::{BufWriter, ErrorKind, Write};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The last run's report, for people.
    Text,
    /// The report, then each entry, as JSON lines.
    Json,
    /// Lines for `b3sum --check`.
    B3sum,
}

/// Files that are named on stderr; the rest is counted.
const NAMED: u64 = 50;

/// Shows what the journal at `location` has.
#[must_use]
pub fn show(location: &Location, form: Form) -> Exit {
    let reader = match location.read() {
        Ok(Some(reader)) => reader,
        Ok(None) => {
            let place = location.database();
            let advice = "name its place with --state, or run the plan first";
            return fail(&format!("there is no journal at {}; {advice}", place.display()), Exit::Refused);
        }
        Err(error) => return fail(&error.to_string(), Exit::Refused),
    };
    let shown = match form {
        Form::Text => text(&reader),
        Form::Json => json_lines(&reader),
        Form::B3sum => check_lines(&reader),
    };
    shown.unwrap_or_else(|error| fail(&error.to_string(), Exit::Problems))
}

fn text(reader: &Reader) -> Result<Exit, JournalError> {
    let runs = reader.last_runs()?;
    let Some(last) = runs.first() else { return Ok(fail("the journal has no run yet", Exit::Problems)) };
    if last.ended.is_none() {
        print_text(&format!("the run that began {} has no end: it was killed, or is alive\n", last.started));
    }
    let Some((run, report)) = runs.iter().find_map(|run| Some((run, parse(run)?))) else { return Ok(Exit::Ok) };
    let Some(report) = report::from_json(report) else {
        return Ok(fail("the report in the journal is of another version; --format json shows it", Exit::Problems));
    };
    print_text(&format!("run of {} to {}\n", run.started, run.ended.as_deref().unwrap_or("?")));
    Ok(print_text(&report::text(&report)))
}

fn parse(run: &PastRun) -> Option<Value> {
    serde_json::from_str(run.report.as_ref()?).ok()
}

fn json_lines(reader: &Reader) -> Result<Exit, JournalError> {
    let (runs, targets) = (reader.last_runs()?, reader.targets()?);
    let report = runs.iter().find_map(parse);
    let unfinished = runs.first().filter(|run| run.ended.is_none()).map(|run| run.started.clone());
    let mut out = Out::new();
    out.line(&json!({ "report": report, "unfinished_since": unfinished }).to_string());
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
                fail(&format!("{path}: left out: {why}"), Exit::Problems);
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

/// Lines to stdout. A reader that closed the pipe has seen enough.
struct Out {
    stream: BufWriter<std::io::StdoutLock<'static>>,
    failed: Option<std::io::Error>,
}

impl Out {
    fn new() -> Self {
        Self { stream: BufWriter::with_capacity(1 << 16, std::io::stdout().lock()), failed: None }
    }

    /// False when nobody takes any more.
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
