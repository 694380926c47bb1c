//! What must hold after a run in which a system call failed.

use super::Case;
use crate::kit::disk::World;
use crate::kit::run::Ran;
use crate::kit::snapshot;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Calls whose failure costs nothing that was promised.
const ADVISORY: [(&str, &str); 2] = [
    ("advise", "an advice; only the speed of later reads hangs on it"),
    ("probe", "without it the report says that the medium was read through the cache"),
];

/// A call in a function that answers its failure by doing more than was needed, and why that is enough.
const ABSORBING: [(&str, &str, &str); 39] = [
    ("statfs", "volume::Key::of", "a file system that does not say which it is proves nothing, and is read"),
    ("readlink", "prove_source", "what cannot be read to compare it is copied, and the copy says so"),
    ("open", "prove_source", "the same"),
    ("stat", "prove_source", "the same"),
    ("read", "prove_source", "the same"),
    ("seekdata", "prove_source", "the same"),
    ("listxattr", "prove_source", "the same"),
    ("getxattr", "prove_source", "the same"),
    ("getflags", "prove_source", "the same"),
    ("getproject", "prove_source", "the same"),
    ("stat", "link_here", "it is linked again"),
    ("open", "survey::run", "it only counts; what it could not look at is copied all the same"),
    ("stat", "survey::run", "the same"),
    ("open", "walk::Walk", "the same"),
    ("stat", "walk::Walk", "the same"),
    ("getdents", "walk::Walk", "the same"),
    ("stat", "done_before", "it is copied again"),
    ("setflags", "Dresser::flags", "each flag is set on its own instead"),
    ("statfs", "Drivers::of", "the file is read as one of a driver that may cache"),
    ("open", "Drivers::new", "an error of a driver is each inode's own"),
    ("open", "last_totals", "the source is surveyed instead"),
    ("stat", "last_totals", "the same"),
    ("statfs", "last_totals", "the same"),
    ("flock", "last_totals", "the same"),
    ("open", "Log::fold_if_long", "the log is folded after a later commit"),
    ("stat", "Log::fold_if_long", "the same"),
    ("open", "StateDir::fold_log", "the log stays beside the database, and the next run reads both"),
    ("flock", "StateDir::fold_log", "the same"),
    ("statfs", "Place::of", "the report claims no medium, and inode numbers are held to what the row says"),
    ("stat", "Place::of", "the device number only sums up losses, of which it then counts one more kind"),
    ("stat", "Run::devices", "a target that is unmounted meanwhile has a problem for each entry instead"),
    ("open", "Run::devices", "the same"),
    ("statfs", "Run::devices", "the same"),
    ("statfs", "medium::is_memory", "the report claims no medium"),
    ("stat", "judge_unopened", "it is opened and judged again"),
    ("setxattr", "mark::set", "the journal is told instead, before anything is made"),
    ("fcntl", "Fill<H>::small", "the file goes through the cache"),
    ("fcntl", "Fill<H>::direct", "the file goes through the cache"),
    ("fcntl", "fill_chunks", "the file goes through the cache"),
];

/// What is wrong with how a run under `case` ended; empty when all is well.
pub(super) fn run(case: &Case, world: &World, ran: &Ran) -> Vec<String> {
    let mut wrong = Vec::new();
    let said: String = [&ran.stdout, &ran.stderr]
        .into_iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.starts_with("fault injected: "))
        .collect();
    let reached = ran.stderr.contains("fault injected: ");
    if ran.stderr.contains("panicked") {
        wrong.push("it panicked".to_string());
    }
    if ran.stderr.contains("debug_assert") {
        wrong.push("an assertion failed".to_string());
    }
    match ran.status {
        Some(0) => {
            let differences = snapshot::diff(&snapshot::take(&world.data()), &snapshot::take(&world.target()));
            if !differences.is_empty() {
                wrong.push(format!("status 0, and the tree differs: {}", differences.join("; ")));
            }
            if reached && !case.is_harmless() && !is_absorbed(case, &ran.stderr) {
                wrong.push("status 0 after a failure that is not known to be harmless".to_string());
            }
        }
        Some(1 | 3 | 4) if !reached => wrong.push("it failed without a fault".to_string()),
        Some(1 | 3 | 4) if case.is_harmless() => wrong.push("it must go on after that".to_string()),
        Some(1 | 3 | 4) => {
            if !said.contains(case.words()) {
                wrong.push(format!("nobody says `{}`", case.words()));
            }
        }
        status => wrong.push(format!("status {status:?} is none of a failed run")),
    }
    if case.op == "syncfs" && reached && !case.is_harmless() && ran.status != Some(4) {
        wrong.push("a failed syncfs must end the run with status 4".to_string());
    }
    wrong.extend(false_claims(world));
    wrong
}

