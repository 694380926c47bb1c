//! Trees on a disk, and runs of the library over them.

use persistcp::engine::report::{Outcome, Totals};
use persistcp::engine::run::{Allow, Begun, Mapping, Options, Stop, Task, begin};
use persistcp::engine::tree::descriptors::{threads, usual_threads};
use persistcp::engine::verify::Depth;
use persistcp::sys::file::evict;
use persistcp::sys::filesystem::{SyncFd, may_chown, raise_open_files};
use persistcp::sys::root::Root;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Files in one directory of a tree.
pub(crate) const IN_A_DIRECTORY: usize = 100;

static WORK: OnceLock<PathBuf> = OnceLock::new();

/// The directory of all benches, on the disk: /tmp may be memory. Dropping what
/// this gives removes it.
pub(crate) fn work() -> TempDir {
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory below target/");
    WORK.set(work.path().to_path_buf()).expect("one beginning");
    work
}

/// A new directory in that one, which stays until the end.
pub(crate) fn directory() -> PathBuf {
    let work = WORK.get().expect("a beginning");
    tempfile::tempdir_in(work).expect("a directory").keep()
}

/// What a run does, with the threads of one without `--threads`.
pub(crate) fn options(task: Task, verify: Option<Depth>) -> Options {
    let open_files = raise_open_files();
    let allow = Allow { volatile: true, no_owner: !may_chown(), ..Allow::default() };
    Options { task, verify, allow, open_files, threads: threads(open_files, usual_threads()), ..Options::default() }
}

/// `length` bytes that no file system can make smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A backup.
pub(crate) struct Tree {
    place: PathBuf,
    files: Vec<PathBuf>,
}

impl Tree {
    /// So many files of so many bytes, on the medium.
    pub(crate) fn new(files: usize, size: usize) -> Self {
        let mut tree = Self { place: directory(), files: Vec::with_capacity(files) };
        let content = noise(size);
        std::fs::create_dir(tree.source()).expect("the source");
        for number in 0..files {
            let dir = tree.source().join(format!("{}", number / IN_A_DIRECTORY));
            if number % IN_A_DIRECTORY == 0 {
                std::fs::create_dir(&dir).expect("a directory");
            }
            let file = dir.join(format!("file-{number}"));
            std::fs::write(&file, &content).expect("a file");
            tree.files.push(file);
        }
        sync(&tree.place);
        tree
    }

    /// Drops the content from the page cache.
    pub(crate) fn evict(&self) {
        for file in &self.files {
            std::fs::File::open(file).map(evict).expect("a file").expect("a cache that lets go");
        }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.place.join("source")
    }

    /// The whole of it, to a directory in `target`.
    pub(crate) fn mapping(&self, target: &Path) -> Mapping {
        Mapping::directory("bench", &self.source(), &target.join("data")).expect("a good mapping")
    }
}

/// A new place to copy to; what was written before this is on the medium.
pub(crate) fn target() -> PathBuf {
    let target = directory();
    sync(&target);
    target
}

fn sync(path: &Path) {
    let dir = Root::open(path).expect("a directory");
    SyncFd::open(&dir).and_then(|fd| fd.sync()).expect("syncfs");
}

/// A run that may start, with its journal open: what is measured is the rest.
pub(crate) fn start<'a>(tree: &Tree, target: &Path, options: &'a Options) -> Begun<'a> {
    begin(tree.mapping(target), options, &(), &Stop::default()).expect("nothing to refuse")
}

/// Ends it, with all of it durable and in the journal.
pub(crate) fn finish(run: Begun<'_>) -> Totals {
    let report = run.finish();
    assert_eq!(report.outcome, Outcome::Done, "{:?} {:?}", report.reason, report.problems);
    report.totals
}
