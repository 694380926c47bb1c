//! Why a run does not start, and what to do.

use super::journal::{self, holder_words};
use crate::base::human::bytes;
use crate::engine::events::detail::{Contradiction, SaidAttribute};
use crate::engine::events::refusal::{Destination, Lacking, Refusal, Remapping, TooMuch};
use crate::engine::mapping::renumber::Unrenumbered;
use crate::sys::errno_words;
use std::path::Path;

/// Each reason.
pub(in crate::cli) fn all(refusals: &[Refusal]) -> Vec<String> {
    refusals.iter().map(words).collect()
}

/// A sentence or two, the last one advice.
pub(super) fn words(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Told(words) => words.clone(),
        Refusal::SourceUnopened(source, errno) => {
            format!("the source {} cannot be opened: {}; mount its disk there", source.display(), errno_words(*errno))
        }
        Refusal::SourceUnread(source, errno) => {
            format!("the source {} cannot be read: {}", source.display(), errno_words(*errno))
        }
        Refusal::SourceEmpty(source) => {
            format!("the source {} is empty: is its disk not mounted?", source.display())
        }
        Refusal::Missing(source, lacking) => missing(source, lacking),
        Refusal::MappedOtherwise(entries) => mapped_otherwise(entries),
        Refusal::NotRoot => "owners cannot be set without root; run as root, or pass --no-owner to leave them".into(),
        Refusal::RootUnopened(root, errno) => {
            format!("the root {} cannot be opened: {}; mount the new disk there", root.display(), errno_words(*errno))
        }
        Refusal::RootUnknown(root, errno) => {
            format!("the root {} cannot be read: {}", root.display(), errno_words(*errno))
        }
        Refusal::NoWay(place, errno) => format!(
            "{}: {}; a target's path must be directories, not symlinks or files",
            at(place),
            errno_words(*errno)
        ),
        Refusal::Untold(place, errno) => format!("{}: {}", at(place), errno_words(*errno)),
        Refusal::Volatile(target, kind, point) => format!(
            "the target {} lies on {kind} (mounted at {}), which forgets everything at power-off; mount the new disk, or \
             pass --allow-volatile",
            at(target),
            point.display()
        ),
        Refusal::OnSystemRoot(target) => format!(
            "the target {} is not on a mount of its own but on the running system's root; mount the new disk, or pass \
             --allow-volatile",
            at(target)
        ),
        Refusal::WithoutOwners(target, kind) => {
            format!("the target {} is {kind}, which keeps no owners and modes; use ext4, xfs or btrfs", at(target))
        }
        Refusal::NotEmpty(target) => format!(
            "the target {} is not empty, and not by this plan; empty it, or pass --allow-nonempty to write into it (what \
             is there stays, except names that the plan copies)",
            at(target)
        ),
        Refusal::ReadOnly(target, point) => read_only(target, point),
        Refusal::Alive(holder) => {
            format!(
                "another run with this journal is alive ({}); wait for it or stop it with SIGINT",
                holder_words(holder)
            )
        }
        Refusal::Journal(error) => journal::words(error),
        Refusal::NoJournal(database) => format!(
            "there is no journal at {}: nothing was copied yet, or it is elsewhere; name its place with --state",
            database.display()
        ),
        Refusal::NoRoom(targets, needed, free) => format!(
            "not enough space for {}: {} are needed, {} are free, {} are missing; use a larger disk or leave entries out",
            targets.join(", "),
            bytes(*needed),
            bytes(*free),
            bytes(needed.saturating_sub(*free))
        ),
        Refusal::NoInodes(targets, needed, free) => format!(
            "not enough inodes for {}: {needed} are needed, {free} are free; make the file system anew with more \
             (mkfs.ext4 -N or -i)",
            targets.join(", ")
        ),
        Refusal::NameTooLong(targets, TooMuch { size, most, path }) => format!(
            "{}: a name has {size} bytes, the target holds at most {most}: {path}; rename it, leave it out, or use another \
             file system",
            targets.join(", ")
        ),
        Refusal::FileTooLarge(targets, TooMuch { size, most, path }) => format!(
            "{}: a file has {}, the target's file system holds at most {} in one: {path}; leave it out, or use another \
             file system",
            targets.join(", "),
            bytes(*size),
            bytes(*most)
        ),
        Refusal::NestingUnknown(errno) => format!(
            "whether source and target lie in one another cannot be told: {}; mount /proc and run again",
            errno_words(*errno)
        ),
        Refusal::IntoItself(to, from) => format!(
            "the destination {to} is inside {from}, which is to be copied: it would be copied into itself; mount the new \
             disk elsewhere, or name another source or destination"
        ),
        Refusal::OverSource(from, to) => format!(
            "{from}, which is to be copied, is inside the destination {to}: the copy would write over its source; mount \
             the source elsewhere, or name another source or destination"
        ),
        Refusal::JournalInSource(journal, source) => {
            format!("the journal's directory {journal} is inside the source {source}; keep it elsewhere (--state)")
        }
        Refusal::InJournal(to, journal) => format!(
            "the destination {to} is inside the journal's directory {journal}; name another one, or keep the journal \
             elsewhere (--state)"
        ),
        Refusal::JournalInTarget(journal, to) => format!(
            "the journal's directory {journal} is inside the destination {to}, where every name is one that is copied; keep it \
             elsewhere (--state)"
        ),
        Refusal::MapReplaced(map, target, pattern) => format!(
            "the plan would replace {map}, which gives the target's numbers, by the backup's\n  with --remap-ids, leave it \
             out: exclude = [\"{pattern}\"] in the target `{target}`; without it, the backup's map and the backup's \
             numbers stay together"
        ),
        Refusal::Unrenumbered(why) => unrenumbered(why),
        Refusal::Contradiction(contradiction) => self::contradiction(contradiction),
    }
}

