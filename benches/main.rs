//! The inner loops, each alone: `cargo bench`, or `cargo bench -- journal` for
//! some of them. Whole runs against rivals are `scripts/compare`.
//!
//! Files lie on the disk that holds `target/`; the directories and inodes of the
//! source are in the cache. A bench of something that failed would be quick: each
//! one looks at what came out, never at how long it took.
//!
//! ext4 without a journal is slow to make files where others were removed within the
//! last minutes: it looks at each of their inodes and passes it over
//! (`recently_deleted()` in `fs/ext4/ialloc.c`). So nothing is removed before the end,
//! and there the figures of `small_files` are good six minutes after another run, or
//! when `target/tmp` is a new file system.

mod kit;

mod chunks;
mod journal;
mod small_files;
mod verify;
mod walk;

fn main() {
    let work = kit::work();
    divan::main();
    work.close().expect("the directory of the benches to be removed");
}
