//! Copies that share the blocks of their sources: on btrfs and XFS, by default where both are one file system.

use crate::kit::attach::Attached;
use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::dress::add_flags;
use crate::kit::held::Held;
use crate::kit::run::{Ran, faulty, rest, run};
use crate::kit::{need_root, sh, snapshot};
use rustix::fs::IFlags;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const SHARING: [&str; 2] = ["btrfs", "xfs"];

/// A target of this kind, and the source on the same file system.
fn on_one_disk(kind: &str, mib: u64) -> (World, Attached) {
    let world = World::new(kind, mib, &[]);
    let old = world.persist.join("old");
    std::fs::create_dir(&old).unwrap();
    let source = Attached::new(&["--bind", old.to_str().unwrap()], &world.data());
    (world, source)
}

/// A file of bytes that no file system compresses or takes for zeros, changed longer ago than a tick of the clock.
fn fill(path: &Path, size: u64) {
    let bytes: Vec<u8> = (0..size).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect();
    std::fs::write(path, bytes).unwrap();
    rest();
}

fn free(world: &World) -> u64 {
    sh!("sync", "-f", world.persist);
    let space = rustix::fs::statvfs(&world.persist).unwrap();
    space.f_bfree * space.f_frsize
}

/// Every kind of content; its bytes with data.
fn plant(world: &World) -> u64 {
    let sizes =
        [("one", 1), ("some", 5000), ("more", 3 * MIB + 7), ("direct", 34 * MIB + 4100), ("large", 66 * MIB + 9)];
    for (name, size) in sizes {
        fill(&world.file(&format!("data/dir/{name}"), ""), size);
    }
    world.file("data/empty", "");
    std::fs::hard_link(world.data().join("dir/more"), world.data().join("linked")).unwrap();
    let sparse = std::fs::File::create(world.data().join("sparse")).unwrap();
    sparse.set_len(70 * MIB).unwrap();
    sparse.write_all_at(&[7; 65536], 16 * MIB).unwrap();
    add_flags(&world.file("data/immutable", vec![9; 70_000]), IFlags::IMMUTABLE);
    sh!("setfattr", "-n", "user.note", "-v", "kept", world.data().join("dir/some"));
    sizes.iter().map(|(_, size)| size).sum::<u64>() + 65536 + 70_000
}

fn unlock(world: &World) {
    sh!("chattr", "-R", "-i", &world.persist);
}

#[test]
fn blocks_are_shared_where_source_and_target_are_one_file_system() {
    need_root!();
    for kind in SHARING {
        let (world, _source) = on_one_disk(kind, 600);
        let data = plant(&world);
        let plan = world.plan("");
        let before = free(&world);
        let ran = run(&plan, &[]).exits(0).says("one medium holds the only copy of them");
        assert_eq!((ran.total("shared_bytes"), ran.total("copied_bytes")), (data, data), "{kind}\n{ran}");
        assert!(before - free(&world) < 12 * MIB, "{kind}: {} bytes of room were taken", before - free(&world));
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &["--verify-only"]).exits(0);
        run(&plan, &["--verify-only", "--against", "source"]).exits(0);
        assert_eq!(run(&plan, &[]).exits(0).total("copied"), 0, "{kind}");
        // What is written to one of them later stays its own.
        let changed = std::fs::OpenOptions::new().write(true).open(world.data().join("dir/large")).unwrap();
        changed.write_all_at(b"changed", 40 * MIB).unwrap();
        run(&plan, &["--verify-only"]).exits(0);
        let ran = run(&plan, &[]).exits(0);
        assert_eq!(ran.total("shared_bytes"), 66 * MIB + 9, "{kind}\n{ran}");
        snapshot::assert_same(&world.data(), &world.target());
        unlock(&world);
    }
}

#[test]
fn without_sharing_each_copy_has_blocks_of_its_own() {
    need_root!();
    for kind in SHARING {
        let (world, _source) = on_one_disk(kind, 600);
        let data = plant(&world);
        let before = free(&world);
        let ran = run(&world.plan(""), &["--reflink", "never"]).exits(0);
        assert_eq!((ran.total("shared_bytes"), ran.total("copied_bytes")), (0, data), "{kind}\n{ran}");
        assert!(before - free(&world) >= data, "{kind}");
        assert!(!ran.stdout.contains("share"), "{ran}");
        snapshot::assert_same(&world.data(), &world.target());
        unlock(&world);
    }
}

