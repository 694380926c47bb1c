//! `persistcp verify SRC DST`: two trees against each other.

use super::args::{Format, ThreadArgs};
use super::exit::Exit;
use super::output::{fail, print, print_text};
use super::report_text::{medium_words, problems};
use super::run::rate;
use super::words::{WORDS, note, stop};
use crate::base::clock;
use crate::base::human::{bytes, count, duration, rate as per_second};
use crate::base::json;
use crate::engine::events::rate_limit::{Rate, RateLimit};
use crate::engine::events::stop::Stop;
use crate::engine::mapping::given::TreesError;
use crate::engine::mapping::trees::{NamedTrees, patterns};
use crate::engine::report::{self, Outcome, Report, Totals};
use crate::engine::tree::descriptors::threads;
use crate::engine::tree::latency::{LATE_THREADS, is_late};
use crate::engine::tree::walk::WalkOptions;
use crate::engine::two_trees::{Compared, PairError, PairOptions, PairSide, compare};
use crate::sys;
use crate::sys::errno_words;
use crate::sys::output::{Existing, write};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "`SRC/` is what is in the directory, `SRC` the directory itself, as for `copy`. Exit status: 0 the \
same, 1 differences, 2 command line wrong, 3 nothing could be compared."
)]
pub(super) struct VerifyArgs {
    /// The tree to hold the other one against
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Where it was copied to
    #[arg(value_name = "DST")]
    destination: PathBuf,
    /// Compare everything but the content
    #[arg(long)]
    metadata_only: bool,
    /// Compare no owners and groups, nor set-ID bits of files where they differ: as after `copy --no-owner`
    #[arg(long)]
    no_owner: bool,
    /// Leave out what matches in either tree (gitignore syntax, anchored there); repeatable
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Enter mounts inside SRC
    #[arg(long)]
    cross_mounts: bool,
    #[command(flatten)]
    threads: ThreadArgs,
    /// Read at most this many bytes a second, both trees together: 500K, 20M, 1.5G; a number alone is in
    /// KiB
    #[arg(long, value_name = "RATE", value_parser = rate)]
    bwlimit: Option<Rate>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write the result as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print nothing when the trees are the same
    #[arg(short, long)]
    quiet: bool,
}

impl VerifyArgs {
    pub(super) fn start(self) -> Exit {
        let (started, began) = (clock::now().rfc3339(), Instant::now());
        let sources = std::slice::from_ref(&self.source);
        let named =
            NamedTrees { sources, destination: &self.destination, exclude: &self.exclude, sources_needed: true };
        let mapping = match named.mapping() {
            Ok(trees) => trees.mapping,
            Err(error @ (TreesError::Source(..) | TreesError::Destination(..))) => {
                return fail(&error.to_string(), Exit::Refused);
            }
            Err(error) => return fail(&error.to_string(), Exit::Usage),
        };
        let entry = mapping.targets.first().and_then(|target| target.entries.first());
        let (Some(entry), Ok(excluded)) = (entry, patterns(&self.exclude)) else {
            return fail("there is nothing to compare", Exit::Usage);
        };
        let open_files = sys::filesystem::raise_open_files();
        let stop = Stop::default();
        let late = [&mapping.source, &mapping.root].into_iter().any(|path| is_late(path));
        let usual = self.threads.count(open_files);
        let count = if late && !self.threads.are_asked() { threads(open_files, LATE_THREADS) } else { usual };
        let options = PairOptions {
            metadata_only: self.metadata_only,
            no_owner: self.no_owner,
            cross_mounts: self.cross_mounts,
            excluded,
            means: WalkOptions { late, ..WalkOptions::new(open_files, count) },
            rate_limit: RateLimit::new(stop.clone(), self.bwlimit),
            stop,
        };
        let one = PairSide { above: &mapping.source, path: &entry.real };
        let two = PairSide { above: &mapping.root, path: &entry.dst };
        let compared = match compare(one, two, &options) {
            Ok(compared) => compared,
            Err(PairError::Unopened(path, errno)) => {
                return fail(&format!("{} cannot be opened: {}", path.display(), errno_words(errno)), Exit::Refused);
            }
            Err(PairError::NoThread(why)) => return fail(&stop::no_thread(&why), Exit::Refused),
        };
        let paths = [one, two].map(|side| side.above.join(side.path.as_path()).to_string_lossy().into_owned());
        self.tell(&report_of(compared, paths, (started, began)))
    }

    fn tell(&self, report: &Report) -> Exit {
        let exit = Exit::from(report.outcome);
        let as_json = json::text(&report::json(report, &WORDS));
        if let Some(file) = &self.report
            && let Err(errno) = write(file, as_json.as_bytes(), Existing::Replaced)
        {
            let why = errno_words(errno);
            return fail(&format!("{}: cannot write the report: {why}", file.display()), exit.max(Exit::Problems));
        }
        if self.quiet && exit == Exit::Ok {
            return exit;
        }
        let printed = match self.format {
            Format::Json => print(&as_json),
            Format::Text => print_text(&text(report)),
        };
        exit.max(printed)
    }
}

fn report_of(compared: Compared, [source, root]: [String; 2], (started, began): (String, Instant)) -> Report {
    let Compared { problems, entries, files, bytes, medium } = compared;
    let (problems, problem_count, notes) = problems.take();
    let outcome = if problem_count > 0 { Outcome::Problems } else { Outcome::Done };
    let totals = Totals {
        entries,
        files,
        verified: entries,
        verified_bytes: bytes,
        problems: problem_count,
        seconds: began.elapsed().as_secs_f64(),
        ..Totals::default()
    };
    let nothing = Report::refused("verify".into(), source, root, Vec::new());
    let ended = clock::now().rfc3339();
    Report { started, ended, outcome, totals, medium, problems, problem_count, notes, ..nothing }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    tell_all(&mut out, report).ok();
    out
}

fn tell_all(out: &mut String, report: &Report) -> std::fmt::Result {
    let (source, root, Totals { entries, files, verified_bytes, seconds, .. }) =
        (&report.source, &report.root, report.totals);
    match report.problem_count {
        0 => writeln!(out, "{root}: the same as {source}")?,
        1 => writeln!(out, "{root}: 1 difference from {source}")?,
        n => writeln!(out, "{root}: {} differences from {source}", count(n))?,
    }
    let entries = if entries == 1 { "1 entry".into() } else { format!("{} entries", count(entries)) };
    let files = if files == 1 { "1 file".into() } else { format!("{} files", count(files)) };
    let (read, speed) = (bytes(verified_bytes), per_second(verified_bytes, seconds));
    writeln!(out, "\n  {entries}, {files} | read {read} of both, {speed} | took {}", duration(seconds))?;
    if let Some(medium) = report.medium {
        writeln!(out, "  both were read {}", medium_words(medium))?;
    }
    if !report.notes.is_empty() {
        writeln!(out, "\nnotes:")?;
    }
    for note in &report.notes {
        writeln!(out, "  {}", note::words(note))?;
    }
    problems(out, report)
}
