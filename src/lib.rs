//! persistcp: a fast, faithful, verified, resumable copier for moving a Linux
//! system's state to a new disk.
//!
//! Folders are layers; an import goes down this list or stays in its layer:
//!
//! | layer | knows |
//! |---|---|
//! | [`cli`] | arguments, progress, the words that a person reads, exit statuses |
//! | [`nixos`] | the world around a copy: audit, check, import, export |
//! | [`plan`] | the plan file, its diagnostics, what it resolves to |
//! | [`engine`] | trees: copies, makes durable, records, verifies |
//! | [`sys`] | system calls, a thin typed function each |
//! | [`base`] | paths as bytes, time, sizes, shell words |

pub mod base;
pub mod cli;
pub mod engine;
pub mod nixos;
pub mod plan;
pub mod sys;
