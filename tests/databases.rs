//! Databases of SQLite and their logs: one state, brought together or not at all.

use crate::kit::disk::World;
use crate::kit::run::run;
use crate::kit::{need_root, need_tools, sh, snapshot};
use std::path::{Path, PathBuf};

fn sql(database: &Path, statement: &str) -> String {
    let out = std::process::Command::new("sqlite3").arg(database).arg(statement).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_string()
}

/// A database with a log that somebody left open, as a service that was killed does.
fn leave_open(database: &Path, rows: u32) {
    let (copy, [wal, at]) =
        (database.with_extension("copy"), ["db-wal", "copy-wal"].map(|extension| database.with_extension(extension)));
    std::fs::copy(database, &copy).unwrap();
    let open = rusqlite::Connection::open(&copy).unwrap();
    let work = format!(
        "PRAGMA wal_autocheckpoint=0; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO t SELECT i, 'theirs' FROM n;"
    );
    open.execute_batch(&work).unwrap();
    // Closing the database takes its log away.
    std::fs::copy(at, &wal).unwrap();
    drop(open);
    assert!(wal.metadata().unwrap().len() > 0);
    std::fs::remove_file(&copy).unwrap();
}

/// A source with a database of one row in it.
fn with_database() -> (World, PathBuf) {
    let world = World::ext4(96);
    std::fs::create_dir(world.data()).unwrap();
    let source = world.data().join("app.db");
    sql(&source, "PRAGMA journal_mode=wal; CREATE TABLE t(i, who); INSERT INTO t VALUES(0, 'first');");
    (world, source)
}

/// Rows that can be read from a copy of `database` and its log, as opening them takes the log away.
fn rows(world: &World, database: &Path) -> String {
    let place = world.path().join("rows");
    std::fs::create_dir_all(&place).unwrap();
    sh!("cp", "-a", database.parent().unwrap(), &place);
    let counted =
        sql(&place.join("data").join(database.file_name().unwrap()), "PRAGMA integrity_check; SELECT count(*) FROM t;");
    std::fs::remove_dir_all(&place).unwrap();
    counted
}

