//! A copy that is not whole is never called good.

use crate::kit::attach::Attached;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::need_root;
use crate::kit::run::{Ran, plain, run};
use crate::resume::many;
use rustix::process::Signal;
use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::Path;

const AGAINST: &[&str] = &["--verify-only", "--against", "source"];

fn report(plan: &Path, args: &[&str]) -> Ran {
    let mut all = vec![OsStr::new("report"), OsStr::new("--plan"), plan.as_os_str()];
    all.extend(args.iter().map(OsStr::new));
    plain(&all)
}

/// A copy that got `signal` when it was in the middle of it.
fn stopped(world: &World, signal: Signal) -> Ran {
    many(world, 2000);
    let mut held = Held::at("create:1000", &world.plan(""), &["--threads", "1"]);
    if signal != Signal::KILL {
        held.ask_to_stop(signal);
        return held.finish(&format!("run that got {signal:?}"));
    }
    held.send(signal);
    held.finish("run that was killed")
}

#[test]
fn a_stopped_or_killed_copy_is_unfinished_to_verification_until_it_was_finished() {
    need_root!();
    for signal in [Signal::INT, Signal::KILL] {
        let world = World::ext4(256);
        let ran = stopped(&world, signal);
        assert_ne!(ran.status, Some(0), "{ran}");
        let plan = world.plan("");
        for args in [&["--verify-only"][..], &["--verify-only", "--since", "last"], AGAINST] {
            let ran = run(&plan, args).exits(1).says("the copy is not finished").says("--threads 1");
            assert!(ran.problems().contains(&("unfinished".into(), "/".into())), "{ran}");
        }
        run(&plan, &[]).exits(0);
        run(&plan, &["--verify-only"]).exits(0);
    }
}

#[test]
fn a_run_that_was_killed_while_it_verified_left_a_whole_copy() {
    need_root!();
    let world = World::ext4(256);
    world.file("data/large", vec![5; 40 << 20]);
    let plan = world.plan("");
    run(&plan, &["--verify", "none"]).exits(0);
    for args in [&[][..], &["--repair"]] {
        Held::at("read:10", &plan, args).kill();
        run(&plan, &["--verify-only"]).exits(0);
        std::fs::write(world.data().join("new"), "x").unwrap();
    }
}

#[test]
fn unreadable_files_are_named_long_after_the_run() {
    need_root!();
    let world = World::ext4(64);
    let image = world.path().join("source.img");
    let source = Attached::fresh("btrfs", 160, &image, &world.data());
    let mut content = vec![3; 1 << 20];
    content[..16].copy_from_slice(b"unlucky sector 7");
    world.file("data/bad", &content);
    world.file("data/good", "x");
    source.unmount();
    crate::broken::damage(&image, b"unlucky sector 7");
    let source = Attached::image(&image, "loop", &world.data());
    let plan = world.plan("");
    let first = run(&plan, &[]).exits(1);
    source.unmount();
    for args in [&["--verify-only"][..], &["--verify-only", "--since", "last"]] {
        let ran = run(&plan, args).exits(1).says("read the source: Input/output error");
        assert_eq!(ran.report["problems"], first.report["problems"], "{ran}");
    }
    let _source = Attached::image(&image, "loop", &world.data());
    let ran = run(&plan, AGAINST).exits(1);
    assert_eq!(ran.problems(), [("unreadable".to_string(), "/persist/data/bad".to_string())], "{ran}");
}

