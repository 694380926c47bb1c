//! `--dry-run` tells what this run would do with each entry.

use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Word and path of each item, by path; the printed lines and the JSON say the same.
#[track_caller]
pub(crate) fn items(plan: &Path, args: &[&str]) -> (BTreeMap<String, String>, Ran) {
    let ran = run(plan, &[&["--dry-run", "-v"], args].concat()).exits(0);
    let short = |path: &str| path.replace("/persist/data/", "");
    let lines = ran.stdout.lines().filter_map(|line| {
        let parts: Vec<_> = line.split('\t').collect();
        (parts.len() == 4).then(|| (short(parts[3]), parts[0].to_string()))
    });
    let lines: BTreeMap<_, _> = lines.collect();
    let text = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap().to_string();
    let listed = ran.report["items"].as_array().unwrap().iter();
    let listed: BTreeMap<_, _> = listed.map(|item| (short(&text(item, "path")), text(item, "item"))).collect();
    assert_eq!(lines, listed, "{ran}");
    (lines, ran)
}

fn expect(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(path, word)| (path.to_string(), word.to_string())).collect()
}

fn count(ran: &Ran, word: &str, what: &str) -> u64 {
    ran.report["targets"][0][word][what].as_u64().unwrap()
}

#[test]
fn before_the_first_run_everything_is_new() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/d/f", vec![1; 5000]);
    std::fs::hard_link(world.data().join("d/f"), world.data().join("g")).unwrap();
    symlink("f", world.data().join("d/l")).unwrap();
    let plan = world.plan("");
    let (found, ran) = items(&plan, &[]);
    let new = ["/persist/data", "d", "d/f", "d/l", "g"].map(|path| (path, "new"));
    assert_eq!(found, expect(&new), "{ran}");
    assert_eq!((count(&ran, "new", "entries"), count(&ran, "new", "bytes")), (5, 5000), "{ran}");
    assert!(!world.persist.join("data").exists());
    let ran = run(&plan, &[]).exits(0);
    assert_eq!(ran.total("copied"), 5, "{ran}");
    let (found, ran) = items(&plan, &[]);
    assert!(found.is_empty(), "{ran}");
    assert_eq!(count(&ran, "unchanged", "entries"), 5, "{ran}");
}

#[test]
fn a_later_run_does_what_was_foretold() {
    need_root!();
    let world = World::ext4(64);
    for name in ["same", "edited", "mine", "gone/x", "left", "tree/a", "tree/b", "chmodded", "touched", "moded"] {
        world.file(&format!("data/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let (data, target) = (world.data(), world.target());
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    world.file("data/edited", "edited again");
    world.file("data/added/file", "1234");
    mode(&data.join("chmodded"), 0o600);
    std::fs::write(target.join("mine"), "a month of work").unwrap();
    std::fs::remove_dir_all(target.join("gone")).unwrap();
    std::fs::remove_file(data.join("left")).unwrap();
    std::fs::remove_dir_all(data.join("tree")).unwrap();
    mode(&target.join("moded"), 0o600);
    // Touched and the same again.
    mode(&target.join("touched"), 0o600);
    mode(&target.join("touched"), 0o644);
    let expected = [
        ("added", "new"),
        ("added/file", "new"),
        ("chmodded", "changed"),
        ("edited", "changed"),
        ("gone", "missing"),
        ("left", "stale"),
        ("mine", "kept"),
        ("moded", "kept"),
        ("tree", "stale"),
    ];
    let before =
        (snapshot::take(&world.root), std::fs::metadata(world.persist.join(".persistcp")).unwrap().modified().unwrap());
    let (found, ran) = items(&plan, &[]);
    assert_eq!(found, expect(&expected), "{ran}");
    assert_eq!((count(&ran, "stale", "entries"), count(&ran, "new", "bytes")), (4, 4), "{ran}");
    let (found, ran) = items(&plan, &["--delete", "--overwrite"]);
    let word = |path: &str| found[path].clone();
    assert_eq!(
        (word("left"), word("tree"), word("mine")),
        ("delete".into(), "delete".into(), "changed".into()),
        "{ran}"
    );
    let after =
        (snapshot::take(&world.root), std::fs::metadata(world.persist.join(".persistcp")).unwrap().modified().unwrap());
    assert_eq!(snapshot::diff(&before.0, &after.0), [""; 0]);
    assert_eq!(before.1, after.1, "nothing was written to the journal's directory");
    let ran = run(&plan, &["--delete"]).exits(1);
    // The top directory among them, for its times.
    assert_eq!((ran.total("copied"), ran.total("deleted")), (5, 4), "{ran}");
    assert_eq!(std::fs::read_to_string(target.join("edited")).unwrap(), "edited again");
    assert_eq!(std::fs::read_to_string(target.join("mine")).unwrap(), "a month of work");
    assert!(!target.join("tree").exists() && !target.join("left").exists() && !target.join("gone").exists());
}

#[test]
fn a_copy_of_the_backup_with_other_inodes_is_read_and_found_unchanged() {
    need_root!();
    let world = World::ext4(64);
    for name in ["same", "other"] {
        world.file(&format!("data/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let copy = world.path().join("copy");
    crate::kit::sh!("cp", "-a", &world.source, &copy);
    let time = filetime::FileTime::from_last_modification_time(&std::fs::metadata(copy.join("data/other")).unwrap());
    std::fs::write(copy.join("data/other"), "OTHER").unwrap();
    filetime::set_file_mtime(copy.join("data/other"), time).unwrap();
    let (found, ran) = items(&plan, &["--source", copy.to_str().unwrap()]);
    assert_eq!(found, expect(&[("other", "changed")]), "{ran}");
}

#[test]
fn a_restart_foretells_from_nothing() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::remove_file(world.data().join("f")).unwrap();
    world.file("data/g", "x");
    let (found, ran) = items(&plan, &["--restart"]);
    assert_eq!((found.get("g").map(String::as_str), found.get("f")), (Some("new"), None), "{ran}");
}
