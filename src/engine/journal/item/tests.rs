use super::*;
use crate::engine::journal::constructors::RowKey;
use crate::engine::journal::schema;
use proptest::prelude::*;

fn journal() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection).unwrap();
    connection
}

const KINDS: [Kind; 6] = [Kind::File, Kind::Directory, Kind::Symlink, Kind::Fifo, Kind::CharDevice, Kind::BlockDevice];
const STATES: [State; 6] = [State::Open, State::Done, State::Ancestor, State::Bad, State::Partial, State::Replacing];

prop_compose! {
    fn times()(sec in any::<i64>(), nsec in 0..1_000_000_000_u32) -> Time {
        Time { sec, nsec }
    }
}

prop_compose! {
    fn wanted()(
        kind in prop::sample::select(KINDS.to_vec()), mode in 0..0o10_000_u32, owner in any::<Option<(u32, u32)>>(),
        mtime in prop::option::of(times()), flags in any::<u32>(), given_up in any::<u32>(), project in any::<u32>(),
        lost in any::<u32>(), attributes in any::<bool>(),
    ) -> Wanted {
        let mut wanted = Wanted::plain_directory(mode, owner);
        (wanted.kind, wanted.mtime, wanted.project) = (kind, mtime, project);
        (wanted.flags, wanted.given_up) = (Flags::from_bits_retain(flags), Flags::from_bits_retain(given_up));
        wanted.lost = UnpreservedSet::from_bits(lost);
        wanted.xattrs = attributes.then(|| Xattrs::from_bytes(b"\x06\0\0\0user.a\x01\0\0\0b").unwrap());
        wanted
    }
}

prop_compose! {
    fn rows()(
        wanted in wanted(), state in prop::sample::select(STATES.to_vec()),
        numbers in any::<[u64; 4]>(), id in any::<Option<i64>>(), nlink in any::<u32>(), alias in any::<bool>(),
        source in prop::option::of((any::<Option<i64>>(), any::<u64>(), times())), ctime in times(),
        digest in prop::option::of((any::<bool>(), any::<[u8; 32]>())), link in any::<Option<Vec<u8>>>(),
        verified in any::<Option<i64>>(), name in prop::collection::vec(1..=255_u8, 1..40),
    ) -> Row {
        let source = source.map(|(volume, ino, ctime)| SourceId { volume, ino, ctime });
        let key = RowKey { dir: 7, name: &name, target: 3 };
        let stat = crate::sys::root::Root::open(std::path::Path::new("/")).and_then(crate::sys::stat::stat_fd).unwrap();
        let row = Row::open_directory(key, 0, source, &stat, wanted);
        let [size, rdev, dst_ino, allocated] = numbers;
        let digest = digest.map(|(chunks, bytes)| {
            Digest { algorithm: if chunks { Algorithm::NonZeroChunks } else { Algorithm::Blake3 }, bytes }
        });
        let dst_ctime = ctime;
        Row { id, state, size, rdev, nlink, dst_ino, dst_ctime, allocated, alias, digest, link, verified, ..row }
    }
}

proptest! {
    #[test]
    fn a_row_comes_back_as_it_went_in(row in rows()) {
        let connection = journal();
        insert(&mut insertion(&connection).unwrap(), &row, row.state).unwrap();
        let back = connection.query_row(&select(""), [], decode).unwrap();
        prop_assert_eq!(format!("{row:?}"), format!("{back:?}"));
    }
}

#[test]
fn a_row_can_be_recorded_in_another_state() {
    let connection = journal();
    let stat = crate::sys::root::Root::open(std::path::Path::new("/")).and_then(crate::sys::stat::stat_fd).unwrap();
    let row = Row::ancestor(RowKey { dir: 0, name: b"persist", target: 0 }, 1, &stat);
    insert(&mut insertion(&connection).unwrap(), &row, State::Replacing).unwrap();
    assert_eq!(connection.query_row(&select(""), [], decode).unwrap().state, State::Replacing);
}

#[test]
fn states_keep_their_numbers() {
    for (number, state) in
        (0..).zip([State::Open, State::Done, State::Ancestor, State::Bad, State::Partial, State::Replacing])
    {
        assert_eq!((state.number(), State::from_number(number)), (number, Some(state)));
    }
    assert_eq!(State::from_number(6), None);
}

#[test]
fn what_is_asked_often_has_its_index() {
    let connection = journal();
    for (rest, index) in [
        (format!("WHERE state = {PARTIAL}"), "item_partial"),
        (format!("WHERE src_ino = 1 AND alias = 0 AND {}", is_linked()), "item_link"),
        (format!("WHERE (dir, name) > (1, x'00') AND {}", is_immutable()), "item_sticky"),
        ("WHERE id = 1".to_string(), "item_id"),
        (format!("WHERE dir = 1 AND name = x'00' AND {}", is_finished()), "PRIMARY KEY"),
    ] {
        let sql = format!("EXPLAIN QUERY PLAN {}", select(&rest));
        let plan: String = connection.query_row(&sql, [], |row| row.get("detail")).unwrap();
        assert!(plan.contains(index), "{rest}: {plan}");
    }
}

#[test]
fn a_value_that_no_run_writes_is_damage() {
    let connection = journal();
    let stat = crate::sys::root::Root::open(std::path::Path::new("/")).and_then(crate::sys::stat::stat_fd).unwrap();
    let row = Row::ancestor(RowKey { dir: 0, name: b"persist", target: 0 }, 1, &stat);
    for damage in ["state = 9", "kind = 'x'", "algorithm = 7, digest = zeroblob(32)", "algorithm = 0", "xattrs = x'01'"]
    {
        insert(&mut insertion(&connection).unwrap(), &row, row.state).unwrap();
        connection.execute(&format!("UPDATE item SET {damage}"), []).unwrap();
        let error = connection.query_row(&select(""), [], decode).unwrap_err();
        assert!(matches!(error, rusqlite::Error::FromSqlConversionFailure(..)), "{damage}: {error}");
    }
}
