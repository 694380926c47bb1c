//! Every declared path on the storage, and of the type that the boot needs.

use super::context::Context;
use super::mismatch::{Boot, Found, Stays, To, at_boot};
use super::row::Row;
use crate::base::path::{RelPath, escape};
use crate::engine::mapping::model::{Entry, EntryKind, Need, Presence};
use crate::sys::errno_words;
use crate::sys::stat::Kind;
use crate::sys::{Errno, leads_nowhere};

const ID: &str = "declared";

pub(super) fn check(context: &Context) -> Vec<Row> {
    context.entries().map(|entry| one(context, entry)).collect()
}

fn one(context: &Context, entry: &Entry) -> Row {
    let path = &entry.dst;
    // A pattern whose directory could not be read.
    if let Presence::Unreadable { errno } = &entry.presence {
        return Row::fail(ID, path, format!("cannot be looked at: {}", errno_words(*errno)))
            .advise("run the check as root");
    }
    let found = match found(context, path) {
        Ok(found) => found,
        Err(errno) => return Row::unreadable(ID, path, errno),
    };
    let again = context.bring_back();
    // Whatever is in the way stays beside it.
    let aside = context.bring_anew(path);
    // Moved aside, it would be copied as a link once more.
    let kept = matches!(found, Found::Link(..)) && entry.kind == EntryKind::File && entry.follow != Some(true);
    let says = format!("say `follow = true` for it in the plan, so that what it leads to is copied, then: {aside}");
    match at_boot(entry.kind, found) {
        Boot::Works => match context.link_text(path).filter(|_| matches!(found, Found::Link(..))) {
            Some(text) => Row::pass(ID, path, format!("{} that leads to {text}", words(found))),
            None => Row::pass(ID, path, words(found)),
        },
        Boot::Risks(why) if kept => Row::warn(ID, path, why).advise(says),
        Boot::Fails(why) if kept => Row::fail(ID, path, why).advise(says),
        Boot::Risks(why) => Row::warn(ID, path, why).run(aside),
        Boot::Fails(why) if found == Found::Blocked => {
            Row::fail(ID, path, why).advise(format!("move what is in the way aside, then: {again}"))
        }
        Boot::Fails(why) => Row::fail(ID, path, why).run(aside),
        Boot::Lacks(why) => {
            let why =
                if is_pattern(entry) { format!("nothing on the storage matches: {why}") } else { why.to_string() };
            match entry.need {
                Need::Critical | Need::Required => Row::fail(ID, path, why).run(again),
                Need::Recommended => Row::warn(ID, path, why).run(again),
                Need::Optional => Row::skip(ID, path, "optional, and not on the storage"),
            }
        }
    }
}

/// Only a pattern without a match keeps its special characters and is absent.
fn is_pattern(entry: &Entry) -> bool {
    entry.presence == Presence::Absent && escape(entry.dst.as_bytes()).contains(['*', '?', '[', '{'])
}

/// What stands at `path`, a symlink and its end told apart.
pub(super) fn found(context: &Context, path: &RelPath) -> Result<Found, Errno> {
    let stat = match context.stat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Found::Absent),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Blocked),
        Err(errno) => return Err(errno),
    };
    Ok(match stat.kind {
        Kind::Directory => Found::Directory,
        Kind::File => Found::File,
        Kind::Symlink => {
            let parent = path.parent().unwrap_or_default();
            let stays = match context.mount_id(path).and_then(|end| context.mount_id(&parent).map(|here| end == here)) {
                Ok(true) => Stays::OnStorage,
                _ => Stays::Elsewhere,
            };
            let to = match context.stat_through(path) {
                Ok(end) if end.kind == Kind::Directory => To::Directory,
                Ok(_) => To::File,
                Err(errno) if leads_nowhere(errno) => To::Nothing,
                Err(errno) => return Err(errno),
            };
            Found::Link(to, stays)
        }
        kind => Found::Special(kind),
    })
}

fn words(found: Found) -> &'static str {
    match found {
        Found::Directory => Kind::Directory.words(),
        Found::File => Kind::File.words(),
        Found::Special(kind) => kind.words(),
        Found::Link(..) => "a symlink within the storage",
        Found::Absent | Found::Blocked => "nothing",
    }
}
