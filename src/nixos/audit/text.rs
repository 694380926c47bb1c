//! The audit for people.

use super::finding::{Finding, FindingKind};
use super::outcome::{Audit, DestinationSeen, OnTarget};
use super::sum::Total;
use super::tally::{Listing, Standings};
use crate::base::clock::Moment;
use crate::base::human::{bytes, count};
use crate::engine::mapping::model::Presence;
use crate::nixos::known_paths::Severity;
use crate::plan::words;
use crate::sys::errno_words;
use std::fmt::{Result, Write};

/// The whole audit; the last line is its summary.
#[must_use]
pub fn text(audit: &Audit) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    write_all(&mut out, audit).ok();
    out
}

fn write_all(out: &mut String, audit: &Audit) -> Result {
    let plan = &audit.plan;
    writeln!(out, "audit of {} by the plan {}", plan.source.display(), plan.name)?;
    absent(out, audit)?;
    links(out, audit)?;
    findings(out, audit)?;
    areas(out, audit)?;
    left_out(out, audit)?;
    for (title, list) in [("not entered", &audit.not_entered), ("could not be read", &audit.unread)] {
        if !list.is_empty() {
            writeln!(out, "\n{title}:")?;
        }
        list.iter().try_for_each(|(path, why)| writeln!(out, "  {path}: {why}"))?;
    }
    let more = audit.unread_count.saturating_sub(audit.unread.len() as u64);
    if more > 0 {
        writeln!(out, "  … and {} more", count(more))?;
    }
    on_target(out, audit)?;
    if audit.links_counted_again {
        writeln!(out, "\nthere are too many hard links to count each file once: sizes are too large")?;
    }
    writeln!(out, "\n{}", summary(audit))
}

fn absent(out: &mut String, audit: &Audit) -> Result {
    writeln!(out, "\ndeclared, and not in the backup:")?;
    let absent = audit.absent();
    if absent.is_empty() {
        return writeln!(out, "  nothing: every declared entry is there");
    }
    for (target, entry) in absent {
        let need = entry.need.word();
        write!(out, "  {need:<11}  {}", entry.src)?;
        match &entry.presence {
            Presence::WrongKind { found } => write!(out, ": it is {found}, not what the plan declares")?,
            Presence::Unreadable { errno } => write!(out, ": {}", errno_words(*errno))?,
            Presence::Present | Presence::Absent => {}
        }
        writeln!(out, " ({})", target.name)?;
    }
    Ok(())
}

/// Entries whose symlinks are followed or kept without the plan saying so.
fn links(out: &mut String, audit: &Audit) -> Result {
    let entries = audit.plan.targets.iter().flat_map(|target| &target.entries);
    let unasked = entries.filter_map(|entry| entry.unasked_link().map(|link| words::unasked_link(&entry.dst, link)));
    let notes: Vec<String> = unasked.collect();
    if !notes.is_empty() {
        writeln!(out, "\ndeclared, and behind a symlink:")?;
    }
    notes.iter().try_for_each(|note| writeln!(out, "  {note}"))
}

/// `1 file`, `2 files`.
fn files(n: u64) -> String {
    format!("{} file{}", count(n), if n == 1 { "" } else { "s" })
}

fn day(total: &Total) -> String {
    total.newest.map_or_else(|| "-".into(), |at| Moment::from_unix(at).rfc3339().chars().take(10).collect())
}

fn shown(finding: &Finding) -> String {
    match finding.what {
        FindingKind::Directory => format!("{}/", finding.path.to_string().trim_end_matches('/')),
        FindingKind::File => finding.path.to_string(),
        FindingKind::Files => format!("{} (files in it)", finding.path),
    }
}

fn width(findings: &[Finding]) -> usize {
    findings.iter().map(|finding| shown(finding).chars().count()).max().unwrap_or(0).min(56)
}

fn findings(out: &mut String, audit: &Audit) -> Result {
    writeln!(out, "\nin the backup, and not declared:")?;
    if audit.findings.is_empty() {
        writeln!(out, "  nothing")?;
    }
    let width = width(&audit.findings);
    for finding in &audit.findings {
        let (path, word) = (shown(finding), finding.severity.word());
        let Total { files: n, bytes: size, .. } = finding.total;
        write!(out, "  {word:<8}  {path:<width$}  {:>9}  {:>12}  {}", bytes(size), files(n), day(&finding.total))?;
        write!(out, "  {}", finding.why)?;
        if !finding.units.is_empty() {
            write!(out, " ({})", finding.units.join(", "))?;
        }
        if !finding.holds.is_empty() {
            write!(out, "; holds {}", finding.holds.join("; "))?;
        }
        writeln!(out)?;
        if finding.severity >= Severity::High {
            writeln!(out, "{:10}  -> {}", "", finding.advice)?;
        }
    }
    Ok(())
}

