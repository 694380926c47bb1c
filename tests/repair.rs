//! `--repair`: verify, repair and verify again in one run.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, snapshot};
use std::os::unix::fs::{FileExt, PermissionsExt};

const CHUNK: usize = 16 << 20;

/// Content that differs from chunk to chunk.
fn content(chunks: usize) -> Vec<u8> {
    (0..chunks).flat_map(|i| vec![i as u8; CHUNK]).chain([9; 77]).collect()
}

#[test]
fn everything_that_differs_is_repaired_and_nothing_else_is_copied() {
    need_root!();
    let world = World::ext4(400);
    world.file("data/large", content(6));
    for name in ["good", "mode", "gone", "flipped"] {
        world.file(&format!("data/d/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target();
    flip(&world, &target.join("large"), (3 * CHUNK + 5) as u64);
    flip(&world, &target.join("d/flipped"), 2);
    std::fs::set_permissions(target.join("d/mode"), PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::remove_file(target.join("d/gone")).unwrap();
    let ran = run(&plan, &["--repair", "--strict"]).exits(0).says("repaired: /persist/data/large: 1 of 7 chunks");
    for name in ["flipped", "mode", "gone"] {
        let notes = ran.report["notes"].as_array().unwrap();
        let line = format!("repaired: /persist/data/d/{name}: ");
        assert!(notes.iter().any(|note| note.as_str().unwrap().starts_with(&line)), "{name}\n{ran}");
    }
    assert_eq!(ran.total("copied_bytes"), (CHUNK + "mode".len() + "gone".len() + "flipped".len()) as u64, "{ran}");
    snapshot::assert_same(&world.data(), &target);
    run(&plan, &["--repair"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_file_whose_source_has_changed_is_not_repaired_but_copied_whole() {
    need_root!();
    let world = World::ext4(400);
    let large = world.file("data/large", content(6));
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    flip(&world, &world.target().join("large"), (3 * CHUNK + 5) as u64);
    let source = std::fs::OpenOptions::new().write(true).open(&large).unwrap();
    source.write_all_at(b"?", CHUNK as u64 + 1).unwrap();
    let ran = run(&plan, &["--repair"]).exits(0);
    assert_eq!(ran.total("copied_bytes"), (6 * CHUNK + 77) as u64, "{ran}");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn what_cannot_be_repaired_stays_a_problem() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let lost = world.file("data/lost", "only the target has had it");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    flip(&world, &world.target().join("lost"), 1);
    std::fs::write(world.target().join("stranger"), "x").unwrap();
    std::fs::remove_file(lost).unwrap();
    let ran = run(&plan, &["--repair", "--strict"]).exits(1);
    let mut problems: Vec<_> = ran.problems().into_iter().map(|p| p.1).collect();
    problems.sort();
    // Damaged, and stale.
    problems.dedup();
    assert_eq!(problems, ["/persist/data/lost", "/persist/data/stranger"], "{ran}");
    assert!(world.target().join("stranger").exists());
}

#[test]
fn a_target_without_a_journal_cannot_be_repaired() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    run(&world.plan(""), &["--repair"]).exits(3).says("there is no journal at");
    assert!(!world.persist.join(".persistcp").exists());
}
