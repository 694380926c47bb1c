//! What is wrong with a path, and what helps.

use super::amount::entries;
use super::operation::failed;
use super::{preflight, stale, stop, unpreserved, value};
use crate::base::human::{bytes, count};
use crate::engine::events::detail::{Advice, BadChunks, CopyCut, Detail, List, MountContent};
use crate::engine::events::problem::Problem;
use crate::engine::events::unpreserved::Unpreserved;
use crate::engine::events::value::{Appearance, PropertyValue};
use crate::sys::stat::Kind;

/// One line: what was tried, why it failed, what to do.
pub(in crate::cli) fn message(problem: &Problem) -> String {
    let mut words = detail(problem);
    if let Some(advice) = problem.advice {
        words.push_str("; ");
        words.push_str(advice_words(advice));
    }
    words
}

fn detail(problem: &Problem) -> String {
    let expected = problem.expected.as_ref().map(value::words).unwrap_or_default();
    let found = problem.found.as_ref().map(value::words).unwrap_or_default();
    let call = || problem.op.as_ref().zip(problem.errno).map(|(op, errno)| failed(op, errno));
    match &problem.detail {
        Detail::Failed => call().unwrap_or_default(),
        Detail::Differs => format!("expected {expected}, found {found}"),
        Detail::Unpreserved(what) => match call() {
            Some(call) => format!("{call}; {}", not_kept(*what)),
            None => not_kept(*what),
        },
        Detail::Told(words) => words.clone(),
        Detail::OnlyInSource => "the source has it, the target has not".into(),
        Detail::OnlyInTarget => "the target has it, the source has not".into(),
        Detail::DiffersAt(offset) => format!("the content differs, first in the byte at offset {offset}"),
        Detail::CopyCut(run) => cut(run),
        Detail::NotCopied(need) => {
            format!("{}: it was to be copied, and was not; run the same command again", need.word())
        }
        Detail::NotAsDeclared(found) => format!("{found} in the backup, not what the plan declares; not copied"),
        Detail::AtimesLeft => {
            "entries that earlier runs finished without --atime are left as they are; --restart copies them again".into()
        }
        Detail::NotLookedFor(need) => {
            format!("{}: it is to be copied, and no run has looked for it yet; run one", need.word())
        }
        Detail::DirectoriesUnfinished(rest) => {
            format!("{} more directories are not finished, this is the first", count(*rest))
        }
        Detail::Stale(stale) => stale::words(stale),
        Detail::WayCleared => "the directory that was in its place was removed; run the same command again to copy it".into(),
        Detail::Unlisted(list) => format!("it is not in {}; it stays as it is", list_words(*list)),
        Detail::UnlistedToo(rest, list) => {
            format!("{rest} more names in this directory are not in {}, this is the first", list_words(*list))
        }
        Detail::AclUnread(mode, narrowed) => format!(
            "its ACL could not be read, and without it {mode:04o} could let more users in: unless another mode is \
             asked for it gets {narrowed:04o}"
        ),
        Detail::AnsweredLater(late, asked) => format!(
            "{} gave an error when asked for {asked}, as every other inode did by then; later ones answered, so these have \
             lost theirs; run again with --restart",
            entries(*late)
        ),
        Detail::EntryReplaced(kind) => format!("the source changed: {} took the entry's place", kind.words()),
        Detail::FileReplaced(kind) => format!("the source changed: {} took the file's place", kind.words()),
        Detail::ChangedWhileRead(attempts) => format!(
            "the source changed while it was read ({attempts} times) and was not copied; stop what writes to it, or mount \
             the source read-only, and run again"
        ),
        Detail::OlderSource => format!(
            "the source has an older state of it ({expected}) than the one that was copied: an older snapshot or image, or \
             a clock that was wrong; the copy stays as it is. Give the newest source and run again, or --overwrite takes the \
             source as it is"
        ),
        Detail::OtherVolume(kind) => format!(
            "the source has another state of it here ({expected}), on a file system ({kind}) that is not the one which was \
             copied: a mount may be missing, or something was made in its place since; the copy stays as it is. Mount what \
             was copied and run again, or --overwrite takes the source as it is"
        ),
        Detail::WrongLength(size) => {
            format!(
                "the source's file system says that it has {size} bytes, and reading gives fewer or more; not copied"
            )
        }
        Detail::NotEntered(content) => format!(
            "a mount inside the source ({}) was not entered; --cross-mounts copies it as well",
            mount_content(content)
        ),
        Detail::AllExcluded(pattern) => format!(
            "everything in it is left out by patterns, the first is `{pattern}`; mend the pattern, or leave the entry \
             out"
        ),
        Detail::NotRenamed(kind) => format!("only a directory or a regular file can get another name, not {kind}; not copied"),
        Detail::ChangedSinceCopied => format!(
            "somebody has changed it on the target since it was copied: copied {expected}, found {found}; it stays as it \
             is, and {}",
            replacing(problem, Before::Copied)
        ),
        Detail::EntryRetyped(below) => format!(
            "something else took the place of this declared entry: copied {expected}, found {found}; what was copied \
             below it ({} in all) is out of reach; it stays as it is, and {}",
            entries(*below),
            replacing(problem, Before::Copied)
        ),
        Detail::Unrecorded => format!(
            "no run has recorded what stands here: {found}; the source has {expected}; it stays as it is, and {}",
            replacing(problem, Before::Unrecorded)
        ),
        Detail::WasInPlace => format!(
            "a run on the live system found it in its place, in use ({found}); the source has {expected} there, perhaps \
             from before, under what was mounted; it stays as it is, and --overwrite replaces it"
        ),
        Detail::LinkToItself => {
            "the source has a symlink that leads to this very place, where nothing is: what it stands for is not in the \
             source; mount what it is on, or bring it from another backup"
                .into()
        }
        Detail::DatabaseLog(log) => format!(
            "somebody uses this database on the target: its log {log} there is not one that a run wrote, and \
             would be played back into another state; both stay as they are, and --overwrite replaces the database and \
             removes the log"
        ),
        Detail::DatabaseHeldBack(other) => format!(
            "it and {other} are the files of one database, and {other} is not copied (see there): so neither is this, \
             as the two would not belong together; what brings {other} brings both"
        ),
        Detail::DatabaseChanged(database) => format!(
            "it is a log of {database}, which somebody has changed on the target: played back into that, it would destroy \
             it; not copied, and --overwrite replaces both"
        ),
        Detail::ForeignDirectory(uid, mode) => format!(
            "a directory of user {uid} and mode {mode:04o} stands there, not one that a run made, and others may have put it \
             there; look at it, move it away and run again"
        ),
        Detail::TemporaryTaken(name) => format!(
            "a directory stands beside it as {name}, the name that its copy needs until it is durable; look at it, move it \
             away and run again"
        ),
        Detail::ForeignTemporary(kind, uid) => format!(
            "{} of user {uid} has a name that is reserved for unfinished copies, and nothing shows that a run \
             made it; it stays as it is: look at it, and remove or rename it",
            kind.words()
        ),
        Detail::BadChunks(bad) => chunks(bad),
        Detail::Contradiction(contradiction) => preflight::contradiction(contradiction),
        Detail::FixupWithoutThread(why) => format!("fixup: {}", stop::no_thread(why)),
        Detail::SetIdDropped(mode) => {
            let acl = mode.map(|mode| format!("; nor could its ACL, so it has {mode:04o}")).unwrap_or_default();
            format!("the owner could not be set, so its set-user-ID and set-group-ID bits were not{acl}")
        }
        Detail::ModeNarrowed(wanted, mode) => {
            format!("without its ACL, {wanted:04o} would let more users in; it has {mode:04o}")
        }
        Detail::FixupUndone((uid, gid), mode) => format!("fixup did not hold: {uid}:{gid} {mode:04o}"),
        Detail::NothingCopied => "no run has copied anything; run one first".into(),
        Detail::NothingVerified => "nothing was verified: no run has copied anything of it".into(),
        Detail::FileUnfinished => "its copy is not finished: run the same command without --verify-only".into(),
        Detail::DirectoryUnfinished => "the directory is not finished: entries may be missing, and it does not have its mode and times".into(),
        Detail::Gone => "it was copied and is gone from the target; --repair copies it again, with --strict also what somebody has removed".into(),
        Detail::ContentNotTimes => "its content is not what was copied, though its size and modification time are: it is damaged, or somebody \
             has set its time back; it stays as it is. If it is good, touch it; if not, --repair --overwrite copies it again".into(),
        Detail::AcceptedNotTimes => "its content is not what was accepted, though its size and modification time are: it is damaged, or somebody \
             has set its time back".into(),
        Detail::ChangedSinceAccepted => format!(
            "somebody has changed it on the target since it was accepted: accepted {expected}, found {found}; it stays as \
             it is: --verify-only --accept takes that as well, and --overwrite replaces it if the source has it still"
        ),
        Detail::RemovalAccepted => "its owner removed it from the target, and that was accepted; it stays away. To have it as the source has it, \
             put a file or directory of this name there: --overwrite replaces it"
            .into(),
        Detail::AcceptedRemoved => "it was accepted on the target and is gone from it; it stays so: if somebody removed it, --verify-only --accept takes that as well".into(),
        Detail::DamagedElsewhere => "it is a file that was recorded under another name, and its content is not what was recorded, though its size \
             and modification time are: it is damaged, or somebody has set its time back".into(),
        Detail::AcceptedDamaged => "it was found damaged on the target".into(),
        Detail::AcceptedGone => "it was accepted on the target and is gone, though nobody removed it; the source never had this state: restore it from \
             a backup of this machine".into(),
        Detail::NeverCopied => "the source has it, and it was never copied; a run copies it".into(),
        Detail::NoLongerDeclared => "an earlier run copied it, and it is no longer declared; it stays as it is: remove it, or declare it again".into(),
        Detail::SubvolumeMissing => "a btrfs snapshot has an empty directory in the place of a subvolume of the original: what was in it is not in \
             this source; copy it from a snapshot of its own".into(),
        Detail::NamesDiffer => "the source changed between two names of this inode; it has a copy with an inode of its own instead, until the \
             next run".into(),
        Detail::BecameName => "it became a name of an inode of which the plan says something by another name while the run looked; it has a \
             copy of its own until the next run".into(),
        Detail::NamesUnread => "it has further names, and could not be read to tell which; it has a copy with an inode of its own, until the \
             next run".into(),
        Detail::SourceDamaged => "the source gives other bytes than when it was copied, although nothing has changed it: the medium that it \
             is on is failing; what the target has stays. If that is damaged as well, restore it from another backup; if the source is \
             right, touch it and run again".into(),
        Detail::ChangedWhileCompared => "the source changed while it was compared; stop what writes to it and verify again".into(),
        Detail::NotReached => "not copied: a directory above it could not be entered or made, as its own problem says".into(),
        Detail::NameReserved => "the name is reserved for unfinished copies; rename it in the source".into(),
        Detail::StateReserved => "this run's journal is here, and what the source has under this name was not copied over it; leave it out \
             (`exclude`), or keep the journal elsewhere (--state)".into(),
        Detail::ChangedWhileCopied => "somebody has changed it on the target while its copy was made; it stays as it is, and --overwrite replaces it".into(),
        Detail::DirectoryInPlace => "a non-empty directory is in the place of this entry; move it away and run again (with --repair \
             --strict if the entry was copied before), or if a run copied the directory, remove it with --delete".into(),
        Detail::NameTaken => "another name in this directory is the same to the target's file system, which tells names apart by less than \
             their bytes (case, normalisation); rename one in the source".into(),
    }
}

