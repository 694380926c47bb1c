//! Epochs: entries are durable only after a syncfs that began after they were
//! written and whose descriptor was opened before.
//!
//! [`Durable`] has a private field and is only made by `Epoch::seal`; the journal accepts
//! new rows in nothing else. After a failed syncfs the epoch is void: none of its entries is
//! recorded, and the run stops, because the kernel reports a lost page once and then forgets
//! it.

pub(super) mod file_systems;
mod gate;
pub(super) mod seal;
pub(super) mod submit;
mod written;

pub use file_systems::FileSystems;
pub use gate::{Gate, Permit};
pub use seal::Durable;
pub use submit::Submit;
pub use written::{Directory, Replace, Written};
