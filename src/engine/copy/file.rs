//! The life of one regular file, from top to bottom: open the source, create
//! (0600), copy and hash, look at the source again, owner, attributes, times,
//! mode, hand to the epoch.

use super::create::make_beside;
use super::data::{Failure, Filled};
use super::dir::OpenDir;
use super::large::{Values, is_chunked};
use super::link::{Copied, Outcome, Place as LinkPlace};
use super::node::DirNode;
use super::settled::{Look, QUIET, TICK, look, until_settled};
use super::{AppliedMetadata, Engine, data};
use crate::base::path::{Name, RelPath};
use crate::engine::content::reread;
use crate::engine::events::counters::add;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::journal::epoch::{Permit, Replace, Written};
use crate::engine::journal::{Row, SourceId, State};
use crate::engine::meta::mark::Was;
use crate::engine::meta::{self, Attributes, Wanted, mark};
use crate::engine::volume::Volume;
use crate::sys::dir::TargetDir;
use crate::sys::raw::close;
use crate::sys::stat::{Kind, Stat, stat_fd};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, file};
use rustix::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A source that changes while it is read is read this often.
const ATTEMPTS: u32 = 3;

/// A new file on the target: 0600, ours alone.
pub(super) struct Created {
    pub(super) fd: OwnedFd,
    /// Its name until it is durable, when its own name is taken.
    pub(super) temporary: Option<Name>,
    /// It is not new: a finished file in its place, of which some chunks are bad.
    pub(super) mended: bool,
    /// It has a mark, which must go at its end.
    pub(super) marked: bool,
    /// What it will replace.
    pub(super) stands: Option<Stat>,
}

/// Files with at least this many bytes of data are marked before they get room: what a kill
/// leaves of a smaller one is no room that anybody misses.
const MARKED: u64 = 1 << 20;

/// A source file, open, and what it looked like when it was opened.
pub(super) struct Source {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
}

impl Engine {
    /// Copies the open `source` to `name`, whatever its links.
    pub(super) fn copy_file(
        &self,
        dir: &OpenDir,
        name: &Name,
        source: &Source,
        mut own: crate::engine::copy::Override,
    ) -> Outcome {
        let node = &dir.node;
        let Ok(parent) =
            self.open_to_fill(node).map_err(|e| self.target_failed(node.target, node.path(), "open the directory", e))
        else {
            return Outcome::No;
        };
        let chunked = is_chunked(&source.stat);
        let made = self.submit.room_made();
        let unfinished = if chunked { self.unfinished(dir, name, &parent, source) } else { None };
        // Chunks have permits of their own.
        let dirty = source.stat.size.min(source.stat.allocated);
        let mut permit = (!chunked).then(|| self.submit.gate.acquire(dirty));
        let (mut created, values) = match unfinished {
            Some(unfinished) => unfinished,
            None => match self.create(node, &parent, name, dirty).or_else(|errno| {
                let again = self.submit.makes_room(errno, made);
                if again { self.create(node, &parent, name, dirty) } else { Err(errno) }
            }) {
                Ok(created) => (created, Values::new()),
                Err(errno) => {
                    self.target_failed(node.target, node.path().join(name), "create the file", errno);
                    return Outcome::No;
                }
            },
        };
        created.stands = own.stands.filter(|_| created.temporary.is_some());
        match self.fill(dir, name, source, &created, values, &mut permit) {
            Filling::Done(content) => {
                if let Some(temporary) = &created.temporary
                    && let Err(errno) = self
                        .lift_immutable_at(&parent, node.id, name)
                        .and_then(|()| look_again(&parent, name, &mut own.stands))
                {
                    self.target_failed(node.target, node.path().join(name), "lift the flags", errno);
                    // What stays is 0600, and the next attempt finds it by its name.
                    parent.unlink(temporary).ok();
                    return Outcome::No;
                }
                let volume = self.volume_of(dir, &source.stat, || Ok(&source.fd));
                self.finish_file(dir, name, Finished { content: *content, volume, created, permit, own })
            }
            // The journal knows its chunks, and it is 0600.
            Filling::Unfinished => Outcome::No,
            Filling::Nothing => {
                // What is half there must not look like a file: gone, unless even that fails, then 0600.
                if !created.mended {
                    parent.unlink(created.temporary.as_ref().unwrap_or(name)).ok();
                }
                Outcome::No
            }
        }
    }