/// Whether a run has copied what something else stands for.
#[derive(Clone, Copy)]
enum Before {
    Copied,
    Unrecorded,
}

/// What replaces what was found. A directory with something in it is never removed by `--overwrite`.
fn replacing(problem: &Problem, before: Before) -> &'static str {
    let is_directory = matches!(
        problem.found,
        Some(PropertyValue::Inode(Appearance { kind: Kind::Directory, .. }) | PropertyValue::Kind(Kind::Directory))
    );
    match (is_directory, before) {
        (true, Before::Copied) => {
            "--overwrite replaces it only if it is empty; otherwise move it away, and --repair --strict copies again what \
             was there"
        }
        (true, Before::Unrecorded) => {
            "--overwrite replaces it only if it is empty; otherwise move it away and run again"
        }
        (false, Before::Copied) => "--overwrite replaces it if the source has it still",
        (false, Before::Unrecorded) => "--overwrite replaces it",
    }
}

fn advice_words(advice: Advice) -> &'static str {
    match advice {
        Advice::LiftImmutable => "if it is immutable (lsattr), chattr -ia it and run again",
        Advice::RemoveTorn => "its source is gone and it may be torn: look at it and remove it",
        Advice::RenameInSource => "the target's file system does not take this name",
        Advice::TooLarge => {
            "the target's file system holds no file of this size, or the limit of file sizes (ulimit -f) is lower"
        }
        Advice::GoesOn => "what could be read is kept under its name, unfinished and 0600, and the next run resumes it",
        Advice::CopyBlocks => "without --reflink always it is copied into blocks of its own",
        Advice::RestoreOwn => {
            "no run can bring it back, as it was accepted on the target: restore it from a backup of this machine, or, to \
             have it as it is, touch it and accept it again; --overwrite replaces it by what the source has, if anything"
        }
        Advice::NewerWaits => {
            "somebody has changed it on the target, where newer content of the source waits: --overwrite replaces it, and \
             so does --repair"
        }
        Advice::NewerThanAccepted => {
            "it was accepted on the target as it is, where newer content of the source waits: --overwrite replaces it"
        }
        Advice::AcceptAgain => {
            "somebody has changed it since it was accepted on the target: it stays so, and --verify-only --accept takes \
             that as well"
        }
        Advice::Repair => "somebody has changed it on the target, and --repair puts it right",
    }
}

