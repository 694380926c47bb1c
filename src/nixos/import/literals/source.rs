//! A module's text, with the places that notes and errors name.

use crate::base::path::escape;
use crate::nixos::import::note::ImportNote;
use rnix::{ParseError, TextRange};

/// A module and its text.
#[derive(Debug)]
pub struct NixFile {
    /// Its name in messages.
    pub shown: String,
    /// Its content.
    pub text: String,
}

/// A module's text with its line numbers.
pub(super) struct Source<'f> {
    pub(super) file: &'f NixFile,
}

impl Source<'_> {
    /// `FILE:LINE` of the first byte.
    pub(super) fn place(&self, range: TextRange) -> String {
        let start = usize::from(range.start()).min(self.file.text.len());
        let line = 1 + self.file.text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count();
        format!("{}:{line}", self.file.shown)
    }

    pub(super) fn not_nix(&self, error: &ParseError) -> String {
        let range = match error {
            ParseError::Unexpected(range)
            | ParseError::UnexpectedExtra(range)
            | ParseError::UnexpectedWanted(_, range, _)
            | ParseError::UnexpectedDoubleBind(range)
            | ParseError::DuplicatedArgs(range, _) => *range,
            _ => return format!("{}: not Nix: {error}", self.file.shown),
        };
        let text = self.file.text.get(usize::from(range.start())..usize::from(range.end())).unwrap_or_default();
        let shown: String = escape(text.as_bytes()).chars().take(60).collect();
        format!("{}: not Nix: `{shown}` is not expected here\n  `nix-instantiate --parse` says more", self.place(range))
    }

    /// A note on an expression that only an evaluator can read.
    pub(super) fn unread(&self, range: TextRange, what: &str) -> ImportNote {
        let text = self.file.text.get(usize::from(range.start())..usize::from(range.end())).unwrap_or_default();
        ImportNote::lost(format!("{}: {what} cannot be read without evaluating", self.place(range))).quoting(text)
    }
}
