//! `--verify-only --accept`: what the owner of a target did there is guarded from then on.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::run::{Ran, faulty, plain, rest, run};
use crate::kit::{need_root, sh, snapshot};
use filetime::FileTime;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const ACCEPT: &[&str] = &["--verify-only", "--accept"];
const VERIFY: &[&str] = &["--verify-only"];

fn copied(files: &[&str]) -> (World, PathBuf) {
    let world = World::ext4(128);
    for name in files {
        world.file(&format!("data/{name}"), *name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

fn problems(ran: &Ran) -> Vec<String> {
    let mut all: Vec<_> = ran
        .problems()
        .into_iter()
        .map(|(kind, path)| format!("{kind} {}", path.replace("/persist/data/", "")))
        .collect();
    all.sort();
    all
}

fn in_use(ran: &Ran) -> [u64; 3] {
    ["changed", "removed", "new"].map(|class| ran.report["in_use"][class].as_u64().unwrap())
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A file changed, one removed, one made beside them, and a tree made.
fn used() -> (World, PathBuf) {
    let (world, plan) = copied(&["d/edited", "d/deleted", "d/kept", "whole"]);
    let d = world.target().join("d");
    write(&d.join("edited"), "a second draft");
    std::fs::remove_file(d.join("deleted")).unwrap();
    write(&d.join("made"), "mine");
    std::fs::create_dir_all(world.target().join("project/src")).unwrap();
    write(&world.target().join("project/src/main"), "fn main");
    rest();
    (world, plan)
}

#[test]
fn what_was_accepted_is_whole_to_the_next_pass_and_damage_in_it_is_found() {
    need_root!();
    let (world, plan) = used();
    let before = snapshot::take(&world.target());
    let ran = run(&plan, ACCEPT).exits(0).says("accepted: from here on they are verified as they are");
    assert_eq!((in_use(&ran), ran.report["in_use"]["accepted"].as_u64()), ([1, 1, 2], Some(6)), "{ran}");
    for args in [VERIFY, &["--verify-only", "--strict"], &["--verify-only", "--since", "last"], ACCEPT] {
        let ran = run(&plan, args).exits(0);
        assert_eq!((in_use(&ran), problems(&ran)), ([0; 3], Vec::new()), "{args:?}\n{ran}");
    }
    assert_eq!(snapshot::diff(&before, &snapshot::take(&world.target())), [""; 0]);
    for (name, at) in [("d/edited", 3), ("d/made", 1), ("project/src/main", 2)] {
        flip(&world, &world.target().join(name), at);
        for args in [VERIFY, ACCEPT, VERIFY] {
            let ran = run(&plan, args).exits(1).says("restore it from a backup of this machine");
            assert_eq!(problems(&ran), [format!("content {name}")], "{args:?}\n{ran}");
        }
        flip(&world, &world.target().join(name), at);
        run(&plan, VERIFY).exits(0);
    }
}

#[test]
fn runs_that_copy_keep_what_was_accepted_and_call_it_no_problem() {
    need_root!();
    let (world, plan) = used();
    run(&plan, ACCEPT).exits(0);
    let before = snapshot::take(&world.target());
    for args in [&[][..], &["--delete"], &["--repair"], &["--dry-run"], &[]] {
        let ran = run(&plan, args).exits(0);
        assert_eq!(problems(&ran), [""; 0], "{args:?}\n{ran}");
        assert_eq!(snapshot::diff(&before, &snapshot::take(&world.target())), [""; 0], "{args:?}\n{ran}");
    }
    assert_eq!(run(&plan, &[]).exits(0).total("accepted"), 2);
    let ran = run(&plan, VERIFY).exits(0);
    assert_eq!(in_use(&ran), [0; 3], "{ran}");
    // The source has something newer: it is told, and kept.
    for name in ["d/edited", "d/deleted", "d/made"] {
        world.file(&format!("data/{name}"), "an afterthought on the old machine");
    }
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(problems(&ran), ["changed-target d/edited", "changed-target d/made", "missing d/deleted"], "{ran}");
    assert_eq!(std::fs::read_to_string(world.target().join("d/edited")).unwrap(), "a second draft");
}

#[test]
fn overwrite_ends_what_was_accepted() {
    need_root!();
    let (world, plan) = copied(&["f", "g"]);
    write(&world.target().join("f"), "mine");
    run(&plan, ACCEPT).exits(0);
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    flip(&world, &world.target().join("f"), 0);
    let ran = run(&plan, VERIFY).exits(1);
    assert_eq!(problems(&ran), ["content f"], "{ran}");
    run(&plan, &[]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_repair_takes_nothing_older_for_what_was_accepted_and_damaged() {
    need_root!();
    let (world, plan) = copied(&["f"]);
    write(&world.target().join("f"), "mine and newer");
    run(&plan, ACCEPT).exits(0);
    flip(&world, &world.target().join("f"), 0);
    for args in [&["--repair"][..], &["--repair", "--strict"], &["--repair"]] {
        let ran = run(&plan, args).exits(1).says("restore it from a backup of this machine");
        assert_eq!(problems(&ran), ["content f"], "{args:?}\n{ran}");
        assert_eq!(std::fs::read(world.target().join("f")).unwrap().len(), "mine and newer".len());
    }
    for args in [&[][..], VERIFY] {
        assert_eq!(problems(&run(&plan, args).exits(1)), ["content f"], "{args:?}");
    }
}

#[test]
fn what_was_accepted_and_changed_again_is_use_again() {
    need_root!();
    let (world, plan) = used();
    run(&plan, ACCEPT).exits(0);
    let target = world.target();
    write(&target.join("d/edited"), "a third draft");
    std::fs::remove_file(target.join("d/made")).unwrap();
    write(&target.join("d/deleted"), "back, and another");
    write(&target.join("project/src/more"), "x");
    rest();
    let ran = run(&plan, VERIFY).exits(0);
    assert_eq!(in_use(&ran), [1, 1, 2], "{ran}");
    run(&plan, ACCEPT).exits(0);
    for args in [VERIFY, &[]] {
        let ran = run(&plan, args).exits(0);
        assert_eq!(in_use(&ran), [0; 3], "{args:?}\n{ran}");
    }
    std::fs::remove_dir_all(target.join("project")).unwrap();
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0)), [0, 1, 0]);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
}

#[test]
fn what_is_lost_from_a_directory_in_use_is_missed_once_its_names_were_accepted() {
    need_root!();
    crate::kit::need_tools!("debugfs");
    let (world, plan) = used();
    run(&plan, ACCEPT).exits(0);
    sh!("umount", &world.persist);
    let image = world.path().join("image");
    for name in ["d/kept", "d/made"] {
        sh!("debugfs", "-w", "-R", format!("unlink data/{name}"), &image);
    }
    sh!("mount", "-o", "loop", &image, &world.persist);
    let ran = run(&plan, VERIFY).exits(1).says("it was accepted on the target and is gone");
    assert_eq!(problems(&ran), ["missing d/kept", "missing d/made"], "{ran}");
    // What the source has comes back; nothing has the other, which is told by runs that do not look for it, too.
    for args in [&["--repair"][..], &[], &["--verify-only", "--since", "last"]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(problems(&ran), ["missing d/made"], "{args:?}\n{ran}");
    }
    assert_eq!(std::fs::read_to_string(world.target().join("d/kept")).unwrap(), "d/kept");
}

#[test]
fn all_names_of_a_linked_file_are_guarded() {
    need_root!();
    let (world, plan) = copied(&["a"]);
    let target = world.target();
    write(&target.join("made"), "linked and mine");
    for name in ["made-too", "d"] {
        std::fs::hard_link(target.join("made"), target.join(name)).unwrap();
    }
    run(&plan, ACCEPT).exits(0);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
    flip(&world, &target.join("made"), 0);
    let ran = run(&plan, VERIFY).exits(1);
    assert_eq!(problems(&ran), ["content d", "content made", "content made-too"], "{ran}");
}

#[test]
fn damage_is_never_accepted() {
    need_root!();
    let (world, plan) = copied(&["damaged", "touched", "mode", "d/f"]);
    flip(&world, &world.target().join("damaged"), 0);
    let touched = world.target().join("touched");
    std::fs::set_permissions(&touched, std::fs::metadata(&touched).unwrap().permissions()).unwrap();
    flip(&world, &touched, 0);
    std::fs::set_permissions(world.target().join("mode"), PermissionsExt::from_mode(0o4755)).unwrap();
    flip(&world, &world.target().join("mode"), 0);
    for args in [ACCEPT, VERIFY, ACCEPT] {
        let ran = run(&plan, args).exits(1);
        let told = ["changed-target mode", "changed-target touched", "content damaged"];
        assert_eq!(problems(&ran), told, "{args:?}\n{ran}");
        assert_eq!(ran.report["in_use"]["accepted"], 0, "{ran}");
    }
}

#[test]
fn nothing_is_accepted_before_a_syncfs() {
    need_root!();
    let (_world, plan) = used();
    faulty(&plan, ACCEPT, "syncfs:1:EIO").exits(4);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [1, 1, 2]);
    run(&plan, ACCEPT).exits(0);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
}

#[test]
fn the_manifest_tells_what_is_there_instead() {
    need_root!();
    let (_world, plan) = used();
    run(&plan, ACCEPT).exits(0);
    let args = ["report", "--format", "b3sum", "--plan", plan.to_str().unwrap()].map(OsStr::new);
    let sums = plain(&args).exits(0).stdout;
    let of = |text: &str, name: &str| format!("{}  persist/data/{name}\n", blake3::hash(text.as_bytes()).to_hex());
    assert!(
        sums.contains(&of("a second draft", "d/edited")) && sums.contains(&of("fn main", "project/src/main")),
        "{sums}"
    );
    assert!(!sums.contains("d/deleted"), "{sums}");
}

#[test]
fn contradictions_are_usage_errors() {
    for args in [
        &["--accept"][..],
        &["--accept", "--repair"],
        &["--verify-only", "--accept", "--dry-run"],
        &["--verify-only", "--accept", "--strict"],
        &["--verify-only", "--accept", "--against", "source"],
        &["--verify-only", "--accept", "--verify", "metadata"],
        &["--strict"],
        &["--verify-only", "--strict", "--against", "source"],
    ] {
        let mut all = vec![OsStr::new("--plan"), OsStr::new("plan.toml")];
        all.extend(args.iter().map(OsStr::new));
        plain(&all).exits(2);
    }
}

/// Every pass that may come after another one.
const LATER: [&[&str]; 6] = [&["--verify-only", "--since", "last"], &[], VERIFY, &["--delete"], ACCEPT, &["--repair"]];

#[test]
fn damage_to_what_was_accepted_is_told_by_every_later_pass_until_it_is_mended() {
    need_root!();
    let (world, plan) = used();
    run(&plan, ACCEPT).exits(0);
    let names = ["d/edited", "project/src/main"];
    let damaged = names.map(|name| format!("content {name}"));
    for name in names {
        flip(&world, &world.target().join(name), 2);
    }
    run(&plan, VERIFY).exits(1);
    for args in LATER {
        let ran = run(&plan, args).exits(1).says("touch it and accept it again");
        assert_eq!(problems(&ran), damaged, "{args:?}\n{ran}");
    }
    assert_eq!(problems(&run(&plan, &["--verify", "none"]).exits(1)), ["content d/edited"]);
    let ran = run(&plan, &["--dry-run"]).says("would stay so");
    assert!(names.iter().all(|name| ran.stdout.contains(&format!("/persist/data/{name}: content:"))), "{ran}");
    // One comes back from a backup of this machine, the other is wanted as it is.
    flip(&world, &world.target().join(names[0]), 2);
    filetime::set_file_mtime(world.target().join(names[1]), FileTime::now()).unwrap();
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0)), [1, 0, 0]);
    for args in LATER {
        let ran = run(&plan, args).exits(0);
        assert_eq!(in_use(&ran), [0; 3], "{args:?}\n{ran}");
    }
    flip(&world, &world.target().join(names[1]), 2);
    run(&plan, VERIFY).exits(1);
    // What its owner removes is no damage any more.
    std::fs::remove_file(world.target().join(names[1])).unwrap();
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0)), [0, 1, 0]);
    run(&plan, &[]).exits(0);
}

