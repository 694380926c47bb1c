//! What the source's file systems are, across mounts, and what their inode numbers
//! and clocks are worth.

use crate::kit::attach::{Attached, make_image};
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, need_tools, sh, snapshot};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

fn notes(ran: &Ran) -> String {
    ran.report["notes"].to_string()
}

fn ino(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).unwrap().ino()
}

/// Gives `path` a time long ago, the same each time.
fn settle(path: &Path) {
    sh!("touch", "-h", "-d", "2020-01-01", path);
}

/// A tree of one file and one symlink that an image is made of.
fn tree(world: &World, name: &str, content: &str, text: &str) -> PathBuf {
    let dir = world.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("f"), content).unwrap();
    symlink(text, dir.join("link")).unwrap();
    ["f", "link", ""].iter().for_each(|name| settle(&dir.join(name)));
    dir
}

/// Another image at the same place, with equal sizes, times and inode numbers.
fn another_image(kind: &str, mkfs: impl Fn(&Path, &Path)) {
    let world = World::ext4(64);
    let (one, two) = (tree(&world, "one", "first", "old"), tree(&world, "two", "other", "new"));
    let images = [world.path().join("1.img"), world.path().join("2.img")];
    mkfs(&one, &images[0]);
    mkfs(&two, &images[1]);
    let plan = world.plan("");
    let mounted = Attached::image(&images[0], "loop,ro", &world.data());
    run(&plan, &[]).exits(0);
    let again = run(&plan, &[]).exits(0).says(&format!("the change times of {kind} do not prove it"));
    assert_eq!(again.total("copied"), 0, "{again}");
    mounted.unmount();
    let _mounted = Attached::image(&images[1], "loop,ro", &world.data());
    run(&plan, &["--verify-only", "--against", "source"]).exits(1);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
}

#[test]
fn another_squashfs_at_the_same_place_is_copied() {
    need_root!();
    need_tools!("mksquashfs");
    another_image("squashfs", |tree, image| sh!("mksquashfs", tree, image, "-quiet", "-no-progress", "-noappend"));
}

#[test]
fn another_erofs_at_the_same_place_is_copied() {
    need_root!();
    need_tools!("mkfs.erofs");
    another_image("erofs", |tree, image| {
        let uuid = "-U7be26ec6-ddbc-4581-87ad-8dd17921251c";
        sh!("mkfs.erofs", "--quiet", uuid, image, tree);
    });
}

#[test]
fn a_remount_that_makes_up_inode_numbers_costs_no_copy() {
    need_root!();
    need_tools!("squashfuse", "mksquashfs");
    let world = World::ext4(64);
    let tree = tree(&world, "one", "content", "text");
    for n in 0..20 {
        std::fs::write(tree.join(format!("f{n}")), vec![n; 3000]).unwrap();
    }
    std::fs::hard_link(tree.join("f"), tree.join("second")).unwrap();
    let image = world.path().join("i.img");
    sh!("mksquashfs", tree, image, "-quiet", "-no-progress");
    std::fs::create_dir_all(world.data()).unwrap();
    let mount = || {
        sh!("squashfuse", image, world.data());
        Attached::held(&world.data())
    };
    let plan = world.plan("");
    let mounted = mount();
    let first = run(&plan, &[]).exits(0);
    assert!(notes(&first).contains("2 further names of hard-linked files were not found"), "{first}");
    mounted.unmount();
    let _mounted = mount();
    // Whoever asks for the last name first gives it the first number.
    std::fs::metadata(world.data().join("f9")).unwrap();
    let again = run(&plan, &[]).exits(0).says("were read again, and are unchanged");
    assert_eq!(again.total("copied"), 0, "{again}");
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
}

#[test]
fn inodes_of_two_subvolumes_are_not_linked_to_each_other() {
    need_root!();
    need_tools!("bindfs", "mkfs.btrfs");
    let world = World::ext4(64);
    let behind = world.path().join("behind");
    let _disk = Attached::fresh("btrfs", 200, &world.path().join("source.img"), &behind);
    for sub in ["one", "two"] {
        sh!("btrfs", "-q", "subvolume", "create", behind.join(sub));
        for n in 0..100 {
            let file = behind.join(sub).join(format!("f{n}"));
            std::fs::write(&file, format!("{sub} {n:03}")).unwrap();
            settle(&file);
            std::fs::hard_link(&file, behind.join(sub).join(format!("g{n}"))).unwrap();
        }
    }
    std::fs::create_dir_all(world.data()).unwrap();
    sh!("bindfs", behind, world.data());
    let _source = Attached::held(&world.data());
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
    snapshot::assert_same(&behind, &world.target());
    assert_eq!(run(&plan, &[]).exits(0).total("copied"), 0);
}

