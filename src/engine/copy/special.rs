//! Symlinks, FIFOs and device nodes.

use super::context::{AppliedMetadata, CopyContext};
use super::create::make_beside;
use super::directories::Directories;
use super::entry::CopyEntry;
use super::hand_in::hand_in;
use super::immutable::ImmutableFlags;
use super::link::CopyResult;
use super::rules::Rules;
use super::source::SourceTree;
use crate::base::path::Name;
use crate::engine::events::counters::add;
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::in_place::LinkAt;
use crate::engine::journal::epoch::Written;
use crate::engine::journal::{InodePair, Row, RowKey, SourceId};
use crate::engine::meta::{Attributes, Wanted};
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// Copies what is neither a directory nor a regular file.
pub(super) struct SpecialFiles {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
    pub(super) directories: Arc<Directories>,
    pub(super) flags: Arc<ImmutableFlags>,
}

/// A symlink, FIFO or device node of the source, held by a handle.
struct SpecialSource {
    stat: Stat,
    handle: OwnedFd,
    attributes: Attributes,
    /// A symlink's text.
    link: Option<Vec<u8>>,
}

impl SpecialFiles {
    /// Makes a symlink, FIFO or device node; none of them is ever opened.
    pub(super) fn copy(&self, entry: &CopyEntry<'_>, stat: &Stat) -> CopyResult {
        let (dir, node, name, own) = (entry.dir, entry.node(), entry.name, entry.own);
        let path = || entry.path();
        let Some(source) = self.open(entry, stat) else { return CopyResult::Failed };
        let SpecialSource { stat, handle, attributes, link } = source;
        match link.as_ref().map_or(Ok(false), |text| self.is_link_to_itself(entry, text)) {
            Ok(false) => {}
            Ok(true) => {
                self.cx.problem(node.target, Problem::new(path(), ProblemKind::Missing, Detail::LinkToItself));
                return CopyResult::Failed;
            }
            Err(errno) => {
                let problem = Problem::failed(path(), ProblemKind::Unreadable, Operation::ReadSymlink, errno);
                self.cx.problem(node.target, problem);
                return CopyResult::Failed;
            }
        }
        let (made, temporary) = match self.make(entry, &stat, link.as_deref()) {
            Ok(made) => made,
            Err(errno) if node.disk.cannot(errno) => {
                self.cx.lost(node, path(), if link.is_some() { Unpreserved::Symlinks } else { Unpreserved::Special });
                return CopyResult::Failed;
            }
            Err(errno) => {
                self.cx.target_failed(node.target, path(), Operation::CreateNode(stat.kind), errno);
                return CopyResult::Failed;
            }
        };
        let volume = self.source.volume_of(dir, &stat, || Ok(&handle));
        let id = SourceId::of_whole(&stat, &volume, &attributes);
        let mut wanted = Wanted::from_source(&stat, attributes, &self.cx.options.keep);
        if !stat.flags.is_empty() && !volume.is_image() {
            wanted.lost.insert(Unpreserved::SpecialFlags);
        }
        own.apart.map(|unpreserved| wanted.lost.insert(unpreserved));
        let fixup = self.rules.put_over_leaf(&mut wanted, entry, &stat);
        fixup.into_iter().for_each(|f| self.rules.fixup_changed(f));
        self.cx.note_rights(&wanted, path);
        let AppliedMetadata { stat: made, whole } =
            match self.cx.apply_metadata(node, Holder::handle(&made), &mut wanted, path) {
                Ok(applied) => applied,
                Err(errno) => {
                    self.cx.target_failed(node.target, path(), Operation::FinishCopy, errno);
                    return CopyResult::Failed;
                }
            };
        let target = entry.target();
        add(&self.cx.tally(target).copied, 1);
        let key = RowKey { dir: node.id, name: name.as_bytes(), target };
        let id = id.filter(|_| whole && !own.stopgap);
        let inodes = InodePair { source: &stat, id, target: &made, wanted };
        let row = match link {
            Some(text) => Row::symlink(key, inodes, text),
            None => Row::special(key, inodes),
        };
        let replace = temporary.map(|temporary| node.replacing(temporary, name, own.stands));
        hand_in(&self.cx.submit, entry, Written::row(row, node.file_system).replacing(replace))
    }

    /// True for a symlink of this text whose copy would lead to itself. Its text then ends with its name.
    fn is_link_to_itself(&self, entry: &CopyEntry<'_>, text: &[u8]) -> Result<bool, Errno> {
        let names = |text: &[u8]| text.contains(&b'/') && text.ends_with(entry.name.as_bytes());
        if !names(text) {
            return Ok(false);
        }
        let dir = entry.dir.src.open()?;
        let link = LinkAt { source: &self.source.root, dir: &dir, name: entry.in_source(), text };
        link.leads_to(&entry.path(), None)
    }

    /// Opens a handle on an entry of the source of the same kind as `stat`, and reads what it is;
    /// `None` after reporting a problem.
    fn open(&self, entry: &CopyEntry<'_>, stat: &Stat) -> Option<SpecialSource> {
        let unreadable = |operation, errno| {
            self.cx
                .problem(entry.node().target, Problem::failed(entry.path(), ProblemKind::Unreadable, operation, errno));
        };
        // From here on the handle is the source: the name may mean something else now.
        let source = entry.dir.src.open_handle(entry.in_source()).and_then(|handle| Ok((stat_fd(&handle)?, handle)));
        let (stat, handle) = match source {
            Ok((now, handle)) if now.kind == stat.kind => (now, handle),
            Ok(_) => {
                unreadable(Operation::Recheck, Errno::STALE);
                return None;
            }
            Err(errno) => {
                unreadable(Operation::OpenSource, errno);
                return None;
            }
        };
        let attributes = self.source.attributes_of(entry, Holder::handle(&handle), &stat);
        let link = match stat.kind {
            Kind::Symlink => match file::read_link(&handle) {
                Ok(text) => Some(text),
                Err(errno) => {
                    unreadable(Operation::ReadSymlink, errno);
                    return None;
                }
            },
            _ => None,
        };
        Some(SpecialSource { stat, handle, attributes, link })
    }

    /// Makes the node under its name, or under a temporary one if that is taken, and returns a
    /// handle on it. Whoever may write in the directory can put another inode there before it is
    /// opened: `STALE` unless it is of the same make and has no other name, so that giving it
    /// away gives nothing away.
    fn make(&self, entry: &CopyEntry<'_>, stat: &Stat, link: Option<&[u8]>) -> Result<(OwnedFd, Option<Name>), Errno> {
        let (node, name) = (entry.node(), entry.name);
        let target = self.directories.open_to_fill(node)?;
        let make = |name: &Name| match link {
            Some(text) => target.make_symlink(text, name),
            None => target.make_node(name, stat.kind, stat.rdev),
        };
        let ((), temporary) = make_beside(&target, name, node.fresh, make)?;
        if temporary.is_some() {
            self.flags.lift_at(&target, node.id, name)?;
        }
        let created = temporary.as_ref().unwrap_or(name);
        let held = target.open_handle(created).and_then(|handle| Ok((stat_fd(&handle)?, handle)));
        let (made, handle) = match held {
            Ok(held) => held,
            Err(errno) => {
                // No row will identify it.
                target.unlink(created).ok();
                return Err(errno);
            }
        };
        let same = made.kind == stat.kind
            && made.nlink == 1
            && match link {
                Some(text) => file::read_link(&handle)? == text,
                None => made.rdev == stat.rdev || stat.kind == Kind::Fifo,
            };
        if same { Ok((handle, temporary)) } else { Err(Errno::STALE) }
    }
}
