//! May this run start? Every refusal is found before anything is written, and
//! says what to do. Only this folder makes a [`Cleared`].

mod allow;
mod capacity;
mod check;
mod cleared;
mod entries;
mod fs_path;
mod in_use;
mod overlap;
mod patterns;
mod place;
mod remap;
mod state;

pub use allow::{Allow, Look, Purpose, Refusals, SourceFinding};
pub use check::check;
pub use cleared::{Cleared, ClearedParts, Size};
pub use patterns::left_out;
pub use place::{devices, room};
pub use state::journal_of;
