//! `persistcp report`, and a target that moved to another root.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{Ran, plain, run};
use crate::kit::{need_root, need_tools};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

fn report(plan: &Path, args: &[&str]) -> Ran {
    let mut all = vec![OsStr::new("report"), OsStr::new("--plan"), plan.as_os_str()];
    all.extend(args.iter().map(OsStr::new));
    plain(&all)
}

/// A line of `b3sum` as its own parser takes it: escapes only after a leading backslash.
fn parse(line: &str) -> (String, String) {
    let (escaped, line) = line.strip_prefix('\\').map_or((false, line), |rest| (true, rest));
    let (hash, name) = line.split_once("  ").unwrap();
    let mut out = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' if escaped => match chars.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                other => panic!("b3sum refuses \\{other}"),
            },
            c => c,
        });
    }
    (hash.to_string(), out)
}

#[test]
fn b3sum_lines_name_every_file_with_its_digest() {
    need_root!();
    let world = World::ext4(300);
    let names = ["plain", "two  spaces", "back\\slash", "new\nline", "carriage\rreturn", " lead", "…é", "empty"];
    for name in names {
        world.file(&format!("data/{name}"), if name == "empty" { "" } else { name });
    }
    world.file("data/large", vec![7; 66 << 20]);
    std::fs::hard_link(world.data().join("plain"), world.data().join("linked")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let ran = report(&plan, &["--format", "b3sum"]).exits(0);
    assert_eq!(ran.stdout.lines().count(), names.len() + 2, "{ran}");
    for line in ran.stdout.split_terminator('\n') {
        let (hash, name) = parse(line);
        let content = std::fs::read(world.root.join(name)).unwrap();
        assert_eq!(hash, blake3::hash(&content).to_hex().as_str(), "{line}");
    }
    need_tools!("b3sum");
    // Debian's release does not know an escaped carriage return yet.
    let known = ran.stdout.split_inclusive('\n').filter(|line| !line.contains("\\r")).collect::<String>();
    let mut b3sum = Command::new("b3sum");
    let mut b3sum = b3sum.args(["--check", "-"]).current_dir(&world.root).stdin(Stdio::piped()).spawn().unwrap();
    b3sum.stdin.take().unwrap().write_all(known.as_bytes()).unwrap();
    assert!(b3sum.wait().unwrap().success(), "b3sum --check\n{ran}");
}

#[test]
fn what_b3sum_cannot_take_is_named_and_tells_in_the_status() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/good", "x");
    std::fs::write(world.data().join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    std::fs::write(world.data().join("\u{fffd}"), "x").unwrap();
    let holes = std::fs::File::create(world.data().join("holes")).unwrap();
    holes.set_len(9 << 30).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let ran = report(&plan, &["--format", "b3sum"]).exits(1).says("3 files cannot be written");
    assert_eq!(ran.stdout.lines().count(), 1, "{ran}");
    for words in ["/persist/data/\\xff: left out", "holes: left out: a file with holes"] {
        assert!(ran.stderr.contains(words), "{words}\n{ran}");
    }
}

#[test]
fn json_lines_hold_the_report_and_every_entry() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/d/f", "content");
    xattr::set(world.data().join("d/f"), "user.a", b"v").unwrap();
    std::os::unix::fs::symlink("d/f", world.data().join("link")).unwrap();
    std::fs::write(world.data().join(OsStr::from_bytes(b"\xff")), "x").unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let ran = report(&plan, &["--format", "json"]).exits(0);
    let lines: Vec<serde_json::Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["report"]["outcome"], "ok");
    let find = |path: &str| lines[1..].iter().find(|e| e["path"] == path).unwrap_or_else(|| panic!("{path}\n{ran}"));
    let file = find("/persist/data/d/f");
    assert_eq!((&file["kind"], &file["size"], &file["state"]), (&"f".into(), &7.into(), &"done".into()));
    assert_eq!(file["digest"], blake3::hash(b"content").to_hex().as_str());
    assert_eq!(file["xattrs"]["user.a"], "dg==");
    assert_eq!(find("/persist/data/link")["link"], "d/f");
    assert_eq!(find("/persist/data/\\xff")["path_bytes"], "L3BlcnNpc3QvZGF0YS//");
    assert_eq!(find("/persist/data/d")["kind"], "d");
    assert_eq!(lines.len(), 6, "{ran}");
}

#[test]
fn the_last_report_is_told_again() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/new\nline", "x");
    let plan = world.plan("");
    let first = run(&plan, &[]).exits(0);
    let again = report(&plan, &[]).exits(0);
    assert!(again.stdout.ends_with(&first.stdout), "{first}\n{again}");
    std::fs::write(world.target().join("new\nline"), "y").unwrap();
    let bad = run(&plan, &["--verify-only", "--strict"]).exits(1);
    let again = report(&plan, &[]).exits(0);
    assert!(again.stdout.ends_with(&bad.stdout), "{bad}\n{again}");
    let state = world.persist.join(".persistcp");
    let args = ["report", "--name", "t", "--state"].map(OsStr::new);
    plain(&[&args[..], &[state.as_os_str()]].concat()).exits(0).says("finished with");
}

#[test]
fn a_report_needs_a_journal_and_makes_none() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    report(&world.plan(""), &[]).exits(3).says("there is no journal");
    assert!(!world.persist.join(".persistcp").exists());
    plain(&["report"].map(OsStr::new)).exits(2);
}

#[test]
fn a_target_verifies_itself_under_another_root_and_without_the_backup() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/d/f", "x");
    let plan = world.plan("[ids]\nusers = { u = 7 }\n[[fixup]]\npath = \"/persist/data/d\"\nowner = \"u\"\n");
    run(&plan, &[]).exits(0);
    crate::kit::sh!("umount", world.persist);
    std::fs::rename(&world.source, world.path().join("away")).unwrap();
    let booted = world.path().join("booted");
    let image = world.path().join("image");
    let mounted = Attached::image(&image, "loop", &booted.join("persist"));
    let root = ["--root", booted.to_str().unwrap()];
    let ran = run(&plan, &[&["--verify-only"][..], &root].concat()).exits(0);
    assert_eq!(ran.total("verified"), 3, "{ran}");
    report(&plan, &[&["--format", "b3sum"][..], &root].concat()).exits(0).says("  persist/data/d/f");
    let path = booted.join("persist/data/d/f");
    std::fs::write(&path, "y").unwrap();
    run(&plan, &[&["--verify-only", "--strict"][..], &root].concat())
        .exits(1)
        .says("/persist/data/d/f: changed-target");
    mounted.unmount();
}
