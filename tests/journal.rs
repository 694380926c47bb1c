//! A journal that is damaged, foreign or of another version: a clear error, a way
//! out, and nothing lost.

use crate::kit::damage::flip;
use crate::kit::disk::World;
use crate::kit::held::Held;
use crate::kit::random::Random;
use crate::kit::run::{faulty, plain, run};
use crate::kit::{journal, need_root, sh, snapshot};
use crate::resume::many;
use persistcp::base::path::RelPath;
use persistcp::engine::journal::{Location, Row, State};
use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

fn copied() -> (World, PathBuf, PathBuf) {
    let world = World::ext4(128);
    many(&world, 1500);
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let journal = world.persist.join(".persistcp/t.sqlite");
    (world, plan, journal)
}

fn set_aside(world: &World) -> usize {
    let names = std::fs::read_dir(world.persist.join(".persistcp")).unwrap();
    let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
    // Its log lies beside it under the same stamp.
    names.filter(|n| n.contains(".sqlite.old-") && !n.ends_with("-wal") && !n.ends_with("-shm")).count()
}

#[test]
fn a_journal_of_another_version_is_refused_with_the_way_out() {
    need_root!();
    let (world, plan, journal) = copied();
    for (version, words) in [(1, "the older version 1"), (99, "version 99")] {
        let connection = rusqlite::Connection::open(&journal).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        drop(connection);
        let before = snapshot::take(&world.target());
        run(&plan, &[]).exits(3).says(words).says("--restart").says("nothing was written");
        run(&plan, &["--verify-only"]).exits(3).says(words);
        assert_eq!(snapshot::diff(&before, &snapshot::take(&world.target())), [""; 0]);
    }
    run(&plan, &["--restart"]).exits(0);
    assert_eq!(set_aside(&world), 1, "the old one is kept");
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn what_is_not_a_journal_at_all_is_refused_and_kept() {
    need_root!();
    let (world, plan, journal) = copied();
    let text = b"not a database, but somebody's notes\n".repeat(100);
    std::fs::write(&journal, &text).unwrap();
    run(&plan, &[]).exits(3).says("--restart");
    assert_eq!(std::fs::read(&journal).unwrap(), text, "it is not ours to change");
    run(&plan, &["--restart"]).exits(0);
    assert_eq!(set_aside(&world), 1);
    snapshot::assert_same(&world.data(), &world.target());
}

#[test]
fn a_journal_that_is_cut_off_is_an_error_with_the_way_out() {
    need_root!();
    let (world, plan, journal) = copied();
    let whole = std::fs::read(&journal).unwrap();
    for part in [100, 5000, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&journal, &whole[..part]).unwrap();
        let ran = run(&plan, &[]);
        assert!(matches!(ran.status, Some(3 | 4)), "cut at {part}: {ran}");
        ran.says("--restart");
    }
    run(&plan, &["--restart"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn flipped_bits_in_the_journal_never_pass_for_a_whole_copy() {
    need_root!();
    let mut random = Random::seeded();
    let (world, plan, journal) = copied();
    let whole = std::fs::read(&journal).unwrap();
    let mut refused = 0;
    for round in 0..40 {
        let mut damaged = whole.clone();
        for _ in 0..1 + round % 8 {
            let at = random.below(damaged.len() as u64) as usize;
            damaged[at] ^= 1 << random.below(8);
        }
        std::fs::write(&journal, &damaged).unwrap();
        let ran = run(&plan, &[]);
        assert!(!ran.stderr.contains("panicked"), "round {round}: {ran}");
        assert!(matches!(ran.status, Some(0 | 1 | 3 | 4)), "round {round}: {ran}");
        if matches!(ran.status, Some(3 | 4)) {
            refused += 1;
            ran.says("--restart");
            // The journal that is put back knows nothing of this run, nor of what it left under temporary names.
            sh!("find", world.target(), "-name", ".persistcp-*.tmp", "-delete");
        } else {
            snapshot::assert_same(&world.data(), &world.target());
        }
        // An older journal than what is there: it is held against both sides, and copies what it must.
        for log in ["-wal", "-shm"] {
            std::fs::remove_file(journal.with_extension(format!("sqlite{log}"))).ok();
        }
        std::fs::write(&journal, &whole).unwrap();
        let ran = run(&plan, &[]);
        if ran.status == Some(1) {
            // A link that the damaged journal's run made anew has another inode than this journal knows.
            assert!(ran.problems().iter().all(|(kind, _)| kind == "link"), "round {round}: {ran}");
            run(&plan, &["--repair"]).exits(0);
        } else {
            ran.exits(0);
        }
        snapshot::assert_same(&world.data(), &world.target());
    }
    println!("{refused} of 40 damaged journals were refused, the others did no harm");
}

/// Puts `fixtures/journal/FIXTURE` where the journal of the plan lies.
fn with_journal(world: &World, fixture: &str) -> (PathBuf, PathBuf) {
    let state = world.persist.join(".persistcp");
    std::fs::create_dir(&state).unwrap();
    let journal = state.join("t.sqlite");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal").join(fixture), &journal)
        .unwrap();
    (world.plan(""), journal)
}

/// What both trees below have.
fn common(world: &World) {
    let file = world.file("data/dir/file", "hello\n");
    std::fs::hard_link(file, world.data().join("dir/second")).unwrap();
    std::os::unix::fs::symlink("dir/file", world.data().join("link")).unwrap();
    let empty = world.file("data/empty", "");
    xattr::set(empty, "user.kept", b"value").unwrap();
    crate::kit::dress::node(&world.data().join("fifo"), rustix::fs::FileType::Fifo, 0);
}

/// The tree that `version-2.sqlite` tells of, as release 0.1.0 before version 3 left it after a
/// run and a verification.
fn of_version_2() -> (World, PathBuf, PathBuf) {
    let world = World::ext4(64);
    common(&world);
    world.file("data/wide", "lost\n");
    let (plan, journal) = with_journal(&world, "version-2.sqlite");
    (world, plan, journal)
}

/// The tree that the fixtures of a stopped run tell of: it was stopped when the target had all but
/// the last chunk of `large` and the end of `data`, and verification has found `damaged` so since.
fn stopped_source(world: &World) {
    common(world);
    world.file("data/damaged", "damaged\n");
    for name in ["damaged", "dir/file", "empty", "fifo"] {
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(world.data().join(name), mode).unwrap();
    }
    for name in ["", "dir"] {
        std::fs::set_permissions(world.data().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    sh!("find", world.source, "-exec", "touch", "-h", "-d", "@1700000000", "{}", "+");
}

fn add_large(world: &World) {
    std::fs::File::create(world.data().join("large")).unwrap().set_len(80 << 20).unwrap();
    sh!("touch", "-d", "@1700000000", world.data().join("large"), world.data());
}

/// The journal of a stopped run, and a target that has what that run finished, under inodes of its own.
fn of_stopped_run(version: i32) -> (World, PathBuf, PathBuf) {
    let world = World::ext4(200);
    stopped_source(&world);
    sh!("cp", "-a", world.data(), world.persist);
    add_large(&world);
    let (plan, journal) = with_journal(&world, &format!("version-{version}.sqlite"));
    (world, plan, journal)
}

#[test]
#[ignore = "writes the fixture of a stopped run of today's version anew: with PERSISTCP_FIXTURE as its path"]
fn write_the_fixture() {
    let Some(fixture) = std::env::var_os("PERSISTCP_FIXTURE") else { panic!("PERSISTCP_FIXTURE is not set") };
    let world = World::ext4(200);
    let plan = world.plan("");
    // The last chunk is the one whose hole is asked for when four are recorded.
    let four = (1..30).any(|n| {
        for old in [world.target(), world.persist.join(".persistcp"), world.data()] {
            std::fs::remove_dir_all(old).ok();
        }
        world.file("data/lost", "lost\n");
        faulty(&plan, &[], "read:1:EIO").exits(1);
        std::fs::remove_file(world.data().join("lost")).unwrap();
        stopped_source(&world);
        add_large(&world);
        let held = Held::at(&format!("seekdata:{n}"), &plan, &["--threads", "1"]);
        std::thread::sleep(std::time::Duration::from_secs(2));
        let reader = journal::reader(&world.persist.join(".persistcp")).unwrap();
        let row = reader.find_path(&RelPath::new(b"persist/data/large").unwrap()).unwrap();
        let chunks = row.map_or(0, |row| reader.chunks(row.dir, &row.name).unwrap().len());
        held.kill();
        chunks == 4
    });
    assert!(four, "no run has been killed before its last chunk");
    flip(&world, &world.target().join("damaged"), 3);
    run(&plan, &["--verify-only"]).exits(1);
    let journal = world.persist.join(".persistcp/t.sqlite");
    sh!("cp", journal, &fixture);
    // Where it was made is nobody's business.
    let connection = rusqlite::Connection::open(&fixture).unwrap();
    let here = world.path().to_str().unwrap();
    for (path, words) in [(here, "/t"), (env!("CARGO_BIN_EXE_persistcp"), "persistcp")] {
        for (table, column) in [("meta", "value"), ("run", "report"), ("run", "command")] {
            let replaced = format!("UPDATE {table} SET {column} = replace({column}, ?1, ?2)");
            connection.execute(&replaced, (path, words)).unwrap();
        }
    }
    connection.execute_batch("VACUUM").unwrap();
}

fn version(journal: &Path) -> i32 {
    let connection = rusqlite::Connection::open(journal).unwrap();
    connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_journal_of_the_release_before_is_read_without_being_changed() {
    need_root!();
    let (world, plan, journal) = of_version_2();
    let before = std::fs::read(&journal).unwrap();
    let report = |args: &[&str]| {
        let mut all = vec!["report", "--plan", plan.to_str().unwrap()];
        all.extend(args);
        plain(&all.into_iter().map(OsStr::new).collect::<Vec<_>>()).exits(0)
    };
    report(&[]).says("done, no problems");
    report(&["--format", "json"]).says("/persist/data/dir/second");
    report(&["--format", "b3sum"]).says("  persist/data/wide");
    run(&plan, &["--dry-run"]).exits(0);
    assert!(std::fs::read(&journal).unwrap() == before, "only a run that writes migrates it");
    assert_eq!(std::fs::read_dir(journal.parent().unwrap()).unwrap().count(), 1);
    // Nor does a verification where nothing can be written.
    sh!("mount", "-o", "remount,ro", world.persist);
    let ran = run(&plan, &["--verify-only"]).exits(1).says("is not recorded");
    assert!(ran.problems().contains(&("missing".into(), "/persist/data".into())), "{ran}");
    assert!(std::fs::read(&journal).unwrap() == before);
}

#[test]
fn a_journal_of_the_release_before_is_migrated_by_a_run_and_goes_on() {
    need_root!();
    let (world, plan, journal) = of_version_2();
    assert_eq!(version(&journal), 2);
    run(&plan, &["--repair"]).exits(0);
    snapshot::assert_same(&world.data(), &world.target());
    assert_eq!(version(&journal), 5);
    let runs = plain(&["report", "--run", "list", "--plan", plan.to_str().unwrap()].map(OsStr::new)).exits(0).stdout;
    let kinds = ["copy", "verify", "copy"];
    assert!(runs.lines().count() == 3 && runs.lines().zip(kinds).all(|(run, kind)| run.contains(kind)), "{runs}");
    run(&plan, &[]).exits(0).says("nothing to copy");
}

#[test]
fn what_a_journal_of_version_3_could_not_copy_is_told_as_it_was_recorded() {
    need_root!();
    let (_world, plan, journal) = copied();
    let connection = rusqlite::Connection::open(&journal).unwrap();
    let old = "DROP TABLE accepted; ALTER TABLE problem DROP COLUMN op; ALTER TABLE problem DROP COLUMN errno;
               INSERT INTO problem VALUES(CAST('persist/data/lost' AS BLOB), 'unreadable', '', 'data', \
                 'open the source: Permission denied', NULL, NULL, 0, 1);
               PRAGMA user_version = 3;";
    connection.execute_batch(old).unwrap();
    drop(connection);
    let ran = run(&plan, &["--verify-only"]).exits(1).says("open the source: Permission denied");
    assert_eq!(ran.problems(), [("unreadable".into(), "/persist/data/lost".into())]);
    assert_eq!(version(&journal), 5);
}

#[test]
fn the_journal_of_a_stopped_run_of_each_version_is_reported_and_verified() {
    need_root!();
    for (from, ended) in [(3, "stopped"), (4, "has not ended"), (5, "has not ended")] {
        let (_world, plan, journal) = of_stopped_run(from);
        let report = ["report", "--plan", plan.to_str().unwrap()].map(OsStr::new);
        plain(&report).exits(0).says(ended);
        let ran = run(&plan, &["--verify-only"]).exits(1);
        let mut problems = ran.problems();
        problems.sort();
        let mut expected =
            vec![("missing", "/persist/data/large"), ("unfinished", "/"), ("unfinished", "/persist/data")];
        if from >= 4 {
            // A problem of an earlier run, with its operation and errno.
            expected.push(("unreadable", "/persist/data/lost"));
        }
        let expected: Vec<_> = expected.iter().map(|(kind, path)| (kind.to_string(), path.to_string())).collect();
        assert_eq!(problems, expected, "{from}: {ran}");
        assert_eq!(version(&journal), 5);
    }
}

#[test]
fn a_stopped_run_of_each_version_goes_on_with_what_is_missing() {
    need_root!();
    for from in [3, 4, 5] {
        let (world, plan, _journal) = of_stopped_run(from);
        let ran = run(&plan, &[]).exits(0);
        // `large` is one hole, and `damaged` is taken for what the stopped run has left.
        assert_eq!(ran.total("copied_bytes"), 8, "{from}: {ran}");
        snapshot::assert_same(&world.data(), &world.target());
        run(&plan, &["--verify-only"]).exits(0);
        run(&plan, &[]).exits(0).says("nothing to copy");
    }
}

/// The row of /persist/data/NAME.
fn row(world: &World, name: &str) -> Row {
    let location = Location::new(world.persist.join(".persistcp"), "t");
    let reader = location.read().unwrap().expect("a journal");
    let path = RelPath::new(format!("persist/data/{name}").as_bytes()).unwrap();
    reader.find_path(&path).unwrap().expect("a row")
}

/// A copied file, and what a row that is done says of it.
fn one_file() -> (World, PathBuf, PathBuf) {
    let world = World::ext4(64);
    world.file("data/f", "content\n");
    std::fs::set_permissions(world.data().join("f"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let plan = world.plan("");
    run(&plan, &[]).exits(0);
    let file = world.target().join("f");
    (world, plan, file)
}

fn chmod(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn is_recorded_as_it_is(world: &World, file: &Path) -> bool {
    let (row, meta) = (row(world, "f"), std::fs::metadata(file).unwrap());
    let ctime = (row.dst_ctime.sec, i64::from(row.dst_ctime.nsec));
    row.state == State::Done && row.verified.is_some() && ctime == (meta.ctime(), meta.ctime_nsec())
}

#[test]
fn a_mode_that_was_set_back_is_recorded_only_after_a_syncfs() {
    need_root!();
    let (world, plan, file) = one_file();
    chmod(&file, 0o600);
    run(&plan, &["--verify-only"]).exits(1);
    chmod(&file, 0o644);
    let ran = faulty(&plan, &["--verify-only"], "syncfs:1:EIO").exits(4).says("syncfs: Input/output error");
    assert!(!is_recorded_as_it_is(&world, &file), "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
    assert!(is_recorded_as_it_is(&world, &file));
    // What has not changed since asks for none.
    faulty(&plan, &["--verify-only"], "syncfs:1:EIO").exits(0);
}

#[test]
fn a_mode_that_was_set_back_is_nothing_to_the_next_run() {
    need_root!();
    let (_world, plan, file) = one_file();
    chmod(&file, 0o600);
    run(&plan, &["--verify-only"]).exits(1);
    chmod(&file, 0o644);
    faulty(&plan, &["--verify-only"], "syncfs:1:EIO").exits(4);
    let ran = run(&plan, &[]).exits(0);
    assert_eq!((ran.total("copied"), ran.problems()), (0, Vec::new()), "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
}

#[test]
fn what_was_damaged_and_is_whole_again_is_done_only_after_a_syncfs() {
    need_root!();
    let (world, plan, file) = one_file();
    flip(&world, &file, 3);
    run(&plan, &["--verify-only"]).exits(1);
    assert_eq!(row(&world, "f").state, State::Bad);
    flip(&world, &file, 3);
    let ran = faulty(&plan, &["--verify-only"], "syncfs:1:EIO").exits(4);
    assert_eq!(row(&world, "f").state, State::Bad, "{ran}");
    run(&plan, &["--verify-only"]).exits(0);
    assert!(is_recorded_as_it_is(&world, &file));
    let ran = run(&plan, &[]).exits(0);
    assert_eq!((ran.total("copied"), ran.problems()), (0, Vec::new()), "{ran}");
}
