//! Entries inside entries: each at its own place, whatever keeps the walk from it.

use crate::explicit::holds_in_every_run;
use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{plain, run};
use crate::kit::{need_root, sh, snapshot};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn plan(world: &World, text: &str) -> PathBuf {
    world.plan_text(&format!(
        "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n{text}",
        world.source, world.root
    ))
}

fn ino(path: impl AsRef<Path>) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

fn notes(ran: &crate::kit::run::Ran) -> String {
    ran.report["notes"].to_string()
}

/// Docker's volumes below its excluded directory, and other things beside them.
fn docker(world: &World) {
    for path in
        ["v/lib/docker/volumes/a/db", "v/lib/docker/volumes/b/c/f", "v/lib/docker/overlay2/l/x", "v/lib/x/f", "v/y"]
    {
        world.file(path, path);
    }
    std::fs::set_permissions(world.source.join("v/lib/docker"), PermissionsExt::from_mode(0o710)).unwrap();
}

#[test]
fn an_entry_below_an_excluded_directory_of_another_entry() {
    need_root!();
    let world = World::ext4(64);
    docker(&world);
    let plan = plan(
        &world,
        "exclude = [\"/v/lib/docker\"]\ndirectories = [{ path = \"v\", mode = \"0711\" }, \"v/lib/docker/volumes\"]\n",
    );
    holds_in_every_run(&plan);
    std::fs::remove_dir_all(world.source.join("v/lib/docker/overlay2")).unwrap();
    std::fs::set_permissions(world.source.join("v"), PermissionsExt::from_mode(0o711)).unwrap();
    let (mut from, mut to) = (snapshot::take(&world.source), snapshot::take(&world.persist.join("s")));
    // Taking the directory away has moved its parent's time.
    for tree in [&mut from, &mut to] {
        tree.remove(b"/v/lib/docker".as_slice());
        tree.remove(b"".as_slice());
    }
    assert_eq!(snapshot::diff(&from, &to), [""; 0]);
    assert_eq!(std::fs::metadata(world.persist.join("s/v/lib/docker")).unwrap().mode() & 0o7777, 0o710);
}

#[test]
fn what_the_running_system_puts_into_an_excluded_directory_is_not_extra() {
    need_root!();
    let world = World::ext4(64);
    docker(&world);
    let plan = plan(&world, "exclude = [\"/v/lib/docker\"]\ndirectories = [\"v\", \"v/lib/docker/volumes\"]\n");
    run(&plan, &[]).exits(0);
    std::fs::create_dir(world.persist.join("s/v/lib/docker/overlay2")).unwrap();
    sh!("touch", "-r", world.source.join("v/lib/docker"), world.persist.join("s/v/lib/docker"));
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"]] {
        run(&plan, args).exits(0);
    }
    std::fs::write(world.persist.join("s/v/lib/docker/volumes/mine"), "x").unwrap();
    run(&plan, &["--verify-only", "--strict"]).exits(1).says("/persist/s/v/lib/docker/volumes/mine");
}

#[test]
fn an_entry_behind_a_symlink_of_another_entry() {
    need_root!();
    let world = World::ext4(64);
    world.file("other/deep/x/f", "f");
    world.file("other/deep/y", "y");
    world.file("v/plain", "p");
    symlink("../other", world.source.join("v/link")).unwrap();
    let plan = plan(&world, "directories = [\"v\", \"v/link/deep/x\"]\n");
    holds_in_every_run(&plan);
    assert!(world.persist.join("s/v/link").symlink_metadata().unwrap().is_dir());
    assert!(world.persist.join("s/v/link/deep/x/f").exists() && !world.persist.join("s/v/link/deep/y").exists());
    assert!(notes(&run(&plan, &[]).exits(0)).contains("becomes a directory"));
}

#[test]
fn an_entry_below_a_mount_in_another_entry() {
    need_root!();
    let world = World::ext4(64);
    world.file("v/f", "f");
    std::fs::create_dir(world.source.join("v/mnt")).unwrap();
    let _mount = Attached::tmpfs("size=8m", &world.source.join("v/mnt"));
    world.file("v/mnt/data/d", "d");
    world.file("v/mnt/more", "m");
    let plan = plan(&world, "directories = [\"v\", \"v/mnt/data\"]\n");
    for args in [&[][..], &[], &["--repair"], &["--restart", "--allow-nonempty"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(ran.problems(), [("mount".to_string(), "/persist/s/v/mnt".to_string())], "{ran}");
    }
    assert!(world.persist.join("s/v/mnt/data/d").exists() && !world.persist.join("s/v/mnt/more").exists());
    holds_except_for_the_mount(&plan);
}

fn holds_except_for_the_mount(plan: &Path) {
    let ran = run(plan, &["--verify-only", "--against", "source"]).exits(1);
    assert_eq!(ran.problems(), [("mount".to_string(), "/persist/s/v/mnt".to_string())], "{ran}");
    assert_eq!(run(plan, &[]).total("copied"), 0);
}

#[test]
fn an_entry_below_what_another_target_has_is_at_its_own_place() {
    need_root!();
    let world = World::ext4(64);
    for path in ["home/u/proj/data/key", "home/u/proj/data/blob", "home/u/proj/code", "home/u/f"] {
        world.file(path, path);
    }
    let text = "directories = [\"home/u\"]\nfiles = [{ path = \"home/u/proj/data/key\", need = \"critical\", mode = \"0600\" }]\n\
                [[map]]\nname = \"bulk\"\nfrom = \"/home/u/proj/data\"\nto = \"/persist/bulk\"\n";
    let plan = plan(&world, text);
    let shown = plain(&["plan", "show", plan.to_str().unwrap()].map(OsStr::new)).exits(0);
    let left_out = [
        "/persist/s/home/u/proj/data: left out there, the plan has it at /persist/bulk",
        "/persist/bulk/key: left out there, the plan has it at /persist/s/home/u/proj/data/key",
    ];
    let first = run(&plan, &[]).exits(0);
    for words in left_out {
        assert!(shown.stdout.contains(words) && notes(&first).contains(words), "{words}\n{shown}\n{first}");
    }
    holds_in_every_run(&plan);
    let key = world.persist.join("s/home/u/proj/data/key");
    assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o7777, 0o600);
    assert!(!world.persist.join("bulk/key").exists() && world.persist.join("bulk/blob").exists());
    assert!(!world.persist.join("s/home/u/proj/data/blob").exists());
}

#[test]
fn links_hold_within_what_is_copied_together_and_not_beyond() {
    need_root!();
    let world = World::ext4(64);
    let one = world.file("a/one", "x");
    std::fs::hard_link(&one, world.source.join("a/two")).unwrap();
    std::fs::create_dir(world.source.join("b")).unwrap();
    std::fs::hard_link(&one, world.source.join("b/three")).unwrap();
    symlink("a", world.source.join("again")).unwrap();
    let plan = plan(&world, "directories = [\"a\", \"b\", \"again\"]\n");
    holds_in_every_run(&plan);
    let at = |path: &str| ino(world.persist.join("s").join(path));
    assert!(at("a/one") == at("a/two") && at("a/one") == at("b/three"));
    assert!(at("again/one") == at("again/two") && at("a/one") != at("again/one"));
    std::fs::remove_file(world.persist.join("s/again/two")).unwrap();
    run(&plan, &["--repair", "--strict"]).exits(0);
    assert!(at("again/one") == at("again/two") && at("a/one") != at("again/one"));
}
