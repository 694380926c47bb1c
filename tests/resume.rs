//! The same command again: nothing to do, or what is left.

use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{run, spawn, wait, wrapped};
use crate::kit::{need_root, sh, snapshot, strace};
use rustix::process::Signal;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

pub(crate) fn many(world: &World, files: usize) {
    for i in 0..files {
        world.file(&format!("data/{}/{i}", i % 37), vec![(i % 251) as u8; 1 + i * 7 % 9000]);
        if i % 50 == 0 {
            let other = world.data().join(format!("{}/link-{i}", (i + 1) % 37));
            std::fs::create_dir_all(other.parent().unwrap()).unwrap();
            std::fs::hard_link(world.data().join(format!("{}/{i}", i % 37)), other).unwrap();
        }
    }
}

#[test]
fn a_second_run_copies_nothing_and_says_so() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 300);
    let plan = world.plan("");
    let first = run(&plan, &[]).exits(0);
    let second = run(&plan, &[]).exits(0).says("nothing to copy");
    assert_eq!((second.total("copied"), second.total("verified")), (0, 0));
    assert_eq!(second.total("skipped"), first.total("copied"));
}

#[test]
fn a_second_run_opens_no_file_that_is_done_and_finds_what_is_new() {
    need_root!();
    let world = World::ext4(64);
    (0..200).for_each(|i| drop(world.file(&format!("data/{}/{i}", i % 7), vec![7; 1 + i])));
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    world.file("data/3/new", "new");
    let log = world.path().join("trace");
    wait(wrapped(&strace::watching(&log), &plan, &[])).exits(0);
    let calls = strace::read(&log);
    let opened = calls.iter().flatten().filter(|call| call.name == "openat" && !call.arg(2).contains("O_DIRECTORY"));
    let paths = opened.filter(|call| !call.arg(2).contains("O_PATH")).map(|call| call.opened().1);
    let (data, target) = (world.data(), world.target());
    let below = |path: &Vec<u8>| [&data, &target].iter().any(|dir| path.starts_with(dir.as_os_str().as_bytes()));
    let mut files: Vec<_> = paths.filter(below).collect();
    files.dedup();
    assert!(!files.is_empty(), "the new file must be among what was opened");
    for path in files {
        assert!(path.ends_with(b"/3/new"), "{} was opened", String::from_utf8_lossy(&path));
    }
    assert_eq!(std::fs::read(world.target().join("3/new")).unwrap(), b"new");
}

#[test]
fn only_what_changed_is_copied_again() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 100);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    world.file("data/3/3", "changed");
    let again = run(&plan, &[]).exits(0);
    assert_eq!(again.total("copied"), 1, "{again}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn killed_at_random_it_goes_on_to_the_same_tree() {
    need_root!();
    let seed: u64 = std::env::var("PERSISTCP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_260_101);
    println!("PERSISTCP_SEED={seed}");
    let world = World::ext4(256);
    many(&world, 4000);
    let plan = world.plan("");
    let mut random = seed;
    for _ in 0..8 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = spawn(&plan, &[]);
        std::thread::sleep(Duration::from_millis(random >> 56));
        child.kill().ok();
        child.wait().unwrap();
    }
    let end = run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &["--verify-only"]).exits(0);
    assert!(end.total("entries") > 4000);
}

#[test]
fn a_signal_ends_the_epoch_and_prints_the_command_that_goes_on() {
    need_root!();
    let world = World::ext4(256);
    many(&world, 2000);
    let plan = world.plan("");
    let mut held = Held::at("create:1000", &plan, &["--threads", "1"]);
    held.ask_to_stop(Signal::INT);
    held.finish("interrupted run").exits(4).says("STOPPED EARLY").says("--plan");
    let end = run(&plan, &[]).exits(0);
    assert!(end.total("skipped") > 0, "what the first run finished is kept\n{end}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_second_run_beside_the_first_is_refused() {
    need_root!();
    let world = World::ext4(256);
    many(&world, 300);
    let plan = world.plan("");
    let held = Held::at("create:100", &plan, &["--threads", "1"]);
    run(&plan, &[]).exits(3).says("another run with this journal is alive").says("pid");
    held.finish("the first run").exits(0);
}

#[test]
fn a_journal_that_a_kill_left_without_tables_is_made_anew() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 20);
    let plan = world.plan("");
    std::fs::create_dir(world.persist.join(".persistcp")).unwrap();
    std::fs::write(world.persist.join(".persistcp/t.sqlite"), "").unwrap();
    run(&plan, &["--verify-only"]).exits(3).says("there is no journal");
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_journal_that_was_cut_off_before_it_had_its_log_is_taken_back() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 20);
    let plan = world.plan("");
    let state = world.persist.join(".persistcp");
    std::fs::create_dir(&state).unwrap();
    // A transaction that spilled: its rollback journal is complete, and nobody holds a lock.
    let unfinished = world.path().join("unfinished");
    let connection = rusqlite::Connection::open(&unfinished).unwrap();
    connection.execute_batch("PRAGMA cache_size = 2; PRAGMA user_version = 0; BEGIN; CREATE TABLE t(x);").unwrap();
    for _ in 0..50 {
        connection.execute("INSERT INTO t VALUES(zeroblob(4000))", []).unwrap();
    }
    std::fs::copy(&unfinished, state.join("t.sqlite")).unwrap();
    std::fs::copy(world.path().join("unfinished-journal"), state.join("t.sqlite-journal")).unwrap();
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_directory_that_was_removed_is_brought_again_by_a_strict_repair_alone() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 100);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::remove_dir_all(world.target().join("3")).unwrap();
    for args in [&[][..], &["--verify-only", "--strict"], &["--repair"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(ran.problems(), [("missing".to_string(), "/persist/data/3".to_string())], "{ran}");
    }
    run(&plan, &["--repair", "--strict"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn flags_follow_the_source_when_it_goes_on() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/dir/old", "x");
    let dir = world.data().join("dir");
    sh!("chattr", "+Sdi", dir);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    // What is made now would inherit from the copy's directory, as it does not in the source.
    sh!("chattr", "-Si", dir);
    world.file("data/dir/sub/new", "x");
    sh!("chattr", "-R", "-d", dir.join("sub"));
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_link_replaces_what_an_earlier_run_made_immutable() {
    need_root!();
    let world = World::ext4(64);
    // Whichever directory comes first, a file of the other is copied under its new name there.
    let files = [world.file("data/a/own", "x"), world.file("data/z/own", "x")];
    files.iter().for_each(|file| sh!("chattr", "+i", file));
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    files.iter().for_each(|file| sh!("chattr", "-i", file));
    std::fs::hard_link(&files[0], world.data().join("z/new")).unwrap();
    std::fs::hard_link(&files[1], world.data().join("a/new")).unwrap();
    run(&plan, &["--threads", "1"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn access_times_that_come_too_late_are_not_forgotten_in_silence() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for _ in 0..2 {
        let ran = run(&plan, &["--atime"]).exits(1).says("--restart");
        assert_eq!(ran.problems(), [("atime".to_string(), "/".to_string())]);
    }
    run(&plan, &["--atime", "--restart"]).exits(0);
    run(&plan, &["--atime"]).exits(0);
}
