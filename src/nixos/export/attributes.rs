//! Owner, group and mode of an entry by name: the plan's if it says so, else the backup's, else what is
//! usual for a well-known path.

use super::declared::{BackupState, DeclaredPlan, Item};
use super::place::HomePath;
use super::private;
use super::text::ExportNote;
use crate::base::path::RelPath;
use crate::engine::mapping::mode::{Change, Mode};
use crate::engine::mapping::model::{EntryKind, IdKind};
use crate::engine::meta::{SET_ID, lends_rights};
use crate::plan::{FixupDraft, IdRef, IdValue};
use crate::sys::stat::Kind;

/// What the plan itself says about one path.
#[derive(Default)]
pub(super) struct Planned<'p> {
    pub(super) owner: Option<&'p IdRef>,
    pub(super) group: Option<&'p IdRef>,
    pub(super) mode: Option<Change>,
}

impl<'p> Planned<'p> {
    /// An entry's own attributes, overridden by the fixups.
    pub(super) fn of(declared: &DeclaredPlan<'p>, item: &Item<'p>) -> Self {
        let draft = item.draft;
        let mode = draft.mode.as_ref().map(Mode::change);
        let mut planned = Self { owner: draft.owner.as_ref(), group: draft.group.as_ref(), mode };
        planned.fix(&declared.plan.fixups, &item.stored, holds(item));
        planned
    }

    /// Applies the fixups of the stored `path`; the last one wins.
    pub(super) fn fix(&mut self, fixups: &'p [FixupDraft], path: &RelPath, kind: EntryKind) {
        for fixup in fixups {
            let mode = match path.strip_prefix(&fixup.path) {
                Some(below) if below.is_root() => &fixup.mode,
                Some(_) if fixup.recursive && kind == EntryKind::File => &fixup.file_mode,
                Some(_) if fixup.recursive => &fixup.dir_mode,
                _ => continue,
            };
            self.owner = fixup.owner.as_ref().or(self.owner);
            self.group = fixup.group.as_ref().or(self.group);
            self.mode = match (self.mode, mode.as_ref().map(Mode::change)) {
                (Some(first), Some(second)) => Some(first.then(second)),
                (first, second) => second.or(first),
            };
        }
    }

    /// The mode as bits. If the plan changes only some of them, the rest must be known from the backup's
    /// inode; what cannot be determined is noted.
    pub(super) fn mode(
        &self,
        seen: Option<u32>,
        kind: EntryKind,
        path: &RelPath,
        notes: &mut Vec<ExportNote>,
    ) -> Option<u32> {
        let change = self.mode?;
        let bits = match seen {
            Some(seen) => {
                let kind = if kind == EntryKind::File { Kind::File } else { Kind::Directory };
                Some(change.of(seen, kind))
            }
            None => change.absolute(),
        };
        if bits.is_none() {
            notes.push(ExportNote::Unsaid(format!(
                "{path}: the plan changes some bits of the backup's mode, and the backup is not at hand (--source)"
            )));
        }
        bits
    }
}

/// What an entry is: a map is what the backup has, or a directory if that is not known.
pub(super) fn holds(item: &Item<'_>) -> EntryKind {
    match (item.draft.kind, item.seen) {
        (EntryKind::Tree, BackupState::There(stat)) if stat.kind != crate::sys::stat::Kind::Directory => {
            EntryKind::File
        }
        (EntryKind::Tree, _) => EntryKind::Directory,
        (kind, _) => kind,
    }
}

/// What a persistence list has to say about an entry. `None`: not known, or the default fits.
#[derive(Clone, Debug, Default)]
pub(super) struct ListedAttributes {
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) mode: Option<u32>,
}

impl ListedAttributes {
    /// Combines them; anything unusual goes to `notes`.
    pub(super) fn of(
        declared: &DeclaredPlan<'_>,
        item: &Item<'_>,
        home: Option<&HomePath>,
        notes: &mut Vec<ExportNote>,
    ) -> Self {
        let planned = Planned::of(declared, item);
        let given = planned.owner.is_some() || planned.group.is_some();
        let (uid, gid, seen_mode) = match item.seen {
            // As a run does: the plan's owner has not granted these rights.
            BackupState::There(stat) if given && lends_rights(stat.kind) => {
                (Some(stat.uid), Some(stat.gid), Some(stat.mode & !SET_ID))
            }
            BackupState::There(stat) => (Some(stat.uid), Some(stat.gid), Some(stat.mode)),
            BackupState::Unknown | BackupState::Absent => (None, None, None),
        };
        let planned_mode = planned.mode(seen_mode, holds(item), &item.live, notes);
        if let (Some(plan), Some(backup)) = (planned_mode, seen_mode)
            && plan & !backup != 0
        {
            notes.push(ExportNote::Caveat(format!("the plan opens {} from {backup:04o} to {plan:04o}", item.live)));
        }
        let at_home = home.map(|home| declared.look(&home.dir));
        let home_ids = match at_home {
            Some(BackupState::There(stat)) => Some((stat.uid, stat.gid)),
            _ => None,
        };
        let shown = |kind, id| declared.ids.name(declared.plan, kind, id).unwrap_or_else(|| id.to_string());
        let (default_user, default_group) = match home {
            None => (Some("root".to_string()), Some("root".to_string())),
            Some(home) => (Some(home.user.clone()), home_ids.map(|(_, gid)| shown(IdKind::Group, gid))),
        };
        let mut user = named(declared, IdKind::User, planned.owner, uid);
        if planned.owner.is_none() && uid.is_some() && uid == home_ids.map(|(uid, _)| uid) {
            user = None;
        }
        let own = declared.home(&item.live);
        if home.is_none() && user.is_none() {
            // A home as a whole belongs to its user.
            user = own.as_ref().map(|home| home.user.clone());
        }
        if let (Some(home), Some(other)) = (home, &user)
            && planned.owner.is_none()
            && *other != home.user
        {
            notes.push(ExportNote::Caveat(format!(
                "{} belongs to {other} in the backup, not to {}",
                item.live, home.user
            )));
        }
        let group = match (home, home_ids) {
            // Only the home shows whether the backup's group is the user's own.
            (Some(_), None) => named(declared, IdKind::Group, planned.group, None),
            _ => named(declared, IdKind::Group, planned.group, gid),
        };
        Self {
            user: user.filter(|user| Some(user) != default_user.as_ref()),
            group: group.filter(|group| Some(group) != default_group.as_ref()),
            mode: planned_mode.or(seen_mode).or_else(|| private::usual_mode_at(own.as_ref(), &item.live, holds(item))),
        }
    }
}

/// The plan's name, else that of the number in the backup, else the number.
fn named(declared: &DeclaredPlan<'_>, kind: IdKind, plan: Option<&IdRef>, seen: Option<u32>) -> Option<String> {
    let id = match plan.map(|reference| &reference.value) {
        Some(IdValue::Name(name)) => return Some(name.clone()),
        Some(IdValue::Number(id)) => *id,
        None => seen?,
    };
    Some(declared.ids.name(declared.plan, kind, id).unwrap_or_else(|| id.to_string()))
}
