//! Large files by chunks: resumed, repaired, and never mixed.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{run, wait, wrapped};
use crate::kit::strace::killing;
use crate::kit::{journal, need_root, snapshot};
use persistcp::base::path::RelPath;
use persistcp::engine::journal::{Row, State};
use rustix::process::Signal;
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK: u64 = 16 << 20;

/// Bytes that differ from chunk to chunk.
fn fill(path: &Path, size: u64) {
    let file = std::fs::File::create(path).unwrap();
    let mut block = vec![0; 1 << 20];
    let mut at = 0;
    while at < size {
        block.iter_mut().zip(0_u64..).for_each(|(b, i)| *b = (i.wrapping_mul(31) ^ (at >> 20)) as u8);
        let part = (size - at).min(block.len() as u64);
        file.write_all_at(&block[..part as usize], at).unwrap();
        at += part;
    }
}

/// The row of `data/large`, and the indices of its chunks that the journal has.
fn recorded(world: &World) -> Option<(Row, Vec<u64>)> {
    let reader = journal::reader(&world.persist.join(".persistcp"))?;
    let row = reader.find_path(&RelPath::new(b"persist/data/large").unwrap()).unwrap()?;
    let chunks = reader.chunks(row.dir, &row.name).unwrap();
    Some((row, chunks.into_iter().map(|(index, _)| index).collect()))
}

fn chunk_rows(world: &World) -> u64 {
    recorded(world).map_or(0, |(_, chunks)| chunks.len() as u64)
}

/// Kills a run as soon as the journal has some of the chunks; how many it has then.
fn killed_midway(world: &World, plan: &Path) -> u64 {
    let mut held = Held::at("write:20", plan, &["--threads", "2"]);
    held.wait_for("chunks are recorded", |_| chunk_rows(world) >= 2);
    held.kill();
    chunk_rows(world)
}

#[test]
fn a_killed_copy_goes_on_at_its_first_missing_chunk() {
    need_root!();
    let size = 40 * CHUNK + 12_345;
    let world = World::ext4(1500);
    let large = world.file("data/large", "");
    fill(&large, size);
    let plan = world.plan("");
    let rows = killed_midway(&world, &plan);
    let half = std::fs::metadata(world.target().join("large")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&half) & 0o7777, 0o600, "what is unfinished is closed");
    let ran = run(&plan, &[]).exits(0).says("resumed after");
    assert_eq!(ran.total("reused_bytes"), rows * CHUNK, "{ran}");
    assert_eq!(ran.total("copied_bytes"), size - rows * CHUNK, "nothing is copied twice\n{ran}");
    snapshot::assert_same(&world.data(), &world.target());
    let standard = blake3::Hasher::new().update_reader(std::fs::File::open(&large).unwrap()).unwrap().finalize();
    let digest = recorded(&world).unwrap().0.digest.unwrap().bytes;
    assert_eq!(&digest, standard.as_bytes(), "the digest is the one that b3sum prints");
    assert_eq!(run(&plan, &[]).exits(0).total("copied"), 0);
}

