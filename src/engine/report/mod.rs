//! What a run reports at its end: one structure, shown as text and as JSON.

mod data;
mod json;
mod past;
mod totals;

pub use super::events::outcome::Outcome;
pub use data::{Absent, Report, TargetReport, Totals};
pub use json::json;
pub use past::from_json;
pub use totals::{absent, totals};
