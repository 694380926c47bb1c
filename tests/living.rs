//! A machine that lives on its target: what it does there in a week is kept by every later run.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, need_tools, sh, snapshot};
use filetime::FileTime;
use std::path::{Path, PathBuf};

const PASSES: [&[&str]; 4] = [&[], &["--delete"], &["--repair"], &["--verify-only"]];

fn copied(files: &[(&str, &str)]) -> (World, PathBuf) {
    let world = World::ext4(64);
    for (name, text) in files {
        world.file(&format!("data/{name}"), text);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

fn kinds(ran: &Ran) -> Vec<String> {
    let all = ran.problems().into_iter().map(|(kind, path)| format!("{kind} {}", path.replace("/persist/data/", "")));
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

/// No pass changes anything on the target, whatever it reports.
#[track_caller]
fn stays(world: &World, plan: &Path, passes: &[&[&str]], expected: &[&str]) {
    let before = snapshot::take(&world.target());
    for args in passes {
        let ran = run(plan, args);
        assert_eq!(kinds(&ran), expected, "{args:?}\n{ran}");
        assert_eq!(snapshot::diff(&before, &snapshot::take(&world.target())), [""; 0], "{args:?}\n{ran}");
    }
}

#[test]
fn rotated_logs_stay_rotated() {
    need_root!();
    let (world, plan) =
        copied(&[("log/app.log", "old lines"), ("log/app.log.1", "older lines"), ("log/app.log.2", "oldest")]);
    let log = world.target().join("log");
    // logrotate: the last is removed, the others move up, a new one is begun.
    std::fs::remove_file(log.join("app.log.2")).unwrap();
    std::fs::rename(log.join("app.log.1"), log.join("app.log.2")).unwrap();
    std::fs::rename(log.join("app.log"), log.join("app.log.1")).unwrap();
    std::fs::write(log.join("app.log"), "a week of lines").unwrap();
    let changed = ["log/app.log", "log/app.log.1", "log/app.log.2"].map(|name| format!("changed-target {name}"));
    let changed: Vec<_> = changed.iter().map(String::as_str).collect();
    stays(&world, &plan, &PASSES, &changed);
}

#[test]
fn an_appended_log_and_an_edited_file_are_not_taken_back() {
    need_root!();
    let (world, plan) = copied(&[("a.log", "one\n"), ("notes", "first draft")]);
    let target = world.target();
    use std::io::Write;
    std::fs::OpenOptions::new().append(true).open(target.join("a.log")).unwrap().write_all(b"two\n").unwrap();
    // As vim and emacs save: a new file, renamed over the old one.
    std::fs::write(target.join("notes.new"), "second draft").unwrap();
    std::fs::rename(target.join("notes.new"), target.join("notes")).unwrap();
    stays(&world, &plan, &PASSES, &["changed-target a.log", "changed-target notes"]);
    // Nor if the old machine wrote there once more, later than this one.
    world.file("data/notes", "an afterthought on the old machine");
    stays(&world, &plan, &[&[], &["--delete"]], &["changed-target a.log", "changed-target notes"]);
}

#[test]
fn a_vacuumed_database_is_kept_and_whole() {
    need_root!();
    need_tools!("sqlite3");
    let world = World::ext4(64);
    std::fs::create_dir(world.data()).unwrap();
    sh!("sqlite3", world.data().join("app.db"), "CREATE TABLE t(n); INSERT INTO t VALUES(1),(2),(3);");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let db = world.target().join("app.db");
    sh!("sqlite3", &db, "DELETE FROM t WHERE n < 3; INSERT INTO t VALUES(4); VACUUM;");
    stays(&world, &plan, &PASSES, &["changed-target app.db"]);
    let out =
        std::process::Command::new("sqlite3").arg(&db).arg("SELECT sum(n) FROM t; PRAGMA integrity_check").output();
    assert_eq!(String::from_utf8(out.unwrap().stdout).unwrap(), "7\nok\n");
}

#[test]
fn a_tree_that_a_package_manager_rewrote_is_kept() {
    need_root!();
    let (world, plan) = copied(&[("pkg/lib.so", "version 1"), ("pkg/old", "only in 1"), ("keep", "x")]);
    let target = world.target();
    std::fs::create_dir(target.join("pkg.new")).unwrap();
    std::fs::write(target.join("pkg.new/lib.so"), "version 2").unwrap();
    std::fs::write(target.join("pkg.new/added"), "only in 2").unwrap();
    std::fs::rename(target.join("pkg"), target.join("pkg.old")).unwrap();
    std::fs::rename(target.join("pkg.new"), target.join("pkg")).unwrap();
    std::fs::remove_dir_all(target.join("pkg.old")).unwrap();
    for args in [&[][..], &["--delete"], &[]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(kinds(&ran), ["changed-target pkg/lib.so", "missing pkg/old"], "{args:?}\n{ran}");
    }
    assert_eq!(std::fs::read_to_string(target.join("pkg/lib.so")).unwrap(), "version 2");
    assert_eq!(std::fs::read_to_string(target.join("pkg/added")).unwrap(), "only in 2");
    assert!(!target.join("pkg/old").exists());
}

#[test]
fn a_wrong_clock_hides_no_change() {
    need_root!();
    let (world, plan) = copied(&[("past", "copied"), ("same", "copied"), ("future", "copied")]);
    let target = world.target();
    // Written while the clock said 1980, 2090, and the very time of the copy.
    let time = FileTime::from_last_modification_time(&std::fs::metadata(target.join("same")).unwrap());
    for (name, time) in [
        ("past", FileTime::from_unix_time(315_532_800, 0)),
        ("future", FileTime::from_unix_time(3_786_912_000, 0)),
        ("same", time),
    ] {
        std::fs::write(target.join(name), "newer!").unwrap();
        filetime::set_file_mtime(target.join(name), time).unwrap();
    }
    stays(&world, &plan, &PASSES, &["changed-target future", "changed-target past", "changed-target same"]);
}

#[test]
fn a_restored_snapshot_is_no_change_of_anybodys() {
    need_root!();
    let (world, plan) = copied(&[("a", "a"), ("d/b", "b"), ("d/c", "c")]);
    let (target, kept) = (world.target(), world.persist.join("kept"));
    sh!("cp", "-a", &target, &kept);
    std::fs::remove_dir_all(&target).unwrap();
    std::fs::rename(&kept, &target).unwrap();
    // Every inode is another one, and the same in every respect.
    for args in [&["--verify-only"][..], &[], &["--delete"], &["--verify-only", "--since", "last"]] {
        run(&plan, args).exits(0);
    }
    snapshot::assert_same(&world.data(), &target);
}

#[test]
fn a_second_pass_brings_what_the_old_machine_did_meanwhile() {
    need_root!();
    let (world, plan) = copied(&[("mail/new/1", "one"), ("spool/job", "x"), ("doc", "draft"), ("keep", "k")]);
    std::fs::rename(world.data().join("mail/new/1"), world.data().join("mail/1:2,S")).unwrap();
    std::fs::remove_dir_all(world.data().join("spool")).unwrap();
    world.file("data/doc", "final");
    run(&plan, &["--delete"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    // A week later, a third run by mistake.
    std::fs::write(world.target().join("doc"), "a week of work").unwrap();
    stays(&world, &plan, &[&[], &["--delete"], &["--repair"]], &["changed-target doc"]);
}

#[test]
fn a_weeks_use_does_not_hide_damage() {
    need_root!();
    let world = World::ext4(64);
    for n in 0..70 {
        world.file(&format!("data/log/{n}"), "old");
    }
    world.file("data/zz/photo", "the only one");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for n in 0..70 {
        std::fs::write(world.target().join(format!("log/{n}")), "a week of lines").unwrap();
    }
    flip(&world, &world.target().join("zz/photo"), 0);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    let first = ran.stdout.lines().skip_while(|line| *line != "problems:").nth(1).unwrap();
    assert!(first.starts_with("  /persist/data/zz/photo: content:"), "{ran}");
    ran.says("changed on the target since it was copied, by directory:").says("       70 /persist/data/log\n");
}
