//! The copier at work: its parts, and the order of a run.

use super::context::CopyContext;
use super::directories::Directories;
use super::file::RegularFiles;
use super::filling::Contents;
use super::immutable::ImmutableFlags;
use super::large::ChunkedFiles;
use super::leaf::Leaves;
use super::link::Links;
use super::linked::LinkedNames;
use super::options::Parts;
use super::records::Records;
use super::retyped::RetypedNames;
use super::rules::{FixupsChanged, Rules};
use super::sharing::Sharing;
use super::slots::Slots;
use super::source::SourceTree;
use super::source_proof::SourceProof;
use super::special::SpecialFiles;
use super::takeover::Takeover;
use crate::engine::content::way::LargeFiles;
use crate::engine::driver::Drivers;
use crate::engine::events::no_thread::NoThread;
use crate::engine::journal::JournalError;
use crate::engine::mapping::index::Index;
use crate::engine::mapping::layout::destinations;
use crate::engine::stale::StaleSearch;
use crate::engine::tree::budget::FdBudget;
use crate::engine::tree::scheduler::{Tasks, Worker};
use crate::engine::tree::{descriptors, pool};
use crate::engine::volume::Volumes;
use std::sync::atomic::{AtomicBool, AtomicI64};
use std::sync::{Arc, Mutex};

/// The copier at work: walks the plan's entries and hands each name to the part responsible.
pub struct Engine {
    pub(super) cx: Arc<CopyContext>,
    pub(super) source: Arc<SourceTree>,
    pub(super) rules: Arc<Rules>,
    pub(super) directories: Arc<Directories>,
    pub(super) leaves: Leaves,
    pub(super) flags: Arc<ImmutableFlags>,
    pub(super) slots: Arc<Slots>,
    pub(super) tasks: Tasks,
    pub(super) index: Index,
    pub(super) stale: StaleSearch,
    /// Entries that the run came to, by target and entry.
    pub(super) visited: Vec<Vec<AtomicBool>>,
    pub(super) nested: Vec<Vec<bool>>,
    /// How many small files a thread may hold open, to read them at once.
    pub(super) together: usize,
}

/// What a copy tells beyond what it counts and reports on the way.
#[derive(Debug, Default)]
pub struct CopyOutcome {
    /// The fixups that it has applied to something.
    pub fixups_changed: FixupsChanged,
    /// How large files were copied.
    pub large_files: Vec<LargeFiles>,
}

impl Engine {
    /// Prepares a copy; nothing is read or written yet.
    pub fn new(parts: Parts) -> Result<Self, JournalError> {
        let run = parts.context;
        let reader = run.journal.reader()?;
        let (last, recorded) = (reader.last_id()?, reader.volumes()?);
        let state = run.journal.directory_id()?;
        let open = descriptors::share(parts.options.open_files, parts.options.threads);
        let cx = Arc::new(CopyContext {
            records: Records::new(&run),
            run,
            options: parts.options,
            submit: parts.submit,
            file_systems: parts.file_systems,
        });
        let source = Arc::new(SourceTree {
            cx: Arc::clone(&cx),
            drivers: Drivers::new(&parts.source),
            root: parts.source,
            volumes: Volumes::new(recorded),
            budget: FdBudget::new(open.directories),
        });
        let rules = Arc::new(Rules::new(&cx, parts.groups));
        let flags = Arc::new(ImmutableFlags::new(&cx));
        let directories = Arc::new(Directories {
            cx: Arc::clone(&cx),
            rules: Arc::clone(&rules),
            flags: Arc::clone(&flags),
            budget: FdBudget::new(open.directories),
            late: Mutex::default(),
            guarded: Mutex::default(),
            next_id: AtomicI64::new(last + 1),
            state,
        });
        let limited = cx.run.rate_limit.is_limited();
        let slots = Arc::new(Slots::new(cx.options.large_io, cx.options.threads, limited));
        let index = Index::new(&cx.run.mapping);
        let visited = |target: &crate::engine::mapping::model::Target| {
            target.entries.iter().map(|_| AtomicBool::new(false)).collect()
        };
        Ok(Self {
            tasks: Tasks::of_source(open.inline, cx.options.late),
            together: open.together,
            visited: cx.run.mapping.targets.iter().map(visited).collect(),
            nested: index.nested(&cx.run.mapping),
            stale: StaleSearch::new(&cx.run.mapping, &cx.run.journal, cx.options.overwrite)?,
            index,
            leaves: leaves(&source, &rules, &directories, &slots),
            cx,
            source,
            rules,
            directories,
            flags,
            slots,
        })
    }

    /// Copies everything and returns when the last entry has been handed to its epoch. `begin` is
    /// called before the first one, once there are threads.
    pub fn run(self, begin: impl FnOnce()) -> Result<CopyOutcome, NoThread> {
        let pool = pool::start(self.cx.options.threads, "copy")?;
        begin();
        pool.scope(|scope| {
            let layout = destinations(&self.cx.run.mapping, |(t, e)| !self.nested[t][e]);
            self.build(Worker::new(scope), &layout);
        });
        self.report_unreached();
        self.record_stale_entries();
        self.replace_retyped();
        self.cx.submit.flush();
        self.directories.post_visit_late();
        self.flags.set_all();
        let problems = &self.cx.run.problems;
        self.source.drivers.notes().into_iter().for_each(|note| problems.note(note));
        self.source.drivers.contradictions().into_iter().for_each(|problem| {
            problems.add(problem);
        });
        self.source.volumes.notes().into_iter().for_each(|note| problems.note(note));
        Ok(CopyOutcome { fixups_changed: self.rules.fixups_changed(), large_files: self.slots.report() })
    }
}

/// The part that handles everything but directories.
fn leaves(source: &Arc<SourceTree>, rules: &Arc<Rules>, directories: &Arc<Directories>, slots: &Arc<Slots>) -> Leaves {
    let cx = || Arc::clone(&source.cx);
    let (source, rules) = (|| Arc::clone(source), || Arc::clone(rules));
    let (flags, directories) = (|| Arc::clone(&directories.flags), || Arc::clone(directories));
    let proof = Arc::new(SourceProof { cx: cx(), source: source(), rules: rules() });
    let chunked = ChunkedFiles { cx: cx(), source: source(), flags: flags(), slots: Arc::clone(slots) };
    let sharing = Sharing::new(source().cx.options.reflink);
    let contents = Contents { cx: cx(), source: source(), chunked, sharing };
    let files = Arc::new(RegularFiles {
        cx: cx(),
        source: source(),
        rules: rules(),
        directories: directories(),
        flags: flags(),
        contents,
    });
    let special = Arc::new(SpecialFiles {
        cx: cx(),
        source: source(),
        rules: rules(),
        directories: directories(),
        flags: flags(),
    });
    let linked = LinkedNames {
        cx: cx(),
        source: source(),
        rules: rules(),
        directories: directories(),
        flags: flags(),
        proof: Arc::clone(&proof),
        files: Arc::clone(&files),
        special: Arc::clone(&special),
        links: Links::default(),
    };
    let takeover = Takeover { cx: cx(), proof };
    Leaves {
        cx: cx(),
        source: source(),
        directories: directories(),
        takeover,
        files,
        special,
        linked,
        retyped: RetypedNames::default(),
    }
}
