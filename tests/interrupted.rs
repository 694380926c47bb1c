//! Runs that were interrupted once, twice and three times, at any call: the same
//! command goes on, ends with 0, and nothing is left of them.

use crate::kit::attach::{Attached, make_image};
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::random::{Random, from_env};
use crate::kit::run::{finish, run, spawn, wait, wrapped};
use crate::kit::snapshot::{self, Snapshot};
use crate::kit::strace::killing;
use crate::kit::{need_root, sh};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;
/// Of the directories: with a group that may write, sticky, with set-group-ID.
const MODES: [u32; 4] = [0o755, 0o775, 0o1777, 0o2755];

/// Gives a directory and all above it, up to the map's own, to their users.
fn give(world: &World, dir: &Path) {
    for (at, n) in dir.ancestors().take_while(|at| at.starts_with(world.data())).zip(0..) {
        let uid = if at.ends_with("other") { 1001 } else { 1000 };
        chown(at, Some(uid), Some(100)).unwrap();
        let depth = at.components().count() + n;
        std::fs::set_permissions(at, PermissionsExt::from_mode(MODES[depth % 4])).unwrap();
    }
}

/// Directories of users in directories of users, `per` small files in each of the lowest.
fn homes(world: &World, per: usize, content: &str) {
    for user in ["a", "b", "other"] {
        for dir in 0..5 {
            for sub in 0..3 {
                for file in 0..per {
                    world.file(&format!("data/{user}/{dir}/{sub}/{file}"), format!("{content} {user} {dir} {file}"));
                }
                give(world, &world.data().join(format!("{user}/{dir}/{sub}")));
            }
        }
    }
}

/// Names below `dir` that no finished run leaves.
fn temporaries(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with(".persistcp-") {
            found.push(entry.path());
        } else if entry.file_type().unwrap().is_dir() {
            found.extend(temporaries(&entry.path()));
        }
    }
    found
}

/// The same command goes on: no closed directory, no mark, no temporary name.
#[track_caller]
fn goes_on(world: &World, plan: &Path, expected: &Snapshot, after: &str) {
    let ran = run(plan, &[]);
    assert_eq!(ran.status, Some(0), "after {after}: {ran}");
    let differences = snapshot::diff(expected, &snapshot::take(&world.target()));
    assert!(differences.is_empty(), "after {after}:\n{}", differences.join("\n"));
    assert_eq!(temporaries(&world.target()), Vec::<PathBuf>::new(), "after {after}");
    run(plan, &["--verify-only"]).exits(0);
}

fn begin_anew(world: &World) {
    sh!("rm", "-rf", world.target(), world.persist.join(".persistcp"));
}

/// How long a whole run takes, and what it makes.
fn whole(world: &World, plan: &Path) -> (u64, Snapshot) {
    let began = Instant::now();
    run(plan, &[]).exits(0);
    let millis = began.elapsed().as_millis() as u64;
    (millis, snapshot::take(&world.data()))
}

#[test]
fn two_and_three_kills_leave_no_directory_of_a_user_closed() {
    need_root!();
    let mut random = Random::seeded();
    let world = World::ext4(256);
    homes(&world, 8, "first");
    let plan = world.plan("");
    let (millis, expected) = whole(&world, &plan);
    for round in 0..from_env("PERSISTCP_KILLS", 12) {
        if round % 2 == 0 {
            begin_anew(&world);
        } else {
            // What stands there already is closed to be filled again.
            world.file(&format!("data/a/{}/1/new-{round}", round % 5), "new");
            homes(&world, 8, &format!("again {round}"));
        }
        let expected = if round % 2 == 0 && round == 0 { expected.clone() } else { snapshot::take(&world.data()) };
        let kills = random.between(2, 3);
        for _ in 0..kills {
            let mut child = spawn(&plan, &[]);
            std::thread::sleep(Duration::from_millis(random.between(millis / 4, millis)));
            child.kill().ok();
            child.wait().unwrap();
        }
        goes_on(&world, &plan, &expected, &format!("{kills} kills in round {round}"));
    }
}

