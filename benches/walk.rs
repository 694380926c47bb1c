//! Reading a tree of 20 000 names: as the copier does, and as the survey does.

use crate::kit::{IN_A_DIRECTORY, Tree, options, target};
use divan::Bencher;
use divan::counter::ItemsCount;
use persistcp::base::path::RelPath;
use persistcp::engine::content::reflink::Reflink;
use persistcp::engine::run::Task;
use persistcp::engine::survey::{self, SurveyScope};
use persistcp::sys::Errno;
use persistcp::sys::dir::{SourceDir, read_batches};
use persistcp::sys::root::Root;
use persistcp::sys::stat::Kind;
use rustix::fs::OFlags;
use std::sync::Arc;

const FILES: usize = 20_000;
const DIRECTORIES: usize = FILES / IN_A_DIRECTORY;

/// What the engine reads at once.
const BATCH: usize = 2048;

/// What is asked of each name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Name,
    Stat,
}

/// The names below `dir`, in the order of the engine; one thread.
fn names(dir: &SourceDir, look: Look) -> Result<usize, Errno> {
    let (mut found, mut below, mut failed) = (0, Vec::new(), None);
    read_batches(dir, BATCH, |mut batch| {
        batch.sort_unstable_by_key(|entry| entry.ino);
        found += batch.len();
        if look == Look::Stat {
            failed = batch.iter().find_map(|entry| divan::black_box(dir.stat_at(&entry.name)).err());
        }
        below.extend(batch.into_iter().filter(|e| e.kind == Some(Kind::Directory)).map(|e| e.name));
        failed.is_none()
    })?;
    if let Some(errno) = failed {
        return Err(errno);
    }
    for name in below {
        found += names(&dir.open_dir(&name)?, look)?;
    }
    Ok(found)
}

fn walk(bencher: Bencher<'_, '_>, look: Look) {
    let tree = Tree::new(FILES, 0);
    let root = Root::open(&tree.source()).expect("the source");
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| {
        // A descriptor that was read to its end gives nothing more.
        let dir = root.open_in(&RelPath::root(), OFlags::RDONLY).map(SourceDir::from_fd);
        assert_eq!(dir.and_then(|dir| names(&dir, look)), Ok(FILES + DIRECTORIES));
    });
}

#[divan::bench(sample_count = 50)]
fn batches(bencher: Bencher<'_, '_>) {
    walk(bencher, Look::Name);
}

#[divan::bench(sample_count = 50)]
fn batches_and_stat(bencher: Bencher<'_, '_>) {
    walk(bencher, Look::Stat);
}

#[divan::bench(sample_count = 50)]
fn survey(bencher: Bencher<'_, '_>) {
    let tree = Tree::new(FILES, 0);
    let mapping = tree.mapping(&target());
    let root = Arc::new(Root::open(&tree.source()).expect("the source"));
    let means = options(Task::Copy, None).means();
    bencher.counter(ItemsCount::new(FILES)).bench_local(|| {
        let surveys =
            survey::survey(&mapping, &root, SurveyScope { means, cross_mounts: false, reflink: Reflink::Never });
        // The entry itself as well.
        assert_eq!(surveys[0].entries, (FILES + DIRECTORIES + 1) as u64);
    });
}
