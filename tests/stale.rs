//! What was copied and the source no longer has is named by every pass, and stays.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, sh};
use crate::passes::PASSES;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Files, a directory with two names, two hard links, a symlink: copied once.
fn copied(more: &str) -> (World, PathBuf) {
    let world = World::ext4(64);
    for name in ["a", "keep", "dir/x", "dir/y", "linked"] {
        world.file(&format!("data/{name}"), name);
    }
    std::fs::hard_link(world.data().join("linked"), world.data().join("other")).unwrap();
    symlink("a", world.data().join("link")).unwrap();
    let plan = world.plan(more);
    run(&plan, &[]).exits(0);
    (world, plan)
}

pub(crate) fn stale(ran: &Ran) -> Vec<String> {
    assert!(ran.problems().iter().all(|(kind, _)| kind == "stale"), "{ran}");
    let mut paths: Vec<_> = ran.problems().into_iter().map(|(_, path)| path.replace("/persist/data/", "")).collect();
    paths.sort();
    paths
}

/// Every pass names exactly these.
#[track_caller]
fn always(plan: &Path, expected: &[&str]) {
    for args in PASSES {
        let ran = run(plan, args).exits(i32::from(!expected.is_empty()));
        assert_eq!(stale(&ran), expected, "{args:?}\n{ran}");
        assert_eq!(ran.report["problem_count"].as_u64(), Some(expected.len() as u64), "{args:?}\n{ran}");
    }
}

#[test]
fn what_was_deleted_is_named_once_by_every_pass() {
    need_root!();
    let (world, plan) = copied("");
    for name in ["a", "other", "link"] {
        std::fs::remove_file(world.data().join(name)).unwrap();
    }
    std::fs::remove_dir_all(world.data().join("dir")).unwrap();
    let ran = run(&plan, &[]).exits(1).says("the source no longer has it").says("3 entries with what is in it");
    assert_eq!(ran.total("stale"), 6, "{ran}");
    always(&plan, &["a", "dir", "link", "other"]);
    for name in ["a", "dir/x", "dir/y", "other"] {
        assert!(world.target().join(name).exists(), "{name}");
    }
    // What comes back is not stale any more.
    for name in ["a", "dir/x", "dir/y"] {
        world.file(&format!("data/{name}"), name);
    }
    symlink("a", world.data().join("link")).unwrap();
    std::fs::hard_link(world.data().join("linked"), world.data().join("other")).unwrap();
    run(&plan, &[]).exits(0);
    always(&plan, &[]);
}

#[test]
fn what_is_gone_from_both_sides_is_forgotten() {
    need_root!();
    let (world, plan) = copied("");
    std::fs::remove_file(world.data().join("a")).unwrap();
    std::fs::remove_dir_all(world.data().join("dir")).unwrap();
    run(&plan, &[]).exits(1);
    std::fs::remove_file(world.target().join("a")).unwrap();
    std::fs::remove_dir_all(world.target().join("dir")).unwrap();
    // The removal moved the time of the directory, which is the source's again after a run.
    for args in [&["--verify-only"][..], &[], &[], &["--verify-only"], &["--verify-only", "--against", "source"]] {
        run(&plan, args).exits(0);
    }
    // Removed on both sides before any run has looked.
    std::fs::remove_file(world.data().join("keep")).unwrap();
    std::fs::remove_file(world.target().join("keep")).unwrap();
    run(&plan, &[]).exits(0);
    always(&plan, &[]);
}

