//! Signals and terminals that go away.

use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{finish, run, spawn};
use crate::kit::{need_root, snapshot};
use crate::resume::many;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A run on one thread that waits in the middle of copying.
fn midway(world: &World) -> Held {
    many(world, 3000);
    Held::at("create:1000", &world.plan(""), &["--threads", "1"])
}

#[test]
fn each_signal_that_asks_to_end_is_heard_and_the_same_command_goes_on() {
    need_root!();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let world = World::ext4(256);
        let mut held = midway(&world);
        held.ask_to_stop(signal);
        let ran = held.finish(&format!("run that got {signal:?}"));
        ran.exits(4).says("a signal asked to stop").says("resume with");
        let end = run(&world.plan(""), &[]).exits(0);
        assert!(end.total("skipped") > 0, "what was done is kept\n{end}");
        snapshot::assert_same(&world.data(), &world.target());
    }
}

/// Waits until the process has a handler for SIGTERM (proc_pid_status(5)).
fn catches_signals(child: &Child) {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << (Signal::TERM.as_raw() - 1) != 0 {
            return;
        }
        assert!(Instant::now() < limit, "it never caught signals");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_signal_while_it_starts_ends_it_with_the_status_of_a_run_that_was_stopped() {
    let world = World::plain();
    // Nobody ever writes into the plan, so it stays at its very beginning.
    let plan = world.path().join("plan.toml");
    rustix::fs::mknodat(rustix::fs::CWD, &plan, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let child = spawn(&plan, &[]);
    catches_signals(&child);
    send(&child, Signal::TERM);
    finish(child, "run that was stopped at its start".into()).exits(4).says("before anything was written");
}

#[test]
fn a_second_signal_ends_it_at_once_and_loses_nothing() {
    need_root!();
    let world = World::ext4(256);
    let mut held = midway(&world);
    held.ask_to_stop(Signal::INT);
    held.send(Signal::INT);
    assert_eq!(held.ends_where_it_waits(), Some(4));
    run(&world.plan(""), &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_run_that_is_stopped_and_continued_ends_as_if_nothing_had_been() {
    need_root!();
    let world = World::ext4(256);
    let child = midway(&world).let_go();
    for _ in 0..5 {
        send(&child, Signal::STOP);
        std::thread::sleep(Duration::from_millis(40));
        send(&child, Signal::CONT);
        std::thread::sleep(Duration::from_millis(20));
    }
    finish(child, "run that was stopped and continued".into()).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn nobody_reading_what_it_says_does_no_harm() {
    need_root!();
    for style in ["plain", "json", "bar"] {
        let world = World::ext4(256);
        many(&world, 4000);
        let mut child = Command::new(env!("CARGO_BIN_EXE_persistcp"))
            .arg("--plan")
            .arg(world.plan(""))
            .args(["--progress", style, "--verbose"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // As a terminal that is closed: every write fails from here on.
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{style}");
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn a_terminal_that_hangs_up_stops_the_run_and_the_same_command_goes_on() {
    need_root!();
    let world = World::ext4(256);
    many(&world, 6000);
    let plan = world.plan("");
    let held = plan.with_extension("held");
    // A pseudo-terminal whose other side goes away sends SIGHUP, and every write to it fails. The run is let
    // go when the signal was delivered, with most of its work ahead.
    let script = format!(
        "import os, pty, sys, time\n\
         held = {held:?}\n\
         os.environ['PERSISTCP_FAULT'] = 'create:100:hold=' + held\n\
         pid, fd = pty.fork()\n\
         if pid == 0:\n    os.execv({:?}, ['persistcp', '--plan', {plan:?}, '--threads', '1', '--progress', 'bar'])\n\
         while not os.path.exists(held): time.sleep(0.002)\n\
         os.close(fd)\n\
         def pending():\n    status = open('/proc/%d/status' % pid).read().split()\n    \
         return any(int(status[status.index(set) + 1], 16) & 1 for set in ['SigPnd:', 'ShdPnd:'])\n\
         while pending(): time.sleep(0.002)\n\
         time.sleep(0.2)\nos.remove(held)\n\
         sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n",
        env!("CARGO_BIN_EXE_persistcp"),
    );
    let status = Command::new("python3").arg("-c").arg(script).status().unwrap();
    assert_eq!(status.code(), Some(4));
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}
