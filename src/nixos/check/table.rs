//! The rows for people and for programs.

use super::row::{Mend, Row, Status};
use super::{Booted, Table};
use crate::base::json::exact;
use serde_json::{Value, json};
use std::fmt::Write;

/// The version of the JSON in `docs/check.md`.
const VERSION: u32 = 1;

/// Whether the text is for a terminal that shows colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// With escape sequences.
    Colored,
    /// Plain.
    Plain,
}

/// The table by groups, then what is to be mended, the worst first, then the verdict.
#[must_use]
pub fn text(table: &Table, paint: Paint) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write(&mut out, table, paint).ok();
    out
}

fn write(out: &mut String, table: &Table, paint: Paint) -> std::fmt::Result {
    let system = match table.booted {
        Booted::Yes => "running",
        Booted::No => "installed, not running",
    };
    writeln!(out, "{}: {} ({system})", table.plan, table.root.display())?;
    let mut group = "";
    for row in &table.rows {
        if row.group != group {
            group = row.group;
            writeln!(out, "\n{group}")?;
        }
        line(out, row, paint)?;
    }
    let mut worst: Vec<&Row> = table.rows.iter().filter(|r| matches!(r.status, Status::Fail | Status::Warn)).collect();
    worst.sort_by_key(|row| row.status);
    if !worst.is_empty() {
        writeln!(out, "\nto mend:")?;
    }
    for row in worst {
        line(out, row, paint)?;
        match &row.mend {
            Some(Mend::Run(command)) => writeln!(out, "       $ {command}")?,
            Some(Mend::Do(advice)) => writeln!(out, "       {advice}")?,
            None => {}
        }
    }
    let count = |status| table.count(status);
    let (fail, warn, pass, skip) = (count(Status::Fail), count(Status::Warn), count(Status::Pass), count(Status::Skip));
    let verdict = if fail == 0 { "good" } else { "NOT READY" };
    writeln!(out, "\n{verdict}: {fail} failed, {warn} warnings, {pass} passed, {skip} skipped")
}

fn line(out: &mut String, row: &Row, paint: Paint) -> std::fmt::Result {
    let (status, id) = (colored(row.status, paint), row.id);
    writeln!(out, "  {status} {id:<18} {}: {}", row.path, row.why)
}

fn colored(status: Status, paint: Paint) -> String {
    let code = match status {
        Status::Fail => "1;31",
        Status::Warn => "1;33",
        Status::Pass => "32",
        Status::Skip => "2",
    };
    match paint {
        Paint::Colored => format!("\x1b[{code}m{}\x1b[0m", status.word()),
        Paint::Plain => status.word().into(),
    }
}

/// The table as JSON, described in `docs/check.md`.
#[must_use]
pub fn json(table: &Table) -> Value {
    json!({
        "version": VERSION,
        "tool": concat!("persistcp ", env!("CARGO_PKG_VERSION")),
        "plan": table.plan,
        "root": table.root.to_string_lossy(),
        "booted": table.booted == Booted::Yes,
        "outcome": table.outcome().word(),
        "counts": {
            "pass": table.count(Status::Pass),
            "warn": table.count(Status::Warn),
            "fail": table.count(Status::Fail),
            "skip": table.count(Status::Skip),
        },
        "rows": table.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(row: &Row) -> Value {
    let mut value = json!({
        "id": row.id,
        "group": row.group,
        "path": row.path.to_string(),
        "status": row.status,
        "why": row.why,
        "mend": row.mend,
    });
    if let Some(bytes) = exact(&row.path) {
        value["path_bytes"] = json!(bytes);
    }
    value
}
