//! What modules say in literals, without an evaluator.
//!
//! Literal strings, lists and attribute sets are read, inside functions, `let … in`, `with`, `mkIf`,
//! `mkMerge` and their like, through names that the text itself explains and imports of literal paths.
//! Everything else is listed with its place: an element is read or noted, never passed over. What only
//! an evaluator knows is never guessed; `assumptions` has what the command line says of it.

mod assumptions;
mod depth;
mod elements;
mod evaluate;
mod files;
mod finder;
mod host_keys;
mod keys;
mod library;
mod lists;
mod machine;
mod passed_over;
mod route;
mod scope;
mod sets;
mod source;
mod strings;
mod value;

#[cfg(test)]
mod tests;

pub use source::NixFile;

use super::declared::Declaration;
use super::person::Person;
use crate::base::path::RelPath;
use assumptions::Assumptions;
use evaluate::Evaluator;
use files::NixFiles;
use finder::Finder;

/// Reads all modules into one declaration. `storage` is the path of the storage whose key is computed. The
/// error names the file and the line.
pub(super) fn read(files: &[NixFile], storage: Option<&RelPath>, person: &Person) -> Result<Declaration, String> {
    let all_files = NixFiles::default();
    let named = files.iter().map(|file| all_files.named(file)).collect::<Result<Vec<_>, _>>()?;
    let evaluator = Evaluator::new(&all_files);
    let mut finder = Finder::new(&evaluator);
    for file in &named {
        if let Some(term) = file.term() {
            finder.module(&term);
        }
    }
    let mut found = finder.finish();
    passed_over::look(&evaluator, &mut found);
    let mut all = Declaration::default();
    machine::read(&evaluator, &found.own, &mut all);
    lists::read(&evaluator, &found, Assumptions::new(storage, person), &mut all);
    let mut notes = found.notes;
    notes.append(&mut all.notes);
    all.notes = notes;
    Ok(all)
}
