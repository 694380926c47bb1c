//! A module's text, with the places that notes and errors name.

use crate::base::path::{RelPath, escape};
use crate::nixos::import::note::ImportNote;
use crate::sys::root::Root;
use rnix::{ParseError, TextRange};
use std::path::PathBuf;
use std::rc::Rc;

/// The longest part of an expression that a note quotes, in characters.
const QUOTED: usize = 60;

/// A module and its text.
#[derive(Debug)]
pub struct NixFile {
    /// Its name in messages.
    pub shown: String,
    /// Its content.
    pub text: String,
    /// Where it is: files that it imports are read below its directory. `None`: nowhere, as stdin.
    pub path: Option<PathBuf>,
}

/// The directory of a file that was named, below which imports are followed.
pub(super) struct ImportRoot {
    pub(super) root: Root,
    /// As it was typed, for messages.
    pub(super) shown: PathBuf,
}

/// A module's text, and where its relative paths begin.
pub(super) struct Source {
    pub(super) shown: String,
    pub(super) text: String,
    pub(super) below: Option<Rc<ImportRoot>>,
    /// The file's own directory below that.
    pub(super) dir: RelPath,
}

impl Source {
    /// `FILE:LINE` of the first byte.
    pub(super) fn place(&self, range: TextRange) -> String {
        let start = usize::from(range.start()).min(self.text.len());
        let line = 1 + self.text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count();
        format!("{}:{line}", self.shown)
    }

    pub(super) fn not_nix(&self, error: &ParseError) -> String {
        let range = match error {
            ParseError::Unexpected(range)
            | ParseError::UnexpectedExtra(range)
            | ParseError::UnexpectedWanted(_, range, _)
            | ParseError::UnexpectedDoubleBind(range)
            | ParseError::DuplicatedArgs(range, _) => *range,
            _ => return format!("{}: not Nix: {error}", self.shown),
        };
        format!(
            "{}: not Nix: `{}` is not expected here\n  `nix-instantiate --parse` says more",
            self.place(range),
            self.quote(range)
        )
    }

    /// The beginning of an expression, in one line.
    pub(super) fn quote(&self, range: TextRange) -> String {
        let text = self.text.get(usize::from(range.start())..usize::from(range.end())).unwrap_or_default();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = escape(line.as_bytes()).chars().take(QUOTED).collect();
        if shown.chars().count() == QUOTED { format!("{shown}…") } else { shown }
    }

    /// A note on an expression that only an evaluator can read.
    pub(super) fn unread(&self, range: TextRange, what: &str) -> ImportNote {
        ImportNote::lost(format!("{}: {what} needs an evaluator", self.place(range))).quoting(self.quote(range))
    }
}
