//! Every system call fails once: the n-th of each kind, in every way that it can.
//!
//! Never a panic, never a false "done", never status 0 for less than the whole,
//! and the same command goes on to the same tree. A sample of all cases runs by
//! default; `PERSISTCP_FAULTS=all` runs every one, and `PERSISTCP_FAULTS=First/write:17:EIO`
//! what contains that.

mod judge;
mod scene;

use crate::kit::disk::World;
use crate::kit::run::{faulty, run};
use crate::kit::{need_root, snapshot};
use scene::Scene;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How each kind of call fails, the most likely way first.
const WAYS: [(&str, &[&str]); 34] = [
    ("open", &["EIO", "EMFILE", "EINTR"]),
    ("create", &["EIO", "ENOSPC", "EDQUOT", "EMFILE", "EINTR"]),
    ("mkdir", &["EIO", "ENOSPC", "EDQUOT"]),
    ("mknod", &["EIO", "ENOSPC", "EDQUOT"]),
    ("symlink", &["EIO", "ENOSPC", "EDQUOT"]),
    ("link", &["EIO", "ENOSPC", "EDQUOT"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("unlink", &["EIO"]),
    ("rmdir", &["EIO"]),
    ("read", &["EIO", "short", "EINTR"]),
    ("write", &["EIO", "ENOSPC", "short", "EDQUOT", "EINTR"]),
    ("stat", &["EIO"]),
    ("getdents", &["EIO", "EINTR"]),
    ("readlink", &["EIO"]),
    ("chown", &["EIO", "EDQUOT"]),
    ("chmod", &["EIO", "ENOSPC"]),
    ("utimens", &["EIO"]),
    ("listxattr", &["EIO"]),
    ("getxattr", &["EIO"]),
    ("setxattr", &["EIO", "ENOSPC", "EDQUOT"]),
    ("removexattr", &["EIO"]),
    ("getflags", &["EIO"]),
    ("setflags", &["EIO", "ENOSPC"]),
    ("getproject", &["EIO"]),
    ("truncate", &["EIO", "ENOSPC", "EINTR"]),
    ("fallocate", &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("seekdata", &["EIO"]),
    ("syncfs", &["EIO", "ENOSPC", "EDQUOT"]),
    ("close", &["EIO", "ENOSPC", "EDQUOT", "EINTR"]),
    ("statfs", &["EIO", "EINTR"]),
    ("fcntl", &["EIO"]),
    ("flock", &["EIO", "EINTR"]),
    ("advise", &["EIO"]),
    ("probe", &["EIO"]),
];

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

/// The cases of a scene.
fn cases(scene: Scene, counts: &[(String, u64)], wish: Option<&str>) -> Vec<Case> {
    let (main, other) = match (wish, scene) {
        (Some(_), _) => (u64::MAX, u64::MAX),
        (None, Scene::Dense) => (2, 1),
        (None, _) => (7, 1),
    };
    let mut cases = Vec::new();
    for (op, ways) in WAYS {
        let dense = ["read", "write", "fallocate", "fcntl", "truncate", "seekdata", "advise"];
        if scene == Scene::Dense && !dense.contains(&op) {
            continue;
        }
        let count = counts.iter().find(|(name, _)| name == op).map_or(0, |(_, count)| *count);
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
    let worlds: Vec<World> = (0..2).map(|_| World::ext4(400)).collect();
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
