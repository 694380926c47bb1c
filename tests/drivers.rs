//! Sources whose drivers answer from a cache, oddly, or not at all.

use crate::kit::attach::{Attached, make_image};
use crate::kit::disk::World;
use crate::kit::odd::{Clock, EINVAL, EIO, Listing, Odd, Oddities, Often, Reads};
use crate::kit::run::{Ran, run};
use crate::kit::{need_root, sh, snapshot};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A source of `files` in two directories, all of mode 0775, shown by an odd driver.
struct Shown {
    world: World,
    data: PathBuf,
    plan: PathBuf,
    _odd: Odd,
}

impl Shown {
    fn new(files: usize, oddities: Oddities) -> Self {
        let mut world = World::ext4(64);
        for n in 0..files {
            let path = world.file(&format!("data/{}/{n}", n % 2), format!("file {n}"));
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o775)).unwrap();
        }
        let data = world.data();
        let shown = world.path().join("shown");
        let below = std::mem::replace(&mut world.source, shown);
        let odd = Odd::new(&below, &world.source, oddities);
        Self { plan: world.plan(""), world, data, _odd: odd }
    }

    fn run(&self, args: &[&str]) -> Ran {
        run(&self.plan, args)
    }

    #[track_caller]
    fn is_whole(&self) {
        snapshot::assert_same(&self.data, &self.world.target());
    }

    fn in_all_ways(&self, status: i32) -> [Ran; 5] {
        [&[][..], &[], &["--verify-only"], &["--verify-only", "--against", "source"], &["--repair"]]
            .map(|args| self.run(args).exits(status))
    }
}

fn notes(ran: &Ran) -> String {
    ran.report["notes"].to_string()
}

