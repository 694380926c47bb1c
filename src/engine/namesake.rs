//! A journal of the same copy under another name: its source was mounted elsewhere then.

use super::journal::{Location, Reader};
use super::mapping::model::{Entry, Mapping, Presence};
use super::selection::EntryHandle;
use super::tree::node::ENTRY;
use super::volume::Volumes;
use crate::base::path::{Name, RelPath};
use crate::sys::at;
use crate::sys::dir::read_batches;
use crate::sys::root::Root;
use crate::sys::stat::stat_fd;
use std::path::Path;

/// The name of a journal in `home` that begins with `prefix`, whose entries are those of `mapping` and were
/// copied from the inodes that are there now. One that cannot be read is passed over.
#[must_use]
pub fn find(home: &Path, prefix: &str, mapping: &Mapping) -> Option<String> {
    let entries: Vec<&Entry> = mapping.targets.iter().flat_map(|target| &target.entries).collect();
    if entries.is_empty() || entries.iter().any(|entry| entry.presence != Presence::Present) {
        return None;
    }
    let source = Root::open(&mapping.source).ok()?;
    let is_same = |name: &String| is_same(&Location::new(home.to_path_buf(), name), &source, &entries) == Some(true);
    journals(home, prefix)?.into_iter().find(is_same)
}

/// What the very directory that receives the only entry of `mapping`, directly below the root, was called when
/// another journal in `home` that begins with `prefix` recorded it from the inode that is there now.
#[must_use]
pub fn renamed(home: &Path, prefix: &str, mapping: &Mapping) -> Option<Name> {
    let mut entries = mapping.targets.iter().flat_map(|target| &target.entries);
    let (Some(entry), None) = (entries.next(), entries.next()) else { return None };
    let there = at::dir_handle(&mapping.root.join(entry.dst.as_path())).and_then(stat_fd).ok()?;
    let source = Root::open(&mapping.source).ok()?;
    journals(home, prefix)?.into_iter().find_map(|name| {
        let location = Location::new(home.to_path_buf(), &name);
        let [old] = &location.declared().ok()?[..] else { return None };
        let reader = location.read().ok()??;
        let was_here = reader.find_path(&old.dst).ok()??.dst_ino == there.ino;
        let is_top = was_here && old.dst.depth() == 1 && old.dst != entry.dst && old.src == entry.src;
        let volumes = Volumes::new(reader.volumes().ok()?);
        let is_same = is_top && is_from(&reader, &volumes, &source, (entry, &old.dst)) == Some(true);
        is_same.then(|| old.dst.last())?
    })
}

/// The names in `home` that a journal with the `prefix` has, sorted.
fn journals(home: &Path, prefix: &str) -> Option<Vec<String>> {
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
    Some(names)
}

fn is_same(location: &Location, source: &Root, entries: &[&Entry]) -> Option<bool> {
    let declared = location.declared().ok()?;
    let places = |entry: &Entry| declared.iter().any(|old| (&old.src, &old.dst) == (&entry.src, &entry.dst));
    if declared.len() != entries.len() || !entries.iter().all(|entry| places(entry)) {
        return Some(false);
    }
    let reader = location.read().ok()??;
    let volumes = Volumes::new(reader.volumes().ok()?);
    Some(entries.iter().all(|entry| is_from(&reader, &volumes, source, (entry, &entry.dst)) == Some(true)))
}

/// True if the entry was copied to `dst` from the inode that `source` has there now.
fn is_from(reader: &Reader, volumes: &Volumes, source: &Root, (entry, dst): (&Entry, &RelPath)) -> Option<bool> {
    let recorded = reader.find_path(dst).ok()??.source?;
    let stat = EntryHandle::new(source, entry).ok()?.stat;
    let above = entry.real.parent().unwrap_or_default();
    let open = || source.open_strict(&entry.real, ENTRY).or_else(|_| source.open_strict(&above, ENTRY));
    let volume = volumes.of(stat.dev, open, |_, _| {});
    Some((recorded.volume, recorded.ino) == (Some(volume.id), stat.ino))
}