#[test]
fn content_under_an_old_time_stays_damage_where_it_was_accepted() {
    need_root!();
    let (world, plan) = used();
    run(&plan, ACCEPT).exits(0);
    let made = world.target().join("d/made");
    std::fs::set_permissions(&made, std::fs::metadata(&made).unwrap().permissions()).unwrap();
    flip(&world, &made, 1);
    let ran = run(&plan, VERIFY).exits(1).says("it is damaged, or somebody has set its time back");
    assert_eq!(problems(&ran), ["content d/made"], "{ran}");
    for args in LATER {
        let ran = run(&plan, args).exits(1);
        assert_eq!(problems(&ran), ["content d/made"], "{args:?}\n{ran}");
    }
}

/// The later passes say what `expected` has, and change nothing on the target.
#[track_caller]
fn stays(world: &World, plan: &Path, expected: &[&str]) {
    let before = snapshot::take(&world.target());
    for args in LATER.iter().filter(|args| **args != ACCEPT) {
        let ran = run(plan, args).exits(i32::from(!expected.is_empty()));
        assert_eq!(problems(&ran), expected, "{args:?}\n{ran}");
        assert_eq!(snapshot::diff(&before, &snapshot::take(&world.target())), [""; 0], "{args:?}\n{ran}");
    }
    let foreseen = run(plan, &["--dry-run", "-v"]).exits(0);
    assert_eq!(foreseen.report["items"], serde_json::json!([]), "{foreseen}");
}

