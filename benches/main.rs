//! The inner loops, each alone: `cargo bench`, or `cargo bench -- journal` for
//! some of them. Whole runs against rivals are `scripts/measure`.
//!
//! Files lie on the disk that holds `target/`, and the source is in the page
//! cache. A bench of something that failed would be quick: each one looks at what
//! came out, never at how long it took.
//!
//! ext4 is slow to make files where others were removed within the last minute or
//! more: it looks at each of their inodes and passes it over (`recently_deleted()`
//! in `fs/ext4/ialloc.c`). So nothing is removed before the end, and figures of
//! `small_files` count when no run has ended just before.

mod kit;

mod chunks;
mod journal;
mod small_files;
mod verify;
mod walk;

fn main() {
    let work = kit::begin();
    divan::main();
    work.close().expect("the directory of the benches to be removed");
}
