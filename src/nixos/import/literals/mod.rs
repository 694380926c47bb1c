//! What a module says in so many words, without an evaluator.
//!
//! Literal strings, lists and attribute sets are read, inside functions, `let … in`,
//! `with`, `mkIf`, `mkMerge` and their like. Everything else is listed with its place and
//! its text: an element is read or it is noted, never passed over.

mod host_keys;
mod keys;
mod leaves;
mod lists;
mod route;
mod value;

#[cfg(test)]
mod tests;

use super::declared::Declaration;
use super::note::ImportNote;
use super::person::Person;
use crate::base::path::RelPath;
use rnix::{ParseError, TextRange};

/// A module and its text.
#[derive(Debug)]
pub struct NixFile {
    /// How messages name it.
    pub shown: String,
    /// What it holds.
    pub text: String,
}

/// Reads all modules into one declaration. The error names the file and the line.
pub(super) fn read(files: &[NixFile], storage: &RelPath, person: &Person) -> Result<Declaration, String> {
    let mut all = Declaration::default();
    for file in files {
        let source = Source { file };
        let parse = rnix::Root::parse(&file.text);
        if let Some(error) = parse.errors().first() {
            return Err(source.not_nix(error));
        }
        let mut found = leaves::find(&parse.tree(), &source);
        all.notes.append(&mut found.notes);
        lists::read(&found.leaves, &source, storage, person, &mut all)?;
    }
    Ok(all)
}

/// A module's text with its places.
struct Source<'f> {
    file: &'f NixFile,
}

impl Source<'_> {
    /// `FILE:LINE` of the first byte.
    fn place(&self, range: TextRange) -> String {
        let start = usize::from(range.start()).min(self.file.text.len());
        let line = 1 + self.file.text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count();
        format!("{}:{line}", self.file.shown)
    }

    fn not_nix(&self, error: &ParseError) -> String {
        let range = match error {
            ParseError::Unexpected(range)
            | ParseError::UnexpectedExtra(range)
            | ParseError::UnexpectedWanted(_, range, _)
            | ParseError::UnexpectedDoubleBind(range)
            | ParseError::DuplicatedArgs(range, _) => *range,
            _ => return format!("{}: not Nix: {error}", self.file.shown),
        };
        let text = self.file.text.get(usize::from(range.start())..usize::from(range.end())).unwrap_or_default();
        let shown: String = crate::base::path::escape(text.as_bytes()).chars().take(60).collect();
        format!("{}: not Nix: `{shown}` is not expected here\n  `nix-instantiate --parse` says more", self.place(range))
    }

    /// A note on an expression that only an evaluator can read.
    fn unread(&self, range: TextRange, what: &str) -> ImportNote {
        let text = self.file.text.get(usize::from(range.start())..usize::from(range.end())).unwrap_or_default();
        ImportNote::lost(format!("{}: {what} cannot be read without evaluating", self.place(range))).quoting(text)
    }
}