#[test]
fn two_signals_twice_leave_no_directory_of_a_user_closed() {
    need_root!();
    let mut random = Random::seeded();
    let world = World::ext4(256);
    homes(&world, 8, "first");
    let plan = world.plan("");
    let (millis, expected) = whole(&world, &plan);
    for round in 0..from_env("PERSISTCP_KILLS", 6) {
        begin_anew(&world);
        for _ in 0..2 {
            let child = spawn(&plan, &["--threads", "2"]);
            std::thread::sleep(Duration::from_millis(random.between(millis / 4, millis)));
            for _ in 0..2 {
                // One that is over already hears nothing.
                kill_process(Pid::from_child(&child), Signal::INT).ok();
                std::thread::sleep(Duration::from_millis(random.below(4)));
            }
            finish(child, "run that got two signals".into());
        }
        goes_on(&world, &plan, &expected, &format!("round {round}"));
    }
}

/// Ends a run at the `n`th such call.
fn kill_at(plan: &Path, call: &str, n: u64) {
    let ran = wait(wrapped(&killing(call, n), plan, &["--threads", "1"]));
    assert!(matches!(ran.status, None | Some(0)), "{ran}");
}

/// The calls between which a directory changes hands.
const CALLS: [&str; 7] = ["mkdirat", "fsetxattr", "fchown", "fchmod", "fremovexattr", "utimensat", "openat"];

#[test]
fn kills_at_any_two_calls_on_the_directories_of_users_are_taken_up() {
    need_root!();
    let mut random = Random::seeded();
    let world = World::ext4(64);
    for path in ["data/a/one/f", "data/a/one/deep/f", "data/other/two/f"] {
        world.file(path, path);
        give(&world, world.source.join(path).parent().unwrap());
    }
    let plan = world.plan("");
    for round in 0..from_env("PERSISTCP_KILLS", 24) {
        begin_anew(&world);
        if round % 3 == 0 {
            run(&plan, &[]).exits(0);
            world.file("data/a/one/f", format!("again {round}"));
            world.file(&format!("data/a/one/new-{round}/f"), "new");
            give(&world, &world.data().join(format!("a/one/new-{round}")));
        }
        let expected = snapshot::take(&world.data());
        let mut kills = Vec::new();
        for _ in 0..2 {
            let (call, n) = (*random.pick(&CALLS), random.between(1, 9));
            kill_at(&plan, call, if call == "openat" { 20 * n } else { n });
            kills.push(format!("{call} {n}"));
        }
        goes_on(&world, &plan, &expected, &kills.join(", "));
    }
}

#[test]
fn a_clock_that_was_set_back_between_two_runs_changes_nothing() {
    need_root!();
    let world = World::ext4(64);
    homes(&world, 2, "first");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    // Seen from this run the last one wrote its directories a year later.
    let connection = rusqlite::Connection::open(world.persist.join(".persistcp/t.sqlite")).unwrap();
    connection.execute("UPDATE item SET dst_ctime = dst_ctime + 31536000 WHERE kind = 'd'", []).unwrap();
    drop(connection);
    for user in ["a", "other"] {
        world.file(&format!("data/{user}/new/below/f"), "new");
        give(&world, &world.data().join(format!("{user}/new/below")));
    }
    // Both new directories and what is in them, unfinished and in no row.
    kill_at(&plan, "fchown", 4);
    goes_on(&world, &plan, &snapshot::take(&world.data()), "a kill");
}

#[test]
fn where_no_mark_can_be_set_the_journal_knows_first() {
    need_root!();
    let world = World::ext4(64);
    homes(&world, 2, "first");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    homes(&world, 2, "again");
    let expected = snapshot::take(&world.data());
    for n in [1, 3, 7] {
        // Every mark is refused, as in a user namespace, and then comes the kill.
        let mut refused = killing("fchmod", n);
        refused.extend(["-e", "inject=fsetxattr:error=EPERM"].map(str::to_string));
        assert_eq!(wait(wrapped(&refused, &plan, &["--threads", "1"])).status, None);
    }
    goes_on(&world, &plan, &expected, "three kills");
}

#[test]
fn a_marked_directory_under_another_name_is_not_given_away() {
    need_root!();
    let world = World::ext4(64);
    for path in ["data/home/vault/key", "data/home/d0/f"] {
        world.file(path, path);
    }
    for (dir, uid) in [("home", 1000), ("home/d0", 1000), ("home/vault", 0)] {
        chown(world.data().join(dir), Some(uid), Some(uid)).unwrap();
    }
    std::fs::set_permissions(world.data().join("home/vault"), PermissionsExt::from_mode(0o700)).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let home = world.target().join("home");
    // Closed by a run that was killed, marked, and moved to the name of a directory of the user's.
    std::fs::rename(home.join("d0"), home.join("hidden")).unwrap();
    std::fs::rename(home.join("vault"), home.join("d0")).unwrap();
    let place = blake3::hash(b"t\0persist/data/home/vault");
    let mark = [&[1], &place.as_bytes()[..16]].concat();
    xattr::set(home.join("d0"), "trusted.persistcp", &mark).unwrap();
    let ran = run(&plan, &[]).exits(1).says("not one that a run made");
    assert!(ran.problems().iter().any(|(_, path)| path == "/persist/data/home/d0"), "{ran}");
    let vault = home.join("d0").metadata().unwrap();
    assert_eq!((vault.uid(), vault.mode() & 0o7777), (0, 0o700));
}

