//! Every line of the table is made real and must be told.

use crate::kit::disk::World;
use persistcp::engine::tree::walk::WalkOptions;
use persistcp::nixos::audit::knowledge::{LeftOutReason, Meaning, Rule, markdown, rules};
use persistcp::nixos::audit::{Audit, Listing, audit};
use persistcp::plan::{Backup, Overrides, Plan};
use std::path::Path;

/// A path that the pattern matches, below the source.
fn example(at: &str) -> String {
    if let Some(name) = at.strip_prefix("**/") {
        return format!("home/u/.unknown/{}", name.replace('*', "x"));
    }
    let path = match at.strip_prefix('~') {
        Some(below) => format!("home/u{below}"),
        None => at.trim_start_matches('/').to_string(),
    };
    path.replace("[!.]*", "x").replace('*', "x")
}

fn declares(world: &World, path: &str) -> String {
    format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist\"\ndirectories = [{path:?}]\n",
        world.source, world.root
    )
}

fn look(file: &Path) -> Audit {
    let resolved = Plan::read(file).unwrap().resolve(&Overrides::default(), Backup::Needed).unwrap();
    audit(resolved, WalkOptions { threads: 1, directories: 8, inline: 1, late: false }, Listing::Summary).unwrap()
}

fn told(rule: &Rule, seen: &Audit) -> bool {
    match rule.meaning {
        Meaning::State(severity, _) => seen.findings.iter().any(|finding| {
            let by_name =
                finding.rule.as_deref() == Some(&*rule.at) || finding.holds.iter().any(|why| *why == rule.why);
            // What lies in something as bad is not told on its own.
            finding.severity == severity && (by_name || example(&rule.at).starts_with(&finding.path.to_string()[1..]))
        }),
        Meaning::Leave(reason) => seen.findings.is_empty() && seen.left_out.iter().any(|left| left.reason == reason),
    }
}

fn each_rule_is_told(below: &str) {
    let world = World::plain();
    // The home is open, so that its rules are told one by one.
    world.file("home/u/declared/a", "x");
    let plan = world.plan_text(&declares(&world, "/home/u/declared"));
    for rule in &rules() {
        let path = example(&rule.at);
        world.file(&format!("{path}{below}"), "content");
        let seen = look(&plan);
        assert!(told(rule, &seen), "{} at {path}{below}: {:?} {:?}", rule.at, seen.findings, seen.left_out);
        // Its own top alone: what the plan declares stays.
        let mut gone = world.source.join(&path);
        while std::fs::remove_dir_all(&gone).or_else(|_| std::fs::remove_file(&gone)).is_ok() {
            gone.pop();
            if gone == world.source || std::fs::read_dir(&gone).unwrap().next().is_some() {
                break;
            }
        }
    }
}

#[test]
fn every_rule_fires_on_a_directory() {
    each_rule_is_told("/in it");
}

#[test]
fn every_rule_fires_on_a_file() {
    each_rule_is_told("");
}

#[test]
fn what_the_plan_declares_is_never_told() {
    let world = World::plain();
    for rule in rules().iter().filter(|rule| rule.at.starts_with('/') && !rule.at.contains('*')) {
        if matches!(rule.meaning, Meaning::Leave(LeftOutReason::Nix)) {
            continue;
        }
        world.file(&format!("{}/in it", &rule.at[1..]), "x");
        let seen = look(&world.plan_text(&declares(&world, &rule.at)));
        assert!(seen.findings.is_empty(), "{}: {:?}", rule.at, seen.findings);
        std::fs::remove_dir_all(&world.source).unwrap();
        std::fs::create_dir(&world.source).unwrap();
    }
}

#[test]
fn the_documentation_shows_the_whole_table() {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md")).unwrap();
    assert!(docs.contains(&markdown()), "docs/audit.md must hold this:\n{}", markdown());
}
