//! Runs without root: as the user nobody.

use super::disk::World;
use super::dress::mode;
use super::run::{Ran, put_binary, wait};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// User and group.
pub(crate) const NOBODY: u32 = 65_534;

pub(crate) struct Nobody {
    binary: PathBuf,
}

impl Nobody {
    /// Lets nobody reach `world` and write to its target.
    pub(crate) fn may_write(world: &World) -> Self {
        std::os::unix::fs::chown(&world.persist, Some(NOBODY), Some(NOBODY)).unwrap();
        for dir in [world.path(), &world.root] {
            mode(dir, 0o777);
        }
        // The binary itself may lie where only root can reach it.
        let binary = world.path().join("persistcp");
        put_binary(&binary);
        Self { binary }
    }

    /// `persistcp args`.
    pub(crate) fn plain(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&self.binary);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        wait(command)
    }

    /// `persistcp --plan PLAN args`, with a JSON report.
    pub(crate) fn run(&self, plan: &Path, args: &[&str]) -> Ran {
        let report = plan.with_extension("json");
        std::fs::remove_file(&report).ok();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&self.binary);
        command.arg("--plan").arg(plan).arg("--report").arg(&report).args(["--progress", "none"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut ran = wait(command);
        if let Ok(text) = std::fs::read(&report) {
            ran.report = serde_json::from_slice(&text).expect("the report is JSON");
        }
        ran
    }
}