fn areas(out: &mut String, audit: &Audit) -> Result {
    writeln!(out, "\nhow much there is:")?;
    let name = |path: &crate::base::path::RelPath| if path.is_root() { "elsewhere".into() } else { path.to_string() };
    let names = audit.areas.iter().flat_map(|area| {
        std::iter::once(name(&area.path)).chain(area.lines.iter().map(|(path, _)| format!("  {path}")))
    });
    let width = names.map(|name| name.chars().count()).max().unwrap_or(0).min(56);
    writeln!(out, "  {:<width$}  {:>9}  {:>12}  {:>9}", "", "declared", "not declared", "left out")?;
    for area in &audit.areas {
        let mut line = |name: &str, sums: &Standings| {
            let [declared, undeclared, left] = [sums.declared, sums.undeclared, sums.left_out].map(|t| bytes(t.bytes));
            writeln!(out, "  {name:<width$}  {declared:>9}  {undeclared:>12}  {left:>9}")
        };
        line(&name(&area.path), &area.sums)?;
        area.lines.iter().try_for_each(|(path, sums)| line(&format!("  {path}"), sums))?;
    }
    Ok(())
}

fn left_out(out: &mut String, audit: &Audit) -> Result {
    if audit.left_out.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nleft out:")?;
    for left in &audit.left_out {
        write!(out, "  {:>7}  {}", count(left.things), left.reason.words())?;
        if left.total.bytes > 0 {
            write!(out, " ({}, {})", bytes(left.total.bytes), files(left.total.files))?;
        }
        writeln!(out)?;
        left.paths.iter().try_for_each(|path| writeln!(out, "           {path}"))?;
        let more = left.things.saturating_sub(left.paths.len() as u64);
        if audit.listing == Listing::All && more > 0 {
            writeln!(out, "           … and {} more", count(more))?;
        }
    }
    Ok(())
}

fn on_target(out: &mut String, audit: &Audit) -> Result {
    writeln!(out, "\non the target {}, and not declared:", audit.plan.root.display())?;
    for OnTarget { name, to, seen } in &audit.on_target {
        match seen {
            DestinationSeen::Covered => {}
            DestinationSeen::Absent => writeln!(out, "  {name}: {to} is not there, so it was not checked")?,
            DestinationSeen::Unreadable(why) => writeln!(out, "  {name}: {to} could not be read: {why}")?,
            DestinationSeen::Undeclared { list, not_entered } => {
                let what = if list.is_empty() { "nothing in" } else { "in" };
                writeln!(out, "  {name}: {what} {to}")?;
                let width = width(list);
                for finding in list {
                    let (path, size) = (shown(finding), bytes(finding.total.bytes));
                    let (n, day) = (files(finding.total.files), day(&finding.total));
                    writeln!(out, "    {path:<width$}  {size:>9}  {n:>12}  {day}")?;
                }
                not_entered.iter().try_for_each(|(path, why)| writeln!(out, "    {path}: not entered: {why}"))?;
            }
        }
    }
    Ok(())
}

fn summary(audit: &Audit) -> String {
    let plan = &audit.plan.name;
    let absent = audit.absent().len();
    let lacking = match absent {
        0 => String::new(),
        n => format!("; {n} declared entr{} not in the backup", if n == 1 { "y is" } else { "ies are" }),
    };
    let unread = match audit.unread_count {
        0 => String::new(),
        n => format!("; {} could not be read", count(n)),
    };
    if audit.findings.is_empty() {
        return format!("{plan}: nothing that looks like state would be lost{lacking}{unread}");
    }
    let by: Vec<String> = Severity::ALL
        .iter()
        .map(|severity| (audit.count(*severity), severity.word()))
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    let sum = |of: fn(&Total) -> u64| audit.findings.iter().map(|finding| of(&finding.total)).sum::<u64>();
    let (n, size) = (files(sum(|total| total.files)), bytes(sum(|total| total.bytes)));
    format!("{plan}: {n} ({size}) would be lost: {}{lacking}{unread}; --suggest prints the entries", by.join(", "))
}
