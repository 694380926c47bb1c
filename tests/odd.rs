//! Random drivers: whatever a source answers, no run ends with 0 over a difference.
//!
//! `PERSISTCP_ODD` asks for more of them, `PERSISTCP_SEED` for others.

use crate::kit::disk::World;
use crate::kit::dress::node;
use crate::kit::faulty::Faulty;
use crate::kit::need_root;
use crate::kit::odd::{Clock, Counts, Numbers, Odd, Oddities, Often};
use crate::kit::random::{Random, from_env};
use crate::kit::run::{Ran, run};
use crate::kit::snapshot::{self, Snapshot};
use filetime::FileTime;
use rustix::fs::FileType;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a tree has extended attributes.
#[derive(Clone, Copy, PartialEq)]
enum Attributes {
    Some,
    None,
}

/// Files, links, FIFOs and attributes that any driver can show.
fn grow(root: &Path, random: &mut Random, attributes: Attributes) {
    std::fs::create_dir_all(root).unwrap();
    let (mut dirs, mut files) = (vec![root.to_path_buf()], Vec::<PathBuf>::new());
    for n in 0..random.between(8, 50) {
        let path = random.pick(&dirs).join(format!("{n}"));
        match random.below(12) {
            0 | 1 => {
                std::fs::create_dir(&path).unwrap();
                dirs.push(path.clone());
            }
            2 => symlink(format!("text {n}"), &path).unwrap(),
            3 => node(&path, FileType::Fifo, 0),
            4 if !files.is_empty() => {
                std::fs::hard_link(random.pick(&files), &path).unwrap();
                continue;
            }
            _ => {
                let size = *random.pick(&[0, 1, 10, 10, 10, 4096, 70_000, 1 << 20, 1_100_000]);
                std::fs::write(&path, random.bytes(size)).unwrap();
                files.push(path.clone());
            }
        }
        dress(&path, random, attributes);
    }
}

fn dress(path: &Path, random: &mut Random, attributes: Attributes) {
    lchown(path, Some(*random.pick(&[0, 0, 1000])), Some(*random.pick(&[0, 100]))).unwrap();
    // Many alike, so that nothing but content tells them apart.
    let time = FileTime::from_unix_time(1_700_000_000 + random.below(2) as i64, 0);
    let kind = std::fs::symlink_metadata(path).unwrap().file_type();
    if !kind.is_symlink() {
        std::fs::set_permissions(path, PermissionsExt::from_mode(*random.pick(&[0o640, 0o755, 0o777]))).unwrap();
    }
    if attributes == Attributes::Some && kind.is_file() && random.once_in(3) {
        xattr::set(path, "user.kept", &random.bytes(20)).unwrap();
    }
    filetime::set_symlink_file_times(path, time, time).unwrap();
}

/// What a driver shows of `tree`: no more can be asked of a copy.
fn shown(mut tree: Snapshot, odd: &Oddities) -> Snapshot {
    for (path, node) in &mut tree {
        if (odd.numbers, odd.counts) != (Numbers::True, Counts::True) {
            node.group.clone_from(path);
        }
        if odd.clock == Clock::Seconds {
            node.mtime.1 = 0;
        }
    }
    tree
}

struct Case {
    world: World,
    plan: PathBuf,
    data: PathBuf,
    odd: Oddities,
    _mount: Odd,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut world = World::ext4(64);
        let data = world.data();
        grow(&data, &mut random, Attributes::Some);
        let shown = world.path().join("shown");
        let below = std::mem::replace(&mut world.source, shown);
        let odd = Oddities::random(seed);
        let mount = Odd::new(&below, &world.source, odd.clone());
        Self { plan: world.plan(""), world, data, odd, _mount: mount }
    }

    /// Runs, and holds what it says against the truth.
    #[track_caller]
    fn says_the_truth(&self, args: &[&str]) {
        let ran = run(&self.plan, args);
        let target = self.world.target();
        let (truth, copy) = (
            shown(snapshot::take(&self.data), &self.odd),
            if target.exists() { snapshot::take(&target) } else { Snapshot::new() },
        );
        let differences = snapshot::diff(&truth, &shown(copy, &self.odd));
        let whole = differences.is_empty();
        match ran.status {
            Some(0) => assert!(whole, "ended with 0 over\n{}\n{:?}\n{ran}", differences.join("\n"), self.odd),
            Some(1) => self.names_all(&ran, &differences),
            _ => panic!("{:?}\n{ran}", self.odd),
        }
    }

    /// Every difference has a problem: its own, one of a directory above, or one that speaks for all.
    #[track_caller]
    fn names_all(&self, ran: &Ran, differences: &[String]) {
        let problems = ran.report["problems"].as_array().unwrap();
        assert!(!problems.is_empty(), "{ran}");
        let named: Vec<String> =
            problems.iter().map(|p| p["path"].as_str().unwrap().replacen("/persist/data", "", 1)).collect();
        let group = problems.iter().any(|p| p["count"].as_u64() > Some(1));
        for difference in differences {
            let path = difference.split(": ").next().unwrap();
            // Either name of a link that is lost speaks for it.
            let other = difference.split_once(": links: ").and_then(|(_, rest)| rest.split(" became ").next());
            let is = |name: &String, path: &str| path == name || path.starts_with(&format!("{name}/"));
            let is_named = named.iter().any(|name| is(name, path) || other.is_some_and(|other| is(name, other)));
            // The times of a directory follow from what could not be made in it.
            let is_above = difference.contains(": mtime: ");
            assert!(is_named || group || is_above, "nothing is said of {difference}\n{:?}\n{ran}", self.odd);
        }
    }
}