#[test]
fn what_a_pattern_leaves_out_or_another_entry_brings_is_not_stale() {
    need_root!();
    let world = World::ext4(64);
    for name in ["data/keep", "data/cache/x", "other/inside", "data/sub/own"] {
        world.file(name, name);
    }
    let text = |entries: &str| {
        world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n{entries}",
            world.source, world.root
        ))
    };
    let plan = text("[[map]]\nname = \"other\"\nfrom = \"/other\"\nto = \"/persist/data/brought\"\n");
    run(&plan, &[]).exits(0);
    // Declared no more, inside what another entry fills now: that is another problem, and not the source's doing.
    let plan = world.plan("");
    for args in
        [&["--allow-nonempty"][..], &["--delete"], &["--verify-only"], &["--verify-only", "--against", "source"]]
    {
        let ran = run(&plan, args).exits(1);
        assert_eq!(ran.problems(), [("extra".to_string(), "/persist/data/brought".to_string())], "{args:?}\n{ran}");
    }
    std::fs::remove_dir_all(world.target().join("brought")).unwrap();
    run(&plan, &[]).exits(0);
    std::fs::remove_dir_all(world.data().join("cache")).unwrap();
    run(&plan, &["--exclude", "cache", "--delete"]).exits(0);
    assert!(world.target().join("cache/x").exists());
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(stale(&ran), ["cache"], "{ran}");
}

