//! Disks that break while the copy runs.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::run;
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Flips a byte below the file system, in the one block that holds `pattern`.
pub(crate) fn damage(image: &Path, pattern: &[u8]) {
    let content = std::fs::read(image).unwrap();
    let at = content.windows(pattern.len()).position(|window| window == pattern).expect("the pattern is on the disk");
    let file = std::fs::File::options().write(true).open(image).unwrap();
    file.write_all_at(b"!", at as u64).unwrap();
}

#[test]
fn a_bad_sector_in_the_source_costs_one_file_and_is_reported() {
    need_root!();
    let world = World::ext4(64);
    let image = world.path().join("source.img");
    let source = Attached::fresh("btrfs", 160, &image, &world.data());
    let mut content = vec![3; 3 << 20];
    content[5 << 19..][..16].copy_from_slice(b"unlucky sector 7");
    world.file("data/dir/bad", &content);
    world.file("data/dir/good", vec![4; 2 << 20]);
    world.file("data/other", "x");
    source.unmount();
    // btrfs checks its sums, so a changed byte reads as EIO, as from a dying disk.
    damage(&image, b"unlucky sector 7");
    let source = Attached::image(&image, "loop", &world.data());
    let plan = world.plan("");
    let ran = run(&plan, &[]).exits(1).says("read the source: Input/output error");
    assert_eq!(ran.problems(), [("unreadable".to_string(), "/persist/data/dir/bad".to_string())]);
    let names: Vec<_> =
        std::fs::read_dir(world.target().join("dir")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["good"], "no half file and no leftover");
    assert_eq!(std::fs::read(world.target().join("other")).unwrap(), b"x");
    // The file is read from another copy of the backup, and the same command brings it.
    source.unmount();
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    let at = std::fs::read(&image).unwrap().windows(16).position(|w| w == b"!nlucky sector 7").unwrap();
    file.write_all_at(b"u", at as u64).unwrap();
    let _source = Attached::image(&image, "loop", &world.data());
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_bad_sector_in_a_large_file_costs_none_of_its_other_chunks() {
    need_root!();
    let world = World::ext4(256);
    let image = world.path().join("source.img");
    let source = Attached::fresh("btrfs", 300, &image, &world.data());
    let mut content = vec![3; 80 << 20];
    content[70 << 20..][..16].copy_from_slice(b"unlucky sector 7");
    world.file("data/large", &content);
    source.unmount();
    damage(&image, b"unlucky sector 7");
    let source = Attached::image(&image, "loop", &world.data());
    let plan = world.plan("");
    let ran = run(&plan, &["--threads", "1"]).exits(1).says("is kept under its name, unfinished and 0600");
    assert_eq!(ran.problems(), [("unreadable".to_string(), "/persist/data/large".to_string())]);
    let checked = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(checked.report["problems"], ran.report["problems"], "what the run met, in its words");
    let half = std::fs::metadata(world.target().join("large")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&half.permissions()) & 0o7777, 0o600, "it is not a file yet");
    source.unmount();
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    let at = std::fs::read(&image).unwrap().windows(16).position(|w| w == b"!nlucky sector 7").unwrap();
    file.write_all_at(b"u", at as u64).unwrap();
    let _source = Attached::image(&image, "loop", &world.data());
    let ran = run(&plan, &[]).exits(0);
    assert_eq!(ran.total("reused_bytes"), 64 << 20, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_target_that_turns_read_only_ends_the_run_which_resumes_when_that_is_fixed() {
    need_root!();
    let world = World::ext4(256);
    sh!("mount", "-o", "remount,errors=remount-ro", world.persist);
    for i in 0..3000 {
        world.file(&format!("data/{}/{i}", i % 37), vec![1; i % 9000]);
    }
    let state = world.path().join("state");
    let args = ["--threads", "1", "--state", state.to_str().unwrap()];
    let plan = world.plan("");
    let held = Held::at("create:1000", &plan, &args);
    // What the kernel does when it finds the file system damaged.
    let device = std::process::Command::new("findmnt").args(["-no", "SOURCE"]).arg(&world.persist).output().unwrap();
    let device = String::from_utf8(device.stdout).unwrap();
    let name = device.trim().strip_prefix("/dev/").unwrap();
    std::fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "test").unwrap();
    held.finish("run on a target that turns read-only").exits(4).says("ead-only").says("--plan");
    sh!("umount", world.persist);
    // e2fsck answers 1 when it has repaired something.
    let image = world.path().join("image");
    std::process::Command::new("e2fsck").arg("-fy").arg(&image).output().unwrap();
    sh!("mount", "-o", "loop", image, world.persist);
    run(&plan, &args).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