fn not_kept(unpreserved: Unpreserved) -> String {
    let what = unpreserved::words(unpreserved);
    match unpreserved {
        Unpreserved::SetId => "set-user-ID and set-group-ID are dropped where the owner is not kept".into(),
        Unpreserved::Name => {
            "it keeps its number, which belongs to another name on the target (see the ids): give the name \
                              of the backup a number in the plan's [ids] and run again"
                .into()
        }
        Unpreserved::SpecialFlags => format!("{what} cannot be set"),
        Unpreserved::UntoldXattrs | Unpreserved::UntoldFlags | Unpreserved::UntoldProject => format!(
            "whichever inode is asked for {what}, the source's file system answers with an error: none were copied; mount \
             it with another driver if it has {what} that matter"
        ),
        Unpreserved::Apart => {
            "the hard link to its other names was refused; it has a copy with an inode of its own instead, \
                               until a run can make the link"
                .into()
        }
        _ => format!("the target's file system cannot hold {what}"),
    }
}

/// What is in a mount, and how much.
pub(super) fn mount_content(content: &MountContent) -> String {
    match content {
        MountContent::Bind(inside, size) => format!("a bind mount, {}, {}", entries(*inside), bytes(*size)),
        MountContent::FileSystem(kind, Some(used)) => format!("{kind}, {} in use", bytes(*used)),
        MountContent::FileSystem(kind, None) => format!("{kind}, without content of its own"),
    }
}

