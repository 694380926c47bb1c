//! A journal of the same copy under another name: its source was mounted elsewhere then.

use super::journal::{Location, Reader};
use super::mapping::model::{Entry, Mapping, Presence};
use super::selection::EntryHandle;
use super::tree::node::ENTRY;
use super::volume::Volumes;
use crate::sys::at;
use crate::sys::dir::read_batches;
use crate::sys::root::Root;
use std::path::Path;

/// The name of a journal in `home` that begins with `prefix`, whose entries are those of `mapping` and were
/// copied from the inodes that are there now. One that cannot be read is passed over.
#[must_use]
pub fn find(home: &Path, prefix: &str, mapping: &Mapping) -> Option<String> {
    let entries: Vec<&Entry> = mapping.targets.iter().flat_map(|target| &target.entries).collect();
    if entries.is_empty() || entries.iter().any(|entry| entry.presence != Presence::Present) {
        return None;
    }
    let dir = at::open_dir(home).ok()?;
    let mut names = Vec::new();
    read_batches(&dir, 64, |batch| {
        names.extend(batch.iter().filter_map(|entry| {
            let name = std::str::from_utf8(entry.name.as_bytes()).ok()?.strip_suffix(".sqlite")?;
            name.starts_with(prefix).then(|| name.to_string())
        }));
        true
    })
    .ok()?;
    names.sort();
    let source = Root::open(&mapping.source).ok()?;
    names.into_iter().find(|name| is_same(&Location::new(home.to_path_buf(), name), &source, &entries) == Some(true))
}

fn is_same(location: &Location, source: &Root, entries: &[&Entry]) -> Option<bool> {
    let declared = location.declared().ok()?;
    let places = |entry: &Entry| declared.iter().any(|old| (&old.src, &old.dst) == (&entry.src, &entry.dst));
    if declared.len() != entries.len() || !entries.iter().all(|entry| places(entry)) {
        return Some(false);
    }
    let reader = location.read().ok()??;
    let volumes = Volumes::new(reader.volumes().ok()?);
    Some(entries.iter().all(|entry| is_from(&reader, &volumes, source, entry) == Some(true)))
}

/// True if the entry was copied from the inode that `source` has there now.
fn is_from(reader: &Reader, volumes: &Volumes, source: &Root, entry: &Entry) -> Option<bool> {
    let recorded = reader.find_path(&entry.dst).ok()??.source?;
    let stat = EntryHandle::new(source, entry).ok()?.stat;
    let above = entry.real.parent().unwrap_or_default();
    let open = || source.open_strict(&entry.real, ENTRY).or_else(|_| source.open_strict(&above, ENTRY));
    let volume = volumes.of(stat.dev, open, |_, _| {});
    Some((recorded.volume, recorded.ino) == (Some(volume.id), stat.ino))
}
