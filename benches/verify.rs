//! Reading back from the medium, past the page cache, and comparing with the journal.

use crate::kit::{Run, Tree, target};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

fn read_back(bencher: Bencher<'_, '_>, files: usize, size: usize) {
    let tree = Tree::new(files, size);
    let target = target();
    Run::start(&tree, &target).copy();
    let run = Run::start(&tree, &target);
    bencher.bench_local(|| {
        assert_eq!(run.verify().sum(|tally| &tally.verified_bytes), (files * size) as u64);
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