#[test]
fn an_entry_that_no_run_has_copied_is_missing_the_most_needed_first() {
    need_root!();
    let world = World::ext4(64);
    let text = |more: &str| {
        format!(
            "version = 1\nname = \"t\"\nsource = {:?}\nroot = {:?}\n[[target]]\nname = \"s\"\nto = \"/persist/s\"\n\
             directories = [\"/a\", {{ path = \"/absent\", need = \"optional\" }}{more}]\n",
            world.source, world.root
        )
    };
    for name in ["a/f", "b/f", "c/f", "x1/f"] {
        world.file(name, name);
    }
    run(&world.plan_text(&text("")), &[]).exits(0);
    run(&world.plan_text(&text("")), &["--verify-only"]).exits(0);
    let more = ", \"/b\", { path = \"/c\", need = \"critical\" }, \"/x*\", { path = \"/none\", need = \"optional\" }";
    let plan = world.plan_text(&text(more));
    let ran = run(&plan, &["--verify-only"]).exits(1).says("critical: it is to be copied");
    let missing =
        ["/persist/s/c", "/persist/s/b", "/persist/s/x*"].map(|path| ("missing".to_string(), path.to_string()));
    assert_eq!(ran.problems(), missing, "{ran}");
    let against = run(&plan, AGAINST).exits(1);
    assert!(!against.stdout.contains("it was copied and is gone"), "{against}");
    run(&plan, &["--allow-missing"]).exits(0);
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn a_journal_of_another_plan_verifies_nothing_and_says_so() {
    need_root!();
    let world = World::ext4(64);
    world.file("other/f", "x");
    world.file("data/f", "x");
    let other = world.plan("").with_file_name("other.toml");
    let text = std::fs::read_to_string(world.plan("")).unwrap();
    std::fs::write(&other, text.replace("/data", "/other")).unwrap();
    run(&other, &[]).exits(0);
    let ran = run(&world.plan(""), &["--verify-only"]).exits(1);
    assert!(ran.problems().contains(&("missing".into(), "/persist/data".into())), "{ran}");
    let empty = World::ext4(64);
    empty.file("data/f", "x");
    let state = empty.path().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::copy(world.persist.join(".persistcp/t.sqlite"), state.join("t.sqlite")).unwrap();
    let sql = "DELETE FROM run; DELETE FROM item; DELETE FROM entry;";
    rusqlite::Connection::open(state.join("t.sqlite")).unwrap().execute_batch(sql).unwrap();
    let ran = run(&empty.plan(""), &["--verify-only", "--state", state.to_str().unwrap()]).exits(1);
    assert!(ran.problems().contains(&("unfinished".into(), "/".into())), "{ran}");
}

#[test]
fn comparing_with_the_source_tells_what_was_never_copied_from_what_is_gone() {
    need_root!();
    let world = World::ext4(64);
    for name in ["gone", "stays"] {
        world.file(&format!("data/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::remove_file(world.target().join("gone")).unwrap();
    world.file("data/new/f", "x");
    symlink("x", world.data().join("link")).unwrap();
    let ran = run(&plan, AGAINST).exits(1);
    for (path, words) in
        [("gone", "it was copied and is gone"), ("new", "it was never copied"), ("link", "it was never copied")]
    {
        let problems = ran.report["problems"].as_array().unwrap();
        let problem = problems.iter().find(|p| p["kind"] == "missing" && p["path"] == format!("/persist/data/{path}"));
        assert!(problem.is_some_and(|p| p["message"].as_str().unwrap().contains(words)), "{path}\n{ran}");
    }
}

#[test]
fn a_verification_does_not_take_the_place_of_the_copys_report() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    let plan = world.plan("");
    let copy = run(&plan, &[]).exits(0);
    let bad = run(&plan, &["--verify-only", "--verify", "metadata"]).exits(0);
    let both = report(&plan, &[]).exits(0).says("run 1, copy").says("run 2, verification");
    assert!(both.stdout.contains(&copy.stdout) && both.stdout.ends_with(&bad.stdout), "{both}");
    assert!(report(&plan, &["--run", "1"]).exits(0).stdout.ends_with(&copy.stdout));
    report(&plan, &["--run", "3"]).exits(1).says("no run 3").says("--run list");
    assert_eq!(report(&plan, &["--run", "list"]).exits(0).stdout.lines().count(), 2);
    let json = report(&plan, &["--format", "json"]).exits(0);
    let first: serde_json::Value = serde_json::from_str(json.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["run"], &first["verification_run"]), (&1.into(), &2.into()), "{json}");
    assert_eq!(first["report"]["totals"]["copied"], 2, "{json}");
    run(&plan, &[]).exits(0);
    assert!(!report(&plan, &[]).exits(0).stdout.contains("verification,"), "the copy is the last word");
}

#[test]
fn what_an_older_release_could_not_copy_is_known_after_the_journal_was_migrated() {
    need_root!();
    let world = World::ext4(64);
    world.file("data/f", "x");
    world.file("data/.persistcp-0123456789abcdef.tmp", "reserved");
    let plan = world.plan("");
    run(&plan, &[]).exits(1);
    make_version_2(&world.persist.join(".persistcp/t.sqlite"));
    let ran = run(&plan, &["--verify-only"]).exits(1);
    let reserved = "/persist/data/.persistcp-0123456789abcdef.tmp".to_string();
    assert_eq!(ran.problems(), [("unsupported".to_string(), reserved)], "{ran}");
}

/// Makes a journal what the release before wrote.
fn make_version_2(journal: &Path) {
    let sql = "ALTER TABLE run DROP COLUMN kind; ALTER TABLE run DROP COLUMN command;
               ALTER TABLE run DROP COLUMN expected; ALTER TABLE run DROP COLUMN copied;
               DROP TABLE problem; DROP TABLE volume; DROP TABLE accepted;
               ALTER TABLE entry DROP COLUMN need; ALTER TABLE entry DROP COLUMN present;
               ALTER TABLE item DROP COLUMN given_up; ALTER TABLE item RENAME COLUMN src_volume TO src_dev;
               PRAGMA user_version = 2;";
    rusqlite::Connection::open(journal).unwrap().execute_batch(sql).unwrap();
}
