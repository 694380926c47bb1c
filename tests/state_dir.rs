//! The directory of the journal, and what others put there: it is asked for its owner
//! before anything in it is opened, by every command.

use crate::kit::disk::World;
use crate::kit::dress::{mode, node};
use crate::kit::run::{Ran, plain, run};
use crate::kit::{need_root, snapshot};
use crate::resume::many;
use rustix::fs::{FileType, FlockOperation};
use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

fn copied() -> (World, PathBuf, PathBuf) {
    let world = World::ext4(64);
    many(&world, 30);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let state = world.persist.join(".persistcp");
    (world, plan, state)
}

fn report(plan: &Path) -> Ran {
    plain(&["report", "--plan", plan.to_str().unwrap()].map(OsStr::new))
}

/// Every command that looks at a journal, refused with `words`.
fn all_refused(plan: &Path, words: &str) {
    report(plan).exits(3).says(words);
    for args in [&["--dry-run"][..], &["--verify-only"], &["--verify-only", "--against", "source"], &["--repair"], &[]]
    {
        run(plan, args).exits(3).says(words);
    }
}

#[test]
fn a_fifo_or_a_symlink_in_the_place_of_a_journals_file_is_refused_and_hangs_nothing() {
    need_root!();
    let (world, plan, state) = copied();
    for name in ["t.sqlite", "t.sqlite-wal", "t.sqlite-shm", "t.sqlite-journal"] {
        let (path, kept) = (state.join(name), state.join("kept"));
        let had = std::fs::rename(&path, &kept).is_ok();
        node(&path, FileType::Fifo, 0);
        all_refused(&plan, "it is a FIFO");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(world.path().join("elsewhere"), &path).unwrap();
        all_refused(&plan, "it is a symlink");
        std::fs::remove_file(&path).unwrap();
        assert!(!had || std::fs::rename(&kept, &path).is_ok());
    }
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_fifo_in_the_place_of_the_lock_is_refused() {
    need_root!();
    let (_world, plan, state) = copied();
    std::fs::remove_file(state.join("t.lock")).unwrap();
    node(&state.join("t.lock"), FileType::Fifo, 0);
    for args in [&["--dry-run"][..], &["--verify-only"], &[]] {
        run(&plan, args).exits(3).says("it is a FIFO");
    }
}

/// Puts a database with a rollback journal, as a killed writer leaves them, into `state`.
fn half_transaction(world: &World, state: &Path) {
    let own = world.path().join("own");
    let connection = rusqlite::Connection::open(&own).unwrap();
    connection.execute_batch("PRAGMA cache_size = 2; CREATE TABLE t(x); BEGIN;").unwrap();
    for _ in 0..50 {
        connection.execute("INSERT INTO t VALUES(zeroblob(4000))", []).unwrap();
    }
    std::fs::copy(&own, state.join("t.sqlite")).unwrap();
    std::fs::copy(world.path().join("own-journal"), state.join("t.sqlite-journal")).unwrap();
}

#[test]
fn a_half_transaction_of_a_user_is_never_taken_back_by_root() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 10);
    let plan = world.plan("");
    let state = world.persist.join(".persistcp");
    std::fs::create_dir(&state).unwrap();
    half_transaction(&world, &state);
    let before = snapshot::take(&state);
    // A user's directory; and root's, with a user's files in it.
    chown(&state, Some(1000), None).unwrap();
    all_refused(&plan, "another user");
    chown(&state, Some(0), None).unwrap();
    for name in ["t.sqlite", "t.sqlite-journal"] {
        chown(state.join(name), Some(1000), None).unwrap();
        all_refused(&plan, "another user");
        chown(state.join(name), Some(0), None).unwrap();
    }
    let after = snapshot::take(&state);
    let kept = |diff: Vec<String>| diff.into_iter().filter(|line| !line.contains("t.lock")).collect::<Vec<_>>();
    assert_eq!(kept(snapshot::diff(&before, &after)), [""; 0]);
}

#[test]
fn a_directory_or_file_that_others_may_write_to_is_refused() {
    need_root!();
    let (_world, plan, state) = copied();
    for (path, open, closed) in [(state.clone(), 0o770, 0o700), (state.join("t.sqlite"), 0o602, 0o600)] {
        mode(&path, open);
        all_refused(&plan, "others may write to it");
        mode(&path, closed);
    }
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_a_lock_file_says_is_one_short_escaped_line() {
    need_root!();
    let (_world, plan, state) = copied();
    let text = format!("pid 1\x1b[2J\x1b]0;owned\x07\n{}", "x".repeat(5000));
    std::fs::write(state.join("t.lock"), text).unwrap();
    let lock = std::fs::File::open(state.join("t.lock")).unwrap();
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).unwrap();
    for args in [&[][..], &["--dry-run"], &["--verify-only"]] {
        let ran = run(&plan, args).exits(3).says("is alive").says("\\u{1b}[2J");
        assert!(!ran.stderr.contains('\x1b') && ran.stderr.len() < 1000, "{ran}");
    }
}

#[test]
fn a_name_that_needs_quoting_in_a_uri_is_a_journals_as_any_other() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 10);
    let state = world.path().join("st%41te ?#é");
    let plan = world.plan("");
    let args = ["--state", state.to_str().unwrap()];
    run(&plan, &args).exits(0);
    run(&plan, &args).exits(0).says("nothing to copy");
    plain(&["report", "--plan", plan.to_str().unwrap(), args[0], args[1]].map(OsStr::new)).exits(0);
}
