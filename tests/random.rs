//! Random trees: copied, they are the same to the tests' own comparator.
//!
//! Each tree follows from its seed, and so does what is done with it.
//! `PERSISTCP_TREES` asks for more of them, `PERSISTCP_SEED` for others.

use crate::kit::disk::World;
use crate::kit::dress::{ACCESS, DEFAULT, acl, mode, node};
use crate::kit::need_root;
use crate::kit::random::{Random, Replay, from_env};
use crate::kit::run::{Ran, run};
use crate::kit::snapshot::{self, Snapshot};
use crate::kit::tree::{Tree, random_acl};
use rustix::fs::FileType;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A tree in a disk that holds the source as well: ext4's attributes on both sides.
struct Grove<'w> {
    world: &'w World,
    seed: u64,
    random: Random,
    source: PathBuf,
    tree: Tree,
}

impl<'w> Grove<'w> {
    fn new(world: &'w World, seed: u64) -> Self {
        let mut random = Random::new(seed);
        for dir in ["from", "to"] {
            std::fs::create_dir_all(world.persist.join(dir)).unwrap();
        }
        let source = world.persist.join(format!("from/{seed}"));
        let tree = Tree::grow(&source, &mut random);
        Self { world, seed, random, source, tree }
    }

    fn target(&self, name: &str) -> PathBuf {
        self.world.persist.join(format!("to/{}{name}", self.seed))
    }

    /// Copies the tree to the target `name` by a plan, and with a journal, of its own.
    #[track_caller]
    fn copy(&self, name: &str, args: &[&str]) -> Ran {
        let tree = format!("{}{name}", self.seed);
        let plan = self.world.plan_text(&format!(
            "version = 1\nname = \"tree-{tree}\"\nsource = {:?}\nroot = {:?}\n[[map]]\nfrom = \"/{}\"\nto = \"/persist/to/{tree}\"\n",
            self.world.persist.join("from"), self.world.root, self.seed
        ));
        run(&plan, args).exits(0)
    }

    #[track_caller]
    fn is_at(&self, name: &str) {
        same(&snapshot::take(&self.source), &snapshot::take(&self.target(name)));
    }

    fn plain(&self) {
        let ran = self.copy("", &["--threads", "4"]);
        assert_eq!(ran.total("sockets"), self.tree.sockets, "{ran}");
        self.is_at("");
    }

    fn again(&self) {
        let first = self.copy("", &["--threads", "4"]);
        let second = self.has_nothing_left();
        assert_eq!(second.total("skipped"), first.total("copied"), "{second}");
        self.is_at("");
    }

    #[track_caller]
    fn has_nothing_left(&self) -> Ran {
        let ran = self.copy("", &["--threads", "4"]);
        assert_eq!((ran.total("copied"), ran.total("verified")), (0, 0), "{ran}");
        ran
    }

    fn changed(mut self) {
        self.copy("", &["--threads", "4"]);
        self.tree.change(&mut self.random);
        self.copy("", &["--threads", "4"]);
        self.is_at("");
        self.has_nothing_left();
    }

    fn threads(&self) {
        self.copy("-1", &["--threads", "1"]);
        self.copy("-32", &["--threads", "32"]);
        self.is_at("-1");
        same(&snapshot::take(&self.target("-1")), &snapshot::take(&self.target("-32")));
    }

    fn obstructed(mut self) {
        let (target, wanted) = (self.target(""), snapshot::take(&self.source));
        obstruct(&target, &wanted, &mut self.random);
        let (_, before) = strangers(snapshot::take(&target));
        self.copy("", &["--threads", "4", "--allow-nonempty"]);
        let (ours, after) = strangers(snapshot::take(&target));
        same(&wanted, &ours);
        same(&before, &after);
        self.has_nothing_left();
    }
}

#[track_caller]
fn same(expected: &Snapshot, found: &Snapshot) {
    let mut differences = snapshot::diff(expected, found);
    differences.extend(snapshot::holes(expected, found));
    assert!(differences.is_empty(), "the trees differ:\n{}", differences.join("\n"));
}

/// Names that no plan owns begin so, and nothing of a tree does.
const STRANGER: &[u8] = b"stranger of the target";