    /// Makes the file, and marks it as ours before it takes much room.
    fn create(&self, node: &DirNode, dir: &TargetDir, name: &Name, bytes: u64) -> Result<Created, Errno> {
        let (fd, temporary) = make_beside(dir, name, node.fresh, |name| dir.make_file(name))?;
        let marked = bytes >= MARKED
            && !node.disk.bare
            && mark::set(Holder::file(&fd), self.binding(&node.path().join(name)), Was::Created).is_ok();
        Ok(Created { fd, temporary, mended: false, marked, stands: None })
    }

    /// Copies the content until the source holds still.
    fn fill(
        &self,
        dir: &OpenDir,
        name: &Name,
        source: &Source,
        created: &Created,
        mut values: Values,
        permit: &mut Option<Permit>,
    ) -> Filling {
        let path = || dir.node.path().join(name);
        let target = dir.node.target;
        let unreadable = |errno| {
            self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "look at again", errno));
            Filling::Nothing
        };
        let driver = self.drivers.of(source.stat.dev, &source.fd);
        let Look { stat: mut before, mut settled } = match look(source, source.stat) {
            Ok(look) => look,
            Err(errno) => return unreadable(errno),
        };
        if !before.unchanged_since(&source.stat) {
            // The chunks are those of what it was when it was opened.
            if created.mended {
                return self.never_still(target, path(), 1);
            }
            values.clear();
            // A half that was taken up again holds another state.
            if is_chunked(&source.stat)
                && let Err(errno) = self.empty(dir, name, created)
            {
                self.target_failed(target, path(), "truncate", errno);
                return Filling::Nothing;
            }
        }
        for attempt in 1.. {
            let made = self.submit.room_made();
            // Read before the content: if the ctime still stands afterwards, they belong together.
            let attributes = self.source_attributes(target, Holder::file(&source.fd), &before, || dir.beside(), path);
            if attempt == 1 && !created.mended {
                meta::apply_at_creation(&created.fd, attributes.flags, dir.node.handed);
            }
            let chunked = is_chunked(&before);
            // Pages of the cache may be older than the stat.
            if driver.may_cache()
                && let Err(errno) = file::evict(&source.fd)
            {
                return unreadable(errno);
            }
            let filled = if chunked {
                // One that grew to this size must not hold what its chunks wait for.
                drop(permit.take());
                self.fill_chunks(dir, name, source, &before, created, std::mem::take(&mut values))
            } else {
                data::fill(source.fd.as_fd(), &before, created.fd.as_fd(), &self.rate_limit)
            };
            let twice = !settled || driver.may_hide_changes(&before);
            let filled = if twice { self.read_again(source, &before, filled) } else { filled };
            let filled = if driver.is_fuse() { ends_as_said(source, &before, filled) } else { filled };
            // A write that is under way shows as one change at its beginning; the next one tells.
            let quiet = if driver.may_cache() { QUIET } else { TICK };
            if let Some(left) = until_settled(&before, quiet).filter(|_| filled.is_ok()) {
                std::thread::sleep(left);
            }
            let after = match stat_fd(&source.fd) {
                Ok(after) => after,
                Err(errno) => return unreadable(errno),
            };
            let still = after.unchanged_since(&before);
            let mut again = attempt < ATTEMPTS;
            match filled {
                Ok(filled) if still => {
                    add(&self.drivers.read_twice, u64::from(twice && settled));
                    return Filling::Done(Box::new(Content { stat: before, attributes, filled }));
                }
                Err(Failure::Stopped) if chunked && still => return Filling::Unfinished,
                Err(Failure::Stopped) => return Filling::Nothing,
                // Replacements that were not in place yet took their room twice.
                Err(Failure::Write(errno)) if !created.mended && still && self.submit.makes_room(errno, made) => {
                    again = true;
                }
                Err(Failure::Write(errno)) => {
                    self.target_failed(target, path(), "write", errno);
                    let keep = chunked && still && self.stop.is_set();
                    return if keep { Filling::Unfinished } else { Filling::Nothing };
                }
                Err(Failure::Read(errno)) if still => {
                    let mut problem = Problem::failed(path(), ProblemKind::Unreadable, "read the source", errno);
                    if chunked && !created.mended {
                        problem.message.push_str("; what could be read stays under its name, unfinished and 0600, and the next run goes on with it");
                    }
                    self.problem(target, problem);
                    // What could be read of a large file need not be read again.
                    return if chunked { Filling::Unfinished } else { Filling::Nothing };
                }
                Err(Failure::Length) if still && attempt == ATTEMPTS => {
                    let message = format!(
                        "the source's file system says that it has {} bytes, and reading gives fewer or more; not copied",
                        before.size
                    );
                    self.problem(target, Problem::new(path(), ProblemKind::Unreadable, message));
                    return Filling::Nothing;
                }
                Ok(_) | Err(Failure::Read(_) | Failure::Length | Failure::Differs) => {}
            }
            // What is mended must not become a mixture of two states of the source.
            if !again || created.mended {
                return self.never_still(target, path(), attempt);
            }
            let emptied = if chunked { self.empty(dir, name, created) } else { file::set_size(&created.fd, 0) };
            if let Err(errno) = emptied {
                self.target_failed(target, path(), "truncate", errno);
                return Filling::Nothing;
            }
            // As it was opened: the next attempt may see it larger, or with holes.
            if let Err(errno) = file::set_direct(&source.fd, false) {
                return unreadable(errno);
            }
            Look { stat: before, settled } = match look(source, after) {
                Ok(look) => look,
                Err(errno) => return unreadable(errno),
            };
        }
        Filling::Nothing
    }

    /// Reads the source a second time; it counts as changed when that gives other bytes.
    fn read_again(&self, source: &Source, stat: &Stat, filled: Result<Filled, Failure>) -> Result<Filled, Failure> {
        let filled = filled?;
        // The first reading may have gone past the cache, block by block.
        file::set_direct(&source.fd, false).map_err(Failure::Read)?;
        match reread::digest(source.fd.as_fd(), stat, reread::CachedPages::MayBeOld, &self.rate_limit)
            .map_err(Failure::Read)?
        {
            Some(digest) if digest == filled.digest => Ok(filled),
            Some(_) => Err(Failure::Differs),
            None => Err(Failure::Stopped),
        }
    }

    fn never_still(&self, target: u32, path: RelPath, attempts: u32) -> Filling {
        let message = format!(
            "the source changed while it was read ({attempts} times) and was not copied; \
             stop what writes to it, or mount the backup read-only, and run again"
        );
        self.problem(target, Problem::new(path, ProblemKind::ChangedSource, message));
        Filling::Nothing
    }

    fn finish_file(&self, dir: &OpenDir, name: &Name, done: Finished) -> Outcome {
        let node = &dir.node;
        let path = || node.path().join(name);
        let Content { stat: source, attributes, filled } = done.content;
        let id = SourceId::of_whole(&source, &done.volume, &attributes);
        let mut wanted = Wanted::from_source(&source, attributes, &self.options.keep);
        let fixup = self.put_plan_over_leaf(&mut wanted, done.own, dir, name, &source);
        let holder = Holder::file(&done.created.fd);
        let applied = self.apply_metadata(node, holder, &mut wanted, path);
        let unmarked = |applied: AppliedMetadata| {
            if !done.created.marked {
                return Ok(applied);
            }
            mark::remove(holder)?;
            Ok(AppliedMetadata { stat: stat_fd(&done.created.fd)?, ..applied })
        };
        let AppliedMetadata { stat: target, whole } = match applied.and_then(unmarked) {
            Ok(applied) => applied,
            Err(errno) => {
                self.target_failed(node.target, path(), "finish the copy", errno);
                return Outcome::No;
            }
        };
        if filled.hole_filled && wanted.lost.insert(Unpreserved::Holes) {
            self.lost(node, path(), Unpreserved::Holes);
        }
        done.own.apart.map(|unpreserved| wanted.lost.insert(unpreserved));
        self.note_rights(&wanted, path);
        fixup.into_iter().for_each(|f| self.fixup_changed(f));
        if let Err(errno) = close(done.created.fd) {
            self.target_failed(node.target, path(), "close", errno);
            return Outcome::No;
        }
        let index = done.own.target_in(node);
        let tally = self.tally(index);
        add(&tally.copied, 1);
        add(&tally.copied_bytes, filled.bytes);
        let row = Row {
            dir: node.id,
            name: name.as_bytes().to_vec(),
            id: None,
            target: index,
            state: State::Done,
            size: source.size,
            rdev: 0,
            nlink: source.nlink,
            source: id.filter(|_| whole && !done.own.stopgap),
            dst_ino: target.ino,
            dst_ctime: target.ctime,
            allocated: target.allocated,
            alias: false,
            digest: Some(filled.digest),
            link: None,
            wanted,
            verified: None,
        };
        let replace = done.created.temporary.map(|temporary| node.replacing(temporary, name, done.own.stands));
        self.hand_in(node, name, row, filled.pending, replace, done.permit)
    }

    /// Gives a finished entry to the epoch; comes back with what its further names link to.
    pub(super) fn hand_in(
        &self,
        node: &Arc<DirNode>,
        name: &Name,
        row: Row,
        bytes: u64,
        replace: Option<Replace>,
        permit: Option<Permit>,
    ) -> Outcome {
        let copied = (row.nlink > 1).then(|| Copied {
            place: LinkPlace::Node(Arc::clone(node)),
            name: replace.as_ref().map_or(name, |r| &r.temporary).clone(),
            row: Arc::new(row.clone()),
        });
        let written = Written::row(row, node.file_system).replacing(replace);
        self.submit.send(Written { bytes, permit, ..written });
        Outcome::Yes(copied)
    }

    /// Opens a regular file of the source. A problem is reported and gives `None`.
    pub(super) fn open_source(&self, dir: &OpenDir, name: &Name) -> Option<Source> {
        let path = || dir.node.path().join(name);
        let target = dir.node.target;
        let opened = dir.src.open_file(dir.in_source(name)).and_then(|fd| stat_fd(&fd).map(|stat| Source { fd, stat }));
        match opened {
            Ok(source) if source.stat.kind == Kind::File => Some(source),
            Ok(source) => {
                let message = format!("the source changed: {} took the file's place", source.stat.kind.words());
                self.problem(target, Problem::new(path(), ProblemKind::ChangedSource, message));
                None
            }
            Err(errno @ (Errno::NOENT | Errno::LOOP | Errno::NXIO)) => {
                self.problem(target, Problem::failed(path(), ProblemKind::ChangedSource, "open the source", errno));
                None
            }
            Err(errno) => {
                self.problem(target, Problem::failed(path(), ProblemKind::Unreadable, "open the source", errno));
                None
            }
        }
    }
}

