//! Trees on the disk, and the stages of a run over them.

use persistcp::engine::copy::{Engine, Options, Parts};
use persistcp::engine::events::counters::Counters;
use persistcp::engine::events::problem::Problems;
use persistcp::engine::events::rate_limit::RateLimit;
use persistcp::engine::events::stop::Stop;
use persistcp::engine::journal::epoch::{Epochs, FileSystems, Surroundings};
use persistcp::engine::journal::{Declared, Journal, Location, STATE_DIR, Writer};
use persistcp::engine::mapping::model::{Entry, Mapping, Target};
use persistcp::engine::meta::{Keep, Owners};
use persistcp::engine::tree::descriptors::{threads, usual_threads};
use persistcp::engine::verify::{Depth, Mend, Scope, Verifier};
use persistcp::plan::{Backup, Overrides, Plan};
use persistcp::sys::file::evict;
use persistcp::sys::filesystem::{SyncFd, may_chown, raise_open_files};
use persistcp::sys::root::Root;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// Files in one directory of a tree.
pub(crate) const IN_A_DIRECTORY: usize = 100;

static WORK: OnceLock<PathBuf> = OnceLock::new();

/// The directory of all benches, on the disk: /tmp may be memory. Dropping what
/// this gives removes it.
pub(crate) fn begin() -> TempDir {
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory below target/");
    WORK.set(work.path().to_path_buf()).expect("one beginning");
    work
}

/// A new directory in that one, which stays until the end.
pub(crate) fn directory() -> PathBuf {
    let work = WORK.get().expect("a beginning");
    tempfile::tempdir_in(work).expect("a directory").keep()
}

/// The threads of a run without `--threads`, and the limit of open files.
pub(crate) fn at_work() -> (usize, u64) {
    let open_files = raise_open_files();
    (threads(open_files, usual_threads()), open_files)
}

/// `length` bytes that no file system can make smaller.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A backup and a plan for it.
pub(crate) struct Tree {
    place: PathBuf,
    files: Vec<PathBuf>,
}

impl Tree {
    /// So many files of so many bytes, on the medium.
    pub(crate) fn new(files: usize, size: usize) -> Self {
        let mut tree = Self { place: directory(), files: Vec::with_capacity(files) };
        let (content, data) = (noise(size), tree.source().join("data"));
        std::fs::create_dir(tree.source()).expect("the source");
        std::fs::create_dir(&data).expect("the entry");
        for number in 0..files {
            let dir = data.join(format!("{}", number / IN_A_DIRECTORY));
            if number % IN_A_DIRECTORY == 0 {
                std::fs::create_dir(&dir).expect("a directory");
            }
            let file = dir.join(format!("file-{number}"));
            std::fs::write(&file, &content).expect("a file");
            tree.files.push(file);
        }
        let plan = "version = 1\nname = \"bench\"\n[[map]]\nfrom = \"/data\"\nto = \"/data\"\n";
        std::fs::write(tree.plan_file(), plan).expect("the plan");
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

    fn plan_file(&self) -> PathBuf {
        self.place.join("plan.toml")
    }

    /// The plan for a target at `root`.
    pub(crate) fn plan(&self, root: &Path) -> Mapping {
        let (source, root) = (Some(self.source()), Some(root.to_path_buf()));
        let overrides = Overrides { source, root, ..Overrides::default() };
        let plan = Plan::read(&self.plan_file()).expect("a good plan");
        plan.resolve(&overrides, Backup::Needed).expect("a plan of what is there")
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

/// A run of a tree's plan whose journal is open; its stages are those of
/// `persistcp::run`, without what is said around them.
pub(crate) struct Run {
    plan: Arc<Mapping>,
    targets: Vec<String>,
    journal: Arc<Journal>,
    writer: Writer,
    problems: Arc<Problems>,
    stop: Stop,
}

impl Run {
    pub(crate) fn start(tree: &Tree, target: &Path) -> Self {
        let plan = tree.plan(target);
        let location = Location::new(target.join(STATE_DIR), &plan.name);
        let journal = Journal::open(location, false).expect("a journal");
        let stop = Stop::default();
        let names: Vec<String> = plan.targets.iter().map(|target| target.name.clone()).collect();
        let entries = plan.targets.iter().flat_map(|t| t.entries.iter().map(move |e| (t, e)));
        let declared = |(t, e): (&Target, &Entry)| Declared {
            target: t.name.clone(),
            src: e.src.clone(),
            dst: e.dst.clone(),
            need: e.need,
            present: true,
        };
        let entries: Vec<Declared> = entries.map(declared).collect();
        Self {
            targets: journal.declare(&names, &entries).expect("the declared entries"),
            writer: Writer::start(&journal, stop.clone()).expect("the writer"),
            plan: Arc::new(plan),
            journal: Arc::new(journal),
            problems: Arc::default(),
            stop,
        }
    }

    /// Copies, until all of it is durable and in the journal.
    pub(crate) fn copy(self) -> Arc<Counters> {
        let counters = self.counters();
        let file_systems = Arc::new(FileSystems::default());
        let epochs = Epochs::start(Surroundings {
            file_systems: Arc::clone(&file_systems),
            journal: self.writer.handle(),
            counters: Arc::clone(&counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
        });
        let epochs = epochs.expect("the thread of the epochs");
        let (threads, open_files) = at_work();
        let engine = Engine::new(Parts {
            source: Arc::new(Root::open(&self.plan.source).expect("the source")),
            plan: Arc::clone(&self.plan),
            journal: Arc::clone(&self.journal),
            file_systems,
            submit: epochs.submit(),
            writer: self.writer.handle(),
            counters: Arc::clone(&counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
            rate_limit: RateLimit::new(self.stop.clone(), None),
            groups: Arc::default(),
            options: Options {
                keep: Keep { owner: if may_chown() { Owners::Kept } else { Owners::Left }, atime: false },
                cross_mounts: false,
                overwrite: false,
                histories: Vec::new(),
                threads,
                open_files,
            },
        });
        engine.expect("the engine").run(|| ()).expect("a copy");
        epochs.finish(&self.stop);
        self.all_is_well();
        self.writer.finish().expect("a whole journal");
        counters
    }

    /// Reads everything back from the medium, as `--verify-only` does, and records it.
    pub(crate) fn verify(&self) -> Arc<Counters> {
        let counters = self.counters();
        let declared = self.journal.declared().expect("the declared entries");
        let verifier = Verifier {
            plan: Arc::clone(&self.plan),
            targets: self.targets.clone(),
            owned: declared.into_iter().map(|entry| entry.dst).collect(),
            state: self.journal.directory_id().ok(),
            depth: Depth::Content,
            scope: Scope::All,
            mend: Mend::Damage,
            left_out: Default::default(),
            threads: at_work().0,
            counters: Arc::clone(&counters),
            problems: Arc::clone(&self.problems),
            stop: self.stop.clone(),
            rate_limit: RateLimit::new(self.stop.clone(), None),
            journal: self.writer.handle(),
            medium: Default::default(),
            readers: Default::default(),
        };
        verifier.run(&self.journal).expect("a journal that can be read");
        self.writer.handle().flush();
        self.all_is_well();
        counters
    }

    fn counters(&self) -> Arc<Counters> {
        Arc::new(Counters::new(self.plan.targets.len()))
    }

    fn all_is_well(&self) {
        assert_eq!(self.stop.reason(), None);
        let (problems, count, _) = self.problems.take();
        assert_eq!(count, 0, "{problems:?}");
    }
}
