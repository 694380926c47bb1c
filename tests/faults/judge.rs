//! What must hold after a run in which a system call failed.

use super::Case;
use crate::kit::disk::World;
use crate::kit::run::Ran;
use crate::kit::{journal, snapshot};
use persistcp::engine::journal::{Reader, Row};
use persistcp::sys::stat::Kind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Calls whose failure costs nothing that was promised.
const ADVISORY: [(&str, &str); 2] = [
    ("advise", "an advice; only the speed of later reads hangs on it"),
    ("probe", "without it the report says that the medium was read through the cache"),
];

/// A call in a function that answers its failure by doing more than was needed, and why that is enough.
const ABSORBING: [(&str, &str, &str); 50] = [
    ("readlink", "in_use::notes", "databases in use are a note, and no promise"),
    ("statfs", "in_use::notes", "the same"),
    ("open", "is_entry_in_place", "it is counted as if it were not in its place; the copy looks again"),
    ("stat", "is_entry_in_place", "the same"),
    ("stat", "may_be_in_place", "it is opened and looked at again"),
    ("statfs", "VolumeKey::of", "a file system that does not say which it is proves nothing, and is read"),
    ("stat", "VolumeKey::of", "the same"),
    ("open", "open::declare", "what is declared counts as there: verification misses it if it is not copied"),
    ("stat", "open::declare", "the same"),
    ("readlink", "SourceCase::current", "what cannot be read to compare it is copied, and the copy says so"),
    ("open", "SourceCase::current", "the same"),
    ("stat", "SourceCase::current", "the same"),
    ("read", "SourceCase::current", "the same"),
    ("seekdata", "SourceCase::current", "the same"),
    ("listxattr", "SourceCase::current", "the same"),
    ("getxattr", "SourceCase::current", "the same"),
    ("getflags", "SourceCase::current", "the same"),
    ("getproject", "SourceCase::current", "the same"),
    ("stat", "link_here", "it is linked again"),
    ("stat", "Applier::owner", "the owner is set all the same"),
    ("setflags", "Applier::flags", "each flag is set on its own instead"),
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
    ("statfs", "CheckedDir::of", "the report claims no medium, and inode numbers are held to what the row says"),
    ("stat", "CheckedDir::of", "the device number only sums up losses, of which it then counts one more kind"),
    ("stat", "place::devices", "a target that is unmounted meanwhile has a problem for each entry instead"),
    ("open", "place::devices", "the same"),
    ("statfs", "place::devices", "the same"),
    ("statfs", "medium::is_memory", "the report claims no medium"),
    ("stat", "judge_unopened", "it is opened and judged again"),
    ("setxattr", "mark::set", "the journal is told instead, before anything is made"),
    ("fcntl", "Fill<H>::small", "the file goes through the cache"),
    ("fcntl", "Fill<H>::direct", "the file goes through the cache"),
    ("fcntl", "ChunkWork::run", "the file goes through the cache"),
    ("fcntl", "copy_batch", "the file is read on its own"),
    ("reflink", "Sharing::share", "the file is copied"),
    ("open", "latency::is_late", "the source is taken for a disk of this machine"),
    ("statfs", "latency::is_late", "the same"),
    ("statfs", "TargetPlace::identity", "all that is to be copied counts as needing room"),
    ("statfs", "Counts::count_shareable", "the same"),
    ("stat", "Counts::count_shareable", "the same"),
    ("ring", "BatchReader::new", "files are read one by one"),
];

/// What found no room here is tried again: a file when replacements have given theirs back, an attribute when the
/// mark has.
const RETRYING: [&str; 3] = ["Files::copy", "ChunkWork::copy", "Applier::set"];

/// The survey before a first copy only counts: what it could not look at is copied all the same. It walks as
/// all others do, but before anything was made.
const SURVEYING: (&[&str], [&str; 3]) =
    (&["open", "stat", "getdents"], ["RunningWalk", "scheduler::spawn_subdirectory", "TargetCounter::start"]);

