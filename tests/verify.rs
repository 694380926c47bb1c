//! Verification finds what changed on the target.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use filetime::FileTime;
use std::os::unix::fs::{FileExt, PermissionsExt};

#[test]
fn one_flipped_byte_is_found_and_named() {
    need_root!();
    let world = World::ext4(128);
    world.file("data/small", "small");
    world.file("data/large", vec![5; (40 << 20) + 123]);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    flip(&world, &world.target().join("large"), 39 << 20);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(ran.problems(), [("content".to_string(), "/persist/data/large".to_string())]);
    assert_eq!(ran.report["medium"], "direct");
    // The next run brings the file again, and only that.
    let mended = run(&plan, &[]).exits(0);
    assert_eq!(mended.total("copied"), 1);
    run(&plan, &["--verify-only"]).exits(0);
}

const MARKER: &[u8] = b"a marker that stands nowhere else on this disk 0123456789";

/// Changes the marker on the medium, below a cached page of `target` that goes on
/// showing what was copied.
fn change_below(world: &World, target: &std::path::Path, at: usize) {
    let mut cached = vec![0; MARKER.len()];
    let file = std::fs::File::open(target).unwrap();
    file.read_exact_at(&mut cached, at as u64).unwrap();
    let image = world.path().join("image");
    let disk = std::fs::read(&image).unwrap();
    let place = disk.windows(MARKER.len()).position(|w| w == MARKER).expect("the marker is on the medium");
    let image = std::fs::OpenOptions::new().write(true).open(image).unwrap();
    image.write_all_at(b"X", place as u64).unwrap();
    image.sync_all().unwrap();
    file.read_exact_at(&mut cached, at as u64).unwrap();
    assert_eq!(cached, MARKER, "the page cache holds the good bytes");
}

#[test]
fn a_change_below_the_page_cache_is_found() {
    need_root!();
    let world = World::ext4(64);
    let mut content = vec![b'.'; 64 << 10];
    content[5000..5000 + MARKER.len()].copy_from_slice(MARKER);
    world.file("data/f", &content);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    change_below(&world, &world.target().join("f"), 5000);
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(ran.problems(), [("content".to_string(), "/persist/data/f".to_string())]);
}