#[test]
fn a_stop_while_recorded_chunks_are_read_again_forgets_none() {
    need_root!();
    let size = 40 * CHUNK;
    let world = World::ext4(1500);
    fill(&world.file("data/large", ""), size);
    let plan = world.plan("");
    let rows = killed_midway(&world, &plan);
    let mut held = Held::at("read:1", &plan, &[]);
    held.ask_to_stop(Signal::INT);
    held.finish("a run that was stopped").exits(4);
    assert!(chunk_rows(&world) >= rows, "{} chunks of {rows}", chunk_rows(&world));
    let ran = run(&plan, &[]).exits(0);
    assert!(ran.total("reused_bytes") >= rows * CHUNK, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_copy_that_was_cut_off_on_its_way_into_its_place_is_not_made_again() {
    need_root!();
    let world = World::ext4(700);
    let size = 8 * CHUNK + 5;
    fill(&world.file("data/large", ""), size);
    let plan = world.plan("");
    let mut cuts = 0;
    // From the last syncfs before the rename to the first after it, the copy is whole and its row says that it
    // replaces something.
    for (call, n) in std::iter::once(("renameat", 1)).chain((1..=8).map(|n| ("syncfs", n))) {
        std::fs::create_dir_all(world.target()).unwrap();
        std::fs::write(world.target().join("large"), "what was there before").unwrap();
        let cut = wait(wrapped(&killing(call, n), &plan, &["--allow-nonempty", "--threads", "1"]));
        if cut.status.is_some() {
            break;
        }
        let rows = chunk_rows(&world);
        let there = size.min(rows * CHUNK);
        let ran = run(&plan, &["--allow-nonempty"]).exits(0);
        assert_eq!(ran.total("copied_bytes"), size - there, "{call} {n}\n{ran}");
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &["--verify-only"]).exits(0);
        std::fs::remove_dir_all(world.target()).unwrap();
        std::fs::remove_dir_all(world.persist.join(".persistcp")).unwrap();
        cuts += u64::from(there == size);
    }
    assert!(cuts >= 2, "no run was cut off with its copy whole");
}

#[test]
fn a_copy_that_was_cut_off_in_its_place_is_gone_on_with_after_a_second_cut() {
    need_root!();
    let world = World::ext4(700);
    let size = 5 * CHUNK + 5;
    fill(&world.file("data/large", ""), size);
    let plan = world.plan("");
    let (mut cuts, mut decays) = (0, 0);
    let first = std::iter::once(("renameat", 1)).chain((3..=8).map(|n| ("syncfs", n)));
    let calls = ["fallocate", "ftruncate", "fchown", "fremovexattr", "utimensat", "fchmod", "renameat", "syncfs"];
    for (call, n) in first {
        for second in calls {
            std::fs::create_dir_all(world.target()).unwrap();
            std::fs::write(world.target().join("large"), "what was there before").unwrap();
            let cut = wait(wrapped(&killing(call, n), &plan, &["--allow-nonempty", "--threads", "1"]));
            let whole = cut.status.is_none() && chunk_rows(&world) * CHUNK >= size;
            if whole {
                let replacing = recorded(&world).is_some_and(|(row, _)| row.state == State::Replacing);
                let in_place = std::fs::metadata(world.target().join("large")).unwrap().len() == size;
                let decayed = second == "fallocate" && replacing && in_place;
                if decayed {
                    // It is written in its place then, which moves its times.
                    flip(&world, &world.target().join("large"), size - 1);
                }
                wait(wrapped(&killing(second, 1), &plan, &["--allow-nonempty", "--threads", "1"]));
                let ran = run(&plan, &["--allow-nonempty"]).exits(0);
                assert_eq!(ran.total("copied_bytes"), if decayed { size } else { 0 }, "{call} {n}, {second}\n{ran}");
                decays += u64::from(decayed);
                snapshot::assert_same(&world.data(), &world.target());
                run(&plan, &["--verify-only"]).exits(0);
                cuts += 1;
            }
            std::fs::remove_dir_all(world.target()).unwrap();
            std::fs::remove_dir_all(world.persist.join(".persistcp")).unwrap();
            if !whole {
                break;
            }
        }
    }
    assert!(cuts >= 2 * calls.len() && decays > 0, "no run was cut off with its copy whole");
}

#[test]
fn a_source_that_changed_meanwhile_is_not_mixed_with_what_was_there() {
    need_root!();
    let world = World::ext4(1500);
    let large = world.file("data/large", "");
    fill(&large, 30 * CHUNK);
    let plan = world.plan("");
    killed_midway(&world, &plan);
    let file = std::fs::OpenOptions::new().write(true).open(&large).unwrap();
    file.write_all_at(b"changed", 5).unwrap();
    let ran = run(&plan, &[]).exits(0);
    assert_eq!(ran.total("reused_bytes"), 0, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_recorded_chunk_that_is_not_there_is_not_trusted() {
    need_root!();
    let world = World::ext4(1500);
    let large = world.file("data/large", "");
    fill(&large, 30 * CHUNK);
    let plan = world.plan("");
    let rows = killed_midway(&world, &plan);
    let last = recorded(&world).unwrap().1.into_iter().max().unwrap();
    let half = std::fs::OpenOptions::new().write(true).open(world.target().join("large")).unwrap();
    half.write_all_at(b"not what was copied", last * CHUNK + 77).unwrap();
    half.sync_all().unwrap();
    let ran = run(&plan, &[]).exits(0);
    assert!(rows > 0 && ran.total("reused_bytes") == 0, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn only_the_bad_chunks_of_a_finished_file_are_copied_again() {
    need_root!();
    let world = World::ext4(600);
    let large = world.file("data/large", "");
    fill(&large, 9 * CHUNK + 5);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("large");
    for at in [3 * CHUNK + 9, 9 * CHUNK + 2] {
        flip(&world, &target, at);
    }
    let ran = run(&plan, &["--verify-only"])
        .exits(1)
        .says("2 of 10 chunks differ from the source (bytes 50331648-67108863, ");
    assert_eq!(ran.problems(), [("content".to_string(), "/persist/data/large".to_string())]);
    let mended = run(&plan, &[]).exits(0);
    assert_eq!((mended.total("copied"), mended.total("copied_bytes")), (1, CHUNK + 5), "{mended}");
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_large_file_keeps_its_holes_chunk_by_chunk() {
    need_root!();
    let world = World::ext4(300);
    let path = world.file("data/large", "");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(20 * CHUNK + 777).unwrap();
    for at in [CHUNK - 5000, 3 * CHUNK + 4096, 11 * CHUNK, 20 * CHUNK + 700] {
        file.write_all_at(&[7; 10_000][..if at > 20 * CHUNK { 77 } else { 10_000 }], at).unwrap();
    }
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn an_unfinished_copy_whose_source_is_gone_is_removed() {
    need_root!();
    let world = World::ext4(1500);
    let large = world.file("data/large", "");
    world.file("data/small", "x");
    fill(&large, 30 * CHUNK);
    let plan = world.plan("");
    killed_midway(&world, &plan);
    std::fs::remove_file(&large).unwrap();
    run(&plan, &[]).exits(0).says("the unfinished copy of an earlier run was removed");
    assert!(!world.target().join("large").exists());
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn bytes_in_a_hole_are_repaired_as_well() {
    need_root!();
    let world = World::ext4(300);
    let path = world.file("data/large", "");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(6 * CHUNK).unwrap();
    file.write_all_at(b"data", 5 * CHUNK).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("large");
    let copy = std::fs::OpenOptions::new().write(true).open(&target).unwrap();
    copy.write_all_at(b"rubbish", 2 * CHUNK + 4096).unwrap();
    copy.sync_all().unwrap();
    run(&plan, &["--verify-only", "--strict"]).exits(1).says("changed-target");
    run(&plan, &["--repair"]).exits(1).says("changed-target");
    run(&plan, &["--repair", "--overwrite"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_half_of_another_state_of_the_source_gives_its_room_to_the_new_copy() {
    need_root!();
    // Room for one copy and a half.
    let world = World::ext4(800);
    let large = world.file("data/large", "");
    fill(&large, 30 * CHUNK);
    let plan = world.plan("");
    killed_midway(&world, &plan);
    std::fs::set_permissions(&large, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_killed_copy_goes_on_where_xfs_has_room_for_it_once() {
    need_root!();
    let world = World::new("xfs", 700, &[]);
    fill(&world.file("data/large", ""), 26 * CHUNK);
    let plan = world.plan("");
    killed_midway(&world, &plan);
    run(&plan, &[]).exits(0).says("resumed after");
    snapshot::assert_same(&world.data(), &world.target());
}