#[test]
fn a_directory_whose_removal_was_accepted_stays_away_in_silence() {
    need_root!();
    let (world, plan) = copied(&["d/sub/deep", "d/f", "keep"]);
    std::fs::remove_dir_all(world.target().join("d")).unwrap();
    assert_eq!(problems(&run(&plan, &[]).exits(1)), ["missing d"]);
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0)), [0, 4, 0]);
    stays(&world, &plan, &[]);
    // Who wants the source's content is told what is not brought back.
    assert_eq!(problems(&run(&plan, &["--overwrite"]).exits(1)), ["missing d"]);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
    // The source has something newer in it: that is told, and the directory stays away.
    let time = FileTime::from_last_modification_time(&std::fs::metadata(world.data().join("d")).unwrap());
    world.file("data/d/newer", "an afterthought on the old machine");
    assert_eq!(problems(&run(&plan, &[]).exits(1)), ["missing d"]);
    std::fs::remove_file(world.data().join("d/newer")).unwrap();
    filetime::set_file_mtime(world.data().join("d"), time).unwrap();
    // Its owner makes it anew.
    std::fs::create_dir(world.target().join("d")).unwrap();
    write(&world.target().join("d/mine"), "mine");
    for args in [VERIFY, ACCEPT] {
        assert_eq!(in_use(&run(&plan, args).exits(0)), [0, 0, 1]);
    }
    stays(&world, &plan, &[]);
    flip(&world, &world.target().join("d/mine"), 0);
    run(&plan, VERIFY).exits(1);
    assert_eq!(problems(&run(&plan, &[]).exits(1)), ["content d/mine"]);
}

