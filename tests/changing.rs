//! A source that changes while it is read.

use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use filetime::FileTime;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Below the size from which on files go by chunks: how far the copy is shows in its size.
const SIZE: u64 = 60 << 20;

fn large(world: &World, size: u64) -> PathBuf {
    world.file("data/still", "x");
    world.file("data/log", vec![1; size as usize])
}

/// Runs, holds the run while it is in the middle of the large file, and lets `change` happen.
fn changed_meanwhile(world: &World, change: impl Fn()) -> Ran {
    let held = Held::at("write:20", &world.plan(""), &["--threads", "1"]);
    let size = std::fs::metadata(world.target().join("log")).map_or(0, |meta| meta.size());
    assert!((1 << 20..SIZE).contains(&size), "it is not in the middle of the file, but at {size}");
    change();
    held.finish("run on a changing source")
}

/// Does `change` over and over during a run.
fn changing_all_the_time(world: &World, change: impl Fn() + Send + 'static) -> Ran {
    let over = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            while !over.load(Ordering::Relaxed) {
                change();
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    // Not too quick for the writer.
    let ran = run(&world.plan(""), &["--bwlimit", "200M"]);
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    ran
}

fn patch(path: &Path, byte: u8) {
    std::fs::File::options().write(true).open(path).unwrap().write_all_at(&[byte], 0).unwrap();
}

/// Changes a byte and puts the time back, as some databases and every intruder do.
fn patch_in_secret(path: &Path, byte: u8) {
    let before = FileTime::from_last_modification_time(&std::fs::metadata(path).unwrap());
    patch(path, byte);
    filetime::set_file_mtime(path, before).unwrap();
}

#[test]
fn a_change_that_is_over_after_the_first_attempt_is_copied_right() {
    need_root!();
    let world = World::ext4(512);
    let log = large(&world, SIZE);
    changed_meanwhile(&world, || patch(&log, 2)).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_change_with_the_old_mtime_is_still_seen() {
    need_root!();
    let world = World::ext4(512);
    let log = large(&world, SIZE);
    changed_meanwhile(&world, || patch_in_secret(&log, 2)).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_file_that_is_cut_off_while_it_is_read_arrives_short() {
    need_root!();
    let world = World::ext4(512);
    let log = large(&world, SIZE);
    let cut = || std::fs::File::options().write(true).open(&log).unwrap().set_len(5000).unwrap();
    changed_meanwhile(&world, cut).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_arrives_whole() {
    need_root!();
    let world = World::ext4(512);
    let log = large(&world, SIZE);
    let new = world.file("new", vec![9; 1 << 20]);
    changed_meanwhile(&world, || std::fs::rename(&new, &log).unwrap()).exits(0);
    // The held descriptor still reads the file that was opened.
    let copy = std::fs::read(world.target().join("log")).unwrap();
    assert!(copy.len() as u64 == SIZE && copy.iter().all(|b| *b == 1), "neither torn nor mixed");
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_file_that_never_holds_still_is_reported_though_its_mtime_is_put_back() {
    need_root!();
    // As one, and by chunks.
    for size in [SIZE, 96 << 20] {
        let world = World::ext4(512);
        let log = large(&world, size);
        let ran = changing_all_the_time(&world, move || patch_in_secret(&log, 3)).exits(1).says("3 times");
        assert_eq!(ran.problems(), [("changed-source".to_string(), "/persist/data/log".to_string())]);
        assert!(!world.target().join("log").exists() && world.target().join("still").exists());
        run(&world.plan(""), &[]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}
