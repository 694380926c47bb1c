//! The table of `docs/fidelity.md`, made from the outcomes.

use super::cases::Case;
use super::{Outcome, Outcomes, SOURCES, TARGETS};
use crate::kit::mount::Fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- made by the test `matrix`; PERSISTCP_BLESS=1 writes it anew -->\n";
const END: &str = "<!-- end -->\n";
const BEGIN_RIVALS: &str = "<!-- made by scripts/rivals -->\n";

fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fidelity.md")
}

/// The document's text before, between and after a mark and the next end.
fn split<'t>(text: &'t str, begin: &str) -> (&'t str, &'t str, &'t str) {
    let (head, rest) = text.split_once(begin).expect("docs/fidelity.md has the mark where the table begins");
    let (table, tail) = rest.split_once(END).expect("docs/fidelity.md has the mark where the table ends");
    (head, table, tail)
}

/// Fails when the document does not say what the run found; with
/// `PERSISTCP_BLESS=1` it is made to.
pub(super) fn check(cases: &[Case], outcomes: &Outcomes) {
    let text = std::fs::read_to_string(document()).unwrap();
    let (head, old, tail) = split(&text, BEGIN);
    let new = table(cases, outcomes);
    if std::env::var_os("PERSISTCP_BLESS").is_some() {
        std::fs::write(document(), format!("{head}{BEGIN}{new}{END}{tail}")).unwrap();
        return;
    }
    let stale: Vec<_> = new.lines().filter(|line| !old.lines().any(|l| l == *line)).collect();
    assert!(
        old == new,
        "docs/fidelity.md is stale; PERSISTCP_BLESS=1 cargo test --test integration matrix writes it anew:\n{}",
        stale.join("\n")
    );
}

fn table(cases: &[Case], outcomes: &Outcomes) -> String {
    let mut out = String::from("| attribute | held by |");
    TARGETS.iter().for_each(|to| out.push_str(&format!(" to {} |", to.name())));
    out.push_str("\n|---|---|");
    TARGETS.iter().for_each(|_| out.push_str("---|"));
    out.push('\n');
    for (n, case) in cases.iter().enumerate() {
        let held: Vec<Fs> = SOURCES.into_iter().filter(|from| outcomes.contains_key(&(n, *from, Fs::Ext4))).collect();
        let who = if held.len() == SOURCES.len() { "all".to_string() } else { names(&held) };
        out.push_str(&format!("| {} | {who} |", case.name));
        for to in TARGETS {
            let kept: Vec<Fs> =
                held.iter().copied().filter(|from| outcomes[&(n, *from, to)] == Outcome::Kept).collect();
            let cell = match kept.len() {
                0 => "reported".to_string(),
                all if all == held.len() => "kept".to_string(),
                _ => format!("kept from {}, else reported", names(&kept)),
            };
            out.push_str(&format!(" {cell} |"));
        }
        out.push('\n');
    }
    out
}

fn names(list: &[Fs]) -> String {
    list.iter().map(|fs| fs.name()).collect::<Vec<_>>().join(", ")
}

/// Writes the table of the other copiers: a row for each case that any of them loses.
pub(super) fn write_rivals(names: &[&str], rows: &[(String, Vec<&str>)]) {
    let text = std::fs::read_to_string(document()).unwrap();
    let (head, _, tail) = split(&text, BEGIN_RIVALS);
    let mut new = format!("| attribute | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (name, cells) in rows.iter().filter(|(_, cells)| cells.iter().any(|c| *c != "kept")) {
        new.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    let kept = rows.iter().filter(|(_, cells)| cells.iter().all(|c| *c == "kept")).count();
    new.push_str(&format!("\nThe other {kept} of {} cases are kept by all.\n", rows.len()));
    std::fs::write(document(), format!("{head}{BEGIN_RIVALS}{new}{END}{tail}")).unwrap();
}