#[test]
fn what_was_accepted_and_is_removed_or_changed_later_is_named_until_that_is_accepted() {
    need_root!();
    let (world, plan) = copied(&["removed", "changed", "keep"]);
    let target = world.target();
    for (name, text) in [("removed", "mine"), ("changed", "mine")] {
        write(&target.join(name), text);
    }
    run(&plan, ACCEPT).exits(0);
    std::fs::remove_file(target.join("removed")).unwrap();
    write(&target.join("changed"), "mine, a second time");
    rest();
    let ran =
        run(&plan, &[]).exits(1).says("it was accepted on the target and is gone").says("accepted a regular file");
    assert_eq!(problems(&ran), ["changed-target changed", "missing removed"], "{ran}");
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0)), [1, 1, 0]);
    stays(&world, &plan, &[]);
    // A touch alone is no change, before any verification records it.
    filetime::set_file_times(
        target.join("changed"),
        FileTime::zero(),
        FileTime::from_last_modification_time(&std::fs::metadata(target.join("changed")).unwrap()),
    )
    .unwrap();
    stays(&world, &plan, &[]);
}

#[test]
fn damage_under_another_name_is_never_taken_for_new() {
    need_root!();
    let (world, plan) = copied(&["log/app.log", "log/app.log.1", "linked", "moved/d/f", "kept"]);
    let target = world.target();
    write(&target.join("own"), "mine, and accepted");
    run(&plan, ACCEPT).exits(0);
    for name in ["log/app.log", "linked", "moved/d/f", "own"] {
        flip(&world, &target.join(name), 2);
    }
    // Before any pass has seen it: a log rotates over another one, names come, and a whole tree moves.
    let log = target.join("log");
    std::fs::rename(log.join("app.log"), log.join("app.log.1")).unwrap();
    write(&log.join("app.log"), "a week of lines");
    std::fs::hard_link(target.join("linked"), target.join("another")).unwrap();
    std::fs::rename(target.join("moved"), target.join("elsewhere")).unwrap();
    std::fs::rename(target.join("own"), target.join("renamed")).unwrap();
    std::fs::rename(target.join("kept"), target.join("kept.old")).unwrap();
    let ran = run(&plan, ACCEPT).exits(1).says("recorded under another name");
    let damaged = ["another", "elsewhere/d/f", "log/app.log.1", "renamed"].map(|name| format!("content {name}"));
    let with_linked = [vec!["changed-target linked".to_string()], damaged.to_vec()].concat();
    assert_eq!(problems(&ran), with_linked, "{ran}");
    // Accepted: the new log, two directories and what was renamed whole; that a tree and two names are gone.
    assert_eq!((in_use(&ran), ran.report["in_use"]["accepted"].as_u64()), ([2, 5, 4], Some(7)), "{ran}");
    for args in LATER {
        let ran = run(&plan, args).exits(1).says("restore it from a backup of this machine");
        let told = problems(&ran);
        assert!(damaged.iter().all(|damaged| told.contains(damaged)), "{args:?}\n{ran}");
    }
    // Restored where they are, they are whole.
    for name in ["another", "elsewhere/d/f", "log/app.log.1", "renamed"] {
        flip(&world, &target.join(name), 2);
    }
    run(&plan, VERIFY).exits(0);
    run(&plan, &[]).exits(0);
}

