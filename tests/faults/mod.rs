//! Every system call fails once: the n-th of each kind, in every way that it can.
//!
//! Never a panic, never a false "done", never status 0 for less than the whole,
//! and the same command goes on to the same tree. A sample of all cases runs by
//! default; `PERSISTCP_FAULTS=all` runs every one, and `PERSISTCP_FAULTS=First/write:17:EIO`
//! what contains that.

mod judge;
mod scene;

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{faulty, run};
use crate::kit::{need_root, snapshot};
use scene::Scene;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Each kind of call, a scene that makes it, and how it fails, the most likely way first.
const WAYS: [(&str, Scene, &[&str]); 38] = [
    ("open", Scene::First, &["EIO", "EMFILE", "EINTR"]),
    ("create", Scene::First, &["EIO", "ENOSPC", "EDQUOT", "EMFILE", "EINTR"]),
    ("mkdir", Scene::First, &["EIO", "ENOSPC", "EDQUOT"]),
    ("mknod", Scene::First, &["EIO", "ENOSPC", "EDQUOT"]),
    ("symlink", Scene::First, &["EIO", "ENOSPC", "EDQUOT"]),
    ("link", Scene::First, &["EIO", "ENOSPC", "EDQUOT"]),
    ("rename", Scene::First, &["EIO", "ENOSPC"]),
    ("unlink", Scene::First, &["EIO"]),
    ("rmdir", Scene::First, &["EIO"]),
    ("read", Scene::First, &["EIO", "short", "EINTR"]),
    ("write", Scene::First, &["EIO", "ENOSPC", "short", "EDQUOT", "EINTR"]),
    ("stat", Scene::First, &["EIO"]),
    ("getdents", Scene::First, &["EIO", "EINTR"]),
    ("readlink", Scene::First, &["EIO"]),
    ("chown", Scene::First, &["EIO", "EDQUOT"]),
    ("chmod", Scene::First, &["EIO", "ENOSPC"]),
    ("utimens", Scene::First, &["EIO"]),
    ("listxattr", Scene::First, &["EIO"]),
    ("getxattr", Scene::First, &["EIO"]),
    ("setxattr", Scene::First, &["EIO", "ENOSPC", "EDQUOT"]),
    ("removexattr", Scene::First, &["EIO"]),
    ("getflags", Scene::First, &["EIO"]),
    ("setflags", Scene::First, &["EIO", "ENOSPC"]),
    ("getproject", Scene::First, &["EIO"]),
    ("setproject", Scene::Project, &["EIO", "EDQUOT"]),
    ("truncate", Scene::First, &["EIO", "ENOSPC", "EINTR"]),
    ("fallocate", Scene::Dense, &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("seekdata", Scene::First, &["EIO"]),
    ("syncfs", Scene::First, &["EIO", "ENOSPC", "EDQUOT"]),
    ("syncrange", Scene::Dense, &["EIO", "ENOSPC", "EINTR"]),
    ("close", Scene::First, &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("statfs", Scene::First, &["EIO", "EINTR"]),
    ("fcntl", Scene::Dense, &["EIO"]),
    ("flock", Scene::First, &["EIO", "EINTR"]),
    ("advise", Scene::First, &["EIO"]),
    ("probe", Scene::Dense, &["EIO"]),
    ("reflink", Scene::Shared, &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("ring", Scene::First, &["EIO", "EINTR"]),
];

/// No scene makes this call: only a file system that refuses `O_DIRECT` is asked whether it let go of its pages.
const UNREACHED: &str = "probe";

/// One fault.
#[derive(Clone, Debug)]
struct Case {
    scene: Scene,
    op: &'static str,
    nth: u64,
    way: &'static str,
}

impl Case {
    fn spec(&self) -> String {
        format!("{}:{}:{}", self.op, self.nth, self.way)
    }

    /// The call is repeated or continued, and nobody hears of it.
    fn is_harmless(&self) -> bool {
        matches!(self.way, "EINTR" | "short")
    }

    /// What strerror(3) says.
    fn words(&self) -> &'static str {
        match self.way {
            "EIO" => "Input/output error",
            "ENOSPC" => "No space left on device",
            "EDQUOT" => "Disk quota exceeded",
            "EMFILE" => "Too many open files",
            way => way,
        }
    }
}

const ARGS: [&str; 3] = ["--allow-nonempty", "--threads", "2"];

/// How many calls of each kind a run of `scene` makes.
fn counts(scene: Scene, world: &World) -> Vec<(String, u64)> {
    let plan = world.plan("");
    scene.set(world, 0);
    if scene == Scene::Again {
        run(&plan, &ARGS).exits(0);
        scene.set(world, 1);
    }
    let file = world.path().join("counts");
    faulty(&plan, &ARGS, &format!("count:{}", file.display())).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    let text = std::fs::read_to_string(file).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(op, count)| (op.to_string(), count.parse().unwrap())).collect()
}

/// At most `most` of `1..=count`, evenly, the first and the last among them.
fn sample(count: u64, most: u64) -> Vec<u64> {
    if count <= most {
        return (1..=count).collect();
    }
    if most == 1 {
        return vec![count.div_ceil(2)];
    }
    let mut picked: Vec<u64> = (0..most).map(|i| 1 + i * (count - 1) / (most - 1)).collect();
    picked.dedup();
    picked
}

/// The kinds of calls that a scene is there for; the others fail in another, but for `PERSISTCP_FAULTS`.
fn is_sampled(scene: Scene, op: &str) -> bool {
    match scene {
        Scene::First | Scene::Again => true,
        Scene::Dense => {
            ["read", "write", "fallocate", "fcntl", "truncate", "seekdata", "advise", "syncrange"].contains(&op)
        }
        Scene::Shared => ["reflink", "read", "seekdata", "setxattr"].contains(&op),
        Scene::Project => ["getproject", "setproject"].contains(&op),
    }
}

/// The cases of a scene.
fn cases(scene: Scene, counts: &[(String, u64)], wish: Option<&str>) -> Vec<Case> {
    let (main, other) = match (wish, scene) {
        (Some(_), _) => (u64::MAX, u64::MAX),
        (None, Scene::Dense) => (2, 1),
        (None, _) => (7, 1),
    };
    let count_of = |op: &str| counts.iter().find(|(name, _)| name == op).map_or(0, |(_, count)| *count);
    let is_missing = |(op, of, _): &&(&str, Scene, _)| *of == scene && *op != UNREACHED && count_of(op) == 0;
    let missing: Vec<_> = WAYS.iter().filter(is_missing).map(|way| way.0).collect();
    assert_eq!(count_of(UNREACHED), 0, "{scene:?} makes this call: it is to be failed");
    assert!(missing.is_empty(), "{scene:?} makes none of these calls, and none would fail: {missing:?}");
    let mut cases = Vec::new();
    for (op, _, ways) in WAYS {
        let count = count_of(op);
        if wish.is_none() && !is_sampled(scene, op) {
            continue;
        }
        for (rank, way) in ways.iter().enumerate() {
            let nths = sample(count, if rank == 0 { main } else { other });
            cases.extend(nths.into_iter().map(|nth| Case { scene, op, nth, way }));
        }
    }
    match wish {
        None | Some("all") => cases,
        Some(one) => {
            cases.into_iter().filter(|case| format!("{:?}/{}", case.scene, case.spec()).contains(one)).collect()
        }
    }
}

/// Runs one case; what is wrong comes back.
fn attempt(case: &Case, world: &World, round: u64) -> Vec<String> {
    let plan = world.plan("");
    case.scene.set(world, round);
    let ran = faulty(&plan, &ARGS, &case.spec());
    let mut wrong = judge::run(case, world, &ran);
    let again = run(&plan, &ARGS);
    if again.status == Some(0) {
        let differences = snapshot::diff(&snapshot::take(&world.data()), &snapshot::take(&world.target()));
        if !differences.is_empty() {
            wrong.push(format!("the same command again leaves: {}", differences.join("; ")));
        }
    } else {
        wrong.push(format!("the same command does not go on:\n{again}"));
        scene::clear(world);
        run(&plan, &ARGS);
    }
    if !wrong.is_empty() {
        wrong.push(format!("{ran}"));
    }
    wrong
}

/// Every case of `scene`, on two disks at a time.
fn every_fault(scene: Scene) {
    let wish = std::env::var("PERSISTCP_FAULTS").ok();
    let (worlds, _sources): (Vec<World>, Vec<Option<Attached>>) = (0..2).map(|_| scene.world()).unzip();
    worlds.iter().for_each(|world| scene.plant(world));
    let counts: Vec<_> = worlds.iter().map(|world| counts(scene, world)).collect();
    let cases = cases(scene, &counts[0], wish.as_deref());
    let (next, round, failures) = (AtomicUsize::new(0), AtomicU64::new(2), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for world in &worlds {
            threads.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let wrong = attempt(case, world, round.fetch_add(1, Relaxed));
                    if !wrong.is_empty() {
                        let what = format!("=== {scene:?}/{}\n{}", case.spec(), wrong.join("\n"));
                        // At once: all cases take many minutes.
                        println!("{what}");
                        failures.lock().unwrap().push(case.spec());
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} faults injected in {scene:?}, {} of them wrong", cases.len(), failures.len());
    assert!(failures.is_empty(), "{scene:?}: {}", failures.join(" "));
}

#[test]
fn every_kind_of_call_of_the_product_can_fail_here() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let file = world.path().join("counts");
    faulty(&world.plan(""), &[], &format!("count:{}", file.display())).exits(0);
    let text = std::fs::read_to_string(file).unwrap();
    let known: BTreeSet<_> = text.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(known, WAYS.iter().map(|(op, ..)| *op).collect());
}

#[test]
fn what_may_answer_a_failure_by_doing_more_is_in_the_source() {
    assert_eq!(judge::unknown_functions(), [""; 0]);
}

#[test]
fn a_first_run_survives_any_call_that_fails() {
    need_root!();
    every_fault(Scene::First);
}

#[test]
fn a_later_run_survives_any_call_that_fails() {
    need_root!();
    every_fault(Scene::Again);
}

#[test]
fn files_past_the_page_cache_survive_any_call_that_fails() {
    need_root!();
    every_fault(Scene::Dense);
}

#[test]
fn shared_blocks_survive_any_call_that_fails() {
    need_root!();
    every_fault(Scene::Shared);
}

#[test]
fn project_ids_survive_any_call_that_fails() {
    need_root!();
    every_fault(Scene::Project);
}
