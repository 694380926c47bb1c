//! What `--dry-run` foretells is what the run then does, whatever happened on both sides before.

use crate::dry_run::items;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::run;
use crate::kit::{need_root, sh};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A tree in which each name will meet with something else.
fn scene() -> (World, PathBuf) {
    let world = World::ext4(96);
    let names = [
        "same",
        "edited",
        "mine",
        "touched",
        "moded",
        "moded-edited",
        "removed",
        "gone",
        "gone-mine",
        "dir-file/a",
        "dir-file/deep/b",
        "dir-kept/a",
        "dir-link/a",
        "file-dir",
        "file-dir-mine",
        "swapped/a",
        "swapped/deep/b",
        "tree/a",
        "tree/mine/b",
        "lost/a",
        "pair",
        "links",
        "sticky/gone",
        "sticky/stays",
        "stuck/a",
    ];
    for name in names {
        world.file(&format!("data/{name}"), name);
    }
    let data = world.data();
    for (name, other) in [("pair", "pair2"), ("links", "links2")] {
        std::fs::hard_link(data.join(name), data.join(other)).unwrap();
    }
    for name in ["sticky/gone", "sticky", "stuck/a", "stuck"] {
        sh!("chattr", "+i", data.join(name));
    }
    let plan = world.plan("");
    (world, plan)
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// What the old machine does after the copy.
fn change_source(world: &World) {
    let data = world.data();
    for name in ["edited", "moded-edited"] {
        world.file(&format!("data/{name}"), format!("{name}, and edited"));
    }
    sh!("chattr", "-R", "-i", data.join("sticky"), data.join("stuck"));
    for name in ["gone", "gone-mine", "file-dir", "file-dir-mine", "sticky/gone"] {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    for name in ["dir-file", "dir-kept", "dir-link", "tree", "stuck"] {
        std::fs::remove_dir_all(data.join(name)).unwrap();
    }
    sh!("chattr", "+i", data.join("sticky"));
    for name in ["dir-file", "dir-kept", "added/a", "both", "file-dir/a", "file-dir/deep/b", "file-dir-mine/a"] {
        world.file(&format!("data/{name}"), format!("{name} is new"));
    }
    symlink("same", data.join("dir-link")).unwrap();
    sh!("cp", "-p", data.join("pair2"), data.join("other"));
    std::fs::rename(data.join("other"), data.join("pair2")).unwrap();
}

/// What others do on the target meanwhile.
fn change_target(target: &Path) {
    for name in ["mine", "gone-mine", "both", "dir-kept/mine", "file-dir-mine", "tree/mine/others"] {
        std::fs::write(target.join(name), "a month of work").unwrap();
    }
    for (name, bits) in [("touched", 0o600), ("touched", 0o644), ("moded", 0o640), ("moded-edited", 0o640)] {
        mode(&target.join(name), bits);
    }
    std::fs::remove_file(target.join("removed")).unwrap();
    std::fs::remove_dir_all(target.join("lost")).unwrap();
    std::fs::remove_dir_all(target.join("swapped")).unwrap();
    symlink("/elsewhere", target.join("swapped")).unwrap();
}

/// What tells one state of a name from another: its inode, its content.
type Seen = BTreeMap<String, (u64, Vec<u8>)>;

fn look(top: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut waiting = vec![top.to_path_buf()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            let stat = std::fs::symlink_metadata(&path).unwrap();
            let content = match stat.file_type() {
                kind if kind.is_symlink() => std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                kind if kind.is_file() => std::fs::read(&path).unwrap(),
                _ => b"a directory".to_vec(),
            };
            if stat.is_dir() {
                waiting.push(path.clone());
            }
            seen.insert(path.strip_prefix(top).unwrap().to_str().unwrap().to_string(), (stat.ino(), content));
        }
    }
    seen
}

/// Compares what is foretold for a run with `args` with what that does.
#[track_caller]
fn comes_true(world: &World, plan: &Path, args: &[&str]) -> BTreeMap<String, String> {
    let before = look(&world.target());
    let (foretold, dry) = items(plan, args);
    // What makes way for something else has two items.
    let all: BTreeSet<(String, String)> = dry.report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            let text = |key: &str| item[key].as_str().unwrap().replace("/persist/data/", "");
            (text("path"), text("item"))
        })
        .collect();
    assert_eq!(before, look(&world.target()), "{dry}");
    let ran = run(plan, args);
    let after = look(&world.target());
    let short = |path: &str| path.trim_start_matches("/persist/data").trim_start_matches('/').to_string();
    let problems: BTreeSet<(String, String)> =
        ran.problems().into_iter().map(|(kind, path)| (kind, short(&path))).collect();
    let told = format!("{args:?}\n{foretold:#?}\n{problems:#?}\n{dry}\n{ran}");
    let source = look(&world.data());
    for (path, word) in &foretold {
        let (was, is) = (before.get(path), after.get(path));
        let has = |kinds: &[&str]| problems.iter().any(|(kind, at)| at == path && kinds.contains(&kind.as_str()));
        match word.as_str() {
            "new" => assert!(is.is_some() && was.is_none(), "{path}: {word}\n{told}"),
            "changed" => {
                assert_eq!(is.map(|is| &is.1), source.get(path).map(|is| &is.1), "{path}\n{told}");
                let is_dir = is.is_some_and(|is| is.1 == b"a directory");
                assert!(is_dir || path == "/persist/data" || is != was, "{path}: {word}\n{told}");
            }
            "kept" => {
                assert_eq!(is, was, "{path}\n{told}");
                assert!(has(&["changed-target", "type", "mode", "flags"]), "{path}: {word}\n{told}");
            }
            "missing" => assert!(is.is_none() && has(&["missing"]), "{path}: {word}\n{told}"),
            "stale" => assert!(is.is_some() && has(&["stale"]), "{path}: {word}\n{told}"),
            "delete" => assert!(is != was, "{path}: {word}\n{told}"),
            _ => panic!("{path}: {word}\n{told}"),
        }
    }
    // And nothing else happens.
    let under = |path: &str, words: &[&str]| {
        all.iter().any(|(top, word)| {
            words.contains(&word.as_str())
                && (path == top || path.strip_prefix(top).is_some_and(|r| r.starts_with('/')))
        })
    };
    for path in before.keys().chain(after.keys()) {
        let is_dir = |seen: &Seen| seen.get(path).is_some_and(|seen| seen.1 == b"a directory");
        if before.get(path) != after.get(path) && !(is_dir(&before) && is_dir(&after)) {
            assert!(under(path, &["new", "changed", "delete"]), "{path} was not foretold\n{told}");
        }
    }
    for (kind, path) in &problems {
        assert!(under(path, &["kept", "missing", "stale", "delete"]), "{kind} {path} was not foretold\n{told}");
    }
    let deleted: u64 = dry.report["targets"][0]["delete"]["entries"].as_u64().unwrap();
    assert_eq!(ran.total("deleted"), deleted, "{told}");
    foretold
}

