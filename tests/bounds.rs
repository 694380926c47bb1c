//! Memory and threads stay within bounds, whatever the tree is like.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::run::{Ran, finish, put_binary, run, spawn, wait};
use crate::kit::{need_root, snapshot};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs to the end; the peak of its memory in MiB comes with it (`VmHWM`, proc_pid_status(5)).
fn peak(plan: &Path, args: &[&str]) -> (Ran, u64) {
    let child = spawn(plan, args);
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut most = 0;
        // A zombie has no memory any more.
        while let Ok(text) = std::fs::read_to_string(&status) {
            let Some(line) = text.lines().find(|line| line.starts_with("VmHWM")) else { break };
            most = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        most
    });
    let ran = finish(child, format!("{} {args:?}", plan.display()));
    (ran, watch.join().unwrap() / 1024)
}

#[test]
fn attributes_of_many_files_do_not_pile_up_in_memory() {
    need_root!();
    let world = World::new("xfs", 400, &["-i", "size=2048"]);
    let _source = Attached::fresh("xfs", 400, &world.path().join("source.img"), &world.data());
    for i in 0..12_000 {
        let file = world.file(&format!("data/{}/{i}", i % 50), "x");
        xattr::set(file, "user.large", &[b'a' + (i % 20) as u8; 3000]).unwrap();
    }
    let plan = world.plan("");
    for args in [&[][..], &[], &["--verify-only"]] {
        let (ran, most) = peak(&plan, args);
        ran.exits(0);
        assert!(most < 256, "{most} MiB with {args:?}");
    }
    let value = xattr::get(world.target().join("7/7"), "user.large").unwrap().unwrap();
    assert_eq!(value, [b'h'; 3000]);
}

#[test]
fn names_outside_the_plan_cost_no_memory_for_the_whole_run() {
    need_root!();
    let world = World::new("ext4", 600, &["-b", "4096", "-N", "120000"]);
    let _source = Attached::tmpfs("size=400M,nr_inodes=400k", &world.source);
    let names = 60_000;
    std::fs::create_dir_all(world.source.join("outside")).unwrap();
    for i in 0..names {
        let file = world.file(&format!("data/{}/some-longer-name-{i}", i % 100), "");
        std::fs::hard_link(file, world.source.join(format!("outside/{i}"))).unwrap();
    }
    // Groups whose names lie far apart are groups all the same.
    for i in 0..100 {
        let first = world.file(&format!("data/0/a-first-{i}"), "group");
        std::fs::hard_link(first, world.data().join(format!("99/z-last-{i}"))).unwrap();
    }
    let plan = world.plan("");
    let (ran, most) = peak(&plan, &["--threads", "2", "--verify", "none"]);
    ran.exits(0);
    assert!(most < 54, "{most} MiB");
    snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &[]).exits(0).says("nothing to copy");
}

#[test]
fn names_outside_the_plan_cost_the_survey_about_a_bit_each() {
    need_root!();
    let world = World::new("ext4", 600, &["-b", "4096", "-N", "400000"]);
    let _source = Attached::tmpfs("size=900M,nr_inodes=800k", &world.source);
    let (names, outside) = (300_000, world.source.join("outside"));
    std::fs::create_dir_all(&outside).unwrap();
    for i in 0..names {
        world.file(&format!("data/{}/{i}", i % 100), "");
    }
    let plan = world.plan("");
    let (ran, before) = peak(&plan, &["--dry-run"]);
    ran.exits(0);
    for i in 0..names {
        std::fs::hard_link(world.data().join(format!("{}/{i}", i % 100)), outside.join(i.to_string())).unwrap();
    }
    let (ran, most) = peak(&plan, &["--dry-run"]);
    ran.exits(0);
    assert!(most < before + 8, "{most} MiB instead of {before}");
}

/// Runs as a user of its own that may have `limit` threads.
fn with_threads(limit: u32, binary: &Path, plan: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "54321", "--regid", "54321", "--clear-groups", "--", "prlimit"]);
    command.arg(format!("--nproc={limit}")).arg(binary).arg("--plan").arg(plan);
    command.args(["--no-owner", "--allow-volatile", "--progress", "none", "--threads", "32"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wait(command)
}

#[test]
fn where_few_threads_can_be_started_fewer_do_the_work() {
    need_root!();
    let world = World::plain();
    for i in 0..200 {
        world.file(&format!("data/{}/{i}", i % 7), vec![i as u8; 1000]);
    }
    for dir in [world.path(), &world.root, &world.persist] {
        crate::kit::dress::mode(dir, 0o777);
    }
    let binary = world.path().join("persistcp");
    put_binary(&binary);
    let plan = world.plan("");
    let state = world.root.join("state-54321");
    let state = ["--state", state.to_str().unwrap()];
    with_threads(100, &binary, &plan, &state).exits(0);
    for limit in [1, 2, 3, 4, 5, 6, 8, 17] {
        for args in [&["--verify-only"][..], &["--verify-only", "--against", "source"], &["--repair"], &["--dry-run"]] {
            let ran = with_threads(limit, &binary, &plan, &[&state, args].concat());
            assert!(!ran.stderr.contains("panicked"), "{limit}: {ran}");
            // The journal, the epochs and signals have threads of their own.
            let enough = if limit < 6 { &[0, 3, 4][..] } else { &[0] };
            assert!(ran.status.is_some_and(|status| enough.contains(&status)), "{limit}: {ran}");
        }
    }
}