/// Flags that were lifted have moved the ctime by which a later run knows what stands there.
fn look_again(dir: &TargetDir, name: &Name, stands: &mut Option<Stat>) -> Result<(), Errno> {
    if let Some(then) = stands
        && then.is_immutable_or_append()
    {
        let now = dir.stat_at(name)?;
        if (now.ino, now.size, now.mtime) == (then.ino, then.size, then.mtime) {
            *then = now;
        }
    }
    Ok(())
}

fn ends_as_said(source: &Source, stat: &Stat, filled: Result<Filled, Failure>) -> Result<Filled, Failure> {
    let filled = filled?;
    match reread::ends_as_said(source.fd.as_fd(), stat).map_err(Failure::Read)? {
        true => Ok(filled),
        false => Err(Failure::Length),
    }
}

/// What came of filling a file.
enum Filling {
    Done(Box<Content>),
    /// The run is ending; the chunks that are there stay for the next one.
    Unfinished,
    /// Nothing to keep; a problem says why, or the run is ending.
    Nothing,
}

/// A source that holds still, and what was read from it.
struct Content {
    stat: Stat,
    attributes: Attributes,
    filled: Filled,
}

struct Finished {
    content: Content,
    volume: Arc<Volume>,
    created: Created,
    permit: Option<Permit>,
    own: crate::engine::copy::Override,
}
