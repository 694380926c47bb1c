//! A journal on a disk that takes nothing: full, read-only, gone or limited. What only
//! looks works all the same, and nobody is told to throw the manifest away.

use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{Ran, plain, run};
use crate::kit::{need_root, sh, snapshot};
use crate::resume::many;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const UNRECORDED: &str = "what was verified is not recorded";

fn report(plan: &Path) -> Ran {
    plain(&["report", "--plan", plan.to_str().unwrap()].map(OsStr::new))
}

impl Ran {
    /// Nothing advises to begin anew, and no signal ended it.
    #[track_caller]
    fn keeps_the_manifest(self) -> Self {
        assert!(self.status.is_some(), "{self}");
        assert!(!self.stdout.contains("--restart") && !self.stderr.contains("--restart"), "{self}");
        self
    }
}

/// What works on a finished copy whose disk takes nothing.
fn looks(world: &World, plan: &Path) {
    let before = snapshot::take(&world.persist);
    run(plan, &["--verify-only"]).exits(0).keeps_the_manifest().says(UNRECORDED);
    run(plan, &["--verify-only", "--against", "source"]).exits(0).keeps_the_manifest().says(UNRECORDED);
    run(plan, &["--dry-run"]).exits(0).keeps_the_manifest().says("nothing was written");
    report(plan).exits(0).keeps_the_manifest();
    let changed = snapshot::diff(&before, &snapshot::take(&world.persist));
    let journal = |line: &String| !line.contains(".persistcp");
    assert_eq!(changed.into_iter().filter(journal).collect::<Vec<_>>(), [""; 0]);
}

fn damage(world: &World) -> PathBuf {
    let file = world.target().join("3/3");
    let stat = std::fs::metadata(&file).unwrap();
    let mut content = std::fs::read(&file).unwrap();
    content[0] ^= 1;
    std::fs::write(&file, content).unwrap();
    filetime::set_file_mtime(&file, filetime::FileTime::from_last_modification_time(&stat)).unwrap();
    file
}

#[test]
fn a_read_only_target_is_verified_reported_and_planned() {
    need_root!();
    let world = World::ext4(64);
    many(&world, 200);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    sh!("mount", "-o", "remount,ro", world.persist);
    looks(&world, &plan);
    run(&plan, &[]).exits(3).keeps_the_manifest().says("mounted read-only");
    sh!("mount", "-o", "remount,rw", world.persist);
    damage(&world);
    sh!("mount", "-o", "remount,ro", world.persist);
    let ran = run(&plan, &["--verify-only"]).exits(1).says(UNRECORDED);
    assert_eq!(ran.problems(), [("changed-target".to_string(), "/persist/data/3/3".to_string())]);
}

#[test]
fn a_log_that_a_kill_left_on_a_disk_that_is_now_read_only_is_read_as_well() {
    need_root!();
    let world = World::ext4(256);
    many(&world, 4000);
    let plan = world.plan("");
    let mut held = Held::at("create:3900", &plan, &["--threads", "1"]);
    let log = world.persist.join(".persistcp/t.sqlite-wal");
    held.wait_for("much is recorded", |_| std::fs::metadata(&log).is_ok_and(|stat| stat.len() > 600_000));
    held.kill();
    sh!("mount", "-o", "remount,ro", world.persist);
    let ran = run(&plan, &["--verify-only"]).keeps_the_manifest().says(UNRECORDED);
    assert!(ran.total("verified") > 0, "{ran}");
    run(&plan, &["--dry-run"]).exits(0).keeps_the_manifest();
    report(&plan).keeps_the_manifest().says("it was killed, or is still running");
    sh!("mount", "-o", "remount,rw", world.persist);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

/// Writes until nothing more fits.
fn fill(world: &World) -> PathBuf {
    let filler = world.persist.join("filler");
    let mut all = Command::new("dd");
    all.arg("if=/dev/zero").arg(format!("of={}", filler.display())).arg("bs=1k").stderr(Stdio::null());
    all.status().unwrap();
    sh!("sync", "-f", world.persist);
    filler
}

#[test]
fn a_full_target_is_verified_reported_and_planned() {
    need_root!();
    for block in ["1024", "4096"] {
        let world = World::new("ext4", 32, &["-b", block]);
        many(&world, 200);
        let plan = world.plan("");
        run(&plan, &[]).exits(0);
        let filler = fill(&world);
        looks(&world, &plan);
        // A run needs the journal: it ends clearly.
        world.file("data/more", vec![1; 100_000]);
        run(&plan, &[]).exits(4).keeps_the_manifest().says("free space there");
        std::fs::remove_file(filler).unwrap();
        run(&plan, &[]).exits(0);
        snapshot::assert_same(&world.data(), &world.target());
    }
}

#[test]
fn a_disk_that_is_shut_down_in_the_midst_ends_the_run_with_words() {
    need_root!();
    let world = World::new("xfs", 320, &[]);
    many(&world, 4000);
    let plan = world.plan("");
    let held = Held::at("create:2000", &plan, &["--threads", "4"]);
    sh!("xfs_io", "-x", "-c", "shutdown", world.persist);
    held.finish("run on a disk that is shut down").exits(4).keeps_the_manifest().says("nput/output error");
    for args in [&["--verify-only"][..], &["--dry-run"], &[]] {
        let ran = run(&plan, args).keeps_the_manifest();
        assert!(matches!(ran.status, Some(3 | 4)), "{ran}");
    }
    report(&plan).exits(3).keeps_the_manifest();
    sh!("umount", world.persist);
    sh!("mount", "-o", "loop", world.path().join("image"), world.persist);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_target_that_is_unmounted_in_the_midst_ends_the_run_with_words() {
    need_root!();
    let world = World::ext4(256);
    many(&world, 4000);
    let plan = world.plan("");
    let held = Held::at("create:1000", &plan, &["--threads", "2"]);
    sh!("umount", "-l", world.persist);
    let ran = held.finish("run whose target is unmounted").exits(4).keeps_the_manifest();
    let ran = ran.says("is not mounted any more");
    assert!(!ran.stdout.contains("is gone from the target"), "{ran}");
    assert_eq!(std::fs::read_dir(&world.persist).unwrap().count(), 0, "nothing below the mount point");
    sh!("mount", "-o", "loop", world.path().join("image"), world.persist);
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

/// `persistcp --plan PLAN args` that may write files of at most `kib` KiB.
fn limited(plan: &Path, kib: u32, args: &str) -> Ran {
    let mut shell = Command::new("sh");
    let line = format!("ulimit -f {}; exec \"$0\" --plan \"$1\" --progress none {args}", 2 * kib);
    shell.arg("-c").arg(line).arg(env!("CARGO_BIN_EXE_persistcp")).arg(plan);
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    crate::kit::run::wait(shell)
}

#[test]
fn a_limit_of_file_sizes_is_a_problem_of_the_file_and_an_end_with_words_for_the_journal() {
    need_root!();
    let world = World::ext4(256);
    many(&world, 100);
    world.file("data/large", vec![1; 3 << 20]);
    let plan = world.plan("");
    limited(&plan, 2048, "").exits(1).says("File too large").says("ulimit -f");
    for i in 0..8000 {
        world.file(&format!("data/more/{i}"), "x");
    }
    limited(&plan, 512, "").exits(4).keeps_the_manifest().says("File too large").says("ulimit -f");
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    limited(&plan, 8, "--verify-only").exits(0).says(UNRECORDED);
}
