//! The pipeline over small files: walk, create, copy and hash, metadata, epoch,
//! journal; and the same once everything is done.

use crate::kit::{Tree, finish, options, start, target};
use divan::Bencher;
use divan::counter::ItemsCount;
use persistcp::engine::run::Task;

const FILES: usize = 2000;
const SIZE: usize = 4096;

/// Where the content of the source is at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// In the page cache, as after a backup that was just made.
    Cached,
    /// On the medium alone, as on a disk that was just mounted.
    Evicted,
}

/// From the first name to the last row; syncfs takes what else the disk was given meanwhile.
#[divan::bench(args = [Content::Cached, Content::Evicted], sample_count = 40, sample_size = 1)]
fn copy(bencher: Bencher<'_, '_>, content: Content) {
    let (tree, options) = (Tree::new(FILES, SIZE), options(Task::Copy, None));
    let fresh = || {
        if content == Content::Evicted {
            tree.evict();
        }
        start(&tree, &target(), &options)
    };
    bencher.counter(ItemsCount::new(FILES)).with_inputs(fresh).bench_local_values(|run| {
        assert_eq!(finish(run).copied_bytes, (FILES * SIZE) as u64);
    });
}

/// The journal is asked for each name and both sides are looked at; nothing is written.
#[divan::bench(sample_count = 50, sample_size = 1)]
fn again(bencher: Bencher<'_, '_>) {
    let (tree, options, target) = (Tree::new(FILES, SIZE), options(Task::Copy, None), target());
    finish(start(&tree, &target, &options));
    let again = || start(&tree, &target, &options);
    bencher.counter(ItemsCount::new(FILES)).with_inputs(again).bench_local_values(|run| {
        assert_eq!(finish(run).skipped_bytes, (FILES * SIZE) as u64);
    });
}