#[test]
fn a_change_below_the_page_cache_of_a_large_file_is_found_and_only_its_chunk_repaired() {
    need_root!();
    let world = World::ext4(200);
    let (at, mut content) = (50_000_000, vec![b'.'; 70 << 20]);
    content[at..at + MARKER.len()].copy_from_slice(MARKER);
    world.file("data/large", &content);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    change_below(&world, &world.target().join("large"), at);
    let ran =
        run(&plan, &["--verify-only"]).exits(1).says("1 of 5 chunks differ from the source (bytes 33554432-50331647)");
    assert_eq!(ran.problems(), [("content".to_string(), "/persist/data/large".to_string())]);
    let mended = run(&plan, &[]).exits(0);
    assert_eq!(mended.total("copied_bytes"), 16 << 20, "{mended}");
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn changed_metadata_is_found_and_named() {
    need_root!();
    type Change = fn(&std::path::Path);
    let changes: &[(&str, Change)] = &[
        ("mode", |f| std::fs::set_permissions(f, PermissionsExt::from_mode(0o777)).unwrap()),
        ("owner", |f| std::os::unix::fs::chown(f, Some(9), None).unwrap()),
        ("group", |f| std::os::unix::fs::chown(f, None, Some(9)).unwrap()),
        ("changed-target", |f| filetime::set_file_mtime(f, FileTime::from_unix_time(1, 1)).unwrap()),
        ("xattr", |f| xattr::set(f, "user.new", b"1").unwrap()),
        ("acl", |f| crate::kit::sh!("setfacl", "-m", "u:9:r", f)),
        ("missing", |f| std::fs::remove_file(f).unwrap()),
        ("changed-target", |f| {
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
        let ran = run(&plan, &["--verify-only", "--strict"]).exits(1);
        assert!(ran.problems().contains(&(kind.to_string(), "/persist/data/f".to_string())), "{kind}\n{ran}");
    }
}

#[test]
fn a_linked_file_is_read_though_its_first_name_was_lost_and_came_back() {
    need_root!();
    let world = World::ext4(64);
    let first = world.file("data/a", vec![7; 10_000]);
    std::fs::hard_link(&first, world.data().join("b")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for lost in ["a", "b"] {
        std::fs::remove_file(world.target().join(lost)).unwrap();
        run(&plan, &["--repair", "--strict"]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
    flip(&world, &world.target().join("a"), 77);
    run(&plan, &["--verify-only"]).exits(1).says("content");
}

#[test]
fn looking_at_metadata_alone_makes_nothing_good() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", vec![7; 10_000]);
    let plan = world.plan("");
    run(&plan, &["--verify", "metadata"]).exits(0);
    flip(&world, &world.target().join("f"), 5000);
    run(&plan, &["--verify-only"]).exits(1);
    run(&plan, &["--verify-only", "--verify", "metadata"]).exits(0);
    let mended = run(&plan, &[]).exits(0);
    assert_eq!(mended.total("copied"), 1, "what was found bad stays so until its content is read\n{mended}");
    snapshot::assert_same(&world.data(), &world.target());
}

/// The paths of the problems of one kind.
fn paths(ran: &Ran, kind: &str) -> Vec<String> {
    let mut paths: Vec<_> = ran.problems().into_iter().filter(|p| p.0 == kind).map(|p| p.1).collect();
    paths.sort();
    paths
}

#[test]
fn extra_names_are_found_where_everything_is_the_plans() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/d/f", "x");
    let plan = world.plan("");
    let text = std::fs::read_to_string(&plan).unwrap() + "exclude = [\"*.log\"]\n";
    std::fs::write(&plan, text).unwrap();
    run(&plan, &[]).exits(0);
    let target = world.target();
    std::fs::create_dir(target.join("new")).unwrap();
    for name in ["d/stranger", "d/left.log", "new/below", "../beside", ".persistcp-0123456789abcdef.tmp"] {
        std::fs::write(target.join(name), "x").unwrap();
    }
    std::os::unix::net::UnixListener::bind(target.join("d/socket")).unwrap();
    let ran = run(&plan, &["--verify-only", "--strict"]).exits(1).says("what an interrupted run left");
    assert_eq!(paths(&ran, "extra"), ["/persist/data/d/stranger", "/persist/data/new"], "{ran}");
}

#[test]
fn many_extra_names_of_one_directory_are_counted() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (0..100).for_each(|i| std::fs::write(world.target().join(format!("x{i}")), "x").unwrap());
    let ran = run(&plan, &["--verify-only", "--strict"]).exits(1).says("84 more names in this directory");
    assert_eq!((paths(&ran, "extra").len(), ran.report["problem_count"].as_u64()), (17, Some(100)), "{ran}");
}

#[test]
fn names_that_stood_in_a_nonempty_target_are_extra_only_to_verification() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    std::fs::create_dir(world.target()).unwrap();
    std::fs::write(world.target().join("stranger"), "x").unwrap();
    let plan = world.plan("");
    run(&plan, &["--allow-nonempty"]).exits(0);
    run(&plan, &[]).exits(0);
    let ran = run(&plan, &["--verify-only", "--strict"]).exits(1);
    assert_eq!(ran.problems(), [("extra".to_string(), "/persist/data/stranger".to_string())]);
}

#[test]
fn filled_holes_are_found_and_made_again() {
    need_root!();
    let world = World::ext4(300);
    for (name, size) in [("small", 2 << 20), ("large", 80 << 20)] {
        let path = world.file(&format!("data/{name}"), "");
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(b"data", 40_000).unwrap();
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    for name in ["small", "large"] {
        let path = world.target().join(name);
        let content = std::fs::read(&path).unwrap();
        let time = FileTime::from_last_modification_time(&std::fs::metadata(&path).unwrap());
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&content, 0).unwrap();
        file.sync_all().unwrap();
        filetime::set_file_mtime(&path, time).unwrap();
    }
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(paths(&ran, "holes"), ["/persist/data/large", "/persist/data/small"], "{ran}");
    run(&plan, &["--repair"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_name_that_left_its_link_group_is_found_and_linked_again() {
    need_root!();
    let world = World::ext4(64);
    let first = world.file("data/a", "shared");
    std::fs::hard_link(&first, world.data().join("b")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target();
    crate::kit::sh!("cp", "-a", target.join("b"), target.join("copy"));
    std::fs::rename(target.join("copy"), target.join("b")).unwrap();
    let ran = run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(paths(&ran, "link").len(), 1, "{ran}");
    run(&plan, &["--repair"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &target);
}

#[test]
fn a_damaged_file_with_several_names_is_repaired_under_all_of_them() {
    need_root!();
    let world = World::ext4(64);
    let first = world.file("data/a", "shared by three");
    for name in ["b", "c"] {
        std::fs::hard_link(&first, world.data().join(name)).unwrap();
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    flip(&world, &world.target().join("a"), 3);
    run(&plan, &["--verify-only"]).exits(1);
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
