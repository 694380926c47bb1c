//! Every pass says the same: a run, the next run, `--verify-only`, `--against source`,
//! `--repair`. One rule, one count.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::mount::{Fs, Mounted};
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, sh};
use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

pub(crate) const PASSES: [&[&str]; 8] = [
    &[],
    &["--verify-only"],
    &["--verify-only", "--against", "source"],
    &[],
    &["--verify-only", "--since", "last"],
    &["--repair"],
    &["--verify-only", "--verify", "metadata"],
    &["--verify-only", "--against", "source"],
];

/// How many problems of each kind.
pub(crate) fn counts(ran: &Ran) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for problem in ran.report["problems"].as_array().unwrap_or(&Vec::new()) {
        *counts.entry(problem["kind"].as_str().unwrap().to_string()).or_default() += problem["count"].as_u64().unwrap();
    }
    counts
}

/// All passes, with `more` arguments, say what the first says, which is of the kinds `expected`.
#[track_caller]
fn agree(plan: &Path, more: &[&str], expected: &[(&str, u64)]) -> Vec<Ran> {
    let expected: BTreeMap<_, _> = expected.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
    let passes = PASSES.map(|args| {
        let ran = run(plan, &[args, more].concat()).exits(i32::from(!expected.is_empty()));
        assert_eq!(counts(&ran), expected, "{args:?}\n{ran}");
        assert_eq!(ran.report["problem_count"].as_u64().unwrap(), expected.values().sum::<u64>(), "{args:?}\n{ran}");
        ran
    });
    passes.into()
}

/// Of the given pass, and of the fourth, the second run.
fn copied_by_the_second_run(passes: &[Ran]) -> u64 {
    passes[3].total("copied")
}

#[test]
fn a_flag_that_ext4_does_not_know_is_one_problem_of_each_inode_in_every_pass() {
    need_root!();
    let world = World::ext4(64);
    let _source = Attached::fresh("btrfs", 160, &world.path().join("source.img"), &world.data());
    for name in ["nocow", "packed"] {
        std::fs::create_dir(world.data().join(name)).unwrap();
    }
    sh!("chattr", "+C", world.data().join("nocow"));
    sh!("chattr", "+c", world.data().join("packed"));
    for name in ["nocow/a", "nocow/b", "nocow/c", "packed/a"] {
        world.file(&format!("data/{name}"), name);
    }
    std::fs::hard_link(world.data().join("nocow/a"), world.data().join("nocow/z")).unwrap();
    // btrfs shows a compressed inode's flag as an attribute as well.
    let passes = agree(&world.plan(""), &[], &[("flags", 4), ("xattr", 2)]);
    assert_eq!(copied_by_the_second_run(&passes), 0, "no pass takes a good copy for a bad one\n{}", passes[3]);
}

#[test]
fn a_flag_that_the_source_gets_later_is_set_though_others_were_given_up() {
    need_root!();
    let world = World::ext4(64);
    let _source = Attached::fresh("btrfs", 160, &world.path().join("source.img"), &world.data());
    let dir = world.data().join("nocow");
    std::fs::create_dir(&dir).unwrap();
    sh!("chattr", "+C", dir);
    let plan = world.plan("");
    run(&plan, &[]).exits(1);
    sh!("chattr", "+A", dir);
    agree(&plan, &[], &[("flags", 1)]);
    let out = std::process::Command::new("lsattr").arg("-d").arg(world.target().join("nocow")).output().unwrap();
    let out = String::from_utf8(out.stdout).unwrap();
    assert!(out.split_whitespace().next().unwrap().contains('A'), "{out}");
}

