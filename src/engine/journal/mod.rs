//! The journal: which entries are whole on the medium, and what they shall be.
//!
//! An SQLite database in WAL mode. Rows enter through one writer thread and only
//! inside a [`Durable`](epoch::Durable), or become done by a [`Confirmed`]: nothing but a
//! successful syncfs makes either. `synchronous=NORMAL` is enough: a commit that a power cut takes
//! back means copying again, and a row can never be ahead of its data.
//!
//! The run that holds the lock is the only process that writes. Whoever only reads
//! holds a shared flock(2) on the directory, and the writer folds its log into the
//! database under the exclusive one: so neither waits for the other.

mod accepted;
mod accepted_lookup;
mod by_inode;
mod confirm;
mod connect;
mod constructors;
mod database;
mod declared;
pub mod epoch;
mod error;
mod forget;
mod found;
mod item;
mod leftovers;
mod location;
mod lock;
mod log;
mod lookup;
mod member;
mod message;
mod past;
mod reader;
mod record;
mod removals;
mod row;
mod run_kind;
mod schema;
mod sealer;
mod seen;
mod serve;
mod source;
mod stale;
mod state;
mod state_dir;
mod verified;
mod writer;

pub use super::events::journal_error::JournalError;
pub use accepted::{Acceptance, AcceptedAs, AcceptedRow};
pub use confirm::{Ascertained, Confirmed, Unconfirmed};
pub use constructors::{InodePair, RowKey};
pub use database::Journal;
pub use declared::Declared;
pub use found::was_target;
pub use location::{Location, STATE_DIR};
pub use lookup::RowAnswer;
pub use member::Member;
pub use past::{Past, PastRun};
pub use reader::Reader;
pub use record::{Chunk, Record};
pub use removals::{DurablyRemoved, Removals, Removed, Unlinked};
pub use row::{CHUNKED, Row, RowChange};
pub use run_kind::RunKind;
pub use sealer::{Epochs, Surroundings};
pub use seen::{Fixed, Seen};
pub use source::{Doubt, Proof, SourceId};
pub use stale::StaleRecord;
pub use state::State;
pub use writer::{Writer, WriterHandle};
