//! Checks that every declared path is on the storage, and of the type that the boot needs.

use super::context::CheckContext;
use super::mismatch::{Boot, FoundOnStorage, Stays, To, at_boot};
use super::row::CheckRow;
use crate::base::path::{RelPath, escape};
use crate::engine::mapping::model::{Entry, EntryKind, Need, Presence};
use crate::sys::errno_words;
use crate::sys::stat::Kind;
use crate::sys::{Errno, leads_nowhere};

const ID: &str = "declared";

pub(super) fn check(context: &CheckContext) -> Vec<CheckRow> {
    context.tree.entries().map(|entry| one(context, entry)).collect()
}

fn one(context: &CheckContext, entry: &Entry) -> CheckRow {
    let path = &entry.dst;
    // A pattern whose directory could not be read.
    if let Presence::Unreadable { errno } = &entry.presence {
        return CheckRow::fail(ID, path, format!("cannot be read: {}", errno_words(*errno)))
            .advise("run the check as root");
    }
    let found = match found(context, path) {
        Ok(found) => found,
        Err(errno) => return CheckRow::unreadable(ID, path, errno),
    };
    let again = context.bring_back();
    // What is in the way is kept beside it.
    let aside = context.bring_anew(path);
    // If it were moved aside, it would be copied as a link again.
    let kept = matches!(found, FoundOnStorage::Link(..)) && entry.kind == EntryKind::File && entry.follow != Some(true);
    let says =
        format!("say `follow = true` for it in the plan, so that what it leads to is copied, then: {}", aside.text());
    match at_boot(entry.kind, found) {
        Boot::Works => match context.tree.link_text(path).filter(|_| matches!(found, FoundOnStorage::Link(..))) {
            Some(text) => CheckRow::pass(ID, path, format!("{} that leads to {text}", words(found))),
            None => CheckRow::pass(ID, path, words(found)),
        },
        Boot::Risks(why) if kept => CheckRow::warn(ID, path, why).advise(says),
        Boot::Fails(why) if kept => CheckRow::fail(ID, path, why).advise(says),
        Boot::Risks(why) => CheckRow::warn(ID, path, why).mend(aside),
        Boot::Fails(why) if found == FoundOnStorage::Blocked => {
            CheckRow::fail(ID, path, why).advise(format!("move what is in the way aside, then: {again}"))
        }
        Boot::Fails(why) => CheckRow::fail(ID, path, why).mend(aside),
        Boot::Lacks(why) => {
            let why =
                if is_pattern(entry) { format!("nothing on the storage matches: {why}") } else { why.to_string() };
            match entry.need {
                Need::Critical | Need::Required => CheckRow::fail(ID, path, why).run(again),
                Need::Recommended => CheckRow::warn(ID, path, why).run(again),
                Need::Optional => CheckRow::skip(ID, path, "optional, and not on the storage"),
            }
        }
    }
}

/// Only a pattern without a match is absent and keeps its special characters.
fn is_pattern(entry: &Entry) -> bool {
    entry.presence == Presence::Absent && escape(entry.dst.as_bytes()).contains(['*', '?', '[', '{'])
}

/// What is at `path`, distinguishing a symlink from what it leads to.
pub(super) fn found(context: &CheckContext, path: &RelPath) -> Result<FoundOnStorage, Errno> {
    let stat = match context.tree.stat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(FoundOnStorage::Absent),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(FoundOnStorage::Blocked),
        Err(errno) => return Err(errno),
    };
    Ok(match stat.kind {
        Kind::Directory => FoundOnStorage::Directory,
        Kind::File => FoundOnStorage::File,
        Kind::Symlink => {
            let parent = path.parent().unwrap_or_default();
            let stays = match context
                .tree
                .mount_id(path)
                .and_then(|end| context.tree.mount_id(&parent).map(|here| end == here))
            {
                Ok(true) => Stays::OnStorage,
                _ => Stays::Elsewhere,
            };
            let to = match context.tree.stat_through(path) {
                Ok(end) if end.kind == Kind::Directory => To::Directory,
                Ok(_) => To::File,
                Err(errno) if leads_nowhere(errno) => To::Nothing,
                Err(errno) => return Err(errno),
            };
            FoundOnStorage::Link(to, stays)
        }
        kind => FoundOnStorage::Special(kind),
    })
}

fn words(found: FoundOnStorage) -> &'static str {
    match found {
        FoundOnStorage::Directory => Kind::Directory.words(),
        FoundOnStorage::File => Kind::File.words(),
        FoundOnStorage::Special(kind) => kind.words(),
        FoundOnStorage::Link(..) => "a symlink within the storage",
        FoundOnStorage::Absent | FoundOnStorage::Blocked => "nothing",
    }
}
