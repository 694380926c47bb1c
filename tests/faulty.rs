//! A real file system with faults, by FUSE, for the whole path: the copy reports,
//! verification finds, the next run cures.

use crate::kit::disk::World;
use crate::kit::faulty::{Fault, Faulty, Wrong};
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, snapshot};
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;

const CHUNK: u64 = 16 << 20;

/// A few files, links, another owner, and one file that is copied in chunks.
fn tree(world: &World) {
    for (name, size) in [("dir/good", 100_000_u32), ("dir/bad", 900_000), ("other", 5), ("empty", 0)] {
        world.file(&format!("data/{name}"), (0..size).map(|i| (i % 251) as u8 | 1).collect::<Vec<u8>>());
    }
    world.file("data/large", vec![0x55; 5 * CHUNK as usize + 77]);
    chown(world.data().join("dir/good"), Some(1000), Some(100)).unwrap();
    symlink("dir/good", world.data().join("link")).unwrap();
    std::fs::hard_link(world.data().join("other"), world.data().join("dir/linked")).unwrap();
}

struct Case {
    world: World,
    faulty: Faulty,
    plan: PathBuf,
}

impl Case {
    /// The target is the faulty file system.
    fn target() -> Self {
        let world = World::plain();
        tree(&world);
        let faulty = Faulty::new(&world.path().join("below"), &world.persist);
        let plan = world.plan("");
        Self { world, faulty, plan }
    }

    fn set(&self, wrong: Wrong, name: &'static str, from: u64, length: u64) {
        self.faulty.set(Some(Fault { wrong, name, range: from..from + length }));
    }

    /// With the journal where the faults are not.
    fn run(&self, more: &[&str]) -> Ran {
        let state = self.world.path().join("state");
        let mut args = vec!["--state", state.to_str().unwrap()];
        args.extend(more);
        run(&self.plan, &args)
    }

    /// Without the fault, the next run copies one file's bad bytes and no more.
    fn is_cured_by_copying(&self, bytes: u64) {
        self.faulty.set(None);
        let cured = self.run(&[]).exits(0);
        assert_eq!((cured.total("copied"), cured.total("copied_bytes")), (1, bytes), "{cured}");
        self.is_whole();
    }

    fn is_whole(&self) {
        self.run(&["--verify-only"]).exits(0);
        snapshot::assert_same(&self.world.data(), &self.world.target());
    }
}

fn only(kind: &str, path: &str) -> Vec<(String, String)> {
    vec![(kind.to_string(), format!("/persist/data/{path}"))]
}

#[test]
fn a_range_of_the_source_that_reads_as_an_error_costs_one_file() {
    need_root!();
    for (name, at) in [("bad", 500_000), ("large", 3 * CHUNK + 5)] {
        let mut world = World::ext4(256);
        tree(&world);
        let shown = world.path().join("shown");
        let below = std::mem::replace(&mut world.source, shown);
        let faulty = Faulty::new(&below, &world.source);
        let case = Case { plan: world.plan(""), world, faulty };
        case.set(Wrong::ReadError, name, at, 1);
        let ran = case.run(&[]).exits(1).says("read the source: Input/output error");
        let path = if name == "bad" { "dir/bad" } else { name };
        assert_eq!(ran.problems(), only("unreadable", path), "{ran}");
        case.faulty.set(None);
        let differences = snapshot::diff(&snapshot::take(&case.world.data()), &snapshot::take(&case.world.target()));
        // Of a large file the half stays, closed, for the chunks that could be read.
        let is_closed_half = |seen: &[String]| {
            seen.iter().all(|seen| seen.starts_with("/large: "))
                && seen.contains(&"/large: mode: 644 became 600".into())
        };
        match name {
            "bad" => assert_eq!(differences, ["/dir/bad: missing"], "no half file, no leftover, and the rest whole"),
            _ => assert!(is_closed_half(&differences), "{differences:?}"),
        }
        let again = case.run(&[]).exits(0);
        assert_eq!(again.total("reused_bytes") > 0, name == "large", "{again}");
        case.is_whole();
    }
}

#[test]
fn a_bit_that_the_target_reads_wrong_is_found_and_the_next_run_cures_it() {
    need_root!();
    for (name, path, at, again) in [("bad", "dir/bad", 600_001, 900_000), ("large", "large", 2 * CHUNK + 9, CHUNK)] {
        let case = Case::target();
        case.run(&[]).exits(0);
        case.set(Wrong::FlippedBit, name, at, 1);
        let ran = case.run(&["--verify-only"]).exits(1);
        assert_eq!(ran.problems(), only("content", path), "{ran}");
        case.is_cured_by_copying(again);
    }
}

#[test]
fn writes_that_the_target_loses_are_found_after_the_copy_and_the_next_run_cures_them() {
    need_root!();
    for (name, path, at, again) in [("bad", "dir/bad", 300_000, 900_000), ("large", "large", 4 * CHUNK + 4096, CHUNK)] {
        let case = Case::target();
        case.set(Wrong::LostWrite, name, at, 4096);
        let ran = case.run(&[]).exits(1);
        assert_eq!(ran.problems(), only("content", path), "{ran}");
        case.is_cured_by_copying(again);
    }
}

#[test]
fn a_range_of_the_target_that_reads_as_an_error_is_a_problem_and_not_the_end() {
    need_root!();
    let case = Case::target();
    case.set(Wrong::ReadError, "bad", 4096, 1);
    let ran = case.run(&[]).exits(1).says("Input/output error");
    assert_eq!(ran.problems(), only("io", "dir/bad"), "{ran}");
    case.faulty.set(None);
    case.run(&[]).exits(0);
    case.is_whole();
}
