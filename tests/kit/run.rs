//! The product's binary, with a time limit, and what it said.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) report: serde_json::Value,
    what: String,
}

/// Lets the clock go on by more than a tick: what happened before is not taken for happening during the next run, which
/// neither accepts such a thing nor shares its blocks.
pub(crate) fn rest() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// `persistcp --plan PLAN args`, with a JSON report.
pub(crate) fn run(plan: &Path, args: &[&str]) -> Ran {
    if args.contains(&"--accept") {
        rest();
    }
    let report = plan.with_extension("json");
    std::fs::remove_file(&report).ok();
    let mut all = vec![OsStr::new("--plan"), plan.as_os_str(), OsStr::new("--report"), report.as_os_str()];
    all.extend(["--progress", "none"].map(OsStr::new));
    all.extend(args.iter().map(OsStr::new));
    let mut ran = plain(&all);
    if let Ok(text) = std::fs::read(&report) {
        ran.report = serde_json::from_slice(&text).expect("the report is JSON");
    }
    ran
}

/// `persistcp --plan PLAN args` with a fault in its system calls, and the place of that on stderr.
pub(crate) fn faulty(plan: &Path, args: &[&str], fault: &str) -> Ran {
    let mut all = vec![OsStr::new("--plan"), plan.as_os_str(), OsStr::new("--progress"), OsStr::new("none")];
    all.extend(args.iter().map(OsStr::new));
    let mut command = command(&all);
    command.env("PERSISTCP_FAULT", fault).env("RUST_BACKTRACE", "1");
    wait(command)
}

/// `persistcp args`.
pub(crate) fn plain(args: &[&OsStr]) -> Ran {
    wait(command(args))
}

/// Starts without waiting.
pub(crate) fn spawn(plan: &Path, args: &[&str]) -> Child {
    let mut all = vec![OsStr::new("--plan"), plan.as_os_str(), OsStr::new("--progress"), OsStr::new("none")];
    all.extend(args.iter().map(OsStr::new));
    command(&all).spawn().unwrap()
}

/// `wrapper persistcp --plan PLAN args`: a program that starts the binary in its own way.
pub(crate) fn wrapped(wrapper: &[String], plan: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(&wrapper[0]);
    command.args(&wrapper[1..]).arg(env!("CARGO_BIN_EXE_persistcp")).arg("--plan").arg(plan).args(args);
    command.args(["--progress", "none"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn command(args: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_persistcp"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Puts the binary where a test may change who reaches it. A process of its own writes it: a descriptor of ours,
/// open for writing, would come along when another test starts a program, and the kernel executes nothing that
/// somebody may write (`ETXTBSY`).
pub(crate) fn put_binary(place: &Path) {
    crate::kit::sh!("cp", env!("CARGO_BIN_EXE_persistcp"), place);
}

/// Runs to the end; a run of two minutes hangs.
pub(crate) fn wait(mut command: Command) -> Ran {
    let what = format!("{command:?}");
    finish(command.spawn().unwrap(), what)
}

pub(crate) fn finish(child: Child, what: String) -> Ran {
    let pid = rustix::process::Pid::from_child(&child);
    let (done, finished) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let limit = Instant::now() + Duration::from_secs(120);
        if finished.recv_timeout(limit - Instant::now()) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    });
    let out = child.wait_with_output().unwrap();
    done.send(()).ok();
    watch.join().unwrap();
    Ran {
        status: out.status.code(),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
        report: serde_json::Value::Null,
        what,
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{self}");
        self
    }

    /// Both streams together hold `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text) || self.stderr.contains(text), "`{text}` is missing\n{self}");
        self
    }

    /// A number in the report's totals.
    pub(crate) fn total(&self, key: &str) -> u64 {
        self.report["totals"][key].as_u64().unwrap_or_else(|| panic!("no total {key}\n{self}"))
    }

    /// Kinds and paths of the problems.
    pub(crate) fn problems(&self) -> Vec<(String, String)> {
        let list = self.report["problems"].as_array().cloned().unwrap_or_default();
        let text = |p: &serde_json::Value, key: &str| p[key].as_str().unwrap_or_default().to_string();
        list.iter().map(|p| (text(p, "kind"), text(p, "path"))).collect()
    }

    /// The same, sorted, a line for each, with paths below the target of [`World::plan`](super::disk::World::plan).
    pub(crate) fn kinds(&self) -> Vec<String> {
        let all = self.problems().into_iter();
        let mut all: Vec<_> =
            all.map(|(kind, path)| format!("{kind} {}", path.replace("/persist/data/", ""))).collect();
        all.sort();
        all
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, status, stdout, stderr, .. } = self;
        write!(f, "{what}\nstatus {status:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}
