//! Docker's overlay2 store: every layer that an image or container needs is there and has its parent
//! layers.

use super::context::CheckContext;
use super::row::CheckRow;
use super::tree::{Read, rel};
use crate::base::path::{Name, RelPath};
use crate::sys::leads_nowhere;
use std::collections::BTreeSet;

/// How many broken layers get a row each; one more counts the rest.
const SHOWN: usize = 20;

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    let Some(base) = context.tree.stored(&rel("var/lib/docker")) else { return Vec::new() };
    let store = base.join_path(&rel("overlay2"));
    let layers = match context.tree.list(&store) {
        Ok(names) => names.into_iter().filter(|name| name.as_bytes() != b"l").collect::<Vec<_>>(),
        Err(errno) if leads_nowhere(errno) => return vec![CheckRow::skip("docker-layer", &store, "no overlay2 store")],
        Err(errno) => return vec![CheckRow::unreadable("docker-layer", &store, errno)],
    };
    let mut rows = layers_of(context, &base, &store, &layers);
    rows.extend(layers.iter().filter_map(|layer| merged(context, &store.join(layer))));
    rows.extend(containers(context, &base));
    rows
}

fn layers_of(context: &CheckContext, base: &RelPath, store: &RelPath, layers: &[Name]) -> Vec<CheckRow> {
    const ID: &str = "docker-layer";
    let mut rows = Vec::new();
    let (needed, unreadable) = needed(context, base);
    rows.extend(unreadable);
    let there: BTreeSet<&Name> = layers.iter().collect();
    for layer in needed.iter().filter(|layer| !there.contains(*layer)) {
        rows.push(CheckRow::fail(ID, &store.join(layer), "is not there, but an image or a container needs it"));
    }
    for layer in layers {
        let path = store.join(layer);
        if let Some(why) = broken(context, store, layer, needed.contains(layer)) {
            rows.push(CheckRow::fail(ID, &path, why));
        }
    }
    let again = context.bring_back();
    let mut rows: Vec<CheckRow> = rows.into_iter().map(|row| row.run(&*again)).collect();
    let rest = rows.len().saturating_sub(SHOWN);
    if rest > 0 {
        rows.truncate(SHOWN);
        rows.push(CheckRow::fail(ID, store, format!("{rest} more layers are broken")).run(again));
    }
    if rows.is_empty() {
        let why = format!("{} layers, {} of them needed by name", layers.len(), needed.len());
        rows.push(CheckRow::pass(ID, store, why));
    }
    rows
}

/// The layers that images and containers name, and files of the database that are unreadable.
fn needed(context: &CheckContext, base: &RelPath) -> (BTreeSet<Name>, Vec<CheckRow>) {
    let (mut found, mut rows) = (BTreeSet::new(), Vec::new());
    let database = base.join_path(&rel("image/overlay2/layerdb"));
    for (dir, files) in [("sha256", &["cache-id"][..]), ("mounts", &["mount-id", "init-id"])] {
        let dir = database.join_path(&rel(dir));
        let names = match context.tree.list(&dir) {
            Ok(names) => names,
            Err(errno) if leads_nowhere(errno) => continue,
            Err(errno) => {
                rows.push(CheckRow::unreadable("docker-layer", &dir, errno));
                continue;
            }
        };
        for path in names.iter().flat_map(|name| files.iter().map(|file| dir.join(name).join_path(&rel(file)))) {
            let id = match context.tree.read(&path) {
                Read::Bytes(bytes) => bytes,
                // A cache-id is never missing; the other two may be.
                Read::Absent if files.len() > 1 => continue,
                Read::Absent => {
                    rows.push(CheckRow::fail("docker-layer", &path, "is not there: the image has lost this layer"));
                    continue;
                }
                Read::Failed(errno) => {
                    rows.push(CheckRow::unreadable("docker-layer", &path, errno));
                    continue;
                }
            };
            match Name::new(id.trim_ascii()) {
                Ok(name) => {
                    found.insert(name);
                }
                Err(_) => rows.push(CheckRow::fail("docker-layer", &path, "names no layer, as after a crash")),
            }
        }
    }
    (found, rows)
}

