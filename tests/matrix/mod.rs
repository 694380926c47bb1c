//! Every attribute from every file system to every file system: kept, or one
//! counted problem that names attribute and path. Silence fails.

mod aspect;
mod cases;
mod rivals;
mod table;

use crate::kit::mount::{Fs, Mounted};
use crate::kit::need_root;
use crate::kit::run::run;
use crate::kit::snapshot::{self, Snapshot};
use aspect::Extra;
use cases::Case;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SOURCES: [Fs; 5] = [Fs::Ext4, Fs::Xfs, Fs::Btrfs, Fs::Tmpfs, Fs::Overlay];
const TARGETS: [Fs; 6] = [Fs::Ext4, Fs::Xfs, Fs::Btrfs, Fs::Tmpfs, Fs::Overlay, Fs::Exfat];

/// What became of one case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Kept,
    Reported,
}

/// Outcomes by case, source and target; a case that the source cannot hold has none.
type Outcomes = BTreeMap<(usize, Fs, Fs), Outcome>;

/// A source with all cases that its file system holds.
struct Source {
    _mounted: Mounted,
    backup: PathBuf,
    held: Vec<bool>,
    tree: (Snapshot, Extra),
}

impl Source {
    fn build(fs: Fs, scratch: &Path, cases: &[Case]) -> Self {
        let backup = scratch.join("backup");
        let mounted = Mounted::new(fs, scratch, &backup);
        let data = backup.join("data");
        let held = cases::build(&data, cases);
        mounted.still();
        let snapshot = snapshot::take(&data);
        let extra = aspect::extra(&data, &snapshot);
        Self { _mounted: mounted, backup, held, tree: (snapshot, extra) }
    }
}

#[test]
fn every_attribute_is_kept_or_reported_on_every_pair_of_file_systems() {
    need_root!();
    let cases = cases::all();
    let mut outcomes = Outcomes::new();
    let mut silent = Vec::new();
    for from in SOURCES {
        let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let source = Source::build(from, scratch.path(), &cases);
        for to in TARGETS {
            let found = pair(&source, to);
            silent.extend(found.silent.into_iter().map(|line| format!("{} to {}: {line}", from.name(), to.name())));
            for (n, case) in cases.iter().enumerate().filter(|(n, _)| source.held[*n]) {
                let lost = found.lost.get(&n).is_some_and(|lost| case.aspects.iter().any(|a| lost.contains(a)));
                outcomes.insert((n, from, to), if lost { Outcome::Reported } else { Outcome::Kept });
            }
        }
    }
    assert!(silent.is_empty(), "lost in silence, or reported for nothing:\n{}", silent.join("\n"));
    let nowhere: Vec<_> =
        cases.iter().enumerate().filter(|(n, _)| !outcomes.keys().any(|k| k.0 == *n)).map(|(_, c)| &c.name).collect();
    assert!(nowhere.is_empty(), "no source could hold: {nowhere:?}");
    table::check(&cases, &outcomes);
}

struct Found {
    /// By case: in which respects its copy differs.
    lost: BTreeMap<usize, BTreeSet<aspect::Aspect>>,
    /// Differences that no problem names, and problems that name no difference.
    silent: Vec<String>,
}

fn pair(source: &Source, to: Fs) -> Found {
    let scratch = tempfile::TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = scratch.path().join("mnt");
    let persist = root.join("persist");
    let target = Mounted::new(to, scratch.path(), &persist);
    if to != Fs::Exfat {
        crate::kit::sh!("setfacl", "-d", "-m", "u:1234:rwx", persist);
    }
    let plan = scratch.path().join("plan.toml");
    let text = format!(
        "version = 1\nname = \"m\"\nsource = {:?}\nroot = {root:?}\n[[map]]\nname = \"data\"\nfrom = \"/data\"\nto = \"/persist/data\"\n",
        source.backup
    );
    std::fs::write(&plan, text).unwrap();
    let state = scratch.path().join("state");
    // The state is kept elsewhere: SQLite needs more than some of these file systems give.
    let ran = run(&plan, &["--atime", "--allow-volatile", "--allow-nonempty", "--state", state.to_str().unwrap()]);
    assert!(matches!(ran.status, Some(0 | 1)), "{ran}");
    target.still();
    let data = persist.join("data");
    let copy = snapshot::take(&data);
    let extra = aspect::extra(&data, &copy);
    let differences = aspect::differences((&source.tree.0, &source.tree.1), (&copy, &extra));
    judge(&differences, ran.report["problems"].as_array().unwrap())
}

/// What the report says of one kind.
#[derive(Default)]
struct Said {
    paths: BTreeSet<String>,
    count: u64,
    /// One of them speaks for a whole file system.
    group: bool,
}

type Differences = BTreeMap<Vec<u8>, BTreeSet<aspect::Aspect>>;

/// Holds what differs against what was reported, both ways.
fn judge(differences: &Differences, problems: &[serde_json::Value]) -> Found {
    let mut found = Found { lost: BTreeMap::new(), silent: Vec::new() };
    let text = |p: &serde_json::Value, key: &str| p[key].as_str().unwrap_or_default().to_string();
    let mut said_by: BTreeMap<String, Said> = BTreeMap::new();
    for problem in problems {
        let said = said_by.entry(text(problem, "kind")).or_default();
        let count = problem["count"].as_u64().unwrap();
        said.paths.insert(text(problem, "path").replacen("/persist/data", "", 1));
        said.count += count;
        said.group |= count > 1;
    }
    for (path, aspects) in differences {
        let shown = escaped(path);
        let case = shown.split('/').nth(1).and_then(|n| n.parse().ok());
        for aspect in aspects {
            let named = aspect.kinds().iter().filter_map(|kind| said_by.get(*kind));
            if !named.clone().any(|said| said.group || said.paths.contains(&shown)) {
                found.silent.push(format!("{shown}: {aspect:?} differs, and no problem says so"));
            }
            found.lost.entry(case.unwrap_or(usize::MAX)).or_default().insert(*aspect);
        }
    }
    for (kind, said) in &said_by {
        let differ = differences.iter().flat_map(|(path, aspects)| aspects.iter().map(move |a| (path, a)));
        let differ: Vec<_> = differ.filter(|(_, a)| a.kinds().contains(&kind.as_str())).collect();
        // Said of a whole file system, it must count what it concerns. The FUSE driver moves access times by itself.
        let all: BTreeSet<_> = differ.iter().flat_map(|(_, a)| a.kinds()).collect();
        let count: u64 = all.iter().filter_map(|k| said_by.get(**k)).map(|said| said.count).sum();
        if count != differ.len() as u64 && kind != "atime" {
            found.silent.push(format!("{count} problems of the kinds {all:?}, {} differences", differ.len()));
        }
        // Of a broken link group any name may have come first.
        for path in said.paths.iter().filter(|_| kind != "link") {
            if !differ.iter().any(|(p, _)| escaped(p) == *path) {
                found.silent.push(format!("{path}: a problem of kind {kind}, and nothing differs"));
            }
        }
    }
    found
}

/// A path as the report shows it.
fn escaped(path: &[u8]) -> String {
    let mut out = String::new();
    for chunk in path.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\n', "\\n"));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}