/// A target that is read-only.
pub(super) fn read_only(target: &Destination, point: &Path) -> String {
    format!("the target {} is mounted read-only at {}; mount it read-write", at(target), point.display())
}

/// What the plan says twice, and differently.
pub(super) fn contradiction(contradiction: &Contradiction) -> String {
    let Contradiction { path, attribute, here, elsewhere, names } = contradiction;
    let attribute = match attribute {
        SaidAttribute::Owner => "owner",
        SaidAttribute::Group => "group",
        SaidAttribute::Mode => "mode",
    };
    format!(
        "{path}: the plan gives this inode the {attribute} {here} by this name and {elsewhere} by another one of its \
         {names} names, which are hard links; give all of them the same, or leave one out of the plan"
    )
}

/// As a person writes it.
pub(super) fn at(Destination { root, path }: &Destination) -> String {
    format!("{}{path}", root.display().to_string().trim_end_matches('/'))
}

fn missing(source: &Path, lacking: &[Lacking]) -> String {
    let line = |Lacking { need, path, found }: &Lacking| {
        let need = need.word();
        match found {
            None => format!("  {need:<11} {path}"),
            Some(found) => format!("  {need:<11} {path} is {found} in the backup, not what the plan declares"),
        }
    };
    let lines: Vec<String> = lacking.iter().map(line).collect();
    format!(
        "the backup {} lacks entries of the plan:\n{}\n  find them, take them out of the plan, or pass --allow-missing",
        source.display(),
        lines.join("\n")
    )
}

fn mapped_otherwise(entries: &[Remapping]) -> String {
    let line = |entry: &Remapping| match entry {
        Remapping::Source(dst, was, now) => format!("  {dst} came from {was}, and is now to come from {now}"),
        Remapping::Destination(src, was, now) => format!("  {src} went to {was}, and is now to go to {now}"),
    };
    let lines: Vec<String> = entries.iter().map(line).collect();
    format!(
        "earlier runs copied entries from or to another place:\n{}\n  copy them as before, or pass --restart to copy \
         everything anew (what is on the target stays)",
        lines.join("\n")
    )
}

fn unrenumbered(why: &Unrenumbered) -> String {
    match why {
        Unrenumbered::Root { kind, names, backup, target } => format!(
            "the {} {} is {backup} in the backup and {target} on the target: --remap-ids makes nothing root's and takes \
             nothing from root",
            kind.word(),
            names.join(", ")
        ),
        Unrenumbered::Shared { kind, names, id } => format!(
            "{} share the {} number {id} in the backup and have several on the target: --remap-ids cannot tell whose a \
             file is; give them one number in the plan's [ids]",
            names.join(", "),
            kind.word()
        ),
    }
}
