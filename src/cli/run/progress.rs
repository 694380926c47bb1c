//! Progress: one thread that reads the counters and reports them, as a bar, as plain lines or as JSON
//! lines. Bytes shown as copied are durable.

use crate::base::human::{bytes, count, duration};
use crate::engine::events::counters::Counters;
use crate::engine::run::Phase;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How progress is shown, on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Style {
    /// A bar on a terminal, plain lines elsewhere.
    Auto,
    /// Bars.
    Bar,
    /// A line every few seconds.
    Plain,
    /// A JSON object a line, every second.
    Json,
    /// Nothing.
    None,
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Preflight => "survey",
        Phase::Copy => "copy",
        Phase::Verify => "verify",
    }
}

fn from_number(number: u8) -> Phase {
    match number {
        0 => Phase::Preflight,
        1 => Phase::Copy,
        _ => Phase::Verify,
    }
}

/// The running thread; dropping it without [`Progress::finish`] leaves it to end with the process.
#[derive(Debug)]
pub(super) struct Progress {
    phase: Arc<AtomicU8>,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// How far a phase has got.
#[derive(Clone, Copy, Default)]
struct PhaseProgress {
    bytes: u64,
    total_bytes: u64,
    entries: u64,
    total_entries: u64,
}

impl PhaseProgress {
    fn of(counters: &Counters, phase: Phase) -> Self {
        match phase {
            Phase::Preflight => Self::default(),
            Phase::Copy => Self {
                bytes: counters.durable_bytes.load(Relaxed)
                    + counters.sum(|t| &t.skipped_bytes)
                    + counters.sum(|t| &t.reused_bytes),
                total_bytes: counters.expected_bytes.load(Relaxed),
                entries: counters.durable_entries.load(Relaxed) + counters.sum(|t| &t.skipped),
                total_entries: counters.expected_entries.load(Relaxed),
            },
            Phase::Verify => Self {
                bytes: counters.sum(|t| &t.verified_bytes),
                total_bytes: counters.verify_bytes.load(Relaxed),
                entries: counters.sum(|t| &t.verified),
                total_entries: counters.verify_entries.load(Relaxed),
            },
        }
    }
}

impl Progress {
    /// Starts reporting. If the thread cannot be started there is no progress, but no failure.
    #[must_use]
    pub(super) fn start(style: Style, counters: &Arc<Counters>) -> Self {
        let style = match style {
            Style::Auto if std::io::stderr().is_terminal() => Style::Bar,
            Style::Auto => Style::Plain,
            other => other,
        };
        let phase = Arc::new(AtomicU8::new(Phase::Preflight as u8));
        let over = Arc::new(AtomicBool::new(false));
        let teller =
            Teller { style, counters: Arc::clone(counters), phase: Arc::clone(&phase), over: Arc::clone(&over) };
        let thread = (style != Style::None)
            .then(|| std::thread::Builder::new().name("progress".into()).spawn(move || teller.run()).ok())
            .flatten();
        Self { phase, over, thread }
    }

    /// Switches to the next phase.
    pub(super) fn phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.wake();
    }

    /// Stops reporting and clears the bar.
    pub(super) fn finish(mut self) {
        self.over.store(true, Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, progress is over.
            thread.join().ok();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

struct Teller {
    style: Style,
    counters: Arc<Counters>,
    phase: Arc<AtomicU8>,
    over: Arc<AtomicBool>,
}

impl Teller {
    fn run(self) {
        let every = match self.style {
            Style::Bar => Duration::from_millis(100),
            Style::Json => Duration::from_secs(1),
            _ => Duration::from_secs(5),
        };
        let mut phase = Phase::Preflight;
        let mut began = Instant::now();
        let mut bar = None;
        loop {
            std::thread::park_timeout(every);
            let over = self.over.load(Relaxed);
            let now = from_number(self.phase.load(Relaxed));
            if now != phase || over {
                self.tell(phase, began, &mut bar, true);
                bar = None;
                (phase, began) = (now, Instant::now());
            }
            if over {
                return;
            }
            self.tell(phase, began, &mut bar, false);
        }
    }

    fn tell(&self, phase: Phase, began: Instant, bar: &mut Option<ProgressBar>, last: bool) {
        if phase == Phase::Preflight {
            return;
        }
        let at = PhaseProgress::of(&self.counters, phase);
        let seconds = began.elapsed().as_secs_f64();
        match self.style {
            Style::Bar => {
                let bar = bar.get_or_insert_with(|| new_bar(phase));
                bar.set_length(at.total_bytes.max(at.bytes));
                bar.set_position(at.bytes);
                bar.set_message(format!(
                    "{} of {} entries",
                    count(at.entries),
                    count(at.total_entries.max(at.entries))
                ));
                if last {
                    bar.finish_and_clear();
                }
            }
            Style::Json => self.line(
                &serde_json::json!({
                    "phase": word(phase), "bytes": at.bytes, "total_bytes": at.total_bytes,
                    "entries": at.entries, "total_entries": at.total_entries, "seconds": seconds, "end": last,
                })
                .to_string(),
            ),
            Style::Plain if seconds > 1.0 => {
                let rate = at.bytes as f64 / seconds;
                let left = at.total_bytes.saturating_sub(at.bytes) as f64 / rate.max(1.0);
                let eta =
                    if last || at.bytes == 0 { String::new() } else { format!(", about {} left", duration(left)) };
                let done = if phase == Phase::Copy { "durable" } else { "verified" };
                self.line(&format!(
                    "{}: {} of {} {done}, {} of {} entries, {}{eta}",
                    word(phase),
                    bytes(at.bytes),
                    bytes(at.total_bytes),
                    count(at.entries),
                    count(at.total_entries),
                    crate::base::human::rate(at.bytes, seconds),
                ));
            }
            _ => {}
        }
    }

    fn line(&self, text: &str) {
        // stderr may be closed; the run goes on.
        writeln!(std::io::stderr(), "{text}").ok();
    }
}

fn new_bar(phase: Phase) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let template = "{prefix:>7} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left, {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(word(phase));
    bar
}