#[test]
fn a_new_file_is_not_taken_for_damage_by_the_number_of_a_removed_one() {
    need_root!();
    let (world, plan) = copied(&["f"]);
    let old = world.target().join("f");
    let (ino, time) = {
        let stat = std::fs::metadata(&old).unwrap();
        (std::os::unix::fs::MetadataExt::ino(&stat), FileTime::from_last_modification_time(&stat))
    };
    std::fs::remove_file(&old).unwrap();
    // The content is as long, and the time is set, as in a Nix store.
    let made = (0..64).map(|n| world.target().join(format!("new{n}")));
    let has_number = |path: &PathBuf| {
        write(path, "g");
        std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap()) == ino
    };
    let new = made.into_iter().find(has_number).expect("ext4 gives a low number again");
    filetime::set_file_mtime(&new, time).unwrap();
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0))[1], 1);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
}

#[test]
fn what_was_accepted_is_not_stale_and_never_deleted() {
    need_root!();
    let (world, plan) = copied(&["edited", "d/edited", "d/untouched", "all/edited", "all/sub/edited", "keep"]);
    let target = world.target();
    let time = FileTime::from_last_modification_time(&std::fs::metadata(target.join("edited")).unwrap());
    for name in ["edited", "d/edited", "all/edited", "all/sub/edited"] {
        write(&target.join(name), "mine");
    }
    write(&target.join("all/made"), "mine");
    rest();
    for name in ["edited", "d/edited", "d/untouched", "all/edited", "all/sub/edited"] {
        std::fs::remove_file(world.data().join(name)).unwrap();
    }
    for name in ["d", "all/sub", "all"] {
        std::fs::remove_dir(world.data().join(name)).unwrap();
    }
    // A run has seen it stale before it is accepted.
    assert_eq!(problems(&run(&plan, &[]).exits(1)), ["stale all", "stale d", "stale edited"]);
    let ran = run(&plan, ACCEPT).exits(1);
    assert_eq!(problems(&ran), ["stale d"], "{ran}");
    for args in [&["--verify-only", "--since", "last"][..], &[], VERIFY, &["--against", "source", "--verify-only"]] {
        let told = problems(&run(&plan, args).exits(1));
        assert!(!told.iter().any(|told| told.starts_with("stale") && told != "stale d"), "{args:?} {told:?}");
    }
    let before = snapshot::take(&target.join("all"));
    // What nobody has changed goes, and with it the last reason to speak of its directory.
    let ran = run(&plan, &["--delete"]).exits(0);
    assert!(!target.join("d/untouched").exists() && target.join("d/edited").exists(), "{ran}");
    stays(&world, &plan, &[]);
    assert_eq!(snapshot::diff(&before, &snapshot::take(&target.join("all"))), [""; 0]);
    // As it was copied again, it stays its owner's.
    write(&target.join("edited"), "edited");
    filetime::set_file_mtime(target.join("edited"), time).unwrap();
    run(&plan, &["--delete"]).exits(0);
    assert!(target.join("edited").exists());
    // Its owner removes it: with that accepted, too, no pass knows of it any more.
    std::fs::remove_file(target.join("edited")).unwrap();
    std::fs::remove_dir_all(target.join("all")).unwrap();
    run(&plan, ACCEPT).exits(0);
    stays(&world, &plan, &[]);
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// A file, a hard-linked pair, a symlink and a directory, with other attributes than were copied.
fn dressed(more: &str) -> (World, PathBuf) {
    let world = World::ext4(64);
    for name in ["f", "pair", "d/in", "other"] {
        world.file(&format!("data/{name}"), name);
    }
    std::fs::hard_link(world.data().join("pair"), world.data().join("twin")).unwrap();
    std::os::unix::fs::symlink("f", world.data().join("link")).unwrap();
    let plan = world.plan(more);
    run(&plan, &[]).exits(0);
    let target = world.target();
    chmod(&target.join("f"), 0o600);
    chmod(&target.join("pair"), 0o640);
    chmod(&target.join("d"), 0o700);
    std::os::unix::fs::lchown(target.join("link"), Some(1000), Some(100)).unwrap();
    xattr::set(target.join("other"), "user.mine", b"mine").unwrap();
    rest();
    (world, plan)
}

#[test]
fn attributes_that_its_owner_set_are_accepted_and_guarded() {
    need_root!();
    let (world, plan) = dressed("");
    let target = world.target();
    let set = ["group link", "mode d", "mode f", "mode pair", "mode twin", "owner link", "xattr other"];
    assert_eq!(problems(&run(&plan, VERIFY).exits(1)), set);
    let ran = run(&plan, ACCEPT).exits(0);
    assert_eq!((in_use(&ran), ran.report["in_use"]["accepted"].as_u64()), ([6, 0, 0], Some(6)), "{ran}");
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
    stays(&world, &plan, &[]);
    // What is set again is told again, and no repair takes the older state back.
    chmod(&target.join("f"), 0o644);
    chmod(&target.join("d"), 0o750);
    let before = snapshot::take(&target);
    for args in [VERIFY, &[], &["--repair"], &["--verify-only", "--since", "last"]] {
        let ran = run(&plan, args).exits(1).says("--verify-only --accept takes that as well");
        assert_eq!(problems(&ran), ["mode d", "mode f"], "{args:?}\n{ran}");
        assert_eq!(snapshot::diff(&before, &snapshot::take(&target)), [""; 0], "{args:?}\n{ran}");
    }
    run(&plan, ACCEPT).exits(0);
    stays(&world, &plan, &[]);
    // Content, and names in the directory, are guarded as before.
    write(&target.join("d/new"), "mine");
    std::fs::remove_file(target.join("d/in")).unwrap();
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0, 1, 1]);
    assert_eq!(in_use(&run(&plan, ACCEPT).exits(0)), [0, 1, 1]);
    stays(&world, &plan, &[]);
    flip(&world, &target.join("f"), 0);
    assert_eq!(problems(&run(&plan, VERIFY).exits(1)), ["content f"]);
    // Who wants the source's file gets it.
    run(&plan, &["--overwrite"]);
    run(&plan, VERIFY).exits(0);
    assert_eq!(std::fs::read_to_string(target.join("f")).unwrap(), "f");
}

