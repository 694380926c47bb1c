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
//!
//! The engine is a library, of which the command line is one user. It needs no plan file:
//!
//! ```
//! use persistcp::engine::run::{Allow, Mapping, Options, Stop, run};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let place = tempfile::tempdir()?;
//! # let (photos, disk) = (place.path().join("photos"), place.path().join("disk"));
//! # std::fs::create_dir(&photos)?;
//! # std::fs::create_dir(&disk)?;
//! # std::fs::write(photos.join("one"), "1")?;
//! let mapping = Mapping::directory("photos", &photos, &disk.join("photos"))?;
//! // Without these, run as root and to a mount of its own.
//! let allow = Allow { volatile: true, no_owner: true, ..Allow::default() };
//! let options = Options { allow, ..Options::default() };
//! let report = run(mapping, &options, &(), &Stop::default())?;
//! let totals = &report.totals;
//! println!("{} copied, {} verified, {} problems", totals.copied, totals.verified, report.problem_count);
//! # assert_eq!((totals.copied, totals.verified, report.problem_count), (2, 2, 0));
//! # Ok(())
//! # }
//! ```

pub mod base;
pub mod cli;
pub mod engine;
pub mod nixos;
pub mod plan;
pub mod sys;
