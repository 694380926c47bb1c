//! The page cache of the machine is left to the machine.

use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, sh};
use std::path::Path;
use std::process::Command;

/// Bytes of a file that the page cache holds, by fincore(1), which asks mincore(2).
fn cached(path: &Path) -> u64 {
    let out = Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().parse().unwrap()
}

#[test]
fn copying_and_reading_back_leave_no_pages_behind() {
    need_root!();
    let world = World::ext4(700);
    const LARGE: u64 = 300 << 20;
    let mut files = vec![(world.file("data/large", vec![0x5a; LARGE as usize]), LARGE, world.target().join("large"))];
    // The last one's tail is no whole block and goes through the cache.
    for (name, size) in [("middling", 40 << 20), ("small", 300 << 10), ("tiny", 900), ("odd", (70 << 20) + 13)] {
        let content = vec![0x5a; size as usize];
        files.push((world.file(&format!("data/{name}"), content), size, world.target().join(name)));
    }
    let plan = world.plan("");
    sh!("sync");
    std::fs::write("/proc/sys/vm/drop_caches", "1").unwrap();
    run(&plan, &[]).exits(0);
    for (source, size, target) in &files {
        // A page or two at the ends, and what read-ahead took there.
        let allowed = (256 << 10).min(*size / 2);
        for path in [source, target] {
            let cached = cached(path);
            assert!(cached <= allowed, "{}: {cached} of {size} bytes are in the page cache", path.display());
        }
    }
    run(&plan, &["--verify-only"]).exits(0);
    for (_, size, target) in &files {
        assert!(cached(target) <= (256 << 10).min(*size / 2), "{}: after verification", target.display());
    }
}