#[test]
fn a_fixup_does_not_undo_what_was_accepted() {
    need_root!();
    let fixup = |path: &str| format!("[[fixup]]\npath = \"/persist/data{path}\"\nmode = \"u+rw\"\nrecursive = true\n");
    let (world, plan) = dressed(&fixup(""));
    let target = world.target();
    chmod(&target.join("f"), 0o444);
    write(&target.join("made"), "mine");
    chmod(&target.join("made"), 0o400);
    run(&plan, ACCEPT).exits(0);
    stays(&world, &plan, &[]);
    assert_eq!(std::fs::metadata(target.join("f")).unwrap().permissions().mode() & 0o777, 0o444);
}

#[test]
fn names_of_an_accepted_inode_that_part_are_told_and_accepted() {
    need_root!();
    let (world, plan) = copied(&["a"]);
    let target = world.target();
    write(&target.join("one"), "linked and mine");
    std::fs::hard_link(target.join("one"), target.join("two")).unwrap();
    run(&plan, ACCEPT).exits(0);
    // Each has the same content and times, and an inode of its own.
    sh!("cp", "-p", target.join("two"), target.join("copy"));
    std::fs::rename(target.join("copy"), target.join("two")).unwrap();
    rest();
    for args in [VERIFY, &["--verify-only", "--since", "last"], VERIFY] {
        assert_eq!(problems(&run(&plan, args).exits(1)), ["link two"], "{args:?}");
    }
    run(&plan, ACCEPT).exits(0);
    assert_eq!(in_use(&run(&plan, VERIFY).exits(0)), [0; 3]);
    stays(&world, &plan, &[]);
}

