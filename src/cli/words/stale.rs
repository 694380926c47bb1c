//! What was copied and the source no longer has.

use super::amount::entries;
use super::operation::failed;
use crate::base::human::count;
use crate::engine::events::detail::{KeptBecause, KeptEntries, Stale, StaleCause, StaleKept};

/// One sentence.
pub(super) fn words(stale: &Stale) -> String {
    let inside =
        if stale.entries > 1 { format!(" ({} with what is in it)", entries(stale.entries)) } else { String::new() };
    let gone = match stale.cause {
        StaleCause::Name => format!("it was copied{inside}, and the source no longer has it"),
        StaleCause::Retyped => {
            format!("this directory was copied{inside}, and the source has no directory here any more")
        }
        StaleCause::Entry => format!(
            "this entry was copied{inside}, and the source no longer has it; a whole entry is never removed: if \
             its disk is mounted, remove the copy, or leave the entry out"
        ),
        StaleCause::Emptied => format!(
            "what was copied from here{inside} is gone from the source, where another directory is in its place: is a disk \
             not mounted? it is never removed; if it is really gone, remove the copy"
        ),
    };
    match &stale.kept {
        None if matches!(stale.cause, StaleCause::Name | StaleCause::Retyped) => {
            format!("{gone}; it stays as it is, and --delete removes it unless somebody has changed it since")
        }
        None => gone,
        Some(StaleKept::CopyNotWhole) => {
            format!("{gone}; kept, because this run could not copy everything: run it again with --delete")
        }
        Some(StaleKept::SourceUnknown) => format!("{gone}; kept, because the source could not be asked again"),
        Some(StaleKept::Some(kept)) => format!("{gone}; {}", kept_entries(kept)),
    }
}

fn kept_entries(kept: &KeptEntries) -> String {
    let named: Vec<_> = kept.named.iter().map(|(path, why)| format!("{path} ({})", because(why))).collect();
    let rest = kept.count.saturating_sub(named.len() as u64);
    let more = if rest > 0 { format!(" and {} more", count(rest)) } else { String::new() };
    format!("{} removed; kept: {}{more}", entries(kept.removed), named.join(", "))
}

fn because(why: &KeptBecause) -> String {
    match why {
        KeptBecause::Changed => "somebody has changed it since it was copied".into(),
        KeptBecause::Unrecorded => "no run made it".into(),
        KeptBecause::NotWhole => "its copy was not finished, or was found damaged".into(),
        KeptBecause::Accepted => "it was accepted on the target".into(),
        KeptBecause::InUse => "a run found it in its place, in use".into(),
        KeptBecause::BelongsTo(other) => format!("it belongs to {other}, which somebody has made or changed"),
        KeptBecause::MountPoint => "a mount point".into(),
        KeptBecause::Failed(operation, errno) => failed(operation, *errno),
    }
}
