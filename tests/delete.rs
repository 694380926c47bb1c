//! `--delete` removes exactly what runs of the plan made and nobody has changed since.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::run::{faulty, plain, run};
use crate::kit::{need_root, need_tools, sh, snapshot};
use crate::stale::stale;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A tree of which a part leaves the source after the copy.
fn scene() -> (World, PathBuf) {
    let world = World::ext4(96);
    for name in ["keep", "a", "tree/one", "tree/deep/two", "tree/deep/er/three", "d/stays", "d/goes"] {
        world.file(&format!("data/{name}"), name);
    }
    std::fs::create_dir(world.data().join("tree/empty")).unwrap();
    std::fs::hard_link(world.data().join("keep"), world.data().join("tree/linked")).unwrap();
    std::fs::hard_link(world.data().join("keep"), world.data().join("second")).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    (world, plan)
}

fn leave(world: &World) {
    for name in ["a", "d/goes", "second"] {
        std::fs::remove_file(world.data().join(name)).unwrap();
    }
    std::fs::remove_dir_all(world.data().join("tree")).unwrap();
}

/// Both sides are the same, and every later pass says so.
#[track_caller]
fn is_clean(world: &World, plan: &Path) {
    snapshot::assert_same(&world.data(), &world.target());
    for args in
        [&["--verify-only"][..], &["--verify-only", "--since", "last"], &["--verify-only", "--against", "source"]]
    {
        run(plan, args).exits(0);
    }
    run(plan, &[]).exits(0).says("nothing to copy");
    run(plan, &["--repair"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn what_left_the_source_leaves_the_target() {
    need_root!();
    let (world, plan) = scene();
    leave(&world);
    world.file("data/new", "copied by the same run");
    let ran = run(&plan, &["--delete"]).exits(0);
    assert_eq!((ran.total("deleted"), ran.total("stale")), (11, 0), "{ran}");
    is_clean(&world, &plan);
}

#[test]
fn a_run_without_delete_may_come_first() {
    need_root!();
    let (world, plan) = scene();
    leave(&world);
    run(&plan, &[]).exits(1);
    run(&plan, &["--repair"]).exits(1);
    run(&plan, &["--delete"]).exits(0);
    is_clean(&world, &plan);
}

#[test]
fn what_somebody_changed_and_what_no_run_made_is_kept_and_named() {
    need_root!();
    let (world, plan) = scene();
    leave(&world);
    let target = world.target();
    std::fs::write(target.join("a"), "a month of work").unwrap();
    std::fs::write(target.join("tree/deep/er/mine"), "not the plan's").unwrap();
    std::fs::set_permissions(target.join("tree/empty"), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let ran = run(&plan, &["--delete"]).exits(1);
    assert_eq!(stale(&ran), ["a", "tree"], "{ran}");
    let ran = ran.says("/persist/data/a (somebody has changed it since it was copied)");
    let ran = ran.says("/persist/data/tree/deep/er/mine (no run made it)");
    ran.says("/persist/data/tree/empty (somebody has changed it since it was copied)");
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "a month of work");
    assert!(target.join("tree/deep/er/mine").exists() && target.join("tree/empty").exists());
    for gone in ["tree/one", "tree/deep/two", "tree/deep/er/three", "tree/linked", "d/goes", "second"] {
        assert!(!target.join(gone).exists(), "{gone}");
    }
    // Again and again, whatever the next runs are asked for.
    for args in [&["--delete"][..], &["--delete", "--overwrite"], &[]] {
        let ran = run(&plan, args).exits(1);
        assert_eq!(stale(&ran), ["a", "tree"], "{args:?}\n{ran}");
    }
    assert_eq!(std::fs::read_to_string(target.join("a")).unwrap(), "a month of work");
}

#[test]
fn content_that_was_changed_behind_its_stat_is_kept() {
    need_root!();
    let (world, plan) = scene();
    leave(&world);
    let file = world.target().join("tree/one");
    let time = filetime::FileTime::from_last_modification_time(&std::fs::metadata(&file).unwrap());
    std::fs::write(&file, "TREE/ONE").unwrap();
    filetime::set_file_mtime(&file, time).unwrap();
    // A mode that was changed and set back is nobody's work.
    for mode in [0o700, 0o644] {
        std::fs::set_permissions(world.target().join("a"), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    let ran = run(&plan, &["--delete"]).exits(1);
    assert_eq!(stale(&ran), ["tree"], "{ran}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "TREE/ONE");
    assert!(!world.target().join("a").exists());
}

#[test]
fn nothing_is_removed_while_the_copy_is_not_whole() {
    need_root!();
    let (world, plan) = scene();
    // Renamed in the source; its new name cannot be copied.
    std::fs::rename(world.data().join("a"), world.data().join("b")).unwrap();
    std::fs::create_dir_all(world.target().join("b/in the way")).unwrap();
    run(&plan, &["--delete"]).exits(1).says("kept, because this run could not copy everything");
    assert!(world.target().join("a").exists());
    std::fs::remove_dir_all(world.target().join("b")).unwrap();
    run(&plan, &["--delete"]).exits(0);
    is_clean(&world, &plan);
}

#[test]
fn a_directory_that_became_a_file_makes_way() {
    need_root!();
    let (world, plan) = scene();
    std::fs::remove_dir_all(world.data().join("tree")).unwrap();
    world.file("data/tree", "a file now");
    run(&plan, &[]).exits(1).says("remove it with --delete");
    assert!(world.target().join("tree/deep/two").exists());
    let ran = run(&plan, &["--delete"]).exits(0);
    assert_eq!((ran.total("copied"), ran.total("deleted")), (1, 8), "{ran}");
    is_clean(&world, &plan);
    // And back.
    std::fs::remove_file(world.data().join("tree")).unwrap();
    world.file("data/tree/again", "x");
    run(&plan, &["--delete"]).exits(0);
    is_clean(&world, &plan);
}

#[test]
fn a_directory_in_which_somebody_works_does_not_make_way() {
    need_root!();
    let (world, plan) = scene();
    std::fs::remove_dir_all(world.data().join("tree")).unwrap();
    std::os::unix::fs::symlink("keep", world.data().join("tree")).unwrap();
    std::fs::write(world.target().join("tree/mine"), "a month of work").unwrap();
    for _ in 0..2 {
        let ran = run(&plan, &["--delete"]).exits(1).says("/persist/data/tree/mine (no run made it)");
        let kinds: Vec<_> = ran.problems().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["type", "stale"], "{ran}");
    }
    assert_eq!(std::fs::read_to_string(world.target().join("tree/mine")).unwrap(), "a month of work");
    std::fs::remove_file(world.target().join("tree/mine")).unwrap();
    run(&plan, &["--delete"]).exits(0);
    is_clean(&world, &plan);
}

#[test]
fn a_kill_while_a_directory_makes_way_is_taken_up() {
    need_root!();
    for call in ["unlink:2", "rmdir:2", "syncfs:1", "syncfs:2", "create:1"] {
        let (world, plan) = scene();
        std::fs::remove_dir_all(world.data().join("tree")).unwrap();
        world.file("data/tree", "a file now");
        Held::at(call, &plan, &["--delete"]).kill();
        run(&plan, &["--delete"]).exits(0);
        is_clean(&world, &plan);
    }
}

/// Whatever is immutable there.
fn unstick(top: &Path) {
    sh!("find", top, "-type", "d,f", "-exec", "chattr", "-ia", "{}", "+");
}

/// Immutable files and directories, of which some leave the source.
fn sticky() -> (World, PathBuf) {
    let world = World::ext4(64);
    for name in ["d/goes", "d/stays", "tree/deep/a", "log/old", "log/new"] {
        world.file(&format!("data/{name}"), name);
    }
    std::fs::hard_link(world.data().join("d/goes"), world.data().join("other")).unwrap();
    for (flag, names) in [("+i", &["d/goes", "d", "tree/deep/a", "tree/deep", "tree"][..]), ("+a", &["log"])] {
        names.iter().for_each(|name| sh!("chattr", flag, world.data().join(name)));
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    sh!("chattr", "-R", "-ia", world.data());
    for name in ["d/goes", "log/old"] {
        std::fs::remove_file(world.data().join(name)).unwrap();
    }
    std::fs::remove_dir_all(world.data().join("tree")).unwrap();
    for (flag, names) in [("+i", &["other", "d"][..]), ("+a", &["log"])] {
        names.iter().for_each(|name| sh!("chattr", flag, world.data().join(name)));
    }
    (world, plan)
}

#[test]
fn what_a_run_made_immutable_is_removed_and_the_rest_stays_so() {
    need_root!();
    let (world, plan) = sticky();
    let ran = run(&plan, &["--delete"]).exits(0);
    assert_eq!(ran.total("deleted"), 5, "{ran}");
    is_clean(&world, &plan);
    unstick(&world.data());
    unstick(&world.target());
}

#[test]
fn a_kill_while_flags_are_lifted_is_taken_up() {
    need_root!();
    for call in ["unlink:1", "unlink:2", "unlink:3", "rmdir:1", "syncfs:1", "syncfs:2"] {
        for next in [&[][..], &["--delete"]] {
            let (world, plan) = sticky();
            Held::at(call, &plan, &["--delete"]).kill();
            let ran = run(&plan, next);
            assert!(ran.problems().iter().all(|(kind, _)| kind == "stale"), "{call}\n{ran}");
            run(&plan, &["--delete"]).exits(0);
            is_clean(&world, &plan);
            unstick(&world.data());
            unstick(&world.target());
        }
    }
}

#[test]
fn kills_anywhere_in_the_removal_are_taken_up() {
    need_root!();
    for call in ["unlink:1", "unlink:4", "rmdir:1", "rmdir:3", "syncfs:1", "syncfs:2"] {
        let (world, plan) = scene();
        leave(&world);
        Held::at(call, &plan, &["--delete"]).kill();
        // What is gone already is missed by nobody.
        let ran = run(&plan, &["--verify-only"]);
        assert!(
            ran.problems().iter().all(|(kind, _)| ["stale", "unfinished", "mtime"].contains(&kind.as_str())),
            "{call}\n{ran}"
        );
        run(&plan, &["--delete"]).exits(0);
        is_clean(&world, &plan);
    }
}

#[test]
fn a_failed_syncfs_forgets_nothing() {
    need_root!();
    let (world, plan) = scene();
    leave(&world);
    let mut failed = 0;
    for n in 1..=6 {
        let ran = faulty(&plan, &["--delete"], &format!("syncfs:{n}:EIO"));
        failed += u32::from(ran.status == Some(4));
    }
    assert!(failed > 0);
    run(&plan, &["--delete"]).exits(0);
    is_clean(&world, &plan);
}

#[test]
fn damage_is_not_removed() {
    need_root!();
    let (world, plan) = scene();
    leave(&world);
    flip(&world, &world.target().join("a"), 0);
    run(&plan, &["--verify-only"]).exits(1);
    let ran =
        run(&plan, &["--delete"]).exits(1).says("/persist/data/a (its copy was not finished, or was found damaged)");
    let kinds: Vec<_> = ran.problems().into_iter().map(|(kind, path)| format!("{kind} {path}")).collect();
    assert_eq!(kinds, ["content /persist/data/a", "stale /persist/data/a"], "{ran}");
    assert!(world.target().join("a").exists() && !world.target().join("tree").exists());
}

#[test]
fn repair_and_verification_take_no_delete() {
    for with in ["--repair", "--verify-only"] {
        let args = ["--plan", "plan.toml", "--delete", with].map(OsStr::new);
        plain(&args).exits(2).says("cannot be used with");
    }
}

#[test]
fn an_old_log_does_not_hide_rows_of_a_new_database() {
    need_root!();
    need_tools!("sqlite3");
    let world = World::ext4(64);
    let data = world.file("data/keep", "x").parent().unwrap().to_path_buf();
    let sql = |db: &Path, text: &str| {
        let out = std::process::Command::new("sqlite3").arg(db).arg(text).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_string()
    };
    // A database in use, with its log.
    let live = world.path().join("live.db");
    sql(
        &live,
        "PRAGMA journal_mode = wal; CREATE TABLE t(n); WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) INSERT INTO t SELECT n FROM c;",
    );
    let holder = rusqlite::Connection::open(&live).unwrap();
    holder.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE t SET n = n + 1; BEGIN; SELECT count(*) FROM t;").ok();
    for suffix in ["", "-wal"] {
        sh!("cp", format!("{}{suffix}", live.display()), data.join(format!("app.db{suffix}")));
    }
    holder.execute_batch("COMMIT").ok();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    // Closed, written and vacuumed since: the log is gone.
    drop(holder);
    sql(
        &live,
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) INSERT INTO t SELECT n FROM c; VACUUM;",
    );
    sh!("cp", &live, data.join("app.db"));
    std::fs::remove_file(data.join("app.db-wal")).unwrap();
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(stale(&ran), ["app.db-wal"], "{ran}");
    run(&plan, &["--delete"]).exits(0);
    assert_eq!(sql(&world.target().join("app.db"), "SELECT count(*) FROM t"), "5100");
}

fn git(at: &Path, args: &[&str]) -> String {
    let who = ["-c", "user.name=u", "-c", "user.email=u@example.org", "-c", "safe.directory=*", "-c", "gc.auto=0"];
    let out = std::process::Command::new("git").args(who).arg("-C").arg(at).args(args).output().unwrap();
    assert!(out.status.success(), "{args:?} {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_branch_is_what_it_is_in_the_source_after_its_reference_was_packed() {
    need_root!();
    need_tools!("git");
    let world = World::ext4(96);
    let repository = world.data().join("r");
    std::fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["commit", "-q", "--allow-empty", "-m", "one"]);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    git(&repository, &["commit", "-q", "--allow-empty", "-m", "two"]);
    git(&repository, &["gc", "-q"]);
    run(&plan, &["--delete"]).exits(0);
    assert_eq!(git(&world.target().join("r"), &["log", "--format=%s"]), "two\none\n");
    git(&world.target().join("r"), &["fsck", "--strict"]);
    is_clean(&world, &plan);
}

#[test]
fn a_repository_in_which_somebody_works_loses_nothing() {
    need_root!();
    need_tools!("git");
    let world = World::ext4(96);
    let repository = world.data().join("r");
    std::fs::create_dir_all(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    for name in ["one", "two"] {
        git(&repository, &["commit", "-q", "--allow-empty", "-m", name]);
        git(&repository, &["branch", name]);
    }
    git(&repository, &["pack-refs", "--all"]);
    git(&repository, &["branch", "three"]);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    // Both sides pack references, so neither file has all of them.
    let copy = world.target().join("r");
    let packed = copy.join(".git/packed-refs");
    let theirs = format!("{} refs/heads/zero\n", git(&copy, &["rev-parse", "HEAD"]).trim());
    std::fs::write(&packed, std::fs::read_to_string(&packed).unwrap() + &theirs).unwrap();
    git(&repository, &["gc", "-q"]);
    world.file("data/r/.git/beside", "x");
    for args in [&["--delete"][..], &["--delete"]] {
        let (found, told) = crate::dry_run::items(&plan, args);
        assert!(!found.values().any(|what| what == "delete"), "{told}");
        let ran = run(&plan, args)
            .exits(1)
            .says("it belongs to /persist/data/r/.git/packed-refs, which somebody has made or changed");
        assert!(ran.problems().contains(&("stale".into(), "/persist/data/r/.git/refs/heads/three".into())), "{ran}");
        assert_eq!(git(&copy, &["branch", "--format=%(refname:short)"]), "main\none\nthree\ntwo\nzero\n");
        git(&copy, &["fsck", "--strict"]);
    }
    let (found, told) = crate::dry_run::items(&plan, &["--delete", "--overwrite"]);
    assert_eq!(found.get("r/.git/refs/heads/three").map(String::as_str), Some("delete"), "{told}");
    run(&plan, &["--delete", "--overwrite"]).exits(0);
    is_clean(&world, &plan);
    // A branch that was accepted is somebody's as well.
    git(&copy, &["branch", "mine", "HEAD~1"]);
    run(&plan, &["--verify-only", "--accept"]).exits(0);
    git(&repository, &["checkout", "-q", "--orphan", "anew"]);
    git(&repository, &["commit", "-q", "--allow-empty", "-m", "anew"]);
    git(&repository, &["branch", "-D", "main", "one", "two", "three"]);
    git(&repository, &["reflog", "expire", "--expire=now", "--all"]);
    git(&repository, &["gc", "-q", "--prune=now"]);
    run(&plan, &["--delete"]).exits(1).says("it belongs to /persist/data/r/.git/");
    assert_eq!(git(&copy, &["log", "--format=%s", "mine"]), "one\n");
    git(&copy, &["fsck", "--strict"]);
    // A whole repository that the source no longer has, and somebody goes on with.
    git(&copy, &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    std::fs::remove_dir_all(&repository).unwrap();
    run(&plan, &["--delete"]).exits(1).says("it belongs to /persist/data/r/.git/");
    assert_eq!(git(&copy, &["log", "-1", "--format=%s"]), "theirs\n");
    git(&copy, &["fsck", "--strict"]);
}

#[test]
fn a_mail_that_was_moved_is_there_once() {
    need_root!();
    let world = World::ext4(64);
    for name in ["new/1", "new/2", "cur/3:2,S", "tmp/.keep"] {
        world.file(&format!("data/mail/{name}"), name);
    }
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    std::fs::rename(world.data().join("mail/new/1"), world.data().join("mail/cur/1:2,S")).unwrap();
    let ran = run(&plan, &[]).exits(1);
    assert_eq!(stale(&ran), ["mail/new/1"], "{ran}");
    run(&plan, &["--delete"]).exits(0);
    is_clean(&world, &plan);
}