#[test]
fn a_source_that_is_an_unfinished_copy_gives_its_marks_to_nobody() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/d/f", "x");
    let mark = [&[1], &blake3::hash(b"t\0persist/data/d").as_bytes()[..16]].concat();
    xattr::set(world.data().join("d"), "trusted.persistcp", &mark).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0).says("is itself an unfinished copy");
    assert_eq!(xattr::get(world.target().join("d"), "trusted.persistcp").unwrap(), None);
    run(&plan, &["--verify-only"]).exits(0);
    run(&plan, &["--verify-only", "--against", "source"]).exits(0);
}

/// A file whose blocks are not zeros.
fn dense(world: &World, path: &str, mib: usize) {
    world.file(path, vec![7; mib * MIB]);
}

#[test]
fn a_half_that_no_record_knows_gives_its_room_back() {
    need_root!();
    for (disk, mib) in [(330, 200), (90, 50), (90, 40)] {
        let world = World::ext4(disk);
        let plan = world.plan("");
        dense(&world, "data/large", mib);
        kill_at_half(&world, &plan, "large", mib);
        goes_on(&world, &plan, &snapshot::take(&world.data()), &format!("a half of {mib} MiB"));
    }
}

/// Kills a run when more than half of a file's blocks are there. Those of a file that is copied by chunks are all
/// reserved before the first of its few requests.
fn kill_at_half(world: &World, plan: &Path, name: &str, mib: usize) {
    let state = world.persist.join(".persistcp");
    let write = if mib < 64 { mib * 2 / 3 } else { 8 };
    Held::at(&format!("write:{write}"), plan, &["--state", state.to_str().unwrap()]).kill();
    let there = world.target().join(name).metadata().map_or(0, |m| m.blocks() * 512);
    assert!(there >= (mib * MIB) as u64 / 2, "there is no half, but {there} bytes");
}

#[test]
fn a_half_whose_source_is_gone_gives_its_room_to_another_file() {
    need_root!();
    let world = World::ext4(330);
    dense(&world, "data/large", 200);
    let plan = world.plan("");
    kill_at_half(&world, &plan, "large", 200);
    std::fs::rename(world.data().join("large"), world.data().join("aside")).unwrap();
    goes_on(&world, &plan, &snapshot::take(&world.data()), "another name");
}

/// A finished copy whose files have other content since, killed when all of it waits under temporary names.
fn killed_before_the_renames(world: &World, plan: &Path) {
    (0..25).for_each(|n| drop(world.file(&format!("data/d/{n}"), format!("first {n}"))));
    std::fs::hard_link(world.data().join("d/0"), world.data().join("link")).unwrap();
    run(plan, &[]).exits(0);
    (0..25).for_each(|n| drop(world.file(&format!("data/d/{n}"), format!("again and again {n}"))));
    kill_at(plan, "renameat,renameat2", 1);
    assert!(temporaries(&world.target()).len() >= 25, "nothing waits");
}

#[test]
fn temporary_names_go_although_their_sources_are_gone() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    killed_before_the_renames(&world, &plan);
    run(&plan, &["--verify-only"]).exits(1).says("the directory is not finished");
    (0..25).for_each(|n| std::fs::remove_file(world.data().join(format!("d/{n}"))).unwrap());
    run(&plan, &[]).says("temporary names that an interrupted run left were removed");
    assert_eq!(temporaries(&world.target()), Vec::<PathBuf>::new());
}

#[test]
fn temporary_names_go_although_the_plan_has_their_entry_no_more() {
    need_root!();
    let world = World::ext4(64);
    world.file("other/f", "x");
    let other = "[[map]]\nname = \"other\"\nfrom = \"/other\"\nto = \"/persist/other\"\n";
    let plan = world.plan(other);
    killed_before_the_renames(&world, &plan);
    let text = format!("version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n{other}", world.source, world.root);
    run(&world.plan_text(&text), &[]).exits(1).says("it is no longer declared").says("temporary names");
    assert_eq!(temporaries(&world.target()), Vec::<PathBuf>::new());
}