/// Other bytes in some files, and in some of equal number and time.
fn change(data: &Path, random: &mut Random) {
    for (path, _) in snapshot::take(data).iter().filter(|(_, node)| node.kind == FileType::RegularFile) {
        if random.once_in(4) {
            let path = data.join(std::str::from_utf8(&path[1..]).unwrap());
            let size = std::fs::metadata(&path).unwrap().len() as usize + random.below(2) as usize * 10;
            std::fs::write(&path, random.bytes(size)).unwrap();
        }
    }
}

fn check(seed: u64) {
    println!("PERSISTCP_SEED={seed} PERSISTCP_ODD=1 cargo test --test integration odd::");
    let case = Case::new(seed);
    let threads = if seed.is_multiple_of(2) { "1" } else { "8" };
    let ways = |first: &str| {
        case.says_the_truth(&["--threads", threads, first][..if first.is_empty() { 2 } else { 3 }]);
        case.says_the_truth(&["--threads", threads]);
        case.says_the_truth(&["--verify-only"]);
        case.says_the_truth(&["--verify-only", "--against", "source"]);
    };
    ways("");
    change(&case.data, &mut Random::new(!seed));
    ways("");
    change(&case.data, &mut Random::new(seed + 1));
    ways("--repair");
}

#[test]
fn whatever_a_driver_answers_no_run_ends_with_0_over_a_difference() {
    need_root!();
    for_seeds(5_000_000, check);
}

/// On three threads.
fn for_seeds(first: u64, check: fn(u64)) {
    let first = from_env("PERSISTCP_SEED", first);
    let (next, last) = (AtomicU64::new(first), first + from_env("PERSISTCP_ODD", 12));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let seeds = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                seeds.take_while(|seed| *seed < last).for_each(check);
            });
        }
    });
}

/// A target that shows odd numbers, times and listings of what it holds; the truth is what lies below it.
fn check_target(seed: u64) {
    println!("PERSISTCP_SEED={seed} PERSISTCP_ODD=1 cargo test --test integration odd::");
    let mut random = Random::new(seed);
    let world = World::plain();
    grow(&world.data(), &mut random, Attributes::None);
    let counts = *random.pick(&[Counts::True, Counts::True, Counts::Always(1), Counts::Always(2)]);
    let (below, odd) = (world.path().join("below"), Oddities { counts, ..Oddities::random(seed) });
    let _mount = Faulty::odd(&below, &world.persist, odd.clone());
    let (plan, state) = (world.plan(""), world.path().join("state"));
    let says_the_truth = |args: &[&str]| {
        let ran = run(&plan, &[&["--state", state.to_str().unwrap()], args].concat());
        let copy = below.join("data");
        let copy = if copy.exists() { snapshot::take(&copy) } else { Snapshot::new() };
        let differences = snapshot::diff(&snapshot::take(&world.data()), &copy);
        let whole = differences.is_empty();
        assert!(ran.status != Some(0) || whole, "ended with 0 over\n{}\n{odd:?}\n{ran}", differences.join("\n"));
        assert!(matches!(ran.status, Some(0 | 1)), "{odd:?}\n{ran}");
    };
    for way in [&[][..], &[], &["--repair"]] {
        says_the_truth(way);
        says_the_truth(&["--verify-only"]);
        says_the_truth(&["--verify-only", "--against", "source"]);
        change(&world.data(), &mut random);
    }
}

#[test]
fn whatever_a_target_shows_no_run_ends_with_0_over_a_difference() {
    need_root!();
    for_seeds(7_000_000, check_target);
}

#[test]
fn most_random_drivers_let_something_through() {
    let honest = (0..200).filter(|seed| {
        let odd = Oddities::random(*seed);
        [odd.open, odd.read, odd.link, odd.stat, odd.xattrs].iter().all(|fails| fails.1 == Often::Never)
    });
    assert!(honest.count() > 40);
}