#[test]
fn no_new_database_gets_under_a_log_that_is_not_its_own() {
    need_root!();
    need_tools!("sqlite3");
    let (world, source) = with_database();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("app.db");
    let before = std::fs::read(&target).unwrap();
    leave_open(&target, 40);
    assert_eq!(std::fs::read(&target).unwrap(), before, "only the log has changed");
    let count = || rows(&world, &target);
    sql(
        &source,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                  INSERT INTO t SELECT i, 'ours' FROM n; VACUUM;",
    );
    let (found, ran) = crate::dry_run::items(&plan, &[]);
    assert_eq!(found.get("app.db").map(String::as_str), Some("kept"), "{ran}");
    for args in [&[][..], &[]] {
        let ran = run(&plan, args).exits(1).says("its log app.db-wal there is not one that a run wrote");
        assert_eq!(ran.kinds(), ["changed-target app.db"], "{ran}");
        assert_eq!(count(), "ok\n41");
    }
    // Nor do the other passes lose sight of it.
    for args in [&["--repair"][..], &["--verify-only"]] {
        let ran = run(&plan, args).exits(1).says("app.db-wal");
        assert!(ran.kinds().contains(&"changed-target app.db".to_string()), "{args:?}\n{ran}");
        assert_eq!(count(), "ok\n41");
    }
    run(&plan, &["--overwrite"])
        .exits(0)
        .says("its log app.db-wal, which somebody had left on the target, removed with it");
    assert!(!world.target().join("app.db-wal").exists());
    assert_eq!(count(), "ok\n3001");
    run(&plan, &["--verify-only"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn no_log_of_the_source_gets_beside_a_database_that_somebody_has_changed() {
    need_root!();
    need_tools!("sqlite3");
    let (world, source) = with_database();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("app.db");
    sql(&target, "INSERT INTO t VALUES(1, 'theirs'); VACUUM;");
    leave_open(&source, 500);
    let ran = run(&plan, &[]).exits(1).says("it is a log of app.db, which somebody has changed on the target");
    assert_eq!(ran.kinds(), ["changed-target app.db", "changed-target app.db-wal"], "{ran}");
    assert!(!world.target().join("app.db-wal").exists());
    assert_eq!(sql(&target, "PRAGMA integrity_check; SELECT count(*) FROM t;"), "ok\n2");
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    assert_eq!(sql(&target, "PRAGMA integrity_check; SELECT count(*) FROM t;"), "ok\n501");
}

/// A source with a database and its log, copied; then both have newer content in the source.
fn newer_in_the_source(disturb: impl Fn(&Path)) -> (World, PathBuf) {
    let (world, source) = with_database();
    leave_open(&source, 40);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    disturb(&world.target());
    sql(&source, "DELETE FROM t; CREATE TABLE other(n); INSERT INTO t VALUES(1, 'second'); VACUUM;");
    leave_open(&source, 500);
    (world, plan)
}

#[test]
fn a_database_and_its_log_stay_together_whatever_holds_one_of_them_back() {
    need_root!();
    need_tools!("sqlite3");
    type Disturb = fn(&Path);
    const OVERWRITE: &[&str] = &["--overwrite"];
    // What is done on the target, what is readable then, and what brings the source's state.
    let ways: [(&str, Disturb, Option<&str>, &[&str]); 6] = [
        ("owner of the database", |at| sh!("chown", "1000", at.join("app.db")), Some("41"), OVERWRITE),
        ("mode of the log", |at| sh!("chmod", "600", at.join("app.db-wal")), Some("41"), OVERWRITE),
        ("mode of the log", |at| sh!("chmod", "600", at.join("app.db-wal")), Some("41"), &["--repair"]),
        ("log folded", |at| drop(sql(&at.join("app.db"), "VACUUM;")), Some("41"), OVERWRITE),
        ("log removed", |at| std::fs::remove_file(at.join("app.db-wal")).unwrap(), Some("1"), OVERWRITE),
        ("database removed", |at| std::fs::remove_file(at.join("app.db")).unwrap(), None, &["--repair", "--strict"]),
    ];
    for (what, disturb, readable, remedy) in ways {
        let (world, plan) = newer_in_the_source(disturb);
        let files = || ["app.db", "app.db-wal"].map(|name| std::fs::read(world.target().join(name)).ok());
        let before = files();
        let (found, ran) = crate::dry_run::items(&plan, &[]);
        for name in ["app.db", "app.db-wal"] {
            let item = found.get(name).map(String::as_str);
            assert!(matches!(item, Some("kept" | "missing")), "{what}: {name} {item:?}\n{ran}");
        }
        for _ in 0..2 {
            let ran = run(&plan, &[]).exits(1);
            let named: Vec<_> = ran.problems().into_iter().map(|(_, path)| path).collect();
            assert!(
                ["app.db", "app.db-wal"].iter().all(|name| named.contains(&format!("/persist/data/{name}"))),
                "{what}\n{ran}"
            );
            assert!(files() == before, "{what}\n{ran}");
        }
        if let Some(readable) = readable {
            assert_eq!(rows(&world, &world.target().join("app.db")), format!("ok\n{readable}"), "{what}");
        }
        run(&plan, remedy).exits(0);
        assert_eq!(rows(&world, &world.target().join("app.db")), "ok\n501", "{what}");
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &["--verify-only"]).exits(0);
    }
}

#[test]
fn of_many_databases_that_are_overwritten_none_loses_its_log() {
    need_root!();
    need_tools!("sqlite3");
    let world = World::ext4(128);
    std::fs::create_dir(world.data()).unwrap();
    let databases: Vec<String> = (0..12).map(|n| format!("{n}.db")).collect();
    let in_use = |at: &Path, rows| {
        for name in &databases {
            leave_open(&at.join(name), rows);
            std::fs::write(at.join(format!("{name}-shm")), vec![7; 32768]).unwrap();
            // Their names are tasks of their own.
            for other in 0..40 {
                std::fs::write(at.join(format!("{name}.{other}")), format!("{rows}")).unwrap();
            }
        }
    };
    for name in &databases {
        sql(
            &world.data().join(name),
            "PRAGMA journal_mode=wal; CREATE TABLE t(i, who); INSERT INTO t VALUES(0, 'first');",
        );
    }
    in_use(&world.data(), 10);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    in_use(&world.target(), 20);
    for name in &databases {
        sql(&world.data().join(name), "DELETE FROM t; INSERT INTO t VALUES(1, 'second'); VACUUM;");
    }
    in_use(&world.data(), 500);
    run(&plan, &["--overwrite"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    for name in &databases {
        assert_eq!(rows(&world, &world.target().join(name)), "ok\n501", "{name}");
    }
}

#[test]
fn of_a_database_that_stays_no_file_is_deleted() {
    need_root!();
    need_tools!("sqlite3");
    let (world, source) = with_database();
    leave_open(&source, 40);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("app.db");
    // Held back by its mode, while the source has folded its log.
    sh!("chmod", "600", &target);
    sql(&source, "VACUUM;");
    let (found, ran) = crate::dry_run::items(&plan, &["--delete"]);
    assert_eq!(found.get("app.db-wal").map(String::as_str), Some("stale"), "{ran}");
    let ran = run(&plan, &["--delete"])
        .exits(1)
        .says("it belongs to /persist/data/app.db, which somebody has made or changed");
    assert_eq!(ran.kinds(), ["mode app.db", "stale app.db-wal"], "{ran}");
    assert_eq!(rows(&world, &target), "ok\n41");
    let (found, ran) = crate::dry_run::items(&plan, &["--delete", "--overwrite"]);
    assert_eq!(found.get("app.db-wal").map(String::as_str), Some("delete"), "{ran}");
    run(&plan, &["--delete", "--overwrite"]).exits(0);
    assert_eq!(rows(&world, &target), "ok\n41");
    snapshot::assert_same(&world.data(), &world.target());
    // Other attributes alone are no other state of it.
    leave_open(&source, 3);
    run(&plan, &[]).exits(0);
    sh!("chmod", "600", &target);
    std::fs::remove_file(world.data().join("app.db-wal")).unwrap();
    for args in [&["--delete"][..], &["--delete", "--overwrite"]] {
        let (found, ran) = crate::dry_run::items(&plan, args);
        assert_eq!(found.get("app.db-wal").map(String::as_str), Some("delete"), "{ran}");
    }
    let ran = run(&plan, &["--delete"]).exits(1);
    assert_eq!((ran.kinds(), ran.total("deleted")), (vec!["mode app.db".to_string()], 1), "{ran}");
    run(&plan, &["--repair"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    // What somebody has written is in a log alone, and the source has nothing of it any more.
    leave_open(&target, 7);
    std::fs::remove_file(&source).unwrap();
    world.file("data/another", "x");
    let ran = run(&plan, &["--delete"])
        .exits(1)
        .says("it belongs to /persist/data/app.db-wal, which somebody has made or changed");
    assert_eq!(ran.kinds(), ["stale app.db"], "{ran}");
    assert_eq!(rows(&world, &target), "ok\n48");
}

#[test]
fn accepted_attributes_of_a_database_hold_no_log_back() {
    need_root!();
    need_tools!("sqlite3");
    let (world, source) = with_database();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let target = world.target().join("app.db");
    sh!("chmod", "600", &target);
    run(&plan, &["--verify-only", "--accept"]).exits(0);
    leave_open(&source, 40);
    run(&plan, &[]).exits(0);
    assert_eq!(rows(&world, &target), "ok\n41");
    // Content that was accepted does.
    leave_open(&target, 7);
    run(&plan, &["--verify-only", "--accept"]).exits(0);
    sql(&source, "VACUUM;");
    leave_open(&source, 90);
    run(&plan, &[]).exits(1);
    assert_eq!(rows(&world, &target), "ok\n8");
}