/// What is wrong with a layer. One that nothing refers to may be incomplete.
fn broken(context: &CheckContext, store: &RelPath, layer: &Name, is_needed: bool) -> Option<String> {
    let path = store.join(layer);
    let links = store.join_path(&rel("l"));
    let there = |path: &RelPath| context.tree.stat(path).is_ok();
    if is_needed && !there(&path.join_path(&rel("diff"))) {
        return Some("has no `diff`: its content is lost".into());
    }
    match context.tree.read(&path.join_path(&rel("link"))) {
        Read::Bytes(bytes) => match Name::new(bytes.trim_ascii()) {
            Ok(short) => {
                let link = links.join(&short);
                let end = context.tree.stat_through(&link).map(|stat| (stat.dev, stat.ino));
                let diff = context.tree.stat(&path.join_path(&rel("diff"))).map(|stat| (stat.dev, stat.ino));
                match (end, diff) {
                    (Ok(end), Ok(diff)) if end == diff => {}
                    (Err(_), Err(_)) if !is_needed => {}
                    _ => return Some(format!("l/{short} does not lead to its `diff`")),
                }
            }
            Err(_) => return Some("its `link` names nothing, as after a crash".into()),
        },
        Read::Absent if is_needed => return Some("has no `link`".into()),
        Read::Absent => {}
        Read::Failed(errno) => return Some(format!("`link`: {}", crate::sys::errno_words(errno))),
    }
    let lower = match context.tree.read(&path.join_path(&rel("lower"))) {
        Read::Bytes(bytes) => bytes,
        Read::Absent => return None,
        Read::Failed(errno) => return Some(format!("`lower`: {}", crate::sys::errno_words(errno))),
    };
    let missing = lower.trim_ascii().split(|b| *b == b':').find(|part| {
        let link = RelPath::new(part).ok().filter(|link| link.depth() == 2);
        link.is_none_or(|link| context.tree.stat_through(&store.join_path(&link)).is_err())
    });
    missing.map(|part| format!("its `lower` needs {}, which leads nowhere", crate::base::path::escape(part)))
}

/// The mounted view of a container duplicates what its layers hold.
fn merged(context: &CheckContext, layer: &RelPath) -> Option<CheckRow> {
    let path = layer.join_path(&rel("merged"));
    let names = context.tree.list(&path).ok()?;
    // A running container's is a mount.
    let mounted = context.tree.stat(&path).is_ok_and(|stat| stat.mount_root);
    (!names.is_empty() && !mounted).then(|| {
        let why = "has content: it was mounted while the backup was made, and is a second copy of the layers";
        let mend = context
            .tree
            .command_by_name(&path, |word| format!("rm -r --one-file-system {word} && mkdir -m 0700 {word}"));
        CheckRow::warn("docker-merged", &path, why).mend(mend)
    })
}

fn containers(context: &CheckContext, base: &RelPath) -> Vec<CheckRow> {
    const ID: &str = "docker-container";
    let dir = base.join_path(&rel("containers"));
    let names = match context.tree.list(&dir) {
        Ok(names) => names,
        Err(errno) if leads_nowhere(errno) => return Vec::new(),
        Err(errno) => return vec![CheckRow::unreadable(ID, &dir, errno)],
    };
    let one = |name: &Name| {
        let path = dir.join(name).join_path(&rel("config.v2.json"));
        match context.tree.read(&path) {
            Read::Bytes(bytes) => match serde_json::from_slice::<serde_json::Map<_, _>>(&bytes) {
                Ok(_) => CheckRow::pass(ID, &path, "parses"),
                Err(error) => {
                    let why = format!("is not a JSON object (line {}): the container is lost", error.line());
                    CheckRow::fail(ID, &path, why).mend(context.bring_anew(&path))
                }
            },
            Read::Absent => CheckRow::fail(ID, &path, "is not there: the container is lost").run(context.bring_back()),
            Read::Failed(errno) => CheckRow::unreadable(ID, &path, errno),
        }
    };
    names.iter().map(one).collect()
}