/// What belongs to the tree, and what to others.
fn strangers(all: Snapshot) -> (Snapshot, Snapshot) {
    let (mut strangers, ours): (Snapshot, Snapshot) =
        all.into_iter().partition(|(path, _)| path.windows(STRANGER.len()).any(|part| part == STRANGER));
    // They may have shared an inode with what was replaced.
    strangers.values_mut().for_each(|node| node.group.clear());
    (ours, strangers)
}

/// Fills the target with directories of other attributes, things of other types
/// in the place of leaves, and names that the tree does not have.
fn obstruct(target: &Path, wanted: &Snapshot, random: &mut Random) {
    let at = |path: &[u8]| target.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)));
    for (path, wanted) in wanted {
        let path = at(path);
        let Some(above) = path.parent().filter(|p| p.is_dir()) else { continue };
        if wanted.kind == FileType::Directory {
            if path == target || !random.once_in(4) {
                std::fs::create_dir(&path).unwrap();
                xattr::set(&path, "user.old", b"1").unwrap();
                // Nobody but root may write there: what others could have moved is not taken over.
                let (access, default) = (acl(7, &[(7, 5)], 5, &[], 0), acl(7, &[], 7, &[(8, 7)], 7));
                xattr::set(&path, ACCESS, &access).unwrap();
                xattr::set(&path, DEFAULT, &default).unwrap();
                stranger(&path, random);
            }
            continue;
        }
        let mine = above.join(OsStr::from_bytes(STRANGER));
        match random.below(7) {
            0 => std::fs::write(&path, random.bytes(5000)).unwrap(),
            1 => std::os::unix::fs::symlink(&mine, &path).unwrap(),
            2 => node(&path, FileType::Fifo, 0),
            3 => node(&path, FileType::CharacterDevice, 0),
            4 if mine.is_file() => std::fs::hard_link(&mine, &path).unwrap(),
            _ => {}
        }
    }
}

fn stranger(dir: &Path, random: &mut Random) {
    let path = dir.join(OsStr::from_bytes(STRANGER));
    match random.below(5) {
        0 => {
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("inside"), "kept").unwrap();
        }
        1 => std::os::unix::fs::symlink("anywhere", &path).unwrap(),
        2 => node(&path, FileType::Fifo, 0),
        _ => std::fs::write(&path, random.bytes(300)).unwrap(),
    }
}

fn check(world: &World, seed: u64) {
    let _replay = Replay { seed, test: "random::" };
    let grove = Grove::new(world, seed);
    match seed % 8 {
        0 => grove.again(),
        1 | 2 => grove.changed(),
        3 => grove.threads(),
        4 | 5 => grove.obstructed(),
        _ => grove.plain(),
    }
}

#[test]
fn random_trees_arrive_whole() {
    need_root!();
    const A_DISK: u64 = 60;
    let first = from_env("PERSISTCP_SEED", 1_000_000);
    let last = first + from_env("PERSISTCP_TREES", 500);
    println!("PERSISTCP_SEED={first}, trees up to {last}");
    let next = AtomicU64::new(first);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // A disk is left behind as it is: some names on it are immutable.
                loop {
                    let from = next.fetch_add(A_DISK, Ordering::Relaxed);
                    if from >= last {
                        return;
                    }
                    let world = World::ext4(400);
                    (from..last.min(from + A_DISK)).for_each(|seed| check(&world, seed));
                }
            });
        }
    });
}

#[test]
fn a_mode_of_the_plan_does_to_an_acl_what_chmod_does() {
    need_root!();
    let seed = from_env("PERSISTCP_SEED", 1);
    let _replay = Replay { seed, test: "a_mode_of_the_plan" };
    let (world, mut random) = (World::ext4(64), Random::new(seed));
    let bits = random.below(0o10000) as u32;
    let mut paths = vec![world.data()];
    for n in 0..100 {
        let path = world.file(&format!("data/{n}"), "");
        xattr::set(&path, ACCESS, &random_acl(&mut random)).unwrap();
        paths.push(path);
    }
    xattr::set(world.data(), ACCESS, &random_acl(&mut random)).unwrap();
    let fixup = "[[fixup]]\npath = \"/persist/data\"\nrecursive = true";
    let modes = format!("{fixup}\nmode = \"{bits:04o}\"\nfile-mode = \"{bits:04o}\"\n");
    run(&world.plan(&modes), &[]).exits(0);
    // The kernel's own chmod, on the source.
    paths.iter().for_each(|path| mode(path, bits));
    snapshot::assert_same(&world.data(), &world.target());
}
