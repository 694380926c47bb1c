//! The same cases through other copiers, on one file system: what each of them
//! loses, and whether it says so. Not part of the suite: `scripts/rivals` installs
//! them and runs this.

use super::cases::{self, Case};
use super::{Source, aspect, pair, table};
use crate::kit::mount::{Fs, Mounted};
use crate::kit::{need_root, sh, snapshot};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// How each is called; two paths follow. Every one gets the options that keep most.
const RIVALS: [(&str, &[&str]); 4] = [
    ("cp -a", &["cp", "-a"]),
    ("rsync -aHAXS", &["rsync", "-aHAXS"]),
    ("cpz", &["cpz"]),
    ("xcp -r -o", &["xcp", "-r", "-o", "--no-progress"]),
];

/// A copier that opens a FIFO waits for ever.
const LIMIT: &str = "10";

#[test]
#[ignore = "needs copiers that the suite does not; scripts/rivals installs them and runs this"]
fn what_other_copiers_lose() {
    need_root!();
    let cases = cases::all();
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let source = Source::build(Fs::Ext4, scratch.path(), &cases);
    let ours = pair(&source, Fs::Ext4);
    assert!(ours.silent.is_empty(), "{:?}", ours.silent);
    let mut rows = Vec::new();
    for (n, case) in cases.iter().enumerate().filter(|(n, _)| source.held[*n]) {
        let mut cells: Vec<&str> = RIVALS
            .iter()
            .map(|(_, command)| copy(command, &source.backup.join("data").join(n.to_string()), case))
            .collect();
        cells.push(if lost(case, ours.lost.get(&n)) { "reported" } else { "kept" });
        rows.push((case.name.clone(), cells));
    }
    let names = RIVALS.iter().map(|(name, _)| *name).chain(["persistcp"]);
    table::write_rivals(&names.collect::<Vec<_>>(), &rows);
}

fn lost(case: &Case, differing: Option<&BTreeSet<aspect::Aspect>>) -> bool {
    differing.is_some_and(|lost| case.aspects.iter().any(|a| lost.contains(a)))
}

/// Copies one case to a new file system and tells what became of it.
fn copy(command: &[&str], from: &Path, case: &Case) -> &'static str {
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let target = scratch.path().join("target");
    let mounted = Mounted::new(Fs::Ext4, scratch.path(), &target);
    if case.name == cases::CLEARED {
        sh!("setfacl", "-d", "-m", "u:1234:rwx", target);
    }
    let to = target.join(from.file_name().unwrap());
    // rsync means the directory itself without a slash at the end, and so do the others into a new name.
    let to_arg = if command[0] == "rsync" { target.clone() } else { to.clone() };
    let out = Command::new("timeout").args(["-k", "1", LIMIT]).args(command).arg(from).arg(to_arg).output().unwrap();
    mounted.still();
    match out.status.code() {
        Some(124 | 137) => return "hangs",
        Some(127) => panic!("{} is not to be found: scripts/rivals installs it", command[0]),
        _ => {}
    }
    let said = !out.status.success();
    if !to.is_dir() {
        return if said { "lost, and says so" } else { "lost" };
    }
    let take = |dir: &Path| {
        let tree = snapshot::take(dir);
        let extra = aspect::extra(dir, &tree);
        (tree, extra)
    };
    let (a, b) = (take(from), take(&to));
    let mut differing = aspect::differences((&a.0, &a.1), (&b.0, &b.1));
    // The directory that holds the case is not its subject.
    differing.remove(b"".as_slice());
    let all = differing.into_values().flatten().collect();
    match (lost(case, Some(&all)), said) {
        (false, _) => "kept",
        (true, true) => "lost, and says so",
        (true, false) => "lost",
    }
}