#[test]
fn an_entry_that_is_gone_as_a_whole_is_stale_and_never_removed() {
    need_root!();
    let world = World::ext4(64);
    for name in ["data/keep", "home/doc/x", "etc/key_a", "etc/key_b", "home/f"] {
        world.file(name, name);
    }
    let plan = world.plan(
        "[[target]]\nname = \"h\"\nto = \"/persist/h\"\ndirectories = [{ path = \"/home/doc\", need = \"optional\" }]\n\
         files = [{ path = \"/home/f\", need = \"recommended\" }, { path = \"/etc/key_*\", need = \"optional\" }]\n",
    );
    run(&plan, &[]).exits(0);
    std::fs::remove_dir_all(world.source.join("home")).unwrap();
    std::fs::remove_file(world.source.join("etc/key_b")).unwrap();
    let expected = ["etc/key_b", "home/doc", "home/f"].map(|name| format!("/persist/h/{name}"));
    for args in [&[][..], &["--delete"], &["--verify-only"], &["--verify-only", "--against", "source"], &["--repair"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(stale(&ran), expected, "{args:?}\n{ran}");
        assert_eq!(ran.total("deleted"), 0);
    }
    assert!(world.persist.join("h/home/doc/x").exists() && world.persist.join("h/etc/key_b").exists());
}

#[test]
fn a_disk_that_is_not_mounted_makes_nothing_removable() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/keep", "x");
    let disk = Attached::fresh("ext4", 16, &world.path().join("disk.img"), &world.data().join("disk"));
    for name in ["one", "two/three"] {
        world.file(&format!("data/disk/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &["--cross-mounts"]).exits(0);
    disk.unmount();
    // Also when a run without --delete has seen the empty mount point before.
    for args in [&["--delete"][..], &[], &["--delete"], &["--verify-only"], &["--verify-only", "--against", "source"]] {
        let ran = run(&plan, args).exits(1).says("is a disk not mounted?");
        assert_eq!(stale(&ran), ["disk"], "{args:?}\n{ran}");
    }
    assert_eq!(std::fs::read_to_string(world.target().join("disk/two/three")).unwrap(), "two/three");
    let again = Attached::image(&world.path().join("disk.img"), "loop", &world.data().join("disk"));
    let ran = run(&plan, &["--cross-mounts", "--delete"]).exits(0);
    assert_eq!(ran.total("deleted"), 0, "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
    // Once more, with something else under the mount point meanwhile and a file less on the disk.
    std::fs::remove_file(world.data().join("disk/one")).unwrap();
    again.unmount();
    world.file("data/disk/beneath", "x");
    run(&plan, &[]).exits(1).says("is a disk not mounted?");
    std::fs::remove_file(world.data().join("disk/beneath")).unwrap();
    let _again = Attached::image(&world.path().join("disk.img"), "loop", &world.data().join("disk"));
    let ran = run(&plan, &["--cross-mounts"]).exits(1);
    assert_eq!(stale(&ran), ["disk/beneath", "disk/one"], "{ran}");
    let ran = run(&plan, &["--cross-mounts", "--delete"]).exits(0);
    assert_eq!(ran.total("deleted"), 2, "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_a_source_on_another_disk_lacks_goes_where_that_is_taken_as_it_is() {
    need_root!();
    let world = World::ext4(64);
    let disk = |name: &str| Attached::fresh("ext4", 16, &world.path().join(name), &world.data());
    let first = disk("first.img");
    for name in ["t/f", "t/g", "t/h", "t/i"] {
        world.file(&format!("data/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let kept = world.path().join("kept");
    sh!("cp", "-a", world.data(), &kept);
    first.unmount();
    let _second = disk("second.img");
    // The directory has another inode number there.
    sh!("mkdir", world.data().join("one"), world.data().join("two"), world.data().join("three"));
    sh!("cp", "-a", kept.join("."), world.data());
    sh!("rmdir", world.data().join("one"), world.data().join("two"), world.data().join("three"));
    std::fs::remove_file(world.data().join("t/g")).unwrap();
    std::fs::remove_file(world.data().join("t/h")).unwrap();
    for args in [&["--delete"][..], &[]] {
        run(&plan, args).exits(1).says("is a disk not mounted?");
    }
    let (found, ran) = crate::dry_run::items(&plan, &["--overwrite", "--delete"]);
    assert_eq!(["t/g", "t/h"].map(|name| found.get(name).map(String::as_str)), [Some("delete"); 2], "{ran}");
    let ran = run(&plan, &["--overwrite", "--delete"]).exits(0);
    assert_eq!(ran.total("deleted"), 2, "{ran}");
    // From here on that disk is the source.
    std::fs::remove_file(world.data().join("t/i")).unwrap();
    let ran = run(&plan, &["--delete"]).exits(0);
    assert_eq!(ran.total("deleted"), 1, "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_disk_that_is_not_mounted_over_the_same_names_makes_nothing_removable() {
    need_root!();
    let world = World::ext4(64);
    // What lies under the mount has a name in common with the disk.
    for name in ["keep", "disk/lost", "disk/README"] {
        world.file(&format!("data/{name}"), "under the mount");
    }
    let image = world.path().join("disk.img");
    let disk = Attached::fresh("ext4", 16, &image, &world.data().join("disk"));
    for name in ["README", "one", "two/three"] {
        world.file(&format!("data/disk/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &["--cross-mounts"]).exits(0);
    disk.unmount();
    for args in [&["--dry-run", "--delete", "-v"][..], &["--delete"], &["--delete"]] {
        let ran = run(&plan, args);
        assert!(!ran.stdout.contains("delete\tf"), "{args:?}\n{ran}");
        for name in ["one", "two/three"] {
            assert_eq!(std::fs::read_to_string(world.target().join("disk").join(name)).unwrap(), name, "{ran}");
        }
    }
    let ran = run(&plan, &["--verify-only"]).exits(1).says("is a disk not mounted?");
    let expected = [("stale", "disk"), ("changed-source", "disk/README")];
    assert_eq!(ran.problems(), expected.map(|(kind, path)| (kind.into(), format!("/persist/data/{path}"))), "{ran}");
    assert_eq!(std::fs::read_to_string(world.target().join("disk/README")).unwrap(), "README");
    let _again = Attached::image(&image, "loop", &world.data().join("disk"));
    run(&plan, &["--cross-mounts", "--delete"]);
    assert_eq!(std::fs::read_to_string(world.target().join("disk/one")).unwrap(), "one");
}

#[test]
fn a_directory_that_cannot_be_read_completely_tells_nothing() {
    need_root!();
    let (world, plan) = copied("");
    std::fs::remove_file(world.data().join("a")).unwrap();
    // Each reading of a directory fails once, in some run; no run names anything that is there.
    for n in 1..=12 {
        let ran = crate::kit::run::faulty(&plan, &["--delete"], &format!("getdents:{n}:EIO"));
        for name in ["keep", "dir/x", "dir/y", "linked", "other"] {
            assert!(world.target().join(name).exists(), "getdents {n}: {name}\n{ran}");
        }
    }
    run(&plan, &["--delete"]).exits(0);
    assert!(!world.target().join("a").exists());
}
