//! The options of everything that copies or verifies by a journal: with a plan, and without one.

use super::job::{Job, JobSubject};
use super::progress::Style;
use crate::base::shell;
use crate::cli::args::{ColorArgs, ThreadArgs};
use crate::cli::words::WORDS;
use crate::engine::content::reflink::Reflink;
use crate::engine::content::way::{LargeIo, WayKind};
use crate::engine::events::rate_limit::Rate;
use crate::engine::preflight::Allow;
use crate::engine::run::{Against, Options, Task};
use crate::engine::verify::{Depth, Since, UsePolicy};
use crate::nixos::store_db;
use crate::sys;
use clap::ValueEnum;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

fn since(text: &str) -> Result<Since, &'static str> {
    text.parse().map_err(|_| {
        "expected `last`, an age like `7d` or `12h`, a date like `2026-11-24`, or a moment like `2026-11-24T14:25:09Z`"
    })
}

/// A rate as it is typed.
pub(in crate::cli) fn rate(text: &str) -> Result<Rate, &'static str> {
    let expected = "expected bytes a second, like 500K, 20M, 1.5G or 100MB; a number alone is in KiB, as with rsync";
    text.parse().map_err(|_| expected)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verify {
    Content,
    Metadata,
    None,
}

/// How large files are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LargeFileIo {
    /// What is fastest
    Auto,
    /// Past the page cache (O_DIRECT), reading and writing at the same time
    Direct,
    /// Written through the page cache, which is written out and emptied at once
    Buffered,
    /// Past the page cache, by turns: 128 MiB are read, then written
    Burst,
}