/// Writes a file anew over and over while `work` is done; every state of it is one byte, repeated.
fn rewriting(path: &Path, work: impl FnOnce()) {
    let over = Arc::new(AtomicBool::new(false));
    std::fs::write(path, vec![0; 4 << 20]).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let writer = std::thread::spawn({
        let over = Arc::clone(&over);
        move || {
            // A writer that waits for the processor in the middle of a write leaves a state of its own.
            let me = rustix::thread::gettid().as_raw_nonzero().to_string();
            sh!("renice", "-n", "-20", "-p", me);
            for n in 1_u64.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                file.write_all_at(&vec![n as u8; 4 << 20], 0).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    work();
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

/// Copies ten times anew; a copy that is called good is of one state.
fn is_never_torn(world: &World, more: &str) {
    let copy = world.target().join("hot");
    for _ in 0..10 {
        let ran = run(&world.plan(more), &["--restart", "--allow-nonempty"]);
        match ran.status {
            Some(0) => {
                let bytes = std::fs::read(&copy).unwrap();
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "torn\n{ran}");
            }
            _ => assert_eq!(ran.problems(), [("changed-source".to_string(), "/persist/data/hot".to_string())], "{ran}"),
        }
        std::fs::remove_file(&copy).ok();
    }
}

#[test]
fn a_file_that_is_written_behind_cached_attributes_is_never_torn() {
    need_root!();
    let mut world = World::ext4(64);
    let hot = world.file("data/hot", "");
    let shown = world.path().join("shown");
    std::fs::create_dir(&shown).unwrap();
    sh!("bindfs", world.source, shown);
    let _mount = Attached::held(&shown);
    world.source = shown;
    rewriting(&hot, || is_never_torn(&world, ""));
}

#[test]
fn a_driver_that_keeps_attributes_itself_is_read_twice() {
    need_root!();
    let kept = Oddities { stale: Duration::from_secs(20), kept: Duration::from_secs(20), ..Oddities::default() };
    for reads in [Reads::Cached, Reads::Kept] {
        let shown = Shown::new(1, Oddities { reads, ..kept.clone() });
        let hot = shown.data.join("hot");
        rewriting(&hot, || is_never_torn(&shown.world, ""));
        let ran = shown.run(&["--restart", "--allow-nonempty"]);
        assert!(ran.status == Some(1) || notes(&ran).contains("read twice"), "{ran}");
    }
}

#[test]
fn times_in_whole_seconds_do_not_hide_a_change() {
    need_root!();
    let shown = Shown::new(0, Oddities { clock: Clock::Seconds, ..Oddities::default() });
    std::fs::create_dir(&shown.data).unwrap();
    rewriting(&shown.data.join("hot"), || is_never_torn(&shown.world, ""));
}

#[test]
fn a_file_system_that_knows_no_flags_is_no_problem_and_costs_no_mode() {
    need_root!();
    let shown = Shown::new(6, Oddities { ioctls: (EINVAL, Often::Always), ..Oddities::default() });
    let [first, second, ..] = shown.in_all_ways(0);
    assert!(notes(&first).contains("9 entries asked for inode flags: \\\"Invalid argument\\\""), "{first}");
    assert_eq!(second.total("copied"), 0, "{second}");
    shown.is_whole();
}

#[test]
fn ntfs_is_copied_with_its_modes_and_once() {
    need_root!();
    let mut world = World::ext4(64);
    let image = world.path().join("ntfs.img");
    std::fs::File::create(&image).unwrap().set_len(20 << 20).unwrap();
    sh!("mkfs.ntfs", "-Q", "-F", "-q", image);
    world.source = world.path().join("ntfs");
    let _ntfs = Attached::new(&["-t", "ntfs-3g", "-o", "loop", image.to_str().unwrap()], &world.source);
    world.file("data/sub/f", "x");
    run(&world.plan(""), &[]).exits(0);
    assert_eq!(std::fs::metadata(world.target().join("sub/f")).unwrap().mode() & 0o777, 0o777);
    assert_eq!(run(&world.plan(""), &[]).exits(0).total("copied"), 0);
    run(&world.plan(""), &["--verify-only", "--against", "source"]).exits(0);
}

#[test]
fn what_no_inode_tells_is_said_once_counted_and_costs_no_mode() {
    need_root!();
    let shown = Shown::new(6, Oddities { xattrs: (EIO, Often::Always), ..Oddities::default() });
    for ran in shown.in_all_ways(1) {
        assert_eq!(ran.problems().len(), 1, "{ran}");
        let problem = &ran.report["problems"][0];
        assert_eq!((problem["kind"].as_str(), problem["count"].as_u64()), (Some("unreadable"), Some(9)), "{ran}");
    }
    assert_eq!(shown.run(&[]).total("copied"), 0);
    shown.is_whole();
}

#[test]
fn what_one_inode_does_not_tell_is_its_own_problem_and_its_narrower_mode_is_said() {
    need_root!();
    let shown = Shown::new(40, Oddities { xattrs: (EIO, Often::Inodes(8)), ..Oddities::default() });
    let [first, second, ..] = shown.in_all_ways(1);
    let of = |kind: &str| first.problems().into_iter().filter(|p| p.0 == kind).map(|p| p.1).collect::<Vec<_>>();
    let (unread, narrowed) = (of("unreadable"), of("mode"));
    assert!(!unread.is_empty() && unread.len() < 20 && unread == narrowed, "{first}");
    // Directories are dressed again, which is no copy.
    assert!((1..=unread.len() as u64).contains(&second.total("copied")), "{second}");
    for path in unread {
        let mode = std::fs::metadata(shown.world.root.join(&path[1..])).unwrap().mode();
        assert_eq!(mode & 0o070, 0, "{path}");
    }
}

#[test]
fn a_name_that_is_listed_twice_is_one_entry() {
    need_root!();
    for (listing, threads) in [(Listing::Twice, "1"), (Listing::Again, "1"), (Listing::Again, "8")] {
        let shown = Shown::new(300, Oddities { listing, ..Oddities::default() });
        let first = shown.run(&["--threads", threads]).exits(0);
        assert_eq!((first.total("files"), first.total("directories"), first.total("copied")), (300, 3, 303), "{first}");
        assert_eq!(shown.in_all_ways(0)[0].total("copied"), 0);
        shown.is_whole();
    }
}

#[test]
fn a_size_that_reading_does_not_bear_out_is_a_problem() {
    need_root!();
    // Old files, read once, whose pages the kernel fills with zeros up to the size that it is told.
    let odd =
        Oddities { longer: Often::Inodes(4), kept: Duration::from_secs(1), clock: Clock::Mtime, ..Oddities::default() };
    let shown = Shown::new(12, odd);
    for file in snapshot::take(&shown.data).keys().filter(|path| path.len() > 2) {
        let path = shown.data.join(std::str::from_utf8(&file[1..]).unwrap());
        filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(1_600_000_000, 0)).unwrap();
    }
    let ran = shown.run(&[]).exits(1).says("reading gives fewer or more");
    let mut missing = snapshot::diff(&snapshot::take(&shown.data), &snapshot::take(&shown.world.target()));
    missing.sort();
    let mut named: Vec<_> = ran.problems().iter().map(|p| p.1.replace("/persist/data", "") + ": missing").collect();
    named.sort();
    assert!(named == missing && ran.problems().iter().all(|p| p.0 == "unreadable"), "{missing:?}\n{ran}");
}

#[test]
fn a_tree_of_rsync_with_fake_super_is_noticed() {
    need_root!();
    let world = World::ext4(64);
    world.file("real/f", "x");
    world.file("real/g", "x");
    std::os::unix::fs::chown(world.source.join("real/f"), Some(1000), Some(1000)).unwrap();
    std::os::unix::fs::chown(world.source.join("real/g"), Some(1001), Some(1000)).unwrap();
    sh!("rsync", "-a", "-M--fake-super", world.source.join("real/"), world.data());
    for args in [&[][..], &[], &["--verify-only", "--against", "source"]] {
        let ran = run(&world.plan(""), args).exits(0);
        let said = notes(&ran);
        assert!(said.contains("rsync --fake-super") && said.contains("2 entries"), "{ran}");
    }
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_subvolume_that_a_snapshot_does_not_have_is_named_and_no_work_for_later_runs() {
    need_root!();
    let mut world = World::ext4(64);
    let (image, top) = (world.path().join("btrfs.img"), world.path().join("btrfs"));
    make_image("btrfs", 200, &[], &image);
    let mounted = Attached::image(&image, "loop", &top);
    sh!("btrfs", "-q", "subvolume", "create", top.join("live"));
    sh!("btrfs", "-q", "subvolume", "create", top.join("live/nested"));
    std::fs::write(top.join("live/f"), "x").unwrap();
    sh!("btrfs", "-q", "subvolume", "snapshot", "-r", top.join("live"), top.join("data"));
    world.source = top.clone();
    let plan = world.plan("");
    run(&plan, &[]).exits(1).says("subvolume of the original");
    // The placeholder is made up anew, with the time at which somebody looks.
    mounted.unmount();
    std::thread::sleep(Duration::from_millis(20));
    let _mounted = Attached::image(&image, "loop", &top);
    for args in [&[][..], &["--verify-only"], &["--verify-only", "--against", "source"], &["--repair"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(ran.problems(), [("missing".to_string(), "/persist/data/nested".to_string())], "{ran}");
        assert_eq!(ran.total("copied"), 0, "{ran}");
    }
}