fn is_absorbed(case: &Case, stderr: &str) -> bool {
    // A file that found no room is tried again when replacements have given theirs back.
    let retried = matches!(case.way, "ENOSPC" | "EDQUOT") && stderr.contains("copy_file");
    retried
        || ADVISORY.iter().any(|(op, _)| *op == case.op)
        || ABSORBING.iter().any(|(op, function, _)| *op == case.op && stderr.contains(function))
}

/// Rows of the journal that say more than the target has.
fn false_claims(world: &World) -> Vec<String> {
    let journal = world.persist.join(".persistcp/t.sqlite");
    let Ok(connection) = rusqlite::Connection::open(journal) else { return Vec::new() };
    // A run that failed before it made the tables claims nothing.
    let Ok(mut statement) = connection.prepare("SELECT dir, name, id, state, kind, digest, dst_ino FROM item") else {
        return Vec::new();
    };
    let rows = statement.query_map([], |row| {
        Ok(Item {
            dir: row.get(0)?,
            name: row.get(1)?,
            id: row.get(2)?,
            state: row.get(3)?,
            kind: row.get(4)?,
            digest: row.get(5)?,
            ino: row.get(6)?,
        })
    });
    let items: Vec<Item> = rows.unwrap().map(Result::unwrap).collect();
    let directories: BTreeMap<i64, &Item> = items.iter().filter_map(|item| Some((item.id?, item))).collect();
    let mut wrong = Vec::new();
    for item in &items {
        let path = item.path(&world.root, &directories);
        if item.state == 1
            && let Err(why) = item.is_there(&path)
        {
            wrong.push(format!("{} is marked done: {why}", path.display()));
        }
        if item.state == 4 {
            wrong.extend(false_chunks(&connection, item, path.parent().unwrap()));
        }
    }
    wrong
}

struct Item {
    dir: i64,
    name: Vec<u8>,
    id: Option<i64>,
    state: i64,
    kind: String,
    digest: Option<Vec<u8>>,
    ino: i64,
}

impl Item {
    fn path(&self, root: &Path, directories: &BTreeMap<i64, &Item>) -> PathBuf {
        let above = directories.get(&self.dir).map_or_else(|| root.to_path_buf(), |d| d.path(root, directories));
        above.join(std::str::from_utf8(&self.name).unwrap())
    }

    fn is_there(&self, path: &Path) -> Result<(), String> {
        use std::os::unix::fs::FileTypeExt;
        let now = path.symlink_metadata().map_err(|e| e.to_string())?;
        let kind = match now.file_type() {
            t if t.is_file() => "f",
            t if t.is_dir() => "d",
            t if t.is_symlink() => "l",
            t if t.is_fifo() => "p",
            _ => "?",
        };
        if kind != self.kind {
            return Err(format!("it is {kind}, not {}", self.kind));
        }
        if kind == "f" {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(std::fs::File::open(path).unwrap()).unwrap();
            if self.digest.as_deref() != Some(hasher.finalize().as_bytes()) {
                return Err("its content is another".to_string());
            }
        }
        Ok(())
    }
}

/// The chunks of an unfinished file, which has its own name or a temporary one.
fn false_chunks(connection: &rusqlite::Connection, item: &Item, above: &Path) -> Vec<String> {
    use blake3::hazmat::HasherExt;
    use std::os::unix::fs::FileExt;
    const CHUNK: u64 = 16 << 20;
    let mut entries = std::fs::read_dir(above).unwrap().map(Result::unwrap);
    let Some(entry) = entries.find(|e| e.metadata().unwrap().ino() == item.ino as u64) else {
        // The row alone promises nothing.
        return Vec::new();
    };
    let file = std::fs::File::open(entry.path()).unwrap();
    let size = file.metadata().unwrap().len();
    let mut statement = connection.prepare("SELECT idx, value FROM chunk WHERE dir = ?1 AND name = ?2").unwrap();
    let rows = statement.query_map((item.dir, &item.name), |row| Ok((row.get(0)?, row.get(1)?)));
    let chunks: Vec<(i64, Vec<u8>)> = rows.unwrap().map(Result::unwrap).collect();
    let mut wrong = Vec::new();
    for (index, value) in chunks {
        let from = index as u64 * CHUNK;
        if from >= size {
            wrong.push(format!(
                "chunk {index} of {} is marked done, and the file ends before it",
                entry.path().display()
            ));
            continue;
        }
        let mut bytes = vec![0; CHUNK.min(size - from) as usize];
        file.read_exact_at(&mut bytes, from).unwrap();
        let found = blake3::Hasher::new().set_input_offset(from).update(&bytes).finalize_non_root();
        if found.as_slice() != value {
            wrong.push(format!("chunk {index} of {} is marked done, and is another", entry.path().display()));
        }
    }
    wrong
}
