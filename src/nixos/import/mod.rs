//! A plan made from what a Nix configuration declares.
//!
//! [`from_json`] reads the evaluator's output, [`from_nix`] the literals of a module.
//! Both give a `declared::Declaration`; `arrange` puts it in the plan's order and
//! [`write`] makes TOML of it. What the plan cannot say becomes an [`ImportNote`]: a comment
//! in the plan, and nothing is dropped without one.

mod arrange;
mod declared;
mod json;
mod literals;
pub(crate) mod need;
mod note;
mod person;
mod write;

#[cfg(test)]
mod properties;

pub use json::JsonFile;
pub use literals::NixFile;
pub use note::{ImportNote, NoteWeight};
pub use person::Person;
pub use write::Heading;

use crate::base::path::RelPath;
use crate::plan::{Diagnostics, Plan};
use declared::Declaration;
use std::path::Path;

/// A plan's text, and notes about it.
#[derive(Debug)]
pub struct Imported {
    /// TOML that `plan check` accepts.
    pub text: String,
    /// Notes, which are also comments in the text.
    pub notes: Vec<ImportNote>,
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file cannot be understood: exit status 2.
    #[error("{0}")]
    Input(String),
    /// Nothing is declared, so there is nothing to copy: exit status 1.
    #[error("{0}")]
    Nothing(String),
    /// The command line's values do not make a valid plan: exit status 2.
    #[error("{0}")]
    Plan(#[from] Diagnostics),
}

/// Makes a plan from what `nix eval --json` printed.
pub fn from_json(files: &[JsonFile], person: &Person, heading: &Heading) -> Result<Imported, ImportError> {
    finish(json::read(files, person).map_err(ImportError::Input)?, heading)
}

/// Makes a plan from the literals of modules. `storage` is the path of the storage that only an
/// evaluator can know.
pub fn from_nix(
    files: &[NixFile],
    storage: Option<&RelPath>,
    person: &Person,
    heading: &Heading,
) -> Result<Imported, ImportError> {
    finish(literals::read(files, storage, person).map_err(ImportError::Input)?, heading)
}

fn finish(declaration: Declaration, heading: &Heading) -> Result<Imported, ImportError> {
    let arranged = arrange::arrange(declaration);
    if arranged.areas.is_empty() && arranged.maps.is_empty() {
        let mut why = vec!["nothing that a plan could copy is declared".to_string()];
        why.extend(arranged.notes.iter().map(|note| format!("  {}", note.line())));
        return Err(ImportError::Nothing(why.join("\n")));
    }
    let text = write::plan(&arranged, heading);
    // Whatever was declared, the result must be a valid plan.
    Plan::parse(Path::new(heading.file.as_deref().unwrap_or("plan.toml")), &text)?;
    Ok(Imported { text, notes: arranged.notes })
}
