//! The plan: what goes where, as the user wrote it and as numbers.
//!
//! [`Plan::read`] parses and validates a file and reports all of its errors at once;
//! [`Plan::resolve`] looks at the source and the id maps and returns a
//! [`crate::engine::mapping::model::Mapping`].

mod around;
mod conflicts;
mod diagnostic;
mod draft;
pub(crate) mod expand;
mod follow;
pub(crate) mod id_file;
pub(crate) mod ids;
mod names;
mod resolve;
mod schema;
mod show;
pub(crate) mod spelling;
pub(crate) mod static_ids;
mod value;
pub mod words;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use draft::Plan;
pub(crate) use draft::{EntryDraft, FixupDraft, IdRef, IdValue, TargetDraft};
pub use names::PlanName;
pub use resolve::{Backup, Overrides, ResolveError};
pub use show::{drift, json, table};
