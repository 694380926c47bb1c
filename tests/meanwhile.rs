//! What others do to the target between two runs, seen by the next run and by every pass after it.

use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, need_tools, sh, snapshot};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const NEW: &str = "a month of work";

fn copied(names: &[&str]) -> (World, PathBuf) {
    let world = World::ext4(96);
    for name in names {
        world.file(&format!("data/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

/// The same problems in every pass that does not overwrite.
#[track_caller]
fn always(plan: &Path, passes: &[&[&str]], expected: &[&str]) {
    for args in passes {
        let ran = run(plan, args).exits(1);
        assert_eq!(ran.kinds(), expected, "{args:?}\n{ran}");
    }
}

#[test]
fn what_took_the_place_of_an_unfinished_directory_is_kept() {
    need_root!();
    let world = World::ext4(64);
    for name in ["whole/f", "half/f", "half/large"] {
        world.file(&format!("data/{name}"), name);
    }
    let mounted = world.data().join("half/mounted");
    std::fs::create_dir(&mounted).unwrap();
    sh!("mount", "-t", "tmpfs", "none", &mounted);
    let plan = world.plan("");
    let first = run(&plan, &[]);
    sh!("umount", &mounted);
    first.exits(1);
    let target = world.target();
    // Others put a file where the first run had made a mount point, and a link where it had a directory.
    std::fs::remove_dir(target.join("half/mounted")).unwrap();
    std::fs::write(target.join("half/mounted"), NEW).unwrap();
    std::fs::remove_dir_all(target.join("whole")).unwrap();
    symlink("/elsewhere", target.join("whole")).unwrap();
    world.file("data/half/mounted/inside", "of the source");
    let passes: [&[&str]; 3] = [&[], &[], &["--repair"]];
    always(&plan, &passes, &["changed-target half/mounted", "changed-target whole"]);
    assert_eq!(std::fs::read_to_string(target.join("half/mounted")).unwrap(), NEW);
    assert!(target.join("whole").is_symlink());
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &target);
}

#[test]
fn what_others_have_set_on_a_copy_is_a_difference_in_every_pass() {
    need_root!();
    need_tools!("setcap", "chattr");
    type Change = fn(&Path);
    let changes: [(&str, Change); 5] = [
        ("xattr f", |f| sh!("setcap", "cap_net_raw+ep", f)),
        ("xattr f", |f| xattr::set(f, "security.mine", b"1").unwrap()),
        ("xattr f", |f| xattr::set(f, "user.mine", b"1").unwrap()),
        ("flags f", |f| sh!("chattr", "+a", f)),
        ("flags f", |f| sh!("chattr", "+i", f)),
    ];
    for (expected, change) in changes {
        let (world, plan) = copied(&["f", "g"]);
        change(&world.target().join("f"));
        let passes: [&[&str]; 4] = [&[], &["--verify-only"], &["--verify-only", "--against", "source"], &[]];
        always(&plan, &passes, &[expected]);
        run(&plan, &["--dry-run"]).exits(0).says(&format!("/persist/data/f: {}", &expected[..5]));
        run(&plan, &["--repair"]).exits(0);
        run(&plan, &["--verify-only"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
        sh!("chattr", "-ia", world.target().join("f"));
    }
}

#[test]
fn a_changed_mode_does_not_hide_that_the_source_has_newer_content() {
    need_root!();
    let (world, plan) = copied(&["f"]);
    let file = world.target().join("f");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    // With the same content --overwrite leaves the mode to --repair.
    always(&plan, &[&[], &["--overwrite"]], &["mode f"]);
    world.file("data/f", "newer in the source");
    let ran = run(&plan, &[]).exits(1).says("newer content of the source waits");
    assert_eq!(ran.kinds(), ["mode f"], "{ran}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "f");
    run(&plan, &["--overwrite"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn names_that_the_source_has_split_are_split_on_the_target() {
    need_root!();
    let world = World::ext4(64);
    for (name, others) in [("pair", &["pair2"][..]), ("four", &["four2", "four3", "four4"]), ("both", &["both2"])] {
        world.file(&format!("data/{name}"), name);
        others.iter().for_each(|other| std::fs::hard_link(world.data().join(name), world.data().join(other)).unwrap());
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let split = |name: &str| {
        let (old, new) = (world.data().join(name), world.data().join("new"));
        sh!("cp", "-p", &old, &new);
        std::fs::rename(&new, &old).unwrap();
    };
    ["pair2", "four3", "both", "both2"].into_iter().for_each(split);
    std::fs::remove_file(world.data().join("four4")).unwrap();
    std::fs::hard_link(world.data().join("four3"), world.data().join("four4")).unwrap();
    let (found, ran) = crate::dry_run::items(&plan, &[]);
    assert!(found.get("pair2").is_some_and(|word| word == "changed"), "{ran}");
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    let inode = |name: &str| std::fs::metadata(world.target().join(name)).unwrap().ino();
    assert_ne!(inode("pair"), inode("pair2"));
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"], &[], &["--repair"]] {
        run(&plan, args).exits(0);
    }
    snapshot::assert_same(&world.data(), &world.target());
}