#[test]
fn a_comparison_with_the_source_knows_what_was_accepted() {
    need_root!();
    const AGAINST: &[&str] = &["--verify-only", "--against", "source"];
    let (world, plan) = copied(&["edited", "mode", "removed", "gone/f", "anew/f", "d/keep", "keep"]);
    let target = world.target();
    write(&target.join("edited"), "mine");
    chmod(&target.join("mode"), 0o600);
    chmod(&target.join("d"), 0o700);
    std::fs::remove_file(target.join("removed")).unwrap();
    std::fs::remove_dir_all(target.join("gone")).unwrap();
    std::fs::remove_dir_all(target.join("anew")).unwrap();
    write(&target.join("d/made"), "mine");
    run(&plan, ACCEPT).exits(0);
    std::fs::create_dir(target.join("anew")).unwrap();
    write(&target.join("anew/mine"), "mine");
    run(&plan, ACCEPT).exits(0);
    assert_eq!(problems(&run(&plan, AGAINST).exits(0)), [""; 0]);
    // What differs from that, and what the source has newer.
    flip(&world, &target.join("edited"), 0);
    chmod(&target.join("mode"), 0o640);
    world.file("data/removed", "an afterthought on the old machine");
    let ran = run(&plan, AGAINST).exits(1);
    assert_eq!(problems(&ran), ["content edited", "missing removed", "mode mode"], "{ran}");
    // It is remembered like what the other passes find.
    assert!(problems(&run(&plan, &["--verify-only", "--since", "last"]).exits(1)).contains(&"content edited".into()));
}