#[test]
fn what_is_shared_needs_no_room() {
    need_root!();
    for kind in SHARING {
        let (world, _source) = on_one_disk(kind, 400);
        fill(&world.file("data/large", ""), 250 * MIB);
        // btrfs counts what is not written yet as free.
        free(&world);
        let plan = world.plan("");
        run(&plan, &["--reflink", "never"]).exits(3).says("free");
        run(&plan, &["--reflink", "never", "--dry-run"]).exits(3);
        run(&plan, &["--dry-run"]).exits(0);
        run(&plan, &[]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn between_two_file_systems_always_is_a_problem_of_each_file_and_auto_copies() {
    need_root!();
    let world = World::new("xfs", 320, &[]);
    ["a", "b"].iter().for_each(|name| drop(world.file(&format!("data/{name}"), "x")));
    world.file("data/empty", "");
    let plan = world.plan("");
    let ran = run(&plan, &["--reflink", "always"]).exits(1).says("without --reflink always it is copied");
    let expected = ["a", "b"].map(|name| ("unsupported".to_string(), format!("/persist/data/{name}")));
    assert_eq!(ran.problems(), expected, "{ran}");
    assert_eq!(ran.report["problems"][0]["op"], "share-blocks");
    assert!(world.target().join("empty").exists() && !world.target().join("a").exists());
    let ran = run(&plan, &[]).exits(0);
    assert_eq!(ran.total("shared_bytes"), 0, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_kill_between_sharing_and_the_record_of_it_costs_nothing() {
    need_root!();
    for kind in SHARING {
        let (world, _source) = on_one_disk(kind, 600);
        plant(&world);
        let plan = world.plan("");
        for call in ["reflink:1", "reflink:3", "syncfs:1", "syncfs:2", "rename:1"] {
            // A later one finds something older in each place.
            fill(&world.data().join("dir/large"), 65 * MIB + call.len() as u64);
            fill(&world.data().join("dir/some"), 6000 + u64::from(call.as_bytes()[0]));
            let held = std::panic::catch_unwind(|| Held::at(call, &plan, &["--threads", "2"]));
            held.into_iter().for_each(Held::kill);
            run(&plan, &[]).exits(0);
            snapshot::assert_same(&world.data(), &world.target());
            run(&plan, &["--verify-only"]).exits(0);
        }
        unlock(&world);
    }
}

#[test]
fn a_source_that_shrinks_or_grows_after_it_was_shared_is_shared_again() {
    need_root!();
    for (kind, size) in [("btrfs", 5000), ("xfs", 66 * MIB)] {
        for after in [size / 2, size + 4097] {
            let (world, _source) = on_one_disk(kind, 600);
            fill(&world.file("data/f", ""), size);
            std::thread::sleep(std::time::Duration::from_millis(50));
            let plan = world.plan("");
            // The first read of the content comes after the blocks are shared.
            let held = Held::at("read:1", &plan, &["--threads", "2"]);
            let file = std::fs::OpenOptions::new().write(true).open(world.data().join("f")).unwrap();
            file.set_len(after).unwrap();
            file.write_all_at(b"later", 100).unwrap();
            held.finish("a source that changes").exits(0);
            snapshot::assert_same(&world.data(), &world.target());
            run(&plan, &["--verify-only"]).exits(0);
        }
    }
}

/// What a run says of damage that the source has as well.
fn refuses(ran: Ran, path: &str) {
    let ran = ran.exits(1).says("the medium that it is on is failing");
    assert!(ran.problems().contains(&("unreadable".to_string(), path.to_string())), "{ran}");
}

#[test]
fn damage_in_a_shared_block_is_found_and_never_taken_for_a_source() {
    need_root!();
    for size in [50_000, 70 * MIB + 5] {
        let (world, _source) = on_one_disk("xfs", 600);
        fill(&world.file("data/f", ""), size);
        fill(&world.file("data/intact", ""), size);
        let plan = world.plan("");
        run(&plan, &[]).exits(0);
        let at = size / 3;
        flip(&world, &world.target().join("f"), at);
        let found = run(&plan, &["--verify-only"]).exits(1);
        assert_eq!(found.problems().len(), 1, "{found}");
        refuses(run(&plan, &["--repair"]), "/persist/data/f");
        refuses(run(&plan, &[]), "/persist/data/f");
        let found = run(&plan, &["--verify-only"]).exits(1);
        assert_eq!(found.problems().len(), 1, "it stays known\n{found}");
        // Brought back from elsewhere, the source is copied into blocks that are not the damaged ones.
        fill(&world.data().join("f"), size);
        let ran = run(&plan, &["--repair"]).exits(0);
        assert_eq!(ran.total("shared_bytes"), 0, "{ran}");
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &["--verify-only"]).exits(0);
    }
}

#[test]
fn what_the_kernel_refuses_for_one_file_is_copied() {
    need_root!();
    for (errno, shared) in [("EINVAL", true), ("ENOSPC", true), ("EIO", true), ("EXDEV", false), ("EOPNOTSUPP", false)]
    {
        let (world, _source) = on_one_disk("xfs", 320);
        for n in 0..4 {
            fill(&world.file(&format!("data/{n}"), ""), 9000);
        }
        let plan = world.plan("");
        let report: PathBuf = world.path().join("r.json");
        let args = ["--threads", "1", "--report", report.to_str().unwrap()];
        faulty(&plan, &args, &format!("reflink:1:{errno}")).exits(0);
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        let expected = if shared { 3 * 9000 } else { 0 };
        assert_eq!(report["totals"]["shared_bytes"], expected, "{errno}");
        snapshot::assert_same(&world.data(), &world.target());
    }
}
