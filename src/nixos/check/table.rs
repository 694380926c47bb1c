//! The rows as text and as JSON.

use super::row::{CheckRow, Remedy, RowStatus};
use super::{Booted, CheckTable};
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

/// The table by groups, then what needs fixing, worst first, then the verdict.
#[must_use]
pub fn text(table: &CheckTable, paint: Paint) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write(&mut out, table, paint).ok();
    out
}

fn write(out: &mut String, table: &CheckTable, paint: Paint) -> std::fmt::Result {
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
    let mut worst: Vec<&CheckRow> =
        table.rows.iter().filter(|r| matches!(r.status, RowStatus::Fail | RowStatus::Warn)).collect();
    worst.sort_by_key(|row| row.status);
    if !worst.is_empty() {
        writeln!(out, "\nto fix:")?;
    }
    for row in worst {
        line(out, row, paint)?;
        match &row.mend {
            Some(Remedy::Run(command)) => writeln!(out, "       $ {command}")?,
            Some(Remedy::Do(advice)) => writeln!(out, "       {advice}")?,
            None => {}
        }
    }
    let count = |status| table.count(status);
    let (fail, warn, pass, skip) =
        (count(RowStatus::Fail), count(RowStatus::Warn), count(RowStatus::Pass), count(RowStatus::Skip));
    let verdict = if fail == 0 { "good" } else { "NOT READY" };
    writeln!(out, "\n{verdict}: {fail} failed, {warn} warnings, {pass} passed, {skip} skipped")
}

fn line(out: &mut String, row: &CheckRow, paint: Paint) -> std::fmt::Result {
    let (status, id) = (colored(row.status, paint), row.id);
    writeln!(out, "  {status} {id:<18} {}: {}", row.path, row.why)
}

fn colored(status: RowStatus, paint: Paint) -> String {
    let code = match status {
        RowStatus::Fail => "1;31",
        RowStatus::Warn => "1;33",
        RowStatus::Pass => "32",
        RowStatus::Skip => "2",
    };
    match paint {
        Paint::Colored => format!("\x1b[{code}m{}\x1b[0m", status.word()),
        Paint::Plain => status.word().into(),
    }
}

/// The table as JSON, described in `docs/check.md`.
#[must_use]
pub fn json(table: &CheckTable) -> Value {
    json!({
        "version": VERSION,
        "tool": concat!("persistcp ", env!("CARGO_PKG_VERSION")),
        "plan": table.plan,
        "root": table.root.to_string_lossy(),
        "booted": table.booted == Booted::Yes,
        "outcome": table.outcome().word(),
        "counts": {
            "pass": table.count(RowStatus::Pass),
            "warn": table.count(RowStatus::Warn),
            "fail": table.count(RowStatus::Fail),
            "skip": table.count(RowStatus::Skip),
        },
        "rows": table.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(row: &CheckRow) -> Value {
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
