//! A source whose file system answers late: sshfs, NFS, any other over a network.

use crate::kit::disk::World;
use crate::kit::odd::{Odd, Oddities};
use crate::kit::run::{plain, run, spawn};
use crate::kit::{need_root, snapshot};
use filetime::{FileTime, set_file_mtime};
use std::ffi::OsStr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const FILES: usize = 900;

/// A world whose source is shown by a driver that takes 5 ms for each answer.
fn late_world(subtype: Option<&'static str>) -> (World, std::path::PathBuf, Odd) {
    let mut world = World::ext4(64);
    for n in 0..FILES {
        let path = world.file(&format!("data/{}/{n}", n % 3), format!("file {n}"));
        // Long ago: what changed a moment ago is read twice, as a driver may hide a change.
        set_file_mtime(path, FileTime::from_unix_time(1_600_000_000, 0)).unwrap();
    }
    let data = world.data();
    let shown = world.path().join("shown");
    let below = std::mem::replace(&mut world.source, shown);
    let late =
        Oddities { late: Duration::from_millis(5), kept: Duration::from_secs(60), subtype, ..Oddities::default() };
    let odd = Odd::new(&below, &world.source, late);
    (world, data, odd)
}

#[test]
fn many_calls_wait_at_a_time_and_a_killed_copy_goes_on() {
    need_root!();
    let (world, data, odd) = late_world(None);
    let plan = world.plan("");
    let mut child = spawn(&plan, &[]);
    std::thread::sleep(Duration::from_millis(900));
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    run(&plan, &[]).exits(0);
    let took = began.elapsed();
    snapshot::assert_same(&data, &world.target());
    let most = odd.callers.most.load(Relaxed);
    assert!(most > 40, "only {most} calls waited at a time");
    // One call after the other, the files alone would take five calls of 5 ms each.
    assert!(took < Duration::from_millis(5 * 5 * FILES as u64 / 2), "{took:?}");
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
    run(&plan, &[]).exits(0).says("nothing to copy");
}

#[test]
fn the_threads_that_the_user_asks_for_stay_and_verify_adapts_as_well() {
    need_root!();
    let (world, data, odd) = late_world(None);
    run(&world.plan(""), &["--threads", "8"]).exits(0);
    let most = odd.callers.most.load(Relaxed);
    assert!(most <= 16, "{most} calls waited at a time");
    let opened = odd.callers.opened.load(Relaxed);
    // One to read it, one of the kernel's to ask for its inode flags.
    assert!(opened <= 2 * FILES as u64, "{opened} calls to open {FILES} files");
    snapshot::assert_same(&data, &world.target());
    let (shown, target) = (world.data().join(""), world.target());
    plain(&[OsStr::new("verify"), shown.as_os_str(), target.as_os_str()]).exits(0);
    let most = odd.callers.most.load(Relaxed);
    assert!(most > 40, "only {most} calls waited at a time");
}

#[test]
fn a_file_of_sshfs_is_opened_once() {
    need_root!();
    let (world, data, odd) = late_world(Some("sshfs"));
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let opened = odd.callers.opened.load(Relaxed);
    assert!(opened <= FILES as u64, "{opened} calls to open {FILES} files");
    snapshot::assert_same(&data, &world.target());
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
}
