//! What is worth knowing and no failure.

use super::amount::entries;
use super::journal;
use super::preflight::read_only;
use super::problem::mount_content;
use super::value::inode;
use crate::base::human::{bytes, count};
use crate::base::path::escape;
use crate::engine::events::note::{InUse, Note, OpenedBy};
use crate::engine::meta::mark;
use crate::plan::words as plan;
use crate::sys::errno_words;
use std::os::unix::ffi::OsStrExt;

/// One sentence for the report.
pub(in crate::cli) fn words(note: &Note) -> String {
    match note {
        Note::Told(words) => words.clone(),
        Note::LeftOut(left_out) => plan::left_out(left_out),
        Note::Symlink(path, link) => plan::unasked_link(path, link),
        Note::ReadOnlyTarget(target, point) => read_only(target, point),
        Note::IdConflict(conflict) => plan::id_conflict(conflict),
        Note::RemapsAsBegun => {
            "owners get the target's numbers, as an earlier run with --remap-ids began to; --restart starts over".into()
        }
        Note::TrustedUnseen => {
            "only root sees trusted.* attributes: if the source has any, they were not copied".into()
        }
        Note::TemporariesRemoved(names, first) => {
            format!("{} temporary names that an interrupted run left were removed; the first is {first}", count(*names))
        }
        Note::TemporaryLeft(path) => {
            format!("{path}: what an interrupted run left; the run that copies its file removes it")
        }
        Note::UnfinishedRemoved(path) => {
            format!("{path}: the unfinished copy of an earlier run was removed, its source is gone")
        }
        Note::HalfRemoved(path, allocated) => format!(
            "{path}: the partial copy that an interrupted run left without a record was removed ({})",
            bytes(*allocated)
        ),
        Note::Reopened(path, (uid, gid), mode) => format!(
            "{path}: an interrupted run had closed it, and its source is gone: it has owner {uid}:{gid} and mode \
             {mode:04o} again"
        ),
        Note::OwnersNotCompared => {
            "owners and groups were not compared (--no-owner), nor set-user-ID and set-group-ID bits of files where they \
             differ"
                .into()
        }
        Note::Socket(path) => format!("socket not copied: {path}"),
        Note::MarkNotCopied(path) => format!(
            "{path}: the source is itself an unfinished copy of persistcp here; its mark ({}) is not copied",
            mark::NAME.to_string_lossy()
        ),
        Note::InUse(in_use) => in_use_words(in_use),
        Note::KernelNotEntered(path, kind) => {
            format!("{path}: {kind}, where the running system shows its own state, was not entered")
        }
        Note::TargetNotEntered(path) => {
            format!("{path}: the file system that this copy goes to was not entered")
        }
        Note::ViewNotEntered(path, content) => {
            format!("{path}: a mounted view ({}) was not entered; its layers are copied", mount_content(content))
        }
        Note::JournalLeftOut(path) => {
            format!("{}: the journal of a copy, no part of the tree, was left out", escape(path.as_os_str().as_bytes()))
        }
        Note::Subvolume(path, inside, size) => {
            format!("{path}: a subvolume ({}, {}) is copied as a directory", entries(*inside), bytes(*size))
        }
        Note::InPlace(path) => {
            format!("{path}: in its place already (the source's path leads to it); recorded as it is, not copied")
        }
        Note::InPlaceUnrecorded(path) => format!(
            "{path}: in its place already, by a symlink of the source that leads to this directory; not copied. What is in \
             it is not recorded, so no verification looks at it: to have it guarded, declare it as an entry of its own in a \
             plan"
        ),
        Note::SymlinkToDirectory(path, declared) => {
            format!("{path}: a symlink in the backup; it becomes a directory, because the plan declares {declared}")
        }
        Note::DirectoryInPlaceOf(path, kind) => format!("{path}: {} was replaced by a directory", kind.words()),
        Note::UnrecordedReplaced(path, what) => {
            format!("{path}: {} that no run wrote was replaced", inode(*what))
        }
        Note::ChangedReplaced(path, what) => {
            format!("{path}: {}, which somebody had changed on the target, was replaced", inode(*what))
        }
        Note::LogRemoved(database, log) => format!(
            "{database}: replaced, and its log {log}, which somebody had left on the target, removed with it"
        ),
        Note::BlocksShared(shared) => format!(
            "{} share their blocks with the source: one medium holds the only copy of them, so this is no second \
             copy to fall back on (a later run copies none of it again; --restart --reflink never makes one)",
            bytes(*shared)
        ),
        Note::LinksExhausted(path) => format!(
            "{path}: its inode has all the hard links that the target's file system allows; from here on they go to a \
             second copy"
        ),
        Note::RightsTaken(first, entries) => {
            let more = if *entries == 1 { String::new() } else { format!(" and {} more", entries - 1) };
            format!(
                "{first}{more}: set-user-ID and set-group-ID bits and capabilities were left out, as the plan gives \
                 another owner or group than the backup's; a mode of the plan can ask for the bits"
            )
        }
        Note::FakeSuper(first, all) => format!(
            "{first}: made by rsync --fake-super, as {} in all: owner and mode were copied as they are there, which is \
             not what the originals had; restore such a tree with rsync --fake-super",
            entries(*all)
        ),
        Note::ReadTwice(files, minutes) => format!(
            "{} changed less than {minutes} minutes ago on a file system whose driver may answer from a cache: read twice, \
             and both readings were the same",
            if *files == 1 { "1 file".into() } else { format!("{} files", count(*files)) },
        ),
        Note::NoAnswer(asked, what, errno) => format!(
            "{} asked for {what}: \"{}\", as whichever inode of that file system",
            entries(*asked),
            errno_words(*errno)
        ),
        Note::RereadForTimes(entries, kind) => format!(
            "{entries} entries of the source were read again, and are unchanged: the change times of {kind} do not prove it"
        ),
        Note::RereadForNumbers(entries, made_up_by) => {
            let why = match made_up_by {
                Some(kind) => format!("{kind} makes up inode numbers or change times at each mount"),
                None => "inode numbers, change times or the file system are not those that were recorded".into(),
            };
            format!("{entries} entries of the source were read again, and are unchanged: {why}")
        }
        Note::NamesNotFound(names, kind) => format!(
            "{names} further names of hard-linked files were not found: they lie outside what is copied, or {kind} \
             gives each name an inode number of its own, and they are files of their own on the target"
        ),
        Note::NotAccepted(first, entries) => format!(
            "{first}: changed while it was looked at, {} in all: not accepted; the next --accept takes what rests",
            self::entries(*entries)
        ),
        Note::SinceLeftOut(entries) => format!(
            "{} entries were verified before and have not changed since; --since left them out",
            count(*entries)
        ),
        Note::Repaired(path, problem) => format!("repaired: {path}: {problem}"),
        Note::RepairedInAll(differences) => format!("{differences} differences were repaired"),
        Note::FoundBeforeCopy(problems) => format!("{problems} further problems were found before the copy"),
        Note::JournalUnwritable(error) => {
            format!("the journal cannot be written ({}): what was verified is not recorded", journal::unwritable(error))
        }
    }
}

fn in_use_words(InUse { unit, process, name, files }: &InUse) -> String {
    let first = files.first().map(|file| escape(file.as_os_str().as_bytes())).unwrap_or_default();
    let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
    let stop = match unit {
        OpenedBy::Service(service) => format!("`systemctl stop {service}`"),
        OpenedBy::UserService(service) => format!("`systemctl --user stop {service}`"),
        OpenedBy::Process(name) => format!("end {name}"),
    };
    format!(
        "{first}{more}: {name} (process {process}) has it open for writing, and its copy may be torn: {stop} and run again \
         before you rely on the copy"
    )
}
