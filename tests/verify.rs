//! Verification finds what changed on the target.

use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, snapshot};
use filetime::FileTime;
use std::os::unix::fs::{FileExt, PermissionsExt};

/// Changes one byte and puts the times back.
fn flip(path: &std::path::Path, at: u64) {
    let time = FileTime::from_last_modification_time(&std::fs::metadata(path).unwrap());
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    file.sync_all().unwrap();
    filetime::set_file_mtime(path, time).unwrap();
}

#[test]
fn one_flipped_byte_is_found_and_named() {
    need_root!();
    let world = World::ext4(128);
    world.file("data/small", "small");
    world.file("data/large", vec![5; (40 << 20) + 123]);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    flip(&world.target().join("large"), 39 << 20);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(ran.problems(), [("content".to_string(), "/persist/data/large".to_string())]);
    assert_eq!(ran.report["medium"], "direct");
    // The next run brings the file again, and only that.
    let mended = run(&plan, &[]).exits(0);
    assert_eq!(mended.total("copied"), 1);
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_change_below_the_page_cache_is_found() {
    need_root!();
    let world = World::ext4(64);
    let marker = b"a marker that stands nowhere else on this disk 0123456789";
    let mut content = vec![b'.'; 64 << 10];
    content[5000..5000 + marker.len()].copy_from_slice(marker);
    world.file("data/f", &content);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("f");
    assert_eq!(std::fs::read(&target).unwrap(), content, "the page cache holds the good bytes");
    let image = std::fs::OpenOptions::new().read(true).write(true).open(world.path().join("image")).unwrap();
    let disk = std::fs::read(world.path().join("image")).unwrap();
    let at = disk.windows(marker.len()).position(|w| w == marker).expect("the marker is on the medium");
    image.write_all_at(b"X", at as u64).unwrap();
    image.sync_all().unwrap();
    // A buffered loop device has a cache of its own above the file.
    std::fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(ran.problems(), [("content".to_string(), "/persist/data/f".to_string())]);
}

#[test]
fn changed_metadata_is_found_and_named() {
    need_root!();
    type Change = fn(&std::path::Path);
    let changes: &[(&str, Change)] = &[
        ("mode", |f| std::fs::set_permissions(f, PermissionsExt::from_mode(0o777)).unwrap()),
        ("owner", |f| std::os::unix::fs::chown(f, Some(9), None).unwrap()),
        ("group", |f| std::os::unix::fs::chown(f, None, Some(9)).unwrap()),
        ("mtime", |f| filetime::set_file_mtime(f, FileTime::from_unix_time(1, 1)).unwrap()),
        ("xattr", |f| xattr::set(f, "user.new", b"1").unwrap()),
        ("acl", |f| crate::kit::sh!("setfacl", "-m", "u:9:r", f)),
        ("missing", |f| std::fs::remove_file(f).unwrap()),
        ("type", |f| {
            std::fs::remove_file(f).unwrap();
            std::fs::create_dir(f).unwrap();
        }),
    ];
    for (kind, change) in changes {
        let world = World::ext4(32);
        world.file("data/f", "x");
        let plan = world.plan("");
        run(&plan, &[]).exits(0);
        change(&world.target().join("f"));
        let ran = run(&plan, &["--verify-only"]).exits(1);
        assert!(ran.problems().contains(&(kind.to_string(), "/persist/data/f".to_string())), "{kind}\n{ran}");
    }
}

#[test]
fn a_damaged_file_with_several_names_is_mended_under_all_of_them() {
    need_root!();
    let world = World::ext4(64);
    let first = world.file("data/a", "shared by three");
    for name in ["b", "c"] {
        std::fs::hard_link(&first, world.data().join(name)).unwrap();
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    flip(&world.target().join("a"), 3);
    run(&plan, &["--verify-only"]).exits(1);
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
