//! A machine that lives on its target: what it does there in a week is kept by every later run.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, need_tools, sh, snapshot};
use filetime::FileTime;
use std::path::{Path, PathBuf};

const PASSES: [&[&str]; 4] = [&[], &["--delete"], &["--repair"], &["--verify-only", "--strict"]];

fn copied(files: &[(&str, &str)]) -> (World, PathBuf) {
    let world = World::ext4(64);
    for (name, text) in files {
        world.file(&format!("data/{name}"), text);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

/// No pass changes anything on the target, whatever it reports.
#[track_caller]
fn stays(world: &World, plan: &Path, passes: &[&[&str]], expected: &[&str]) {
    let before = snapshot::take(&world.target());
    for args in passes {
        let ran = run(plan, args);
        assert_eq!(ran.kinds(), expected, "{args:?}\n{ran}");
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
        assert_eq!(ran.kinds(), ["changed-target pkg/lib.so", "missing pkg/old"], "{args:?}\n{ran}");
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
    let first_problem =
        |ran: &Ran| ran.stdout.lines().skip_while(|line| !line.starts_with("problems")).nth(1).map(str::to_string);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(ran.kinds(), ["content zz/photo"], "{ran}");
    assert!(first_problem(&ran).unwrap().starts_with("  /persist/data/zz/photo: content:"), "{ran}");
    ran.says("in use since it was copied: 70 changed").says("        70         0         0  /persist/data/log\n");
    let ran = run(&plan, &["--verify-only", "--strict"]).exits(1);
    assert!(first_problem(&ran).unwrap().starts_with("  /persist/data/zz/photo: content:"), "{ran}");
    ran.says("changed on the target since it was copied, by directory:").says("       70 /persist/data/log\n");
}

/// Changed, removed and new entries of the report, by name.
fn in_use(ran: &Ran) -> Vec<String> {
    let text = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap().replace("/persist/data/", "");
    let entries = ran.report["in_use"]["entries"].as_array().unwrap();
    let mut all: Vec<_> = entries.iter().map(|e| format!("{} {}", text(e, "class"), text(e, "path"))).collect();
    all.sort();
    all
}

/// What a machine does in a week: logs rotate, a database is vacuumed, a file is deleted, a directory made.
fn a_week(target: &Path) {
    let log = target.join("log");
    std::fs::rename(log.join("app.log"), log.join("app.log.1")).unwrap();
    std::fs::write(log.join("app.log"), "a week of lines").unwrap();
    sh!("sqlite3", target.join("app.db"), "DELETE FROM t WHERE n < 3; INSERT INTO t VALUES(4); VACUUM;");
    std::fs::remove_file(target.join("mail/1")).unwrap();
    std::fs::remove_dir_all(target.join("spool")).unwrap();
    std::fs::create_dir(target.join("projects")).unwrap();
    std::fs::write(target.join("projects/begun"), "x").unwrap();
}

fn before_that_week() -> (World, PathBuf) {
    let world = World::ext4(64);
    for name in ["log/app.log", "mail/1", "mail/2", "spool/deep/job", "photos/photo"] {
        world.file(&format!("data/{name}"), name);
    }
    sh!("sqlite3", world.data().join("app.db"), "CREATE TABLE t(n); INSERT INTO t VALUES(1),(2),(3);");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

const OF_THAT_WEEK: [&str; 6] =
    ["changed app.db", "changed log/app.log", "new log/app.log.1", "new projects", "removed mail/1", "removed spool"];

#[test]
fn a_week_of_use_is_no_problem_and_a_flipped_bit_is() {
    need_root!();
    need_tools!("sqlite3");
    let (world, plan) = before_that_week();
    a_week(&world.target());
    let before = snapshot::take(&world.target());
    for args in [&["--verify-only"][..], &["--verify-only", "--since", "last"], &["--verify-only"]] {
        let ran =
            run(&plan, args).exits(0).says("no problems; in use since it was copied: 2 changed, 4 removed, 2 new");
        assert_eq!(in_use(&ran), OF_THAT_WEEK, "{args:?}\n{ran}");
    }
    run(&plan, &["--verify-only", "-v"]).exits(0).says("  removed /persist/data/spool (3 entries)\n");
    flip(&world, &world.target().join("photos/photo"), 3);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(
        (ran.kinds(), in_use(&ran)),
        (vec!["content photos/photo".to_string()], OF_THAT_WEEK.map(String::from).into())
    );
    let ran = run(&plan, &["--verify-only", "--strict"]).exits(1);
    assert_eq!(ran.report["problem_count"], 7, "{ran}");
    // A repair mends the photo, and takes nothing back.
    let ran = run(&plan, &["--repair"]).exits(1);
    assert!(!ran.kinds().contains(&"content photos/photo".to_string()), "{ran}");
    assert_eq!(snapshot::diff(&before, &snapshot::take(&world.target())), [""; 0], "{ran}");
    assert_eq!(in_use(&run(&plan, &["--verify-only"]).exits(0)), OF_THAT_WEEK);
}

#[test]
fn what_a_run_finds_removed_is_still_removed_by_its_owner() {
    need_root!();
    let (world, plan) = copied(&[("d/a", "a"), ("d/b", "b")]);
    std::fs::remove_file(world.target().join("d/a")).unwrap();
    for args in [&[][..], &["--repair"], &[]] {
        assert_eq!(run(&plan, args).exits(1).kinds(), ["missing d/a"], "{args:?}");
        assert_eq!(in_use(&run(&plan, &["--verify-only"]).exits(0)), ["removed d/a"], "{args:?}");
    }
    run(&plan, &["--repair", "--strict"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn what_is_gone_though_nobody_removed_it_is_missing_and_repaired() {
    need_root!();
    need_tools!("debugfs");
    let (world, plan) = copied(&[("d/a", "a"), ("d/b", "b")]);
    // Below the file system: the directory's times do not move.
    sh!("umount", &world.persist);
    let image = world.path().join("image");
    sh!("debugfs", "-w", "-R", "unlink data/d/a", &image);
    sh!("mount", "-o", "loop", &image, &world.persist);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(ran.kinds(), ["missing d/a"], "{ran}");
    run(&plan, &["--repair"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_declared_entry_that_is_gone_or_became_a_link_is_trouble() {
    need_root!();
    type Change = fn(&Path);
    let changes: [(&str, &str, Change); 2] = [
        ("missing", "gone", |d| std::fs::remove_dir_all(d).unwrap()),
        ("changed-target", "it (3 entries in all) is out of reach", |d| {
            std::fs::rename(d, d.with_file_name("elsewhere")).unwrap();
            std::os::unix::fs::symlink("elsewhere", d).unwrap();
        }),
    ];
    for (kind, words, change) in changes {
        let (world, plan) = copied(&[("d/a", "a")]);
        change(&world.target());
        let ran = run(&plan, &["--verify-only"]).exits(1).says(words);
        assert_eq!(ran.problems(), [(kind.to_string(), "/persist/data".to_string())], "{ran}");
    }
}

#[test]
fn other_content_under_the_old_time_is_never_taken_for_use() {
    need_root!();
    let (world, plan) = copied(&[("f", "content")]);
    let file = world.target().join("f");
    // As chown -R of a service's start does: the ctime moves, and the content is the same.
    std::fs::set_permissions(&file, std::fs::metadata(&file).unwrap().permissions()).unwrap();
    flip(&world, &file, 0);
    let ran = run(&plan, &["--verify-only"]).exits(1).says("it is damaged, or somebody has set its time back");
    assert_eq!(ran.kinds(), ["changed-target f"], "{ran}");
}

#[test]
fn the_name_that_stays_of_a_linked_file_is_read_though_the_other_was_replaced() {
    need_root!();
    for (replaced, left) in [("a", "b"), ("b", "a")] {
        let (world, plan) = copied(&[("keep", "k")]);
        std::fs::hard_link(world.file("data/a", "shared by two"), world.data().join("b")).unwrap();
        run(&plan, &[]).exits(0);
        run(&plan, &["--verify-only"]).exits(0);
        let target = world.target();
        std::fs::write(target.join("new"), "of its own").unwrap();
        std::fs::rename(target.join("new"), target.join(replaced)).unwrap();
        for _ in 0..2 {
            assert_eq!(in_use(&run(&plan, &["--verify-only"]).exits(0)), [format!("changed {replaced}")]);
        }
        flip(&world, &target.join(left), 0);
        let ran = run(&plan, &["--verify-only"]).exits(1);
        assert_eq!(ran.kinds(), [format!("content {left}")], "{ran}");
    }
}

#[test]
fn what_somebody_removed_is_not_lost_when_a_run_fills_its_directory() {
    need_root!();
    let (world, plan) = copied(&[("d/a", "a"), ("d/b", "b")]);
    let target = world.target();
    std::fs::write(target.join("d/theirs"), "theirs").unwrap();
    run(&plan, &["--verify-only", "--accept"]).exits(0);
    for name in ["d/a", "d/theirs"] {
        std::fs::remove_file(target.join(name)).unwrap();
    }
    world.file("data/d/new", "new");
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(ran.kinds(), ["missing d/a"], "{ran}");
    assert!(target.join("d/new").exists());
    run(&plan, &["--verify-only"]).exits(0);
    run(&plan, &["--repair"]).exits(1);
    assert!(!target.join("d/a").exists(), "what was removed stays so");
    // Nor when it is filled once more.
    world.file("data/d/more", "more");
    run(&plan, &[]).exits(1);
    run(&plan, &["--verify-only"]).exits(0);
    run(&plan, &["--verify-only", "--accept"]).exits(0);
    for args in [&[][..], &["--verify-only", "--strict"], &["--verify-only"]] {
        run(&plan, args).exits(0);
    }
}
