//! What the journal promises of a target, held against the target: every row in
//! state 1 and every chunk. Shares no code with the product's verification.

use super::disk::World;
use super::snapshot;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

const CHUNK: u64 = 16 << 20;
const DONE: i64 = 1;
const PARTIAL: i64 = 4;

struct Row {
    dir: i64,
    name: Vec<u8>,
    id: Option<i64>,
    state: i64,
    kind: String,
    size: u64,
    mode: u32,
    owner: Option<(u32, u32)>,
    mtime: Option<(i64, i64)>,
    rdev: u64,
    nlink: u32,
    source: Option<(u64, i64, i64)>,
    dst_ino: u64,
    digest: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    xattrs: Option<Vec<u8>>,
}

struct Chunk {
    dir: i64,
    name: Vec<u8>,
    index: u64,
}

/// What was looked at, and what is not as promised.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) rows: usize,
    pub(crate) chunks: usize,
    pub(crate) broken: Vec<String>,
}

/// Reads a copy of the journal, so that looking changes nothing.
pub(crate) fn check(world: &World) -> Findings {
    let mut found = Findings::default();
    let scratch = tempfile::TempDir::new_in(world.path()).unwrap();
    let state = world.persist.join(".persistcp");
    if !state.join("t.sqlite").exists() {
        return found;
    }
    for name in ["t.sqlite", "t.sqlite-wal"].iter().filter(|name| state.join(name).exists()) {
        std::fs::copy(state.join(name), scratch.path().join(name)).unwrap();
    }
    let (rows, chunks) = match read(&scratch.path().join("t.sqlite")) {
        Ok(read) => read,
        Err(error) => {
            found.broken.push(format!("the journal cannot be read: {error}"));
            return found;
        }
    };
    let dirs: HashMap<i64, (i64, &[u8])> =
        rows.iter().filter_map(|row| Some((row.id?, (row.dir, row.name.as_slice())))).collect();
    let mut by_key = HashMap::new();
    for row in &rows {
        let path = world.root.join(below(&dirs, row.dir)).join(OsStr::from_bytes(&row.name));
        let Ok(relative) = path.strip_prefix(world.target()) else { continue };
        // An empty join would add a slash, and lstat would follow a link.
        let source = if relative == Path::new("") { world.data() } else { world.data().join(relative) };
        if row.state == DONE {
            found.rows += 1;
            found.broken.extend(row.broken(&path, &source).into_iter().map(|b| format!("{}: {b}", path.display())));
        }
        by_key.insert((row.dir, row.name.as_slice()), (row, path, source));
    }
    for chunk in &chunks {
        let Some((row, path, source)) = by_key.get(&(chunk.dir, chunk.name.as_slice())) else { continue };
        if row.state == PARTIAL && row.is_current(source) {
            found.chunks += 1;
            if let Err(words) = chunk.compare(row, path, source) {
                found.broken.push(format!("{}: chunk {}: {words}", path.display(), chunk.index));
            }
        }
    }
    found
}

/// The path of a directory, from the root.
fn below(dirs: &HashMap<i64, (i64, &[u8])>, id: i64) -> PathBuf {
    match dirs.get(&id) {
        Some((dir, name)) => below(dirs, *dir).join(OsStr::from_bytes(name)),
        None => PathBuf::new(),
    }
}

fn read(database: &Path) -> Result<(Vec<Row>, Vec<Chunk>), rusqlite::Error> {
    let connection = rusqlite::Connection::open(database)?;
    let made: i64 = connection.query_row("PRAGMA schema_version", [], |row| row.get(0))?;
    if made == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(rusqlite::Error::InvalidColumnName(sound));
    }
    let mut statement = connection.prepare("SELECT * FROM item")?;
    let rows = statement.query_map([], |row| {
        let pair = |a, b| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(a)?.zip(row.get::<_, Option<i64>>(b)?));
        Ok(Row {
            dir: row.get("dir")?,
            name: row.get("name")?,
            id: row.get("id")?,
            state: row.get("state")?,
            kind: row.get("kind")?,
            size: row.get::<_, i64>("size")? as u64,
            mode: row.get("mode")?,
            owner: pair("uid", "gid")?.map(|(uid, gid)| (uid as u32, gid as u32)),
            mtime: pair("mtime", "mtime_ns")?,
            rdev: row.get::<_, i64>("rdev")? as u64,
            nlink: row.get("nlink")?,
            source: match (row.get::<_, Option<i64>>("src_ino")?, pair("src_ctime", "src_ctime_ns")?) {
                (Some(ino), Some((sec, nsec))) => Some((ino as u64, sec, nsec)),
                _ => None,
            },
            dst_ino: row.get::<_, i64>("dst_ino")? as u64,
            digest: row.get("digest")?,
            link: row.get("link")?,
            xattrs: row.get("xattrs")?,
        })
    })?;
    let rows = rows.collect::<Result<_, _>>()?;
    let mut statement = connection.prepare("SELECT dir, name, idx FROM chunk")?;
    let chunks = statement
        .query_map([], |row| Ok(Chunk { dir: row.get(0)?, name: row.get(1)?, index: row.get::<_, i64>(2)? as u64 }))?;
    let chunks = chunks.collect::<Result<_, _>>()?;
    Ok((rows, chunks))
}

