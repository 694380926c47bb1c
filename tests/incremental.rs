//! `--verify-only --since`: only what is due is read.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{plain, run};
use std::ffi::OsStr;

fn world() -> World {
    let world = World::ext4(64);
    world.file("data/one", vec![1; 5000]);
    let two = world.file("data/two", vec![2; 7000]);
    std::fs::hard_link(two, world.data().join("linked")).unwrap();
    world
}

#[test]
fn nothing_is_read_again_until_it_changes() {
    need_root!();
    let world = world();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let since = ["--verify-only", "--since", "last"];
    let ran = run(&plan, &since).exits(0);
    assert_eq!(ran.total("verified_bytes"), 0, "{ran}");
    // Changed and put back: it must be read again, once.
    let one = world.target().join("one");
    let time = filetime::FileTime::from_last_modification_time(&std::fs::metadata(&one).unwrap());
    std::fs::write(&one, vec![1; 5000]).unwrap();
    filetime::set_file_mtime(&one, time).unwrap();
    let ran = run(&plan, &since).exits(0).says("entries were verified before and have not changed since");
    assert_eq!((ran.total("verified"), ran.total("verified_bytes")), (1, 5000), "{ran}");
    assert_eq!(run(&plan, &since).exits(0).total("verified_bytes"), 0);
}

#[test]
fn a_change_that_keeps_size_and_time_is_found() {
    need_root!();
    let world = world();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let two = world.target().join("linked");
    let time = filetime::FileTime::from_last_modification_time(&std::fs::metadata(&two).unwrap());
    std::fs::write(&two, vec![3; 7000]).unwrap();
    filetime::set_file_mtime(&two, time).unwrap();
    let ran = run(&plan, &["--verify-only", "--since", "last"]).exits(1);
    // Each of its names, as a run counts it.
    assert_eq!(ran.problems().len(), 2, "{ran}");
    assert!(ran.problems().iter().all(|(kind, _)| kind == "changed-target"), "{ran}");
    // What is bad stays due.
    run(&plan, &["--verify-only", "--since", "last"]).exits(1);
}

#[test]
fn an_age_asks_for_what_was_verified_before() {
    need_root!();
    let world = world();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    assert_eq!(run(&plan, &["--verify-only", "--since", "1h"]).exits(0).total("verified_bytes"), 0);
    let all = run(&plan, &["--verify-only", "--since", "2100-01-01"]).exits(0);
    assert_eq!(all.total("verified_bytes"), 12_000, "{all}");
}

#[test]
fn content_that_was_never_read_back_is_due() {
    need_root!();
    let world = world();
    let plan = world.plan("");
    run(&plan, &["--verify", "metadata"]).exits(0);
    let ran = run(&plan, &["--verify-only", "--since", "last"]).exits(0);
    assert_eq!(ran.total("verified_bytes"), 12_000, "{ran}");
}

#[test]
fn contradictions_and_unknown_times_are_usage_errors() {
    let plan = OsStr::new("plan.toml");
    let cases: &[(&[&str], &str)] = &[
        (&["--verify-only", "--since", "yesterday"], "an age like `7d`"),
        (&["--since", "last"], "--verify-only"),
        (&["--against", "source"], "--verify-only"),
        (&["--verify-only", "--against", "source", "--since", "last"], "compares everything"),
        (&["--repair", "--verify-only"], "cannot be used with"),
        (&["--repair", "--verify", "none"], "leaves nothing to do"),
    ];
    for (args, words) in cases {
        let mut all = vec![OsStr::new("--plan"), plan];
        all.extend(args.iter().map(OsStr::new));
        plain(&all).exits(2).says(words);
    }
}
