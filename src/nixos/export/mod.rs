//! A plan in the formats of other tools: persistence lists of two Nix modules, tmpfiles.d lines, JSON,
//! a script that runs rsync.
//!
//! All of them read `declared::DeclaredPlan`. The backup need not be there; what only it could tell is
//! then noted once, and a table replaces it for modes.

mod attributes;
mod declared;
mod impermanence;
mod json;
mod lists;
mod nix_document;
mod place;
mod preservation;
pub(crate) mod private;
mod rsync;
mod rsync_filter;
mod text;
mod tmpfiles;

#[cfg(test)]
mod tests;

pub use text::{Export, ExportNote};

use crate::plan::{Overrides, Plan, ResolveError};
use declared::DeclaredPlan;

/// A format to write a plan in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `environment.persistence` of impermanence V2.
    Impermanence,
    /// `preservation.preserveAt`.
    Preservation,
    /// Lines of tmpfiles.d(5).
    Tmpfiles,
    /// The declared set, for programs.
    Json,
    /// A POSIX shell script.
    Rsync,
}

impl Plan {
    /// Writes the plan as `form`. The backup is read if it can be opened; one that `overrides` names must
    /// be there.
    pub fn export(&self, overrides: &Overrides, form: Form) -> Result<Export, ResolveError> {
        let declared = DeclaredPlan::new(self, overrides)?;
        Ok(match form {
            Form::Impermanence => impermanence::write(&declared),
            Form::Preservation => preservation::write(&declared),
            Form::Tmpfiles => tmpfiles::write(&declared),
            Form::Json => json::write(&declared),
            Form::Rsync => rsync::write(&declared),
        })
    }
}
