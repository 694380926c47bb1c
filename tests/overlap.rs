//! Source, target and journal that lie in one another, by whatever path.

use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A mount that goes away with the test.
struct Mounted(PathBuf);

impl Mounted {
    fn new(args: &[&dyn AsRef<std::ffi::OsStr>], at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mut all: Vec<&std::ffi::OsStr> = args.iter().map(|arg| (*arg).as_ref()).collect();
        all.push(at.as_os_str());
        crate::kit::system("mount", &all);
        Self(at.to_path_buf())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

/// A plan that maps `from` of `source` to `to`.
fn map(world: &World, source: &Path, from: &str, to: &str) -> PathBuf {
    world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {source:?}\nroot = {:?}\n[[map]]\nname = \"m\"\nfrom = {from:?}\nto = {to:?}\n",
        world.root
    ))
}

fn refused(world: &World, plan: &Path, args: &[&str], why: &str) -> Ran {
    let before = snapshot::take(&world.root);
    let ran = run(plan, args).exits(3).says(why).says("nothing was written");
    assert_eq!(snapshot::diff(&before, &snapshot::take(&world.root)), [""; 0]);
    ran
}

/// A backup on the very file system that is the target.
fn backup(world: &World) -> PathBuf {
    let source = world.persist.join("src");
    std::fs::create_dir_all(source.join("data/inner")).unwrap();
    std::fs::write(source.join("data/f"), "x").unwrap();
    source
}

#[test]
fn a_bind_mount_of_the_source_is_the_source() {
    need_root!();
    let world = World::ext4(64);
    let source = backup(&world);
    let bound = world.root.join("bound");
    for (what, to, why) in [
        ("data", "/bound", "would be copied into itself"),
        ("data", "/bound/new/deep", "would be copied into itself"),
        ("data/inner", "/bound", "would be copied into itself"),
        ("", "/bound", "would write over its source"),
    ] {
        let _mounted = Mounted::new(&[&"--bind", &source.join(what)], &bound);
        refused(&world, &map(&world, &source, "/data", to), &["--allow-nonempty"], why);
    }
    refused(&world, &map(&world, &source, "/data", "/persist/src/data/new"), &[], "would be copied into itself");
    run(&map(&world, &source, "/data", "/persist/beside"), &[]).exits(0);
}

#[test]
fn a_subvolume_of_the_source_is_the_source() {
    need_root!();
    let world = World::new("btrfs", 256, &[]);
    for name in ["src", "src/new"] {
        sh!("btrfs", "-q", "subvolume", "create", world.persist.join(name));
    }
    let source = world.persist.join("src");
    std::fs::write(source.join("f"), "x").unwrap();
    let out = std::process::Command::new("findmnt").args(["-nvo", "SOURCE"]).arg(&world.persist).output().unwrap();
    let device = String::from_utf8(out.stdout).unwrap().trim().to_string();
    let _mounted = Mounted::new(&[&"-o", &"subvol=src/new", &device], &world.root.join("bound"));
    refused(&world, &map(&world, &source, "/", "/bound"), &[], "would be copied into itself");
}

#[test]
fn a_layer_of_an_overlay_is_the_source() {
    need_root!();
    let world = World::ext4(64);
    let lower = backup(&world);
    let empty = world.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let layers = format!("lowerdir={}:{}", empty.display(), lower.display());
    let merged = world.path().join("merged");
    let _mounted = Mounted::new(&[&"-t", &"overlay", &"overlay", &"-o", &layers], &merged);
    refused(&world, &map(&world, &merged, "/data", "/persist/src/data/new"), &[], "would be copied into itself");
}

#[test]
fn what_bindfs_shows_elsewhere_is_the_source() {
    need_root!();
    let world = World::ext4(64);
    let source = backup(&world);
    let bound = world.root.join("bound");
    std::fs::create_dir(&bound).unwrap();
    sh!("bindfs", source.join("data/inner"), bound);
    let _mounted = Mounted(bound);
    refused(&world, &map(&world, &source, "/data", "/bound/new"), &[], "would be copied into itself");
}