#[test]
fn what_the_source_has_newer_does_not_end_what_was_accepted_around_it() {
    need_root!();
    let (world, plan) = copied(&["d/f", "newer", "keep"]);
    let target = world.target();
    chmod(&target.join("d"), 0o700);
    chmod(&target.join("newer"), 0o600);
    run(&plan, ACCEPT).exits(0);
    // Something new comes into the directory: it keeps what its owner set.
    world.file("data/d/new", "new");
    run(&plan, &[]).exits(0);
    assert_eq!(std::fs::metadata(target.join("d")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_to_string(target.join("d/new")).unwrap(), "new");
    stays(&world, &plan, &[]);
    // New content waits; nothing but what is advised replaces it.
    world.file("data/newer", "an afterthought on the old machine");
    for args in [&[][..], &["--repair"], &[]] {
        let ran = run(&plan, args).exits(1).says("newer content of the source waits: --overwrite replaces it");
        assert_eq!(problems(&ran), ["mode newer"], "{args:?}\n{ran}");
        assert!(!ran.stdout.contains("so does --repair"), "{ran}");
    }
    run(&plan, &["--overwrite"]).exits(0);
    stays(&world, &plan, &[]);
    snapshot::assert_same(&world.data().join("newer"), &target.join("newer"));
}

#[test]
fn an_accepted_removal_can_be_taken_back() {
    need_root!();
    let (world, plan) = copied(&["a", "d/b"]);
    let target = world.target();
    std::fs::remove_file(target.join("a")).unwrap();
    std::fs::remove_dir_all(target.join("d")).unwrap();
    run(&plan, &["--verify-only", "--accept"]).exits(0);
    run(&plan, &[]).exits(0);
    world.file("data/a", "newer");
    world.file("data/d/c", "newer as well");
    for args in [&[][..], &["--overwrite"], &["--repair", "--strict"]] {
        let ran = run(&plan, args).exits(1).says("its owner removed it from the target, and that was accepted");
        assert_eq!(ran.kinds(), ["missing a", "missing d"], "{ran}");
    }
    // As it says there.
    std::fs::write(target.join("a"), "").unwrap();
    std::fs::create_dir(target.join("d")).unwrap();
    let ran = run(&plan, &["--overwrite"]).exits(1);
    assert_eq!(ran.kinds(), ["missing d/b"], "{ran}");
    run(&plan, &["--repair", "--strict"]).exits(0);
    snapshot::assert_same(&world.data(), &target);
    run(&plan, &[]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_somebody_changed_of_a_stale_file_is_accepted_after_a_repair_as_before() {
    need_root!();
    for (change, strict) in
        [("chown 7", &[][..]), ("chmod 600", &["--strict"]), ("touch", &["--strict", "--overwrite"])]
    {
        let (world, plan) = copied(&["a", "b"]);
        let target = world.target().join("a");
        sh!("sh", "-c", format!("sleep 0.02; {change} '{}'", target.display()));
        std::fs::remove_file(world.data().join("a")).unwrap();
        run(&plan, &[]).exits(1).says("the source no longer has it");
        run(&plan, &[&["--repair"], strict].concat()).exits(1);
        run(&plan, &["--verify-only", "--accept"]);
        for args in [&[][..], &["--delete"], &["--verify-only"], &["--repair"]] {
            let ran = run(&plan, args);
            assert_eq!((ran.status, ran.kinds()), (Some(0), Vec::new()), "{change} {args:?}\n{ran}");
        }
        assert!(target.exists());
    }
}