#[test]
fn a_file_system_that_no_run_has_copied_to_is_not_searched_at_any_depth() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    killed_before_the_renames(&world, &plan);
    let mut theirs = Vec::new();
    for depth in 1..=20 {
        let point = (0..depth).fold(world.target(), |dir, _| dir.join("deep")).join("point");
        std::fs::create_dir_all(&point).unwrap();
        let attached = Attached::tmpfs("size=1m", &point);
        let file = point.join(".persistcp-0123456789abcdef.tmp");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        theirs.push((file, attached));
    }
    run(&plan, &[]).says("temporary names that an interrupted run left were removed");
    for (file, _) in &theirs {
        assert!(file.exists(), "{}", file.display());
    }
}

#[test]
fn what_is_not_ours_at_a_temporary_name_stays_and_is_named() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    killed_before_the_renames(&world, &plan);
    let dir = world.target().join("d");
    let [directory, file] = ["0123456789abcdef", "fedcba9876543210"].map(|h| dir.join(format!(".persistcp-{h}.tmp")));
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(&file, "somebody's").unwrap();
    chown(&file, Some(1000), Some(1000)).unwrap();
    for _ in 0..2 {
        let ran = run(&plan, &[]).exits(1).says("reserved for unfinished copies");
        assert_eq!(ran.problems().iter().filter(|(kind, _)| kind == "extra").count(), 2, "{ran}");
    }
    let mut left = temporaries(&world.target());
    left.sort();
    assert_eq!(left, [directory.clone(), file.clone()]);
    std::fs::remove_dir(directory).unwrap();
    std::fs::remove_file(file).unwrap();
    run(&plan, &[]).exits(0);
    assert_eq!(temporaries(&world.target()), Vec::<PathBuf>::new());
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_directory_at_the_temporary_name_of_a_file_is_named() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "first");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    world.file("data/f", "again");
    let temporary = format!(".persistcp-{}.tmp", &blake3::hash(b"f").to_hex()[..16]);
    std::fs::create_dir(world.target().join(&temporary)).unwrap();
    run(&plan, &[]).exits(1).says(&temporary).says("move it away");
    std::fs::remove_dir(world.target().join(&temporary)).unwrap();
    goes_on(&world, &plan, &snapshot::take(&world.data()), "making way");
}

#[test]
fn a_run_after_a_clean_end_looks_for_nothing() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/d/f", "x");
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let temporary = world.target().join("d/.persistcp-0123456789abcdef.tmp");
    std::fs::write(&temporary, "x").unwrap();
    run(&plan, &[]).exits(0);
    assert!(temporary.exists(), "a run that had nothing to look for has looked");
}

#[test]
fn kills_and_another_device_number_between_them_leave_nothing() {
    need_root!();
    let mut random = Random::seeded();
    let world = World::ext4(256);
    let image = world.path().join("source-image");
    make_image("ext4", 64, &[], &image);
    let mount = || Attached::image(&image, "loop", &world.source);
    let mut source = mount();
    homes(&world, 4, "first");
    for n in 0..40 {
        let file = world.file(&format!("data/a/0/linked-{n}"), format!("{n}"));
        std::fs::hard_link(file, world.data().join(format!("b/1/linked-{n}"))).unwrap();
    }
    let plan = world.plan("");
    let (millis, _) = whole(&world, &plan);
    for round in 0..from_env("PERSISTCP_KILLS", 4) {
        homes(&world, 4, &format!("again {round}"));
        for _ in 0..2 {
            let mut child = spawn(&plan, &[]);
            std::thread::sleep(Duration::from_millis(random.between(millis / 4, millis)));
            child.kill().ok();
            child.wait().unwrap();
            source.unmount();
            // Another loop device takes the number that the source had.
            let between = Attached::fresh("ext4", 16, &world.path().join("between"), &world.path().join("point"));
            source = mount();
            between.unmount();
        }
        run(&plan, &[]).exits(0);
        assert_eq!(temporaries(&world.target()), Vec::<PathBuf>::new(), "round {round}");
        let content = |tree: &Path| std::process::Command::new("diff").arg("-r").arg(tree).arg(world.target()).output();
        let same = content(&world.data()).unwrap();
        assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    }
    drop(source);
}

