//! Disks that fill up while the copy runs: a clean stop that says how much is
//! missing, nothing marked done that is not there, and the same command goes on.

use crate::kit::attach::{Attached, make_image};
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{journal, need_root, sh, snapshot};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const MIB: usize = 1 << 20;

fn megabytes(world: &World, range: std::ops::Range<usize>) {
    for i in range {
        world.file(&format!("data/{i}"), vec![i as u8 + 1; MIB]);
    }
}

/// Takes all but about `leave` MiB.
fn ballast(point: &Path, leave: u64) -> PathBuf {
    let space = rustix::fs::statvfs(point).unwrap();
    let file = point.join("ballast");
    sh!("fallocate", "-l", format!("{}M", ((space.f_bavail * space.f_frsize) >> 20) - leave), file);
    file
}

/// Bytes and inodes of "N MiB in N inodes are still to be copied".
fn left(ran: &Ran) -> (f64, usize) {
    let reason = ran.report["reason"].as_array().unwrap().iter().find_map(|line| {
        let line = line.as_str().unwrap();
        line.contains("still to be copied").then(|| line.to_string())
    });
    let reason = reason.unwrap_or_else(|| panic!("no word on what is left\n{ran}"));
    let words: Vec<&str> = reason.split(' ').collect();
    assert_eq!((words[1], words[2], words[4]), ("MiB", "in", "inodes"), "{reason}");
    (words[0].parse().unwrap(), words[3].parse().unwrap())
}

/// What is marked done is there, whole; that the copy and its directory are not finished is all there is to say.
fn assert_done_is_there(plan: &Path, state: &str) {
    let ran = run(plan, &["--verify-only", "--state", state]).exits(1).says("was stopped early");
    assert!(ran.problems().iter().all(|(kind, _)| kind == "unfinished"), "{ran}");
}

