//! Runs that wait at a system call until the test lets them go on (`PERSISTCP_FAULT=…:hold=FILE`).

use super::run::{Ran, command, finish};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

/// What would take longer than this never happens.
const LONGEST: Duration = Duration::from_secs(100);

/// A run that waits.
pub(crate) struct Held {
    child: Child,
    file: PathBuf,
}

impl Held {
    /// Starts `persistcp --plan PLAN args`, and is back when it waits at `call`: `create:9` is
    /// the ninth call of that kind.
    #[track_caller]
    pub(crate) fn at(call: &str, plan: &Path, args: &[&str]) -> Self {
        let file = plan.with_extension("held");
        let mut all = vec![OsStr::new("--plan"), plan.as_os_str(), OsStr::new("--progress"), OsStr::new("none")];
        all.extend(args.iter().map(OsStr::new));
        let mut command = command(&all);
        let child = command.env("PERSISTCP_FAULT", format!("{call}:hold={}", file.display())).spawn().unwrap();
        let mut held = Self { child, file };
        held.wait_for("it comes to the call", |held| held.is_waiting());
        held
    }

    /// Nobody has let it go on.
    pub(crate) fn is_waiting(&self) -> bool {
        self.file.exists()
    }

    /// Waits until `reached`; the run must not end meanwhile.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + LONGEST;
        while !reached(self) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the run ended with {status} before {what}");
            }
            assert!(Instant::now() < limit, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal and waits until the run has said that it ends because of it.
    #[track_caller]
    pub(crate) fn ask_to_stop(&mut self, signal: Signal) {
        let stderr = self.child.stderr.take().expect("it is asked once");
        let (found, heard) = std::sync::mpsc::channel();
        // It goes on reading: a run must not get SIGPIPE, nor wait for room.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("stopping after the current epoch") {
                    found.send(()).ok();
                }
            }
        });
        self.send(signal);
        heard.recv_timeout(LONGEST).expect("the run heeds the signal");
    }

    /// Lets it go on.
    pub(crate) fn let_go(self) -> Child {
        std::fs::remove_file(&self.file).unwrap();
        self.child
    }

    /// Lets it go on to its end.
    pub(crate) fn finish(self, what: &str) -> Ran {
        finish(self.let_go(), what.to_string())
    }

    /// Kills it where it waits.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::fs::remove_file(&self.file).unwrap();
    }

    /// The status with which it ends while it still waits.
    #[track_caller]
    pub(crate) fn ends_where_it_waits(mut self) -> Option<i32> {
        let limit = Instant::now() + LONGEST;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > limit {
                self.child.kill().unwrap();
                panic!("the run waits for the call that holds it");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        std::fs::remove_file(&self.file).unwrap();
        status.code()
    }
}
