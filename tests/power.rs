//! Power cuts: what a disk holds after one, at flush boundaries and between them.
//! No row marked done may be missing, torn or wrongly owned, and the same command
//! goes on to the whole tree. `docs/durability.md` has the argument.

use crate::kit::attach::Attached;
use crate::kit::cuts::{Cut, certain, cuts};
use crate::kit::disk::World;
use crate::kit::random::{Random, from_env};
use crate::kit::recorder::{Disk, Event, Medium};
use crate::kit::run::{run, wait, wrapped};
use crate::kit::snapshot::{self, Node, Snapshot};
use crate::kit::{attributes, need_root, promise, sh};
use rustix::fs::FileType;
use std::os::unix::fs::{FileExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MKFS: [&str; 6] = ["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"];

/// A disk with an empty ext4, and a world that copies to it.
struct Machine {
    disk: Disk,
    world: World,
    plan: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let world = World::plain();
        let disk = Disk::new(&world.path().join("drive"), 320);
        let image = disk.path();
        sh!("mkfs.ext4", MKFS[0], MKFS[1], MKFS[2], MKFS[3], MKFS[4], MKFS[5], image);
        let plan = world.plan("");
        Self { disk, world, plan }
    }

    fn mount(&self, options: &str) -> Attached {
        Attached::image(&self.disk.path(), options, &self.world.persist)
    }

    /// What stands on the disk before `work`, and what `work` makes it write.
    fn record(&self, options: &str, work: impl FnOnce()) -> (Medium, Vec<Event>) {
        let base = self.disk.medium();
        self.disk.record();
        let mounted = self.mount(options);
        work();
        mounted.unmount();
        (base, self.disk.recorded())
    }

    fn e2fsck(&self, args: &str) -> (Option<i32>, String) {
        let out = Command::new("e2fsck").arg(args).arg(self.disk.path()).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Starts the machine again after the cut: mounts, holds the journal against the
    /// target, runs the same command, and looks at the file system. Gives rows and
    /// chunks that were promised.
    fn survives(&self, cut: Cut, source: &Snapshot, check_first: bool, look: impl Fn()) -> (usize, usize) {
        println!("cut {}", cut.name);
        self.disk.insert(cut.medium);
        if check_first {
            let (status, said) = self.e2fsck("-fy");
            assert!(status.is_some_and(|status| status <= 1), "{}: e2fsck: {said}", cut.name);
        }
        let mounted = self.mount("loop");
        let found = promise::check(&self.world);
        assert!(found.broken.is_empty(), "{}: promised, and not there:\n{}", cut.name, found.broken.join("\n"));
        look();
        run(&self.plan, &[]).exits(0);
        let differences = snapshot::diff(source, &snapshot::take(&self.world.target()));
        assert!(differences.is_empty(), "{}: resumed, and not the source:\n{}", cut.name, differences.join("\n"));
        mounted.unmount();
        // A mount namespace that another test made meanwhile keeps the file system mounted until it ends.
        let limit = Instant::now() + Duration::from_secs(60);
        let (mut status, mut said) = self.e2fsck("-fn");
        while status != Some(0) && Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(200));
            (status, said) = self.e2fsck("-fn");
        }
        assert_eq!(status, Some(0), "{}: e2fsck: {said}", cut.name);
        (found.rows, found.chunks)
    }

    /// All cuts; how many, and the most rows and chunks that one had to keep.
    fn survives_all(&self, cuts: Vec<Cut>, look: impl Fn()) {
        let (mut most_rows, mut chunks, mut promising) = (0, 0, 0);
        let count = cuts.len();
        let source = snapshot::take(&self.world.data());
        for (n, cut) in cuts.into_iter().enumerate() {
            let (rows, some) = self.survives(cut, &source, n % 2 == 0, &look);
            (most_rows, chunks) = (most_rows.max(rows), chunks + some);
            promising += usize::from(rows > 0);
        }
        println!("{count} cuts; {promising} with done rows, at most {most_rows}; {chunks} chunks of unfinished files");
        assert!(promising > 0 && most_rows > 100, "the cuts came too early or too late to show anything");
    }
}

fn many(world: &World, files: usize) {
    for i in 0..files {
        world.file(&format!("data/many/{}/{i}", i % 37), vec![(i % 251) as u8; 1 + i * 7 % 9000]);
        if i % 50 == 0 {
            let other = world.data().join(format!("many/{}/link-{i}", (i + 1) % 37));
            std::fs::create_dir_all(other.parent().unwrap()).unwrap();
            std::fs::hard_link(world.data().join(format!("many/{}/{i}", i % 37)), other).unwrap();
        }
    }
}

/// Large enough for chunks, without holes.
fn dense(path: &Path, salt: u8) {
    let block: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 253) as u8 ^ salt).collect();
    let file = std::fs::File::create(path).unwrap();
    (0..64).for_each(|mib| file.write_all_at(&block, mib << 20).unwrap());
    file.write_all_at(&[salt; 12_345], 64 << 20).unwrap();
}

fn sparse(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(96 << 20).unwrap();
    (0..6).for_each(|chunk| file.write_all_at(&[7; 300_000], (chunk << 24) + 4096).unwrap());
}

