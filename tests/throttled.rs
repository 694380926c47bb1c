//! A slow disk and a limited run: progress follows the medium, and `--bwlimit` is kept.

use crate::kit::disk::World;
use crate::kit::need_root;
use crate::kit::run::{plain, run};
use crate::kit::skip::skip;
use rustix::fs::{major, minor, stat};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const MIB: u64 = 1 << 20;

/// A limit on what the kernel writes to one block device (cgroup v1, `blkio.throttle`).
struct Slow {
    device: String,
}

const LIMITS: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";

impl Slow {
    /// The device that `world`'s target lies on, at `rate` bytes a second.
    fn new(world: &World, rate: u64) -> Option<Self> {
        let dev = stat(&world.persist).unwrap().st_dev;
        let device = format!("{}:{}", major(dev), minor(dev));
        std::fs::write(LIMITS, format!("{device} {rate}")).ok()?;
        Some(Self { device })
    }

    /// Bytes that the device has written (Documentation/block/stat.rst).
    fn written(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/sys/dev/block/{}/stat", self.device)).unwrap();
        text.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        std::fs::write(LIMITS, format!("{} 0", self.device)).ok();
    }
}

#[test]
fn progress_on_a_slow_disk_shows_what_it_has_and_does_not_hang_at_the_end() {
    need_root!();
    let world = World::ext4(400);
    for i in 0..48_u8 {
        world.file(&format!("data/{i}"), vec![i | 1; 3 << 20]);
    }
    let plan = world.plan("");
    let Some(slow) = Slow::new(&world, 24 * MIB) else {
        return skip("cgroup v1's blkio controller");
    };
    let before = slow.written();
    let mut child = Command::new(env!("CARGO_BIN_EXE_persistcp"))
        .args([OsStr::new("--plan"), plan.as_os_str(), OsStr::new("--progress"), OsStr::new("json")])
        .args(["--verify", "none"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        // Asked after the line was written: the device can only have more by now.
        shown.push((line["bytes"].as_u64().unwrap(), line["total_bytes"].as_u64().unwrap(), slow.written() - before));
    }
    assert!(child.wait().unwrap().success());
    let total = 48 * 3 * MIB;
    let all = slow.written() - before;
    assert!(shown.len() >= 3, "too quick to tell anything: {shown:?}");
    for (bytes, of, written) in &shown {
        assert_eq!(*of, total, "{shown:?}");
        assert!(bytes <= written, "{bytes} bytes are shown, the device has {written}: {shown:?}");
    }
    assert!(shown.iter().any(|(bytes, ..)| (1..total).contains(bytes)), "no step on the way: {shown:?}");
    assert_eq!(shown.last().unwrap().0, total);
    let (.., then) = shown.iter().find(|(bytes, ..)| *bytes >= total * 99 / 100).unwrap();
    assert!(all - then <= total / 20, "at 99 % {} of {all} bytes were still to be written", all - then);
}

#[test]
fn a_limited_run_takes_the_time_that_its_bytes_take() {
    need_root!();
    let world = World::ext4(300);
    let mut bytes = 0;
    for (i, size) in [(0, 100_u64 << 10), (1, 2 * MIB), (2, 66 * MIB), (3, 1)] {
        world.file(&format!("data/{i}"), vec![7; size as usize]);
        bytes += size;
    }
    let plan = world.plan("");
    let ran = run(&plan, &["--bwlimit", "32M"]).exits(0);
    // Each byte moves twice: it is copied, and read back. A request of each thread may be ahead.
    let least = (2 * bytes) as f64 / (32 * MIB) as f64 - 1.0;
    let took = ran.report["totals"]["seconds"].as_f64().unwrap();
    assert!(took >= least, "{bytes} bytes twice at 32 MiB/s take at least {least} s, not {took}");
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_rate_that_is_none_is_refused() {
    for rate in ["fast", "0", "-1", "10Mbit"] {
        let limit = format!("--bwlimit={rate}");
        plain(&["--plan", "none.toml", &limit].map(OsStr::new)).exits(2).says("expected bytes a second");
    }
}
