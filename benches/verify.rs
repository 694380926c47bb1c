//! Reading back from the medium, past the page cache, and comparing with the journal.

use crate::kit::{Tree, finish, options, start, target};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use persistcp::engine::run::{Against, Task};
use persistcp::engine::verify::{Depth, UsePolicy};

fn read_back(bencher: Bencher<'_, '_>, files: usize, size: usize) {
    let (tree, target) = (Tree::new(files, size), target());
    finish(start(&tree, &target, &options(Task::Copy, None)));
    let against = Against::Manifest { since: None, in_use: UsePolicy::Counted };
    let options = options(Task::Verify(against), Some(Depth::Content));
    bencher.with_inputs(|| start(&tree, &target, &options)).bench_local_values(|run| {
        assert_eq!(finish(run).verified_bytes, (files * size) as u64);
    });
}

/// One file of four chunks.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn large_file(bencher: Bencher<'_, '_>) {
    const SIZE: usize = 64 << 20;
    read_back(bencher.counter(BytesCount::new(SIZE)), 1, SIZE);
}

#[divan::bench(sample_count = 50, sample_size = 1)]
fn small_files(bencher: Bencher<'_, '_>) {
    const FILES: usize = 1000;
    read_back(bencher.counter(ItemsCount::new(FILES)), FILES, 4096);
}
