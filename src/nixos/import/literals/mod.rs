//! What a module says in literals, without an evaluator.
//!
//! Literal strings, lists and attribute sets are read, inside functions, `let … in`, `with`, `mkIf`,
//! `mkMerge` and their like. Everything else is listed with its location and text: an element is read
//! or noted, never passed over.

mod host_keys;
mod keys;
mod leaves;
mod lists;
mod route;
mod source;
mod value;

#[cfg(test)]
mod tests;

pub use source::NixFile;

use super::declared::Declaration;
use super::person::Person;
use crate::base::path::RelPath;
use source::Source;

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
