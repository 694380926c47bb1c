//! Compares an entry of the target with its row: everything but the content, and what a stat
//! alone says about who changed it.

use super::links;
use crate::base::path::{Name, RelPath};
use crate::engine::content::medium::{Backing, ReadError, Reading};
use crate::engine::events::detail::Detail;
use crate::engine::events::kind::ProblemKind;
use crate::engine::events::operation::Operation;
use crate::engine::events::problem::Problem;
use crate::engine::events::rate_limit::RateLimit;
use crate::engine::events::unpreserved::{Disk, Unpreserved};
use crate::engine::events::value::{Appearance, PropertyValue};
use crate::engine::journal::{Row, RowChange};
use crate::engine::meta::{self, Actual, Wanted, Xattrs};
use crate::sys::dir::TargetDir;
use crate::sys::filesystem::space;
use crate::sys::flags::Flags;
use crate::sys::stat::{Kind, Stat};
use crate::sys::xattr::Holder;
use crate::sys::{Errno, flags};

/// A directory of the target whose entries are checked.
#[derive(Debug)]
pub(crate) struct CheckedDir<'a> {
    /// The directory.
    pub(crate) dir: &'a TargetDir,
    /// Its file system.
    pub(crate) disk: Disk,
    /// An unknown file system counts as memory, so that no medium is claimed to have been read.
    pub(crate) backing: Backing,
}

impl<'a> CheckedDir<'a> {
    /// Asks the file system of `dir`.
    pub(crate) fn of(dir: &'a TargetDir) -> Self {
        let dev = dir.stat().map_or(0, |stat| stat.dev);
        let (bare, memory) = space(dir).map_or((false, true), |space| (space.may_lack_owners(), space.is_memory()));
        Self { dir, disk: Disk { dev, bare }, backing: if memory { Backing::Memory } else { Backing::Medium } }
    }

    /// For a file system that is already known, where it does not matter how the medium is read.
    pub(crate) fn on(dir: &'a TargetDir, disk: Disk) -> Self {
        Self { dir, disk, backing: Backing::Medium }
    }
}

/// What differs from `row` in everything but the content, without what its file system cannot hold.
pub(crate) fn differences(
    checked: &CheckedDir<'_>,
    path: &RelPath,
    name: &Name,
    row: &Row,
    stat: &Stat,
) -> Vec<Problem> {
    let attributes = read_attributes(checked.dir, name, stat.kind, &row.wanted);
    let unread = attributes.as_ref().err().copied();
    let attributes = attributes.ok();
    let actual = Actual {
        stat,
        xattrs: attributes.as_ref().map(|a| &a.0),
        flags: attributes.as_ref().and_then(|a| a.1).map(|a| a.0),
        project: attributes.as_ref().and_then(|a| a.1).map(|a| a.1),
    };
    let mut found = meta::compare(path, &row.wanted, actual);
    found.extend(unread.map(|errno| Problem::failed(path.clone(), ProblemKind::Io, Operation::ListXattrs, errno)));
    if stat.kind == row.kind() {
        found.extend(compare_rest(checked, path, name, row, stat));
    }
    let lost = row.wanted.lost;
    found.retain(|p| {
        !Unpreserved::of_difference(p.kind, p.attribute.as_deref())
            .is_some_and(|unpreserved| lost.contains(unpreserved))
    });
    found
}

/// If somebody else changed a directory's names, its times have changed with them.
pub(crate) fn without_moved_times(found: &mut Vec<Problem>, standing: RowChange, row: &Row) {
    let left = row.source.is_some() && row.wanted.mtime.is_none();
    if row.kind() == Kind::Directory && (left || standing != RowChange::AsRecorded) {
        found.retain(|problem| problem.kind != ProblemKind::Mtime);
    }
}

