//! What every layer may use: no system calls, no policy.

pub mod clock;
pub mod crash_damage;
pub mod human;
pub mod json;
pub mod path;
pub mod path_tree;
pub mod shell;