#[test]
fn a_link_that_was_refused_is_a_problem_until_it_is_a_link() {
    need_root!();
    let world = World::new("xfs", 320, &[]);
    let _source = Attached::fresh("xfs", 320, &world.path().join("source.img"), &world.data());
    let first = world.file("data/0/a", "x");
    std::fs::create_dir(world.data().join("1")).unwrap();
    std::fs::hard_link(&first, world.data().join("1/b")).unwrap();
    std::fs::hard_link(&first, world.data().join("1/c")).unwrap();
    // What is made on the target is of project 9 and takes no link of project 5.
    sh!("chattr", "-p", "5", first);
    sh!("chattr", "+P", "-p", "9", world.persist);
    let plan = world.plan("");
    let passes = agree(&plan, &["--threads", "1"], &[("link", 2)]);
    assert_eq!(copied_by_the_second_run(&passes), 0, "{}", passes[3]);
    for dir in ["", "0", "1"] {
        sh!("chattr", "-P", "-p", "0", world.target().join(dir));
    }
    run(&plan, &[]).exits(0);
    crate::kit::snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_could_not_be_copied_at_all_is_named_by_every_pass() {
    need_root!();
    let world = World::new("xfs", 320, &[]);
    world.file("data/good/f", "x");
    world.file("data/.persistcp-0123456789abcdef.tmp", "reserved");
    // xfs holds 1023 bytes.
    symlink("x".repeat(1024), world.data().join("long")).unwrap();
    let _ram = Attached::tmpfs("size=8M", &world.data().join("ram"));
    world.file("data/ram/inside", "x");
    UnixListener::bind(world.data().join("socket")).unwrap();
    let passes = agree(&world.plan(""), &[], &[("mount", 1), ("unsupported", 2)]);
    assert_eq!(copied_by_the_second_run(&passes), 0, "{}", passes[3]);
    for ran in &passes {
        for path in ["long", "ram", ".persistcp-0123456789abcdef.tmp"] {
            assert!(ran.problems().iter().any(|p| p.1 == format!("/persist/data/{path}")), "{path}\n{ran}");
        }
    }
}

#[test]
fn what_a_file_system_without_unix_metadata_loses_counts_the_same_in_every_pass() {
    need_root!();
    let world = World::plain();
    let _exfat = Mounted::new(Fs::Exfat, &world.path().join("images"), &world.persist);
    let file = world.file("data/a", "x");
    std::fs::hard_link(&file, world.data().join("b")).unwrap();
    chown(world.file("data/set-id", "x"), Some(1000), Some(100)).unwrap();
    std::fs::set_permissions(world.data().join("set-id"), PermissionsExt::from_mode(0o6755)).unwrap();
    for name in ["l", "m"] {
        symlink("x", world.data().join(name)).unwrap();
    }
    xattr::set(world.data().join("a"), "user.a", b"1").unwrap();
    let state = world.path().join("state");
    let (plan, more) = (world.plan(""), ["--state", state.to_str().unwrap()]);
    let first = run(&plan, &more).exits(1);
    let expected = counts(&first);
    assert_eq!(expected["unsupported"], 2, "{first}");
    let expected: Vec<_> = expected.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    agree(&plan, &more, &expected);
}

#[test]
fn an_attribute_of_one_inode_is_tried_again_and_told_by_every_pass() {
    need_root!();
    let world = World::ext4(64);
    let _source = Attached::fresh("xfs", 320, &world.path().join("source.img"), &world.data());
    world.file("data/good", "x");
    let dir = world.data().join("dir");
    std::fs::create_dir(&dir).unwrap();
    for path in [world.file("data/f", "x"), dir] {
        xattr::set(path, "user.large", &[7; 20_000]).unwrap();
    }
    agree(&world.plan(""), &[], &[("xattr", 2)]);
    // A run that verifies nothing meets them again all the same.
    for _ in 0..2 {
        assert_eq!(counts(&run(&world.plan(""), &["--verify", "none"]).exits(1))["xattr"], 2);
    }
}

#[test]
fn what_is_in_the_place_of_a_file_is_one_problem_in_every_pass() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    std::fs::create_dir_all(world.target().join("f/inside")).unwrap();
    agree(&world.plan(""), &["--allow-nonempty"], &[("type", 1)]);
}

#[test]
fn declared_entries_of_another_kind_or_absent_are_told_alike() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    world.file("a-file", "x");
    UnixListener::bind(world.source.join("socket")).unwrap();
    let plan = world.plan(
        "[[target]]\nname = \"s\"\nto = \"/persist/s\"\n\
         directories = [{ path = \"/a-file\" }, { path = \"/absent\", need = \"optional\" }]\n\
         files = [\"/socket\", { path = \"/none-*\", need = \"critical\" }]\n",
    );
    agree(&plan, &["--allow-missing"], &[("type", 1)]);
}
