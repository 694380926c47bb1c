//! What was tried, in words for a person.

use crate::base::path::escape;
use crate::engine::events::operation::Operation;
use crate::sys::{Errno, errno_words};
use std::borrow::Cow;

/// What was tried, and the error.
pub(super) fn failed(op: &Operation, errno: Errno) -> String {
    format!("{}: {}", words(op), errno_words(errno))
}

/// Followed by a colon and the error.
pub(super) fn words(op: &Operation) -> Cow<'static, str> {
    Cow::Borrowed(match op {
        Operation::Recorded(word) => word,
        Operation::ReadXattr(name) => return format!("read {}", escape(name)).into(),
        Operation::SetXattr(name) => return format!("set {}", escape(name)).into(),
        Operation::RemoveXattr(name) => return format!("remove the inherited {}", escape(name)).into(),
        Operation::SetFlags(flags) if flags.each().count() == 1 => return format!("set flag {flags}").into(),
        Operation::SetFlags(flags) => return format!("set flags {flags}").into(),
        Operation::SetProject(id) => return format!("set project id {id}").into(),
        Operation::SetOwner(uid, gid) => return format!("set owner {uid}:{gid}").into(),
        Operation::SetMode(mode) => return format!("set mode {mode:04o}").into(),
        Operation::CreateNode(kind) => return format!("create {}", kind.words()).into(),
        Operation::Open => "open",
        Operation::OpenSource => "open the source",
        Operation::OpenDirectory => "open the directory",
        Operation::OpenParent => "open the directory above",
        Operation::OpenEntry => "open the entry",
        Operation::OpenMount => "open the mount",
        Operation::OpenTarget => "open on the target",
        Operation::OpenFinished => "open the finished directory",
        Operation::Stat => "look at",
        Operation::StatAgain => "look at again",
        Operation::StatParent => "look at the parent",
        Operation::StatEntry => "look at the entry",
        Operation::Recheck => "the source changed",
        Operation::Read => "read",
        Operation::ReadSource => "read the source",
        Operation::ReadDirectory => "read the directory",
        Operation::ReadSymlink => "read the symlink",
        Operation::ReadMark => "read its mark",
        Operation::FindData => "find data",
        Operation::Evict => "evict from the page cache",
        Operation::ListXattrs => "read attributes",
        Operation::ReadFlags => "read flags",
        Operation::ReadTargetFlags => "read the flags of the copy",
        Operation::ClearFlags => "clear the flags",
        Operation::LiftFlags => "lift the flags",
        Operation::ReadProject => "read the project id",
        Operation::SetSticky => "set the sticky bit",
        Operation::SetTimes => "set times",
        Operation::CreateFile => "create the file",
        Operation::CreateDirectory => "create the directory",
        Operation::CheckDirectory => "another took the place of the new directory",
        Operation::Link => "link",
        Operation::ShareBlocks => "share the blocks of the source",
        Operation::Write => "write",
        Operation::Truncate => "truncate",
        Operation::Close => "close",
        Operation::FinishCopy => "finish the copy",
        Operation::FinishDirectory => "finish the directory",
        Operation::Replace => "replace the existing entry",
        Operation::FindLeftovers => "look for what an interrupted run left",
        Operation::RemoveLeftover => "remove what an interrupted run left",
        Operation::RemoveHalf => "remove the partial copy that an interrupted run left",
        Operation::RemoveUnfinished => "remove the unfinished copy of an earlier run",
        Operation::RemoveStale => "remove what the source no longer has",
        Operation::FixUp => "fixup",
        Operation::ReadForFixup => "fixup: read",
    })
}