#[test]
fn small_files_that_no_record_knows_are_replaced_where_there_is_room_for_each_once() {
    need_root!();
    let world = World::ext4(64);
    let plan = world.plan("");
    (0..46).for_each(|n| dense(&world, &format!("data/d/{n}"), 1));
    // All of them are there, and not one is recorded.
    kill_at(&plan, "syncfs", 1);
    assert!(std::fs::read_dir(world.target().join("d")).unwrap().count() > 40);
    goes_on(&world, &plan, &snapshot::take(&world.data()), "a kill before the first epoch");
}

#[test]
fn a_kill_leaves_no_directory_above_the_target_closed() {
    need_root!();
    for (call, n) in
        [("mkdirat", 2), ("mkdirat", 3), ("fsetxattr", 1), ("fsetxattr", 2), ("utimensat", 1), ("fchmod", 1)]
    {
        let world = World::ext4(64);
        world.file("a/f", "x");
        let plan = world.plan_text(&format!(
            "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[map]]\nfrom = \"/a\"\nto = \"/persist/home/u/deep\"\n",
            world.source, world.root
        ));
        kill_at(&plan, call, n);
        run(&plan, &[]).exits(0);
        for path in ["home", "home/u"] {
            let mode = std::fs::metadata(world.persist.join(path)).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0o755, "{path} after {call} {n}");
        }
        run(&plan, &["--verify-only"]).exits(0);
    }
}

#[test]
fn a_symlink_that_somebody_has_changed_after_a_kill_is_kept() {
    need_root!();
    let world = World::ext4(64);
    std::fs::create_dir(world.data()).unwrap();
    std::os::unix::fs::symlink("old", world.data().join("link")).unwrap();
    for name in ["a", "b", "c"] {
        world.file(&format!("data/{name}"), name);
    }
    let plan = world.plan("");
    kill_at(&plan, "syncfs", 1);
    let link = world.target().join("link");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("new", &link).unwrap();
    for _ in 0..2 {
        let ran = run(&plan, &[]).exits(1);
        assert_eq!(ran.problems(), [("changed-target".to_string(), "/persist/data/link".to_string())], "{ran}");
    }
    assert_eq!(std::fs::read_link(&link).unwrap().to_str(), Some("new"));
}

#[test]
fn a_kill_while_another_type_takes_a_directorys_place_is_taken_up() {
    need_root!();
    for (call, n) in
        [("utimensat", 1), ("fchmod", 1), ("fchmod", 2), ("symlinkat", 1), ("symlinkat", 2), ("openat", 40)]
    {
        let world = World::ext4(64);
        for name in ["file", "link"] {
            std::fs::create_dir_all(world.data().join(name)).unwrap();
        }
        let plan = world.plan("");
        run(&plan, &[]).exits(0);
        for name in ["file", "link"] {
            std::fs::remove_dir(world.data().join(name)).unwrap();
        }
        world.file("data/file", "a file now");
        std::os::unix::fs::symlink("file", world.data().join("link")).unwrap();
        kill_at(&plan, call, n);
        let ran = run(&plan, &[]).exits(0);
        assert!(
            snapshot::diff(&snapshot::take(&world.data()), &snapshot::take(&world.target())).is_empty(),
            "{call} {n}\n{ran}"
        );
        run(&plan, &["--verify-only"]).exits(0);
    }
}

#[test]
fn what_a_kill_left_is_taken_over_after_a_restart() {
    need_root!();
    let world = World::ext4(64);
    for i in 0..300 {
        world.file(&format!("data/{i}"), i.to_string());
    }
    let plan = world.plan("");
    kill_at(&plan, "fchmod", 4);
    run(&plan, &["--restart"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_directory_that_a_kill_left_closed_is_given_back_when_its_source_is_gone() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/keep", "k");
    for i in 0..20 {
        let path = world.file(&format!("data/u/{i}"), "old");
        chown(&path, Some(1000), Some(1000)).unwrap();
    }
    chown(world.data().join("u"), Some(1000), Some(1000)).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    for i in 0..20 {
        world.file(&format!("data/u/{i}"), "newer");
    }
    kill_at(&plan, "renameat", 3);
    std::fs::remove_dir_all(world.data().join("u")).unwrap();
    run(&plan, &[]).exits(1).says("an interrupted run had closed it").says("the source no longer has it");
    let stat = std::fs::metadata(world.target().join("u")).unwrap();
    assert_eq!((stat.uid(), stat.mode() & 0o7777), (1000, 0o755));
    assert!(!xattr::list(world.target().join("u")).unwrap().any(|name| name == "trusted.persistcp"));
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(ran.problems(), [("stale".to_string(), "/persist/data/u".to_string())], "{ran}");
}