impl From<LargeFileIo> for LargeIo {
    fn from(asked: LargeFileIo) -> Self {
        match asked {
            LargeFileIo::Auto => Self::Auto,
            LargeFileIo::Direct => Self::Only(WayKind::Direct),
            LargeFileIo::Buffered => Self::Only(WayKind::Buffered),
            LargeFileIo::Burst => Self::Only(WayKind::Burst),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Reference {
    /// What the journal recorded when it was copied; needs no source
    Manifest,
    /// The source, read again
    Source,
}

/// Whether copies share the blocks of their sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReflinkWhen {
    /// Where source and target are one btrfs or XFS; elsewhere the bytes are copied
    Auto,
    /// Each copy has blocks of its own
    Never,
    /// What cannot be shared is a problem and is not copied
    Always,
}

impl From<ReflinkWhen> for Reflink {
    fn from(asked: ReflinkWhen) -> Self {
        match asked {
            ReflinkWhen::Auto => Self::Auto,
            ReflinkWhen::Never => Self::Never,
            ReflinkWhen::Always => Self::Always,
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(mut_arg("threads", |arg| {
    arg.help("Threads of the copier [default: eight for each core, at least 16, at most 32]")
}))]
pub(super) struct EngineArgs {
    /// Print what goes where with sizes and counts, and what would become of each entry: new, changed,
    /// unchanged, kept, missing, stale; with -v by name. Writes nothing
    #[arg(long, conflicts_with = "verify_only")]
    dry_run: bool,
    /// Re-read the target from the medium and compare it, copy nothing
    #[arg(long)]
    verify_only: bool,
    /// With --verify-only: compare with what the journal recorded, or with the source itself
    #[arg(long, value_enum, default_value_t = Reference::Manifest, requires = "verify_only")]
    against: Reference,
    /// With --verify-only: only what changed since it was last verified, or was last verified before
    /// WHEN: `last` (nothing more), an age (7d, 12h), a date, or a moment (RFC 3339)
    #[arg(long, value_name = "WHEN", value_parser = since, requires = "verify_only")]
    since: Option<Since>,
    /// With --verify-only: what was changed, removed or made on the target since it was copied is a problem; by
    /// default it is counted, as on a machine in use. With --repair: also bring back what somebody has removed
    #[arg(long)]
    strict: bool,
    /// With --verify-only: read what was changed, removed or made on the target since it was copied, and take it
    /// into the manifest, with attributes that were set, so that the next verification guards it as well. Damage is
    /// never taken
    #[arg(long, requires = "verify_only", conflicts_with = "strict")]
    accept: bool,
    /// Verify everything first, copy again what differs (of a large file only its bad chunks), verify that
    #[arg(long, conflicts_with_all = ["verify_only", "dry_run", "restart"])]
    repair: bool,
    /// Keep the journal here instead of in .persistcp on the target's file system
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadArgs,
    /// Move at most this many bytes a second, copying and reading back: 500K, 20M, 1.5G; a number
    /// alone is in KiB. `nice` and `ionice` work as well
    #[arg(long, value_name = "RATE", value_parser = rate)]
    bwlimit: Option<Rate>,
    /// How files of 64 MiB and more are copied: `auto` measures while it copies and takes what is fastest.
    /// What it took is in the report, and with -v what it measured
    #[arg(long, value_enum, value_name = "WAY", default_value_t = LargeFileIo::Auto, conflicts_with = "verify_only")]
    large_io: LargeFileIo,
    /// Whether copies share the blocks of their sources (reflink) instead of having their own. A repair never
    /// shares
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ReflinkWhen::Auto, conflicts_with = "verify_only")]
    reflink: ReflinkWhen,
    /// What to verify after the copy
    #[arg(long, value_enum, default_value_t = Verify::Content)]
    verify: Verify,
    /// Set the journal of earlier runs aside and copy everything again
    #[arg(long, conflicts_with = "verify_only")]
    restart: bool,
    /// Replace what somebody has changed on the target since it was copied; by default that is kept
    #[arg(long, conflicts_with = "verify_only")]
    overwrite: bool,
    /// Remove from the target what was copied and the source no longer has, if nobody has changed it
    /// since; by default it is reported
    #[arg(long, conflicts_with_all = ["verify_only", "repair"])]
    delete: bool,
    /// Write to targets that are not on a mount of their own, or on tmpfs
    #[arg(long)]
    allow_volatile: bool,
    /// Leave owners and groups as the file system gives them (needs no root)
    #[arg(long)]
    no_owner: bool,
    /// Keep access times as well
    #[arg(long)]
    atime: bool,
    /// Leave out what matches, in every target (gitignore syntax); repeatable
    #[arg(long, value_name = "GLOB")]
    pub(super) exclude: Vec<String>,
    /// Enter mounts inside the source
    #[arg(long)]
    cross_mounts: bool,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How to show progress
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
    #[command(flatten)]
    color: ColorArgs,
    /// Print what goes where before running, and after it what was measured for large files and, with
    /// --verify-only, the names of what is in use
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// No progress, and no report when all is well
    #[arg(short, long)]
    quiet: bool,
}

impl EngineArgs {
    /// Why these options contradict each other; `remap_ids` if owners are to get the target's numbers.
    fn contradiction(&self, remap_ids: bool) -> Option<&'static str> {
        if self.since.is_some() && self.against == Reference::Source {
            return Some("--since asks what the journal recorded; --against source compares everything");
        }
        if self.accept && (self.against == Reference::Source || self.verify != Verify::Content) {
            return Some(
                "--accept reads the content of the target; it goes with neither --against source nor another --verify",
            );
        }
        if self.strict && !self.verify_only && !self.repair {
            return Some("--strict says what verification makes of use: it goes with --verify-only or --repair");
        }
        if self.strict && self.against == Reference::Source {
            return Some("--against source counts every difference, without --strict");
        }
        if remap_ids && self.verify_only && self.against == Reference::Manifest {
            return Some("the manifest holds the numbers that were given; --remap-ids needs --against source");
        }
        if self.verify == Verify::None && (self.verify_only || self.repair) {
            return Some("--verify none leaves nothing to do for --verify-only and --repair");
        }
        None
    }

    fn task(&self) -> Task {
        match (self.verify_only, self.repair, self.against) {
            (true, _, Reference::Manifest) => {
                Task::Verify(Against::Manifest { since: self.since, in_use: self.in_use(UsePolicy::Counted) })
            }
            (true, _, Reference::Source) => Task::Verify(Against::Source),
            (_, true, _) => Task::Repair(self.in_use(UsePolicy::Kept)),
            _ => Task::Copy,
        }
    }

    fn in_use(&self, usual: UsePolicy) -> UsePolicy {
        match (self.strict, self.accept) {
            (true, _) => UsePolicy::Problems,
            (_, true) => UsePolicy::Accepted,
            _ => usual,
        }
    }

    /// What the options mean for `subject`, or why they mean nothing. `allow` has what only some commands
    /// allow.
    pub(super) fn job(self, subject: JobSubject, allow: Allow) -> Result<Job, &'static str> {
        if let Some(contradiction) = self.contradiction(allow.remap_ids) {
            return Err(contradiction);
        }
        let open_files = sys::filesystem::raise_open_files();
        let threads_asked = self.threads.are_asked();
        let options = Options {
            task: self.task(),
            verify: match self.verify {
                Verify::Content => Some(Depth::Content),
                Verify::Metadata => Some(Depth::Metadata),
                Verify::None => None,
            },
            allow: Allow {
                volatile: self.allow_volatile,
                overwrite: self.overwrite,
                delete: self.delete,
                no_owner: self.no_owner,
                restart: self.restart,
                cross_mounts: self.cross_mounts,
                reflink: self.reflink.into(),
                state: self.state,
                ..allow
            },
            atime: self.atime,
            threads: self.threads.count(open_files),
            open_files,
            late: false,
            large_io: self.large_io.into(),
            rate: self.bwlimit,
            look: store_db::look,
            words: WORDS,
            command: Some(this_command()),
        };
        Ok(Job {
            subject,
            threads_asked,
            dry_run: self.dry_run,
            options,
            report: self.report,
            progress: if self.quiet { Style::None } else { self.progress },
            color: self.color.on(),
            verbose: self.verbose,
            quiet: self.quiet,
        })
    }
}

/// The command that runs the same job again; `--restart` is left out, because it would throw away what
/// is done.
fn this_command() -> String {
    let words = std::env::args_os().filter(|argument| argument != "--restart");
    words.map(|argument| shell::word(argument.as_bytes())).collect::<Vec<_>>().join(" ")
}
