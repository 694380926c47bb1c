//! The real binary on real trees.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "a test may panic, and looks at trees the plain way"
)]

mod kit;

mod accept;
mod against;
mod attackers;
mod audit;
mod bounds;
mod broken;
mod cache;
mod calls;
mod changing;
mod check;
mod comparator;
mod copy;
mod databases;
mod delete;
mod docs;
mod drivers;
mod dry_run;
mod edited;
mod emberroot;
mod existing;
mod explicit;
mod export;
mod exposure;
mod faithful;
mod faults;
mod faulty;
mod follow;
mod foretold;
mod ids;
mod import;
mod in_place;
mod incremental;
mod interrupted;
mod journal;
mod kills;
mod large;
mod large_io;
mod late;
mod later;
mod layers;
mod limits;
mod living;
mod manifest;
mod matrix;
mod meanwhile;
mod mounts;
mod names;
mod nested;
mod nobody;
mod odd;
mod other_volume;
mod output;
mod overlap;
mod passes;
mod plans;
mod power;
mod programs;
mod random;
mod random_plans;
mod real_modules;
mod reflink;
mod refusals;
mod repair;
mod resume;
mod rights;
mod room;
mod roots;
mod runbook;
mod running;
mod second_opinion;
mod signals;
mod sshfs;
mod stale;
mod state_dir;
mod store;
mod styles;
mod throttled;
mod two_trees;
mod unwritable;
mod verify;
mod volumes;
mod whole;