#[test]
fn the_source_may_hold_the_target_behind_a_mount() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let source = world.path().canonicalize().unwrap();
    let plan = |entry: &str| {
        world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {source:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n\
             directories = [{entry:?}]\n",
            world.root
        ))
    };
    run(&plan("/backup/data"), &[]).exits(0);
    assert!(world.persist.join("s/backup/data/f").exists());
    let ran = run(&plan("/mnt"), &[]).exits(1);
    assert!(ran.problems().iter().all(|(kind, _)| kind == "extra"), "{ran}");
    let notes = ran.report["notes"].to_string();
    assert!(notes.contains("/persist/s/mnt/persist: the file system that this copy goes to was not entered"), "{ran}");
    run(&plan("/mnt"), &["--cross-mounts"]).exits(3).says("would be copied into itself");
}

#[test]
fn the_journal_is_in_no_tree_of_the_plan() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    let link = world.path().join("link");
    std::fs::create_dir(world.target()).unwrap();
    symlink(world.target(), &link).unwrap();
    refused(&world, &plan, &["--state", world.target().to_str().unwrap()], "inside the journal's directory");
    for state in [world.target().join("state/deep"), link.join("state")] {
        refused(&world, &plan, &["--state", state.to_str().unwrap()], "is inside the destination");
    }
    for state in [world.source.join("state"), world.data().join("a/b")] {
        refused(&world, &plan, &["--state", state.to_str().unwrap()], "is inside the source");
        assert!(!state.exists());
    }
    for to in ["/persist/.persistcp", "/persist/.persistcp/below"] {
        refused(&world, &map(&world, &world.source, "/data", to), &[], "inside the journal's directory");
    }
    run(&plan, &["--state", world.path().join("elsewhere").to_str().unwrap()]).exits(0);
}

#[test]
fn what_the_backup_has_under_the_journals_name_is_a_problem() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    world.file("data/.persistcp/old.sqlite", "x");
    let plan = map(&world, &world.source, "/data", "/persist");
    let said = [("unsupported".to_string(), "/persist/.persistcp".to_string())];
    assert_eq!(run(&plan, &[]).exits(1).problems(), said);
    assert_eq!(run(&plan, &["--verify-only", "--against", "source"]).exits(1).problems(), said);
    assert!(run(&plan, &["--verify-only"]).exits(1).problems().contains(&said[0]));
    run(&plan, &["--exclude", "/.persistcp"]).exits(0);
}

#[test]
fn patterns_that_leave_nothing_are_a_problem() {
    need_root!();
    let world = World::ext4(64);
    for file in ["data/f", "data/d/g", "data/keep/h"] {
        world.file(file, "x");
    }
    let plan = world.plan("");
    let all = ["--exclude", "*"];
    let ran = run(&plan, &all).exits(1).says("left out by patterns 3");
    assert_eq!(ran.problems(), [("excluded".to_string(), "/persist/data".to_string())]);
    run(&plan, &all).exits(1).says("the first is `*`");
    run(&plan, &["--verify-only"]).exits(1).says("everything in it is left out");
    run(&plan, &[&all[..], &["--dry-run"]].concat()).exits(0).says("everything in it is left out");
    run(&plan, &[&all[..], &["--verify-only", "--against", "source"]].concat()).exits(1).says("excluded");
    run(&plan, &["--exclude", "/f", "--exclude", "g", "--exclude", "h"]).exits(1).says("excluded");
    run(&plan, &["--exclude", "/f", "--exclude", "/d", "--exclude", "/keep"]).exits(0);
    run(&plan, &["--exclude", "f", "--exclude", "g"]).exits(0).says("left out by patterns 2");
}

#[test]
fn an_inner_entry_is_something_that_the_patterns_leave() {
    need_root!();
    let world = World::ext4(64);
    world.file("v/lib/docker/volumes/f", "x");
    world.file("v/lib/docker/layers/f", "x");
    let plan = world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n\
         exclude = [\"docker\"]\ndirectories = [\"v\", \"v/lib/docker/volumes\"]\n",
        world.source, world.root
    ));
    run(&plan, &[]).exits(0);
    assert!(world.persist.join("s/v/lib/docker/volumes/f").exists());
    assert!(!world.persist.join("s/v/lib/docker/layers").exists());
}
