//! Mounts and subvolumes inside the source, and overlays.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

fn notes(ran: &Ran) -> String {
    ran.report["notes"].to_string()
}

#[test]
fn a_tmpfs_in_the_source_is_reported_with_its_size_and_crossed_when_asked() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let _ram = Attached::tmpfs("size=8M", &world.data().join("ram"));
    world.file("data/ram/inside", vec![1; 2 << 20]);
    let plan = world.plan("");
    let ran = run(&plan, &[]).exits(1).says("tmpfs, 2.00 MiB in use").says("--cross-mounts");
    assert_eq!(ran.problems(), [("mount".to_string(), "/persist/data/ram".to_string())]);
    assert!(!world.target().join("ram/inside").exists() && world.target().join("f").exists());
    run(&plan, &["--cross-mounts"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn bind_mounts_of_a_directory_and_of_a_single_file_are_mounts_too() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    world.file("data/file", "below the mount");
    let (dir, file) = (world.path().join("elsewhere"), world.path().join("other"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("big"), vec![7; 3 << 20]).unwrap();
    std::fs::write(&file, "mounted").unwrap();
    let _dir = Attached::new(&["--bind", dir.to_str().unwrap()], &world.data().join("dir"));
    let _file = Attached::over(&["--bind", file.to_str().unwrap()], &world.data().join("file"));
    let plan = world.plan("");
    let ran =
        run(&plan, &[]).exits(1).says("a bind mount, 2 entries, 3.00 MiB").says("a bind mount, 1 entry, 4.00 KiB");
    let mut problems = ran.problems();
    problems.sort();
    assert_eq!(problems, ["dir", "file"].map(|n| ("mount".to_string(), format!("/persist/data/{n}"))));
    assert!(!world.target().join("dir/big").exists() && !world.target().join("file").exists());
    run(&plan, &["--cross-mounts"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_mount_that_is_not_entered_leaves_an_empty_directory_to_mount_on() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let point = world.data().join("tmp");
    let _ram = Attached::tmpfs("size=8M,mode=1777,uid=7", &point);
    world.file("data/tmp/inside", "not copied");
    xattr::set(&point, "trusted.note", b"v").unwrap();
    let plan = world.plan("");
    let dry = run(&plan, &["--dry-run", "-v"]).exits(0);
    assert!(dry.stdout.lines().any(|line| line.starts_with("new\td\t") && line.ends_with("/data/tmp")), "{dry}");
    let first = run(&plan, &[]).exits(1);
    let made = world.target().join("tmp");
    let stat = made.metadata().unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.uid()), (0o1777, 7), "{first}");
    assert_eq!(xattr::get(&made, "trusted.note").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(std::fs::read_dir(&made).unwrap().count(), 0);
    // The mount is one problem of every pass, and its directory none, whatever goes on in what is mounted.
    for args in crate::passes::PASSES {
        world.file("data/tmp/busy", format!("{args:?}"));
        let ran = run(&plan, args).exits(1);
        assert_eq!(ran.problems(), [("mount".to_string(), "/persist/data/tmp".to_string())], "{args:?}\n{ran}");
        assert!(args.contains(&"--verify-only") || ran.total("copied") == 0, "{args:?}\n{ran}");
    }
    run(&plan, &["--delete"]).exits(1);
    assert!(made.is_dir());
    // Without the mount and its directory it is stale, and goes.
    drop(_ram);
    std::fs::remove_dir(&point).unwrap();
    run(&plan, &["--delete"]).exits(0);
    assert!(!made.exists());
}

#[test]
fn what_an_earlier_run_copied_from_a_mount_stays_when_it_is_not_entered() {
    need_root!();
    let world = World::ext4(64);
    let image = world.path().join("disk.img");
    let disk = Attached::fresh("ext4", 16, &image, &world.data().join("disk"));
    world.file("data/disk/f", "on the disk");
    let plan = world.plan("");
    run(&plan, &["--cross-mounts"]).exits(0);
    run(&plan, &["--delete"]).exits(1);
    assert_eq!(std::fs::read_to_string(world.target().join("disk/f")).unwrap(), "on the disk");
    run(&plan, &["--cross-mounts"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    drop(disk);
}

#[test]
fn a_mount_that_is_not_entered_needs_no_room() {
    need_root!();
    let world = World::ext4(32);
    world.file("data/f", "x");
    let _ram = Attached::tmpfs("size=64M", &world.data().join("ram"));
    world.file("data/ram/inside", vec![1; 50 << 20]);
    let plan = world.plan("");
    run(&plan, &["--cross-mounts"]).exits(3).says("not enough space");
    run(&plan, &[]).exits(1);
}

/// A btrfs with a subvolume in a subvolume, and a snapshot.
fn subvolumes(world: &World, bytes: usize) -> Attached {
    let mounted = Attached::fresh("btrfs", 200, &world.path().join("source.img"), &world.data());
    let sub = world.data().join("sub");
    sh!("btrfs", "-q", "subvolume", "create", sub);
    sh!("btrfs", "-q", "subvolume", "create", sub.join("inner"));
    world.file("data/plain", "x");
    world.file("data/sub/dir/f", vec![5; bytes]);
    world.file("data/sub/inner/g", "inner");
    std::fs::set_permissions(&sub, PermissionsExt::from_mode(0o710)).unwrap();
    sh!("btrfs", "-q", "subvolume", "snapshot", sub, world.data().join("snap"));
    sh!("sync", "-f", world.data());
    mounted
}

#[test]
fn a_btrfs_subvolume_is_data_and_copied_as_a_directory() {
    need_root!();
    let world = World::ext4(64);
    let _source = subvolumes(&world, 1 << 20);
    let ran = run(&world.plan(""), &[]).exits(1);
    // `inner` is in `sub`, and not in the snapshot of it.
    assert_eq!(ran.problems(), [("missing".to_string(), "/persist/data/snap/inner".to_string())], "{ran}");
    let mut differences = snapshot::diff(&snapshot::take(&world.data()), &snapshot::take(&world.target()));
    // The place of a subvolume in a snapshot is an empty directory that btrfs makes up, with the time of that moment.
    differences.retain(|line| !line.starts_with("/snap/inner: mtime"));
    assert_eq!(differences, [""; 0]);
    let notes = notes(&ran);
    for (path, size) in [("sub", "5 entries"), ("sub/inner", "2 entries"), ("snap", "4 entries")] {
        assert!(notes.contains(&format!("/persist/data/{path}: a subvolume ({size}, ")), "{path}: {notes}");
    }
    let again = run(&world.plan(""), &[]).exits(1);
    assert_eq!(again.total("copied"), 0, "{again}");
}

#[test]
fn preflight_counts_what_is_in_subvolumes() {
    need_root!();
    let world = World::ext4(64);
    let _source = subvolumes(&world, 40 << 20);
    // Half is in `sub`, half in its snapshot.
    run(&world.plan(""), &[]).exits(3).says("not enough space").says("80.");
}

fn overlay(lower: &Path, upper: &Path, work: &Path, more: &str, at: &Path) -> Attached {
    let (lower, upper, work) = (lower.display(), upper.display(), work.display());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}{more}");
    Attached::new(&["-t", "overlay", "-o", &options, "overlay"], at)
}

#[test]
fn a_mounted_merged_view_of_docker_is_noted_and_its_layers_are_copied() {
    need_root!();
    let world = World::ext4(64);
    let store = "data/var/lib/docker/overlay2";
    world.file(&format!("{store}/base/diff/etc/os"), "lower");
    world.file(&format!("{store}/base/diff/gone"), "deleted above");
    let layer = |name: &str| world.source.join(store).join("0a1b").join(name);
    for name in ["diff", "work"] {
        std::fs::create_dir_all(layer(name)).unwrap();
    }
    let lower = world.source.join(store).join("base/diff");
    let merged = overlay(&lower, &layer("diff"), &layer("work"), "", &layer("merged"));
    world.file(&format!("{store}/0a1b/merged/new"), "upper");
    std::fs::remove_file(layer("merged").join("gone")).unwrap();
    let ran = run(&world.plan(""), &[]).exits(0);
    assert_eq!(ran.problems(), []);
    let notes = notes(&ran);
    assert!(notes.contains("0a1b/merged: a mounted view") && notes.contains("its layers are copied"), "{notes}");
    merged.unmount();
    let differences = snapshot::diff(&snapshot::take(&world.data()), &snapshot::take(&world.target()));
    let mountpoint = |line: &String| line.starts_with("/var/lib/docker/overlay2/0a1b/merged: mtime");
    assert!(differences.iter().all(mountpoint), "{differences:?}");
}

/// What containers do to their images.
fn work_in(merged: &Path) {
    let at = |path: &str| merged.join(path);
    std::fs::remove_file(at("etc/deleted")).unwrap();
    std::fs::remove_dir_all(at("cache")).unwrap();
    std::fs::create_dir(at("cache")).unwrap();
    std::fs::write(at("cache/fresh"), "over an opaque directory").unwrap();
    std::fs::rename(at("usr/share"), at("usr/moved")).unwrap();
    std::fs::write(at("usr/moved/added"), "in a redirected directory").unwrap();
    std::fs::set_permissions(at("etc/mode"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(at("etc/changed"), "upper").unwrap();
    std::fs::remove_file(at("etc/link")).unwrap();
    symlink("changed", at("etc/link")).unwrap();
    std::fs::remove_dir_all(at("whole")).unwrap();
}

#[test]
fn the_layers_of_an_overlay_give_the_same_merged_tree_when_mounted_again() {
    need_root!();
    let world = World::ext4(64);
    for path in ["etc/deleted", "etc/mode", "etc/changed", "cache/old/a", "usr/share/doc/b", "whole/tree/c"] {
        world.file(&format!("data/lower/{path}"), path.repeat(2000));
    }
    symlink("deleted", world.data().join("lower/etc/link")).unwrap();
    for name in ["upper", "work"] {
        std::fs::create_dir(world.data().join(name)).unwrap();
    }
    let point = world.path().join("merged");
    let mount = |base: &Path| {
        let more = ",redirect_dir=on,metacopy=on,index=off";
        overlay(&base.join("lower"), &base.join("upper"), &base.join("work"), more, &point)
    };
    let mounted = mount(&world.data());
    work_in(&point);
    let merged = snapshot::take(&point);
    mounted.unmount();

    let upper = snapshot::take(&world.data().join("upper"));
    let has = |path: &[u8], xattr: &[u8]| upper[path].xattrs.contains_key(xattr);
    assert_eq!(upper[b"/etc/deleted".as_slice()].kind, rustix::fs::FileType::CharacterDevice, "a whiteout");
    assert!(has(b"/cache", b"trusted.overlay.opaque"), "{:?}", upper[b"/cache".as_slice()]);
    assert!(has(b"/usr/moved", b"trusted.overlay.redirect"), "{:?}", upper[b"/usr/moved".as_slice()]);
    assert!(has(b"/etc/mode", b"trusted.overlay.metacopy"), "{:?}", upper[b"/etc/mode".as_slice()]);

    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    let _again = mount(&world.target());
    assert_eq!(snapshot::diff(&merged, &snapshot::take(&point)), [""; 0]);
}