/// Half of the cuts of a series: those at flushes; as many lie between.
fn count() -> usize {
    from_env("PERSISTCP_CUTS", 12) as usize
}

#[test]
fn a_power_cut_takes_nothing_that_is_marked_done() {
    need_root!();
    let machine = Machine::new();
    let world = &machine.world;
    attributes::everything(world);
    many(world, 1500);
    dense(&world.data().join("large"), 3);
    sparse(&world.data().join("sparse"));
    let (base, log) = machine.record("loop", || {
        run(&machine.plan, &["--threads", "1"]).exits(0);
    });
    machine.survives_all(cuts(base, &log, count(), &mut Random::seeded()), || {});
}

/// Other content, other owners, another link, new names.
fn edit(world: &World, files: usize) {
    for i in 0..files {
        let path = world.data().join(format!("many/{}/{i}", i % 37));
        match i % 7 {
            0..3 => std::fs::write(&path, vec![(i % 241) as u8; 1 + i * 11 % 12_000]).unwrap(),
            3 => chown(&path, Some(1000), Some(100)).unwrap(),
            _ => {}
        }
    }
    for i in 0..200 {
        world.file(&format!("data/many/{}/new-{i}", i % 37), vec![i as u8; i * 50]);
    }
    dense(&world.data().join("large"), 9);
    std::fs::remove_file(world.data().join("link")).unwrap();
    std::os::unix::fs::symlink("elsewhere", world.data().join("link")).unwrap();
}

/// Whatever was there before the run is there as it was, or as it shall be.
fn assert_old_or_new(old: &Snapshot, new: &Snapshot, found: &Snapshot) {
    let whole = |node: &Node| {
        let Node { kind, mode, owner, mtime, content, link, xattrs, .. } = node.clone();
        (format!("{kind:?}"), mode, owner, mtime, content, link, xattrs)
    };
    for (path, before) in old.iter().filter(|(_, node)| node.kind != FileType::Directory) {
        let shown = path.escape_ascii();
        let now = found.get(path).unwrap_or_else(|| panic!("{shown} is gone"));
        let either = whole(now) == whole(before) || new.get(path).is_some_and(|new| whole(new) == whole(now));
        assert!(either, "{shown} is neither old nor new: {now:?}");
    }
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new_one() {
    need_root!();
    let machine = Machine::new();
    let world = &machine.world;
    many(world, 1000);
    dense(&world.data().join("large"), 3);
    std::os::unix::fs::symlink("somewhere", world.data().join("link")).unwrap();
    let mounted = machine.mount("loop");
    run(&machine.plan, &[]).exits(0);
    let old = snapshot::take(&world.target());
    mounted.unmount();
    edit(world, 1000);
    let new = snapshot::take(&world.data());
    let (base, log) = machine.record("loop", || {
        run(&machine.plan, &["--threads", "1"]).exits(0);
    });
    let cuts = cuts(base, &log, count(), &mut Random::seeded());
    machine.survives_all(cuts, || assert_old_or_new(&old, &new, &snapshot::take(&world.target())));
}

#[test]
fn after_the_end_of_a_run_a_power_cut_takes_nothing() {
    need_root!();
    let machine = Machine::new();
    attributes::everything(&machine.world);
    many(&machine.world, 300);
    let (mut events, mut copied) = (0, 0);
    let (base, log) = machine.record("loop", || {
        copied = run(&machine.plan, &[]).exits(0).total("copied");
        events = machine.disk.events();
    });
    machine.disk.insert(certain(base, &log[..events]).medium);
    let _mounted = machine.mount("loop");
    let found = promise::check(&machine.world);
    assert!(found.rows > 300 && found.broken.is_empty(), "{}", found.broken.join("\n"));
    let again = run(&machine.plan, &[]).exits(0);
    assert_eq!((again.total("copied"), again.total("skipped")), (0, copied), "{again}");
    snapshot::assert_same(&machine.world.data(), &machine.world.target());
}

/// Cuts that show a promise broken, of a run with this environment.
fn lies(environment: &[&str]) -> usize {
    let machine = Machine::new();
    many(&machine.world, 1500);
    let wrapper: Vec<String> = ["env"].iter().chain(environment).map(ToString::to_string).collect();
    // Verification writes each file out before it reads it, and so would hide that nothing else did.
    let (base, log) = machine.record("loop", || {
        wait(wrapped(&wrapper, &machine.plan, &["--verify", "none"])).exits(0);
    });
    let cuts = cuts(base, &log, count(), &mut Random::seeded());
    let count = cuts.len();
    let broken = cuts.into_iter().filter(|cut| {
        machine.disk.insert(cut.medium.clone());
        let mounted = machine.mount("loop");
        let found = promise::check(&machine.world);
        mounted.unmount();
        !found.broken.is_empty()
    });
    let broken = broken.count();
    println!("{environment:?}: {broken} of {count} cuts find rows that lie");
    broken
}

#[test]
fn without_syncfs_the_cuts_find_rows_that_lie() {
    need_root!();
    assert_eq!(lies(&[]), 0, "with syncfs");
    assert!(lies(&["PERSISTCP_TEST_NO_SYNCFS=1"]) > 0, "the cuts would not notice that syncfs is missing");
}