/// Functions of these lists that the source does not have: nothing would ever match them.
pub(super) fn unknown_functions() -> Vec<&'static str> {
    let source = crate::layers::source_texts();
    let has = |words: &str| {
        let ends = |text: &str| !text.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        source.iter().any(|(_, text)| text.match_indices(words).any(|(at, _)| ends(&text[at + words.len()..])))
    };
    let is_known = |path: &str| {
        let parts: Vec<&str> = path.split("::").map(|part| part.split('<').next().unwrap_or(part)).collect();
        let last = parts[parts.len() - 1];
        let owner = parts.len() < 2 || {
            let owner = parts[parts.len() - 2];
            let file = |(name, _): &(String, String)| {
                name.ends_with(&format!("/{owner}.rs")) || name.contains(&format!("/{owner}/"))
            };
            has(&format!("struct {owner}")) || source.iter().any(file)
        };
        owner && (has(&format!("fn {last}")) || has(&format!("struct {last}")))
    };
    ABSORBING
        .iter()
        .map(|(_, path, _)| *path)
        .chain(RETRYING)
        .chain(SURVEYING.1)
        .filter(|path| !is_known(path))
        .collect()
}

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
    let retried = matches!(case.way, "ENOSPC" | "EDQUOT") && RETRYING.iter().any(|function| stderr.contains(function));
    let surveyed = SURVEYING.0.contains(&case.op)
        && SURVEYING.1.iter().any(|function| stderr.contains(function))
        && stderr.contains("before anything was made");
    retried
        || surveyed
        || ADVISORY.iter().any(|(op, _)| *op == case.op)
        || ABSORBING.iter().any(|(op, function, _)| *op == case.op && stderr.contains(function))
}

/// Rows of the journal that say more than the target has.
fn false_claims(world: &World) -> Vec<String> {
    // A run that failed before it made the tables claims nothing.
    let Some(reader) = journal::reader(&world.persist.join(".persistcp")) else { return Vec::new() };
    let mut wrong = Vec::new();
    for (path, row) in journal::done(&reader) {
        let path = world.root.join(OsStr::from_bytes(path.as_bytes()));
        if let Err(why) = is_there(&row, &path) {
            wrong.push(format!("{} is marked done: {why}", path.display()));
        }
    }
    for row in reader.partial().unwrap() {
        let above = reader.path_of(row.dir).unwrap();
        wrong.extend(false_chunks(&reader, &row, &world.root.join(OsStr::from_bytes(above.as_bytes()))));
    }
    wrong
}

fn is_there(row: &Row, path: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt;
    let now = path.symlink_metadata().map_err(|e| e.to_string())?;
    let kind = match now.file_type() {
        t if t.is_file() => Kind::File,
        t if t.is_dir() => Kind::Directory,
        t if t.is_symlink() => Kind::Symlink,
        t if t.is_fifo() => Kind::Fifo,
        t => return Err(format!("it is {t:?}")),
    };
    if kind != row.kind() {
        return Err(format!("it is {kind:?}, not {:?}", row.kind()));
    }
    if kind == Kind::File {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path).unwrap()).unwrap();
        if row.digest.map(|digest| digest.bytes) != Some(*hasher.finalize().as_bytes()) {
            return Err("its content is another".to_string());
        }
    }
    Ok(())
}

/// The chunks of an unfinished file, which has its own name or a temporary one.
fn false_chunks(reader: &Reader, row: &Row, above: &Path) -> Vec<String> {
    use blake3::hazmat::HasherExt;
    use std::os::unix::fs::FileExt;
    const CHUNK: u64 = 16 << 20;
    let mut entries = std::fs::read_dir(above).unwrap().map(Result::unwrap);
    let Some(entry) = entries.find(|e| e.metadata().unwrap().ino() == row.dst_ino) else {
        // The row alone promises nothing.
        return Vec::new();
    };
    let file = std::fs::File::open(entry.path()).unwrap();
    let size = file.metadata().unwrap().len();
    let mut wrong = Vec::new();
    for (index, value) in reader.chunks(row.dir, &row.name).unwrap() {
        let from = index * CHUNK;
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
        if found != value {
            wrong.push(format!("chunk {index} of {} is marked done, and is another", entry.path().display()));
        }
    }
    wrong
}