/// A source of `pairs` hard-linked pairs on an image of its own.
fn pairs(world: &World, kind: &str, pairs: u32) -> PathBuf {
    let image = world.path().join("source.img");
    make_image(kind, 320, &[], &image);
    let mounted = Attached::image(&image, "loop", &world.data());
    for n in 0..pairs {
        let file = world.file(&format!("data/a{n}"), format!("pair {n}"));
        std::fs::hard_link(file, world.data().join(format!("b{n}"))).unwrap();
    }
    mounted.unmount();
    image
}

/// Mounts `image` under a device number that it did not have before.
fn elsewhere(world: &World, image: &Path, turn: usize) -> (Vec<Attached>, Attached) {
    let dummies = (0..turn).map(|n| {
        let dummy = world.path().join(format!("dummy-{turn}-{n}"));
        Attached::fresh("ext4", 16, &dummy, &world.path().join(format!("at-{turn}-{n}")))
    });
    (dummies.collect(), Attached::image(image, "loop", &world.data()))
}

/// As a kill before the last commit leaves the journal where threads met the names of a pair
/// in another order: the name that is met first has no row.
fn forget_half(world: &World) {
    let connection = rusqlite::Connection::open(world.persist.join(".persistcp/t.sqlite")).unwrap();
    let odd = "nlink > 1 AND kind = 'f' AND CAST(name AS TEXT) GLOB '*[13579]'";
    assert!(connection.execute(&format!("DELETE FROM item WHERE {odd} AND alias = 0"), []).unwrap() > 10);
    connection.execute(&format!("UPDATE item SET alias = 0 WHERE {odd}"), []).unwrap();
}

#[test]
fn pairs_stay_linked_when_the_source_comes_back_under_another_device_number() {
    need_root!();
    for kind in ["ext4", "xfs"] {
        let world = World::ext4(64);
        let image = pairs(&world, kind, 300);
        let plan = world.plan("");
        for turn in 0..3 {
            let (dummies, source) = elsewhere(&world, &image, turn);
            run(&plan, &[]).exits(0);
            for n in 0..300 {
                let names = [format!("a{n}"), format!("b{n}")].map(|name| ino(&world.target().join(name)));
                assert_eq!(names[0], names[1], "{kind}: pair {n} in turn {turn}");
            }
            source.unmount();
            drop(dummies);
            forget_half(&world);
        }
    }
}

#[test]
fn names_that_lost_their_link_are_found_and_linked_again() {
    need_root!();
    let world = World::ext4(64);
    let one = world.file("data/one", "content");
    std::fs::hard_link(one, world.data().join("two")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    // Two inodes, and rows that say so of each by itself.
    let (one, two) = (world.target().join("one"), world.target().join("two"));
    std::fs::remove_file(&two).unwrap();
    sh!("cp", "-a", one, two);
    sh!("touch", "-r", world.data(), world.target());
    let connection = rusqlite::Connection::open(world.persist.join(".persistcp/t.sqlite")).unwrap();
    let sql = "UPDATE item SET alias = 0, dst_ino = ?1 WHERE name = ?2";
    for path in [&one, &two] {
        let name = path.file_name().unwrap().to_str().unwrap().as_bytes();
        connection.execute(sql, (i64::try_from(ino(path)).unwrap(), name)).unwrap();
    }
    drop(connection);
    for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"]] {
        let ran = run(&plan, args).exits(1).says("the inode of /persist/data/");
        assert_eq!(ran.problems().iter().map(|p| &p.0[..]).collect::<Vec<_>>(), ["link"], "{ran}");
    }
    run(&plan, &["--repair"]).exits(0);
    assert_eq!(ino(&one), ino(&two));
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_source_that_was_restored_elsewhere_is_read_and_not_copied() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", vec![1; 5000]);
    let touched = world.file("data/touched", vec![2; 5000]);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let restored = world.path().join("restored");
    sh!("cp", "-a", world.data(), restored);
    std::fs::rename(world.data(), world.path().join("before")).unwrap();
    std::fs::rename(&restored, world.data()).unwrap();
    let ran = run(&plan, &[]).exits(0).says("2 entries of the source were read again, and are unchanged");
    assert_eq!((ran.total("copied"), ran.total("skipped_bytes")), (0, 10_000), "{ran}");
    // What is written into it with its time put back is another matter, and so is its mode.
    std::fs::write(&touched, vec![3; 5000]).unwrap();
    sh!("touch", "-r", world.path().join("before/touched"), touched);
    sh!("chmod", "600", world.data().join("f"));
    assert_eq!(run(&plan, &[]).exits(0).total("copied_bytes"), 10_000);
    snapshot::assert_same(&world.data(), &world.target());
}
