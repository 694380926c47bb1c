//! A record of the table.

use super::words::{Class, LeftOutReason, Severity};
use crate::engine::mapping::model::{EntryKind, Need};

/// What is known about one path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownPath {
    /// The pattern, as it is documented.
    pub(crate) at: &'static str,
    pub(crate) sort: Sort,
    /// What to do when the audit finds it, if not just declaring the path.
    pub(crate) advice: Option<&'static str>,
    /// The program that replaces the file by renaming a new one over it.
    pub(super) replaced_by: Option<&'static str>,
    /// Whether that program leaves a symlink in the file's place and writes to where it leads.
    pub(super) keeps_link: Option<bool>,
    /// NixOS's activation writes the file at each boot, before anything could be mounted over it: what to do
    /// instead of keeping it.
    pub(super) written_first: Option<&'static str>,
    usual: Option<Usual>,
    absence: Absence,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Sort {
    /// State, with the reason for that.
    State(Severity, Class, &'static str),
    /// No loss.
    Leave(LeftOutReason),
    /// Part of what another record names, or a directory that contains such parts: the audit does not
    /// report it on its own. Without a severity it has that of the surrounding record.
    Part(Option<Severity>),
}

/// The mode that its program gives a private path.
#[derive(Clone, Copy, Debug)]
enum Usual {
    Directory(u32),
    File(u32),
}

/// Whether a declared path may be missing from a backup without the user saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    Refused,
    /// Programs create it again.
    Allowed,
}

const fn known(at: &'static str, sort: Sort) -> KnownPath {
    KnownPath {
        at,
        sort,
        advice: None,
        replaced_by: None,
        keeps_link: None,
        written_first: None,
        usual: None,
        absence: Absence::Refused,
    }
}

pub(super) const fn state(at: &'static str, severity: Severity, class: Class, why: &'static str) -> KnownPath {
    known(at, Sort::State(severity, class, why))
}

pub(super) const fn part(at: &'static str) -> KnownPath {
    known(at, Sort::Part(None))
}

pub(super) const fn leave(at: &'static str, reason: LeftOutReason) -> KnownPath {
    let known = known(at, Sort::Leave(reason));
    match reason {
        LeftOutReason::Cache => known.may_be_absent(),
        _ => known,
    }
}

impl KnownPath {
    pub(super) const fn advice(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }

    pub(super) const fn needed(mut self, severity: Severity) -> Self {
        self.sort = Sort::Part(Some(severity));
        self
    }

    pub(super) const fn private_dir(mut self, mode: u32) -> Self {
        self.usual = Some(Usual::Directory(mode));
        self
    }

    pub(super) const fn private_file(mut self, mode: u32) -> Self {
        self.usual = Some(Usual::File(mode));
        self
    }

    pub(super) const fn replaced_by(mut self, who: &'static str) -> Self {
        self.replaced_by = Some(who);
        self
    }

    /// The program that replaces it writes through a symlink.
    pub(super) const fn keeping_links(mut self) -> Self {
        self.keeps_link = Some(true);
        self
    }

    /// The program that replaces it replaces a symlink as well.
    pub(super) const fn replacing_links(mut self) -> Self {
        self.keeps_link = Some(false);
        self
    }

    /// It cannot be kept as a file; `instead` is also what the audit advises.
    pub(super) const fn written_first(mut self, instead: &'static str) -> Self {
        self.written_first = Some(instead);
        self.advice = Some(instead);
        self
    }

    pub(super) const fn may_be_absent(mut self) -> Self {
        self.absence = Absence::Allowed;
        self
    }

    /// How much a plan needs it, by the severity of its loss; `None` if the surrounding record tells. A
    /// declared path is never needed less than `required`, unless programs create it again.
    pub(crate) fn need(&self) -> Option<Need> {
        let need = match self.sort {
            Sort::State(severity, ..) | Sort::Part(Some(severity)) => severity.need(),
            Sort::Leave(_) => Need::Optional,
            Sort::Part(None) => return None,
        };
        Some(if self.absence == Absence::Allowed { need } else { need.max(Need::Required) })
    }

    /// The mode that its program gives it, if it is of this kind.
    pub(crate) fn usual_mode(&self, kind: EntryKind) -> Option<u32> {
        match (self.usual?, kind) {
            (Usual::File(mode), EntryKind::File) => Some(mode),
            (Usual::Directory(mode), EntryKind::Directory | EntryKind::Tree) => Some(mode),
            _ => None,
        }
    }

    /// Only its owner may read it.
    pub(crate) const fn is_secret(&self) -> bool {
        matches!(self.usual, Some(Usual::Directory(mode) | Usual::File(mode)) if mode & 0o077 == 0)
    }

    /// A directory of keys: its content is secret as well.
    pub(crate) const fn holds_secrets(&self) -> bool {
        self.is_secret() && matches!(self.sort, Sort::State(_, Class::Keys, _))
    }
}
