//! What the owner of a target in use did there, for people: by directory, and by name if asked.

use super::words::amount::entries;
use crate::base::human::count;
use crate::engine::events::finding::{TargetUse, UseClass, UseCounts};
use std::fmt::Write;

/// Directories that are named, the fullest first.
const NAMED: usize = 10;

/// "70 changed, 2 removed"; what there is none of is left out.
pub(super) fn summary(counts: &UseCounts) -> String {
    let some = UseClass::ALL.iter().zip(counts).filter(|(_, entries)| **entries > 0);
    some.map(|(class, entries)| format!("{} {}", count(*entries), class.word())).collect::<Vec<_>>().join(", ")
}

/// The section of the report; `by_name` also lists the entries.
pub(super) fn section(out: &mut String, in_use: &TargetUse, by_name: bool) -> std::fmt::Result {
    if in_use.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nin use since it was copied (no problem; -v names each, --strict makes each a problem):")?;
    if in_use.accepted > 0 {
        writeln!(out, "  {} accepted: from here on they are verified as they are", entries(in_use.accepted))?;
    }
    let row =
        |[changed, removed, new]: [String; 3], path: &str| format!("  {changed:>9} {removed:>9} {new:>9}  {path}");
    writeln!(out, "{}", row(UseClass::ALL.map(|class| class.word().to_string()), "directory"))?;
    let mut directories: Vec<_> = in_use.directories.iter().collect();
    directories.sort_by_key(|(_, counts)| std::cmp::Reverse(counts.iter().sum::<u64>()));
    for (path, counts) in directories.iter().take(NAMED) {
        writeln!(out, "{}", row(counts.map(count), &path.to_string()))?;
    }
    if directories.len() > NAMED {
        writeln!(out, "  … and {} more directories", count((directories.len() - NAMED) as u64))?;
    }
    for entry in in_use.entries.iter().filter(|_| by_name) {
        let below = if entry.count > 1 { format!(" ({} entries)", count(entry.count)) } else { String::new() };
        writeln!(out, "  {:<7} {}{below}", entry.class.word(), entry.path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::RelPath;
    use crate::engine::events::finding::UseFinding;

    #[test]
    fn the_fullest_directory_comes_first_and_names_only_when_asked() {
        let path = |text: &str| RelPath::new(text.as_bytes()).expect("valid");
        let entry =
            UseFinding { path: path("log/a"), target: "t".into(), class: UseClass::Changed, count: 1, found: None };
        let in_use = TargetUse {
            counts: [70, 0, 1],
            accepted: 0,
            directories: vec![(path("etc"), [0, 0, 1]), (path("log"), [70, 0, 0])],
            entries: vec![entry],
        };
        assert_eq!(summary(&in_use.counts), "70 changed, 1 new");
        let text = |by_name| {
            let mut out = String::new();
            section(&mut out, &in_use, by_name).expect("text");
            out
        };
        let short = text(false);
        assert!(
            short.ends_with("        70         0         0  /log\n          0         0         1  /etc\n"),
            "{short}"
        );
        assert_eq!(text(true), short + "  changed /log/a\n");
        assert!(section(&mut String::new(), &TargetUse::default(), true).is_ok());
    }
}
