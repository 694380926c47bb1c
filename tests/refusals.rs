//! What preflight refuses: exit 3, a sentence that says what to do, nothing written.

use crate::kit::disk::World;
use crate::kit::nobody::Nobody;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use std::path::Path;

/// Runs, expects a refusal, and checks that the root is as before.
fn refused(world: &World, plan: &Path, args: &[&str]) -> Ran {
    let before = snapshot::take(&world.root);
    let ran = run(plan, args).exits(3).says("nothing was written");
    assert_eq!(snapshot::diff(&before, &snapshot::take(&world.root)), [""; 0]);
    assert!(!world.persist.join(".persistcp").exists(), "a refused run leaves no state");
    assert_eq!(ran.report["outcome"], "refused");
    ran
}

#[test]
fn a_missing_source() {
    let world = World::plain();
    let plan = world.plan("");
    refused(&world, &plan, &["--source", "/no/such/place"]).says("cannot be opened").says("mount the backup");
}

#[test]
fn an_empty_source() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    refused(&world, &plan, &["--allow-missing"]).says("is empty");
}

#[test]
fn a_target_that_is_not_a_mount() {
    need_root!();
    let world = World::plain();
    world.file("data/f", "x");
    let plan = world.plan("");
    refused(&world, &plan, &[]).says("not on a mount of its own").says("--allow-volatile");
    run(&plan, &["--allow-volatile"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_target_on_tmpfs() {
    need_root!();
    let world = World::tmpfs();
    world.file("data/f", "x");
    let plan = world.plan("");
    refused(&world, &plan, &[]).says("tmpfs").says("forgets everything");
    let ran = run(&plan, &["--allow-volatile"]).exits(0);
    assert_eq!(ran.report["medium"], "cached", "a tmpfs has no medium to read");
}

#[test]
fn absent_entries_are_all_listed_with_their_need() {
    need_root!();
    let world = World::ext4(64);
    world.file("home/a/x", "x");
    let text = format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"h\"\nto = \"/persist/h\"\n\
         directories = [\"/home/a\", {{ path = \"/home/key\", need = \"critical\" }}, \"/home/b\", {{ path = \"/c\", need = \"optional\" }}]\n",
        world.source, world.root
    );
    let plan = world.plan_text(&text);
    refused(&world, &plan, &[])
        .says("critical    /home/key")
        .says("required    /home/b")
        .says("optional    /c")
        .says("--allow-missing");
    let ran = run(&plan, &["--allow-missing"]).exits(0);
    assert_eq!(ran.report["absent"].as_array().unwrap().len(), 3);
}

#[test]
fn a_file_where_the_plan_declares_a_directory() {
    need_root!();
    let world = World::ext4(64);
    world.file("etc/thing", "x");
    let text = format!(
        "version = 1\nsource = {:?}\nroot = {:?}\n[[target]]\nto = \"/persist/s\"\ndirectories = [\"/etc/thing\"]\n",
        world.source, world.root
    );
    let plan = world.plan_text(&text);
    refused(&world, &plan, &[]).says("a regular file in the backup");
}

#[test]
fn too_few_bytes() {
    need_root!();
    let world = World::ext4(32);
    world.file("data/f", vec![1; 40 << 20]);
    let plan = world.plan("");
    refused(&world, &plan, &[]).says("not enough space").says("are missing");
}

#[test]
fn too_few_inodes() {
    need_root!();
    let world = World::new("ext4", 64, &["-N", "64"]);
    for i in 0..100 {
        world.file(&format!("data/{i}"), "");
    }
    let plan = world.plan("");
    refused(&world, &plan, &[]).says("not enough inodes").says("mkfs.ext4 -N");
}

#[test]
fn a_target_that_something_else_filled() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    std::fs::create_dir(world.target()).unwrap();
    std::fs::write(world.target().join("stranger"), "y").unwrap();
    let plan = world.plan("");
    refused(&world, &plan, &[]).says("is not empty").says("--allow-nonempty");
    run(&plan, &["--allow-nonempty"]).exits(0);
    assert_eq!(std::fs::read(world.target().join("stranger")).unwrap(), b"y", "what was there stays");
}

#[test]
fn a_read_only_target() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    crate::kit::sh!("mount", "-o", "remount,ro", world.persist);
    let plan = world.plan("");
    refused(&world, &plan, &[]).says("read-only");
}

#[test]
fn verify_only_without_a_journal() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    refused(&world, &plan, &["--verify-only"]).says("no journal");
}

#[test]
fn a_dry_run_writes_nothing() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let before = snapshot::take(&world.root);
    run(&world.plan(""), &["--dry-run"]).exits(0).says("would copy").says("nothing was written");
    assert_eq!(snapshot::diff(&before, &snapshot::take(&world.root)), [""; 0]);
    assert!(!world.persist.join(".persistcp").exists());
}

#[test]
fn no_privilege_to_chown() {
    need_root!();
    let world = World::plain();
    world.file("data/f", "x");
    let secret = world.file("data/secret", "k");
    crate::kit::dress::mode(&secret, 0o600);
    let plan = world.plan("");
    let nobody = Nobody::may_write(&world);
    nobody.run(&plan, &["--allow-volatile"]).exits(3).says("run as root").says("--no-owner");
    let state = world.persist.join("state");
    let ran = nobody.run(&plan, &["--allow-volatile", "--no-owner", "--state", state.to_str().unwrap()]).exits(1);
    assert_eq!(ran.problems(), [("unreadable".to_string(), "/persist/data/secret".to_string())]);
    assert_eq!(std::fs::read(world.target().join("f")).unwrap(), b"x", "the rest is copied");
}
