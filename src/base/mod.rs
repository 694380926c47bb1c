//! What every layer may use: no system call, no policy.

pub mod blank;
pub mod clock;
pub mod exit;
pub mod human;
pub mod json;
pub mod path;
pub mod shell;
