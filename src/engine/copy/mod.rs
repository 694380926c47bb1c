//! The copier: the plan's entries, walked and written by a pool of its own.
//!
//! The walk is by directory descriptor on both sides; how it is shared out among
//! threads is the scheduler's part (`tree/scheduler.rs`). An [`Engine`] is made of parts
//! with one job each, which share a context; each file below is one of them, or one step
//! of its work.
//!
//! | part | job | files |
//! |---|---|---|
//! | `Engine` | walks, and starts the plan's entries | `engine`, `dir`, `parents`, `declared` |
//! | `SourceTree` | file systems, drivers, attributes and mounts of the source | `source`, `mount`, `open_dir` |
//! | `Rules` | patterns, owners and modes of the plan | `rules` |
//! | `Directories` | directories of the target, from pre-visit to post-visit | `directories`, `pre_visit`, `claim`, `trust`, `guard`, `altered`, `post_visit`, `node` |
//! | `Takeover` | has a name judged (`judge/`), and does and reports the decision | `takeover` |
//! | of several | what is in its place already | `in_place`, `in_place_dir` |
//! | `SourceProof` | what the source and the plan ask for | `source_proof` |
//! | `Leaves` | skips, links or copies what is not a directory | `leaf`, `together`, `retyped`, `way` |
//! | `RegularFiles`, `SpecialFiles` | copy one inode each | `file`, `damaged`, `special`, `job`, `create`, `hand_in` |
//! | `Contents`, `ChunkedFiles` | a file's content, until its source holds still | `filling`, `settled`, `sharing`, `data`, `large`, `chunk_work` |
//! | `Slots` | who may move bytes of large files, and how | `slots`, `turn`, `chooser`, `pace` |
//! | `LinkedNames` | names of inodes that have several | `linked`, `link` |
//! | `ImmutableFlags` | flags that come last | `immutable` |
//! | `CopyContext` | what all of them share | `context`, `records`, `report` |

mod altered;
mod chooser;
mod chunk_work;
mod claim;
mod context;
mod create;
mod damaged;
mod data;
mod databases;
mod declared;
mod dir;
mod dir_metadata;
mod directories;
mod engine;
mod entry;
mod file;
mod filling;
mod guard;
mod hand_in;
mod immutable;
mod in_place;
mod in_place_dir;
mod job;
mod large;
mod leaf;
mod link;
mod linked;
pub(crate) mod mount;
mod node;
mod open_dir;
mod options;
mod pace;
pub(crate) mod parents;
mod post_visit;
mod pre_visit;
mod records;
mod report;
mod retyped;
mod rules;
mod settled;
mod sharing;
mod slots;
mod source;
mod source_proof;
mod special;
mod stands;
mod takeover;
mod together;
mod trust;
mod turn;
mod way;

pub use engine::{CopyOutcome, Engine};
pub(crate) use link::{InodeKey, key_of};
pub use options::{CopyOptions, Parts};
pub(crate) use pre_visit::reserved;
pub use rules::FixupsChanged;