/// A copied tree grows beyond the disk, and room is made afterwards.
fn fills_and_goes_on(world: &World, leave: u64) {
    let state = world.path().join("state");
    let args = ["--state", state.to_str().unwrap()];
    megabytes(world, 0..40);
    let plan = world.plan("");
    run(&plan, &args).exits(0);
    let ballast = ballast(&world.persist, leave);
    megabytes(world, 40..80);
    // The journal knows the plan, so preflight lets it try.
    let ran = run(&plan, &args).exits(4).says("No space left").says("free space").says("MiB are missing");
    let missing = (0..80).filter(|i| !world.target().join(i.to_string()).exists()).count();
    assert!(missing > 0 && missing < 40, "it went on until the disk was full: {missing}\n{ran}");
    let (mib, inodes) = left(&ran);
    // What was finished counts as finished, whichever run it was.
    assert!((missing..40).contains(&inodes), "{inodes} of {missing}\n{ran}");
    assert!((inodes as f64 - 0.5..inodes as f64 + 1.0).contains(&mib), "{ran}");
    assert_done_is_there(&plan, args[1]);
    std::fs::remove_file(&ballast).unwrap();
    run(&plan, &args).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_full_ext4_stops_says_how_much_is_missing_and_goes_on_after_making_room() {
    need_root!();
    fills_and_goes_on(&World::ext4(160), 12);
}

#[test]
fn a_full_xfs_stops_says_how_much_is_missing_and_goes_on_after_making_room() {
    need_root!();
    fills_and_goes_on(&World::new("xfs", 320, &[]), 12);
}

#[test]
fn a_full_btrfs_stops_says_how_much_is_missing_and_goes_on_after_making_room() {
    need_root!();
    fills_and_goes_on(&World::new("btrfs", 256, &[]), 30);
}

#[test]
fn a_disk_that_is_full_to_the_last_block_holds_the_journal_as_well() {
    need_root!();
    let world = World::ext4(96);
    megabytes(&world, 0..40);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let ballast = ballast(&world.persist, 1);
    megabytes(&world, 40..60);
    let ran = run(&plan, &[]).exits(4).says("are missing");
    let (_, inodes) = left(&ran);
    assert!((1..=20).contains(&inodes), "{ran}");
    std::fs::remove_file(&ballast).unwrap();
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn room_that_a_large_file_could_not_get_whole_is_given_back() {
    need_root!();
    let world = World::ext4(330);
    let random = |mib: u64| {
        let file = world.file("data/big", "");
        sh!("dd", "if=/dev/urandom", format!("of={}", file.display()), "bs=1M", format!("count={mib}"), "status=none");
    };
    random(200);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    random(150);
    // What is reserved for a moment may meet the file or the journal.
    run(&plan, &[]).exits(4).says("are missing");
    let space = rustix::fs::statvfs(&world.persist).unwrap();
    assert!(space.f_bfree * space.f_frsize > 50 << 20, "{} blocks are free", space.f_bfree);
    random(5);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_disk_without_inodes_stops_says_how_many_are_missing_and_goes_on() {
    need_root!();
    let world = World::new("ext4", 64, &["-N", "512"]);
    let state = world.path().join("state");
    let args = ["--state", state.to_str().unwrap()];
    let few = |range: std::ops::Range<usize>| range.for_each(|i| drop(world.file(&format!("data/{i}"), "x")));
    few(0..100);
    let plan = world.plan("");
    run(&plan, &args).exits(0);
    let ballast = world.persist.join("ballast");
    std::fs::create_dir(&ballast).unwrap();
    (0..200).for_each(|i| std::fs::write(ballast.join(i.to_string()), "").unwrap());
    few(100..400);
    let ran = run(&plan, &args).exits(4).says("No space left").says("inodes are missing");
    assert!(!ran.stdout.contains("MiB are missing"), "bytes are not what is missing\n{ran}");
    assert_done_is_there(&plan, args[1]);
    std::fs::remove_dir_all(&ballast).unwrap();
    run(&plan, &args).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_disk_without_room_for_attributes_stops_as_well_and_loses_none() {
    need_root!();
    // Inodes of 128 bytes: each attribute takes a block.
    let world = World::new("ext4", 64, &["-I", "128", "-b", "4096"]);
    let state = world.path().join("state");
    let args = ["--state", state.to_str().unwrap()];
    let dressed = |range: std::ops::Range<u32>| {
        for i in range {
            let file = world.file(&format!("data/{i}"), "");
            xattr::set(file, "user.large", &i.to_le_bytes().repeat(700)).unwrap();
        }
    };
    dressed(0..10);
    let plan = world.plan("");
    // Such inodes keep whole seconds only: one problem, said once.
    run(&plan, &args).exits(1);
    let ballast = ballast(&world.persist, 1);
    dressed(10..2000);
    run(&plan, &args).exits(4).says("No space left").says("are missing");
    std::fs::remove_file(&ballast).unwrap();
    let ran = run(&plan, &args).exits(1);
    assert!(ran.problems().iter().all(|(kind, _)| kind == "mtime"), "{ran}");
    for i in 0..2000_u32 {
        let value = xattr::get(world.target().join(i.to_string()), "user.large").unwrap();
        assert_eq!(value, Some(i.to_le_bytes().repeat(700)), "{i}");
    }
}

/// Of btrfs, because it binds root as well; the others let `CAP_SYS_RESOURCE` pass.
#[test]
fn a_quota_stops_says_how_much_it_must_be_raised_and_goes_on() {
    need_root!();
    let world = World::new("btrfs", 256, &[]);
    let state = world.path().join("state");
    let args = ["--state", state.to_str().unwrap()];
    sh!("btrfs", "quota", "enable", world.persist);
    megabytes(&world, 0..10);
    let plan = world.plan("");
    run(&plan, &args).exits(0);
    sh!("btrfs", "qgroup", "limit", "24M", world.persist);
    megabytes(&world, 10..50);
    let ran = run(&plan, &args).exits(4).says("raise the quota").says("must be raised by at least");
    let (_, inodes) = left(&ran);
    assert!((1..40).contains(&inodes), "{ran}");
    assert_done_is_there(&plan, args[1]);
    sh!("btrfs", "qgroup", "limit", "none", world.persist);
    run(&plan, &args).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

/// Files that the journal has as done.
fn done(state: &Path) -> BTreeSet<String> {
    let rows = journal::done(&journal::reader(state).unwrap());
    rows.into_iter()
        .filter(|(_, row)| journal::is_file(row))
        .map(|(_, row)| String::from_utf8(row.name).unwrap())
        .collect()
}

#[test]
fn a_failed_syncfs_marks_nothing_done_and_the_same_command_goes_on() {
    need_root!();
    // A disk of 64 MiB that has only 24 MiB below it: writing back fails.
    let world = World::plain();
    let below = world.path().join("below");
    let _ram = Attached::tmpfs("size=24M", &below);
    make_image("ext4", 64, &[], &below.join("image"));
    let target = Attached::image(&below.join("image"), "loop", &world.persist);
    let state = world.path().join("state");
    let args = ["--state", state.to_str().unwrap()];
    megabytes(&world, 0..30);
    let plan = world.plan("");
    // EIO or ENOSPC, as the loop device has it.
    let ran = run(&plan, &args).exits(4).says("(syncfs: ").says("nothing of this epoch is marked done");
    if ran.stdout.contains("No space left") {
        ran.says("still to be copied");
    }
    target.unmount();

    sh!("mount", "-o", "remount,size=128M", below);
    // e2fsck answers 1 when it has repaired something.
    std::process::Command::new("e2fsck").arg("-fy").arg(below.join("image")).output().unwrap();
    let _target = Attached::image(&below.join("image"), "loop", &world.persist);
    for name in done(&state) {
        let on_medium = std::fs::read(world.target().join(&name)).unwrap_or_default();
        assert!(
            on_medium == std::fs::read(world.data().join(&name)).unwrap(),
            "{name} is marked done and is not there"
        );
    }
    run(&plan, &args).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