fn unstick(world: &World) {
    for top in [world.data(), world.target()] {
        sh!("find", top, "-type", "d,f", "-exec", "chattr", "-ia", "{}", "+");
    }
}

#[test]
fn a_run_with_any_options_does_what_was_foretold() {
    need_root!();
    let all = [&[][..], &["--overwrite"], &["--delete"], &["--overwrite", "--delete"]];
    for args in all {
        let (world, plan) = scene();
        run(&plan, &[]).exits(0);
        change_source(&world);
        change_target(&world.target());
        let foretold = comes_true(&world, &plan, args);
        let word = |path: &str| foretold.get(path).map_or("unchanged", String::as_str);
        let (delete, overwrite) = (args.contains(&"--delete"), args.contains(&"--overwrite"));
        for (path, expected) in [
            ("same", "unchanged"),
            ("edited", "changed"),
            ("touched", "unchanged"),
            ("links2", "unchanged"),
            ("pair2", "changed"),
            ("file-dir", "changed"),
            ("file-dir/deep/b", "new"),
            ("dir-kept", "kept"),
            ("moded", "kept"),
            ("dir-file", if delete { "changed" } else { "kept" }),
            ("dir-link", if delete { "changed" } else { "kept" }),
            ("gone", if delete { "delete" } else { "stale" }),
            ("sticky/gone", if delete { "delete" } else { "stale" }),
            ("stuck", if delete { "delete" } else { "stale" }),
            ("moded-edited", if overwrite { "changed" } else { "kept" }),
            ("swapped", if overwrite { "changed" } else { "kept" }),
            ("swapped/deep/b", if overwrite { "new" } else { "unchanged" }),
            ("file-dir-mine", if overwrite { "changed" } else { "kept" }),
            ("both", if overwrite { "changed" } else { "kept" }),
        ] {
            assert_eq!(word(path), expected, "{args:?}: {path}");
        }
        // So does the run after it.
        comes_true(&world, &plan, args);
        unstick(&world);
    }
}

#[test]
fn a_run_after_a_kill_does_what_was_foretold() {
    need_root!();
    for (call, args) in [("create:9", &[][..]), ("create:20", &["--delete"]), ("create:20", &["--restart"])] {
        let (world, plan) = scene();
        let held = Held::at(call, &plan, &["--threads", "1"]);
        held.kill();
        let written =
            look(&world.target()).keys().find(|path| ["same", "mine", "gone"].contains(&path.as_str())).cloned();
        if let Some(path) = written {
            std::fs::write(world.target().join(path), "newer than the killed run").unwrap();
        }
        comes_true(&world, &plan, args);
        comes_true(&world, &plan, &[]);
        unstick(&world);
    }
}

#[test]
fn a_restart_does_what_was_foretold() {
    need_root!();
    let (world, plan) = scene();
    sh!("chattr", "-R", "-i", world.data().join("sticky"), world.data().join("stuck"));
    run(&plan, &[]).exits(0);
    change_source(&world);
    change_target(&world.target());
    comes_true(&world, &plan, &["--restart"]);
    comes_true(&world, &plan, &[]);
    unstick(&world);
}
