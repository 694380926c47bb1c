use super::*;
use crate::engine::journal::connect;
use rusqlite::OpenFlags;
use std::path::Path;

/// Everything a statement can see of the tables: indexes, and columns by name, as a step adds them at the end.
fn shape(connection: &Connection) -> Vec<String> {
    let columns = "SELECT m.type || ' ' || m.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || c.pk \
                   FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type IN ('table', 'view')";
    let indexes = "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";
    let mut lines: Vec<String> = [columns, indexes]
        .iter()
        .flat_map(|sql| {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect::<Vec<String>>()
        })
        .collect();
    lines.sort();
    lines
}

fn created() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    create(&connection).unwrap();
    connection
}

#[test]
fn a_migrated_journal_has_the_tables_of_a_new_one() {
    for version in OLDEST..=VERSION {
        let path = format!("{}/tests/fixtures/journal/version-{version}.sqlite", env!("CARGO_MANIFEST_DIR"));
        let uri = format!("file:{path}?immutable=1");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let old = Connection::open_with_flags(uri, flags).unwrap();
        assert_eq!(connect::version(&old, Path::new(&path)).unwrap(), Some(version));
        let migrated = connect::migrated(&old, version, Path::new(&path)).unwrap();
        assert_eq!(connect::version(&migrated, Path::new(&path)).unwrap(), Some(VERSION));
        assert_eq!(shape(&migrated), shape(&created()), "version {version}");
    }
}

#[test]
fn a_step_that_fails_leaves_the_journal_as_it_was() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE run(id INTEGER PRIMARY KEY); PRAGMA user_version = 2;").unwrap();
    let before = shape(&connection);
    migrate(&connection, OLDEST).unwrap_err();
    assert!(connection.is_autocommit(), "nothing is left open");
    assert_eq!(shape(&connection), before);
}

#[test]
fn every_step_has_a_version() {
    assert_eq!(i32::try_from(STEPS.len()), Ok(VERSION - OLDEST));
}