impl Row {
    /// True when the row speaks of the source as it is now.
    fn is_current(&self, source: &Path) -> bool {
        source.symlink_metadata().is_ok_and(|meta| self.source == Some((meta.ino(), meta.ctime(), meta.ctime_nsec())))
    }

    fn broken(&self, path: &Path, source: &Path) -> Vec<String> {
        let broken = self.differences(path);
        let there = |path: &Path| path.symlink_metadata().is_ok();
        if broken.is_empty() || self.is_current(source) || !there(source) || !there(path) {
            return broken;
        }
        // The source was changed since. What replaces the old copy may be in its place
        // before its row is; then it is all there.
        let new = match self.kind.as_str() {
            "d" => path.is_dir(),
            "l" => std::fs::read_link(path).ok() == std::fs::read_link(source).ok(),
            _ => snapshot::diff(&snapshot::take(source), &snapshot::take(path)).is_empty(),
        };
        if new { Vec::new() } else { broken }
    }

    /// What the entry at `path` has other than the row.
    fn differences(&self, path: &Path) -> Vec<String> {
        let Ok(meta) = path.symlink_metadata() else { return vec!["missing".into()] };
        let mut out = Vec::new();
        let mut differs = |what: &str, row: String, target: String| {
            if row != target {
                out.push(format!("{what}: the row says {row}, the target {target}"));
            }
        };
        differs("type", self.kind.clone(), letter(&meta).to_string());
        if letter(&meta).to_string() != self.kind {
            return out;
        }
        if self.kind != "l" {
            differs("mode", format!("{:o}", self.mode), format!("{:o}", meta.mode() & 0o7777));
        }
        if let Some(owner) = self.owner {
            differs("owner", format!("{owner:?}"), format!("{:?}", (meta.uid(), meta.gid())));
        }
        if let Some(mtime) = self.mtime {
            differs("mtime", format!("{mtime:?}"), format!("{:?}", (meta.mtime(), meta.mtime_nsec())));
        }
        if self.nlink > 1 && self.kind != "d" {
            differs("inode", self.dst_ino.to_string(), meta.ino().to_string());
        }
        if let Some(xattrs) = &self.xattrs {
            let found = xattr::list(path).unwrap().map(|name| {
                let value = xattr::get(path, &name).unwrap().unwrap();
                (name.as_bytes().to_vec(), value)
            });
            differs("xattrs", format!("{:?}", parse(xattrs)), format!("{:?}", found.collect::<BTreeMap<_, _>>()));
        }
        match self.kind.as_str() {
            "f" => {
                differs("size", self.size.to_string(), meta.size().to_string());
                let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
                let found = blake3::Hasher::new().update_reader(File::open(path).unwrap()).unwrap().finalize();
                differs("content", hex(self.digest.as_deref().unwrap_or_default()), hex(found.as_bytes()));
            }
            "l" => {
                let text = std::fs::read_link(path).unwrap();
                let shown = |text: &[u8]| text.escape_ascii().to_string();
                differs("text", shown(self.link.as_deref().unwrap_or_default()), shown(text.as_os_str().as_bytes()));
            }
            "b" | "c" => differs("device", self.rdev.to_string(), meta.rdev().to_string()),
            _ => {}
        }
        out
    }
}

fn letter(meta: &Metadata) -> char {
    let kind = meta.file_type();
    let kinds = [
        (kind.is_file(), 'f'),
        (kind.is_dir(), 'd'),
        (kind.is_symlink(), 'l'),
        (kind.is_fifo(), 'p'),
        (kind.is_char_device(), 'c'),
        (kind.is_block_device(), 'b'),
    ];
    kinds.iter().find(|(is, _)| *is).map_or('?', |(_, letter)| *letter)
}

/// The column `xattrs`: length and bytes of each name and value, in turn.
fn parse(mut bytes: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut next = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bytes = rest;
        Some(field.to_vec())
    };
    while let Some(name) = next() {
        out.insert(name, next().unwrap());
    }
    out
}

impl Chunk {
    /// The chunk's bytes of an unfinished file, wherever it stands until it is whole.
    fn compare(&self, row: &Row, path: &Path, source: &Path) -> Result<(), String> {
        let mut names = std::fs::read_dir(path.parent().unwrap()).map_err(|e| e.to_string())?.map(Result::unwrap);
        let own = |entry: &std::fs::DirEntry| std::os::unix::fs::DirEntryExt::ino(entry) == row.dst_ino;
        let Some(entry) = names.find(own) else { return Err("its file is missing".into()) };
        let length = CHUNK.min(row.size.saturating_sub(self.index * CHUNK)) as usize;
        let part = |path: &Path| {
            let mut bytes = vec![0; length];
            let file = File::open(path).map_err(|e| e.to_string())?;
            file.read_exact_at(&mut bytes, self.index * CHUNK).map(|()| bytes).map_err(|e| e.to_string())
        };
        if part(source)? == part(&entry.path())? { Ok(()) } else { Err("its bytes are not the source's".into()) }
    }
}
