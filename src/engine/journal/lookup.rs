//! The rows of many names of one directory.

use super::item::{decode, row_name, select};
use super::reader::Reader;
use super::row::Row;
use crate::base::path::Name;
use crate::engine::events::journal_error::JournalError;
use rusqlite::Connection;
use std::sync::{Arc, LazyLock};

/// The journal's answer about one name.
#[derive(Debug)]
pub enum RowAnswer {
    /// It was not asked: the rows of the names before took enough memory.
    Unasked,
    /// Its row, if it has one.
    Known(Option<Arc<Row>>),
}

/// So many rows are passed over on the way to the next name; beyond that, looking for it costs less.
const PASSED: u32 = 8;
/// Attributes can take 64 KiB each: with this many bytes of rows no more are read.
const MOST_BYTES: u64 = 256 << 10;

impl Reader {
    /// The rows of `names` in the directory `dir`, in the order of `names`. Names that follow each
    /// other closely are found by going on from row to row.
    pub fn find_each(&self, dir: i64, names: &[&Name]) -> Result<Vec<RowAnswer>, JournalError> {
        self.wrap(each(self.connection(), dir, names))
    }
}

fn each(connection: &Connection, dir: i64, names: &[&Name]) -> Result<Vec<RowAnswer>, rusqlite::Error> {
    static FROM: LazyLock<String> = LazyLock::new(|| select("WHERE dir = ?1 AND name >= ?2 ORDER BY name"));
    let mut answers: Vec<RowAnswer> = names.iter().map(|_| RowAnswer::Known(None)).collect();
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by_key(|at| names[*at].as_bytes());
    let mut order = order.into_iter().peekable();
    let mut bytes = 0;
    let mut statement = connection.prepare_cached(&FROM)?;
    while let Some(first) = order.peek() {
        if bytes > MOST_BYTES {
            order.for_each(|at| answers[at] = RowAnswer::Unasked);
            break;
        }
        let mut rows = statement.query((dir, names[*first].as_bytes()))?;
        let mut passed = 0;
        while passed <= PASSED && bytes <= MOST_BYTES {
            // Behind the last row of the directory: the rest has none.
            let Some(row) = rows.next()? else { return Ok(answers) };
            let name = row_name(row)?;
            // Names before this row have none.
            while order.next_if(|at| names[*at].as_bytes() < name).is_some() {}
            passed += 1;
            while let Some(at) = order.next_if(|at| names[*at].as_bytes() == name) {
                let row = Arc::new(decode(row)?);
                bytes += row.heap_bytes();
                answers[at] = RowAnswer::Known(Some(row));
                passed = 0;
            }
            if order.peek().is_none() {
                return Ok(answers);
            }
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::journal::constructors::RowKey;
    use crate::engine::journal::item::{insert, insertion};
    use crate::engine::journal::{State, schema};
    use crate::engine::meta::{Wanted, Xattrs};
    use crate::sys::stat::stat_fd;
    use proptest::prelude::*;

    /// A journal with rows of `names` in the directory 7, and one before and behind it.
    fn journal(names: impl IntoIterator<Item = Name>, xattrs: Option<&Xattrs>) -> Connection {
        let connection = Connection::open_in_memory().expect("open");
        schema::create(&connection).expect("tables");
        let root = crate::sys::root::Root::open(std::path::Path::new("/")).expect("open");
        let stat = stat_fd(root).expect("stat");
        let others = [6, 8].map(|dir| (dir, Name::new(b"m").expect("a name")));
        let mut statement = insertion(&connection).expect("a statement");
        for (dir, name) in names.into_iter().map(|name| (7, name)).chain(others) {
            let wanted = Wanted { xattrs: xattrs.cloned(), ..Wanted::plain_directory(0o700, None) };
            let key = RowKey { dir, name: name.as_bytes(), target: 0 };
            let row = Row { id: None, ..Row::open_directory(key, 0, None, &stat, wanted) };
            insert(&mut statement, &row, State::Done).expect("insert");
        }
        drop(statement);
        connection
    }

    fn name() -> impl Strategy<Value = Name> {
        prop::collection::vec(b'a'..b'd', 1..4).prop_map(|bytes| Name::new(&bytes).expect("a name"))
    }

    proptest! {
        #[test]
        fn each_name_gets_its_own_row(
            recorded in prop::collection::btree_set(name(), 0..60), asked in prop::collection::vec(name(), 0..60),
        ) {
            let connection = journal(recorded.iter().cloned(), None);
            let names: Vec<&Name> = asked.iter().collect();
            let answers = each(&connection, 7, &names).expect("answers");
            prop_assert_eq!(answers.len(), asked.len());
            for (name, answer) in asked.iter().zip(answers) {
                let RowAnswer::Known(row) = answer else { panic!("not asked for {name}") };
                prop_assert_eq!(row.is_some(), recorded.contains(name));
                if let Some(row) = row {
                    prop_assert_eq!((row.dir, row.name.as_slice()), (7, name.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn rows_with_much_memory_are_not_all_read() {
        let names: Vec<Name> = (0..64).map(|n| Name::new(format!("{n:02}").as_bytes()).expect("a name")).collect();
        let value = vec![b'v'; 60_000];
        let length = |part: &[u8]| u32::try_from(part.len()).expect("short").to_le_bytes();
        let bytes = [&length(b"user.a")[..], b"user.a", &length(&value), &value].concat();
        let xattrs = Xattrs::from_bytes(&bytes).expect("attributes");
        let connection = journal(names.iter().cloned(), Some(&xattrs));
        let answers = each(&connection, 7, &names.iter().collect::<Vec<_>>()).expect("answers");
        let known = answers.iter().filter(|answer| matches!(answer, RowAnswer::Known(Some(_)))).count();
        let unasked = answers.iter().filter(|answer| matches!(answer, RowAnswer::Unasked)).count();
        assert!((1..8).contains(&known), "{known}");
        assert_eq!(known + unasked, names.len());
    }
}
