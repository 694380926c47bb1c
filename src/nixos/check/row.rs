//! One line of the table.

use crate::base::path::{RelPath, is_unprintable};
use crate::sys::{Errno, errno_words};

/// What one check found out about one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRow {
    /// Stable, kebab-case; `docs/check.md` lists all of them.
    pub id: &'static str,
    /// The check that it comes from.
    pub group: &'static str,
    /// Below the root.
    pub path: RelPath,
    /// The verdict.
    pub status: RowStatus,
    /// What was found, in one line.
    pub why: String,
    /// How to fix it; never present for what passes.
    pub mend: Option<Remedy>,
}

/// The verdict of a row. The order is that of the table's summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RowStatus {
    /// The machine would lose something, or not start.
    Fail,
    /// It may go wrong, or could not be determined.
    Warn,
    /// There is nothing to check.
    Skip,
    /// It is as it should be.
    Pass,
}

impl RowStatus {
    /// The word of the table.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::Warn => "WARN",
            Self::Skip => "SKIP",
            Self::Pass => "PASS",
        }
    }
}

/// How to fix something.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// A command, ready for a shell.
    Run(String),
    /// Something that no single command does.
    Do(String),
}

impl Remedy {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Run(text) | Self::Do(text) => text,
        }
    }

    /// A command and then another one; what is no command stays as it is.
    pub(super) fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::Run(first), Self::Run(next)) => Self::Run(format!("{first} && {next}")),
            (advice @ Self::Do(_), _) | (_, advice @ Self::Do(_)) => advice,
        }
    }
}

impl CheckRow {
    fn new(id: &'static str, path: &RelPath, status: RowStatus, why: impl Into<String>) -> Self {
        Self { id, group: "", path: path.clone(), status, why: one_line(why.into()), mend: None }
    }

    pub(super) fn pass(id: &'static str, path: &RelPath, why: impl Into<String>) -> Self {
        Self::new(id, path, RowStatus::Pass, why)
    }

    pub(super) fn warn(id: &'static str, path: &RelPath, why: impl Into<String>) -> Self {
        Self::new(id, path, RowStatus::Warn, why)
    }

    pub(super) fn fail(id: &'static str, path: &RelPath, why: impl Into<String>) -> Self {
        Self::new(id, path, RowStatus::Fail, why)
    }

    pub(super) fn skip(id: &'static str, path: &RelPath, why: impl Into<String>) -> Self {
        Self::new(id, path, RowStatus::Skip, why)
    }

    /// What could not be read is not known to be good.
    pub(super) fn unreadable(id: &'static str, path: &RelPath, errno: Errno) -> Self {
        let row = Self::fail(id, path, format!("cannot be read: {}", errno_words(errno)));
        match errno {
            Errno::ACCESS | Errno::PERM => row.advise("run the check as root"),
            // Root::read returns this for anything but a regular file.
            Errno::INVAL => Self { why: "is not a regular file".into(), ..row }.advise("put the file in its place"),
            _ => row.advise("look at the medium and the kernel's log"),
        }
    }

    pub(super) fn run(self, command: impl Into<String>) -> Self {
        Self { mend: Some(Remedy::Run(command.into())), ..self }
    }

    pub(super) fn mend(self, remedy: Remedy) -> Self {
        match remedy {
            Remedy::Run(command) => self.run(command),
            Remedy::Do(text) => self.advise(text),
        }
    }

    pub(super) fn advise(self, text: impl Into<String>) -> Self {
        Self { mend: Some(Remedy::Do(one_line(text.into()))), ..self }
    }
}

/// The text contains names and values from the disk, which must not break a line or a terminal.
/// Backslashes stay, as paths are already escaped.
fn one_line(text: String) -> String {
    if !text.contains(is_unprintable) {
        return text;
    }
    text.chars().flat_map(|c| if is_unprintable(c) { c.escape_default().collect() } else { vec![c] }).collect()
}