/// True when the content of the regular file or symlink `name` is what `row` recorded;
/// other types have none.
pub(crate) fn has_same_content(
    checked: &CheckedDir<'_>,
    name: &Name,
    row: &Row,
    rate_limit: &RateLimit,
) -> Result<bool, ReadError> {
    match (row.kind(), row.digest) {
        (Kind::File, Some(digest)) => {
            let reading = Reading::open(checked.dir, name)?;
            Ok(reading.size == row.size && reading.digest(digest.algorithm, rate_limit)? == digest)
        }
        (Kind::Symlink, _) => match checked.dir.read_link(name) {
            Ok(text) => Ok(row.link.as_deref() == Some(text.as_slice())),
            Err(errno) => Err(ReadError::Failed(Operation::ReadSymlink, errno)),
        },
        _ => Ok(true),
    }
}

/// What somebody has changed on the target since it was copied, which stays as it is.
pub(crate) fn changed(path: &RelPath, row: &Row, stat: &Stat) -> Problem {
    let expected = Appearance { kind: row.kind(), size: row.size, mtime: row.wanted.mtime };
    let found = Appearance::from(stat);
    let mut problem = Problem::differs(path.clone(), ProblemKind::ChangedTarget, expected, found);
    problem.detail = Detail::ChangedSinceCopied;
    problem.told_by_row()
}

/// It was copied, and cannot be found or opened on the target.
pub(crate) fn unreachable(path: &RelPath, errno: Errno) -> Problem {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Problem::new(path.clone(), ProblemKind::Missing, Detail::Gone),
        _ => Problem::failed(path.clone(), ProblemKind::Io, Operation::OpenTarget, errno),
    }
}

/// Attributes, and flags with the project id where any are wanted.
fn read_attributes(
    dir: &TargetDir,
    name: &Name,
    kind: Kind,
    wanted: &Wanted,
) -> Result<(Xattrs, Option<(Flags, u32)>), Errno> {
    let asked = !wanted.flags.is_empty() || wanted.project != 0;
    let fd = match kind {
        Kind::Directory => dir.open_dir(name)?.into_fd(),
        Kind::File if asked => dir.open_file(name, rustix::fs::OFlags::empty())?,
        _ => return Ok((Xattrs::read(Holder::handle(&dir.open_handle(name)?))?, None)),
    };
    // If the file system has no flags, no inode of it has any.
    let flags = if asked { Some((or_none(flags::get(&fd))?, or_none(flags::project(&fd))?)) } else { None };
    Ok((Xattrs::read(Holder::file(&fd))?, flags))
}

fn or_none<T: Default>(answer: Result<T, Errno>) -> Result<T, Errno> {
    match answer {
        Err(errno) if flags::is_absent(errno) => Ok(T::default()),
        answer => answer,
    }
}

/// The rest beyond metadata: size, link target, device number, link group.
fn compare_rest(checked: &CheckedDir<'_>, path: &RelPath, name: &Name, row: &Row, stat: &Stat) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut differs = |kind, expected: PropertyValue, actual: PropertyValue| {
        if expected != actual {
            found.push(Problem::differs(path.clone(), kind, expected, actual));
        }
    };
    match stat.kind {
        Kind::File => {
            differs(ProblemKind::Size, row.size.to_string().into(), stat.size.to_string().into());
            // All names of one inode would report the same.
            if !row.alias && row.size == stat.size && row.is_dense(stat) {
                differs(
                    ProblemKind::Holes,
                    PropertyValue::Allocated(row.allocated()),
                    PropertyValue::Allocated(stat.allocated),
                );
            }
        }
        Kind::CharDevice | Kind::BlockDevice => {
            differs(ProblemKind::Type, PropertyValue::Device(row.rdev), PropertyValue::Device(stat.rdev));
        }
        Kind::Symlink => {
            let shown = |text: &[u8]| crate::base::path::escape(text).into_owned().into();
            match checked.dir.read_link(name) {
                Ok(text) => differs(ProblemKind::Target, shown(row.link.as_deref().unwrap_or_default()), shown(&text)),
                Err(errno) => found.push(Problem::failed(path.clone(), ProblemKind::Io, Operation::ReadSymlink, errno)),
            }
        }
        _ => {}
    }
    found.extend(links::moved(checked.disk, path, row, stat));
    found
}