fn list_words(list: List) -> &'static str {
    match list {
        List::Manifest => "the journal of what was copied",
        List::Backup => "the source",
    }
}

fn cut(run: &CopyCut) -> String {
    let how = if run.stopped { "was stopped early" } else { "did not end: it was killed, or the power failed" };
    let expected = run.expected.map(|expected| format!(" of {}", count(expected))).unwrap_or_default();
    let command = run.command.as_deref().unwrap_or("the same command without --verify-only");
    format!(
        "the copy is not finished: the run that began {} {how}; {}{expected} entries are finished; resume with: {command}",
        run.began,
        count(run.finished)
    )
}

fn chunks(bad: &BadChunks) -> String {
    let ranges: Vec<_> = bad.ranges.iter().map(|(from, to)| format!("{from}-{to}")).collect();
    let more = if bad.bad > ranges.len() { ", …" } else { "" };
    let why = bad.failure.as_ref().map(|(op, errno)| format!(" ({})", failed(op, *errno))).unwrap_or_default();
    format!(
        "{} of {} chunks differ from the source (bytes {}{more}){why}; the next run copies only these again",
        bad.bad,
        bad.of,
        ranges.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::path::RelPath;
    use crate::engine::events::kind::ProblemKind;
    use crate::engine::events::operation::Operation;
    use crate::sys::Errno;

    #[test]
    fn messages_have_words_not_numbers() {
        let problem = Problem::failed(RelPath::root(), ProblemKind::Io, Operation::Write, Errno::NOSPC);
        assert_eq!(message(&problem), "write: No space left on device");
        let advised = problem.advising(Advice::RenameInSource);
        assert_eq!(
            message(&advised),
            "write: No space left on device; the target's file system does not take this name"
        );
    }

    #[test]
    fn a_refused_link_says_why() {
        let path = RelPath::root();
        let words = message(&Problem::lost(path, Unpreserved::Apart, 0).because(Operation::Link, Errno::PERM));
        assert!(
            words.starts_with("link: Operation not permitted; the hard link to its other names was refused;"),
            "{words}"
        );
    }
}
