//! The ways in which the bytes of large files can move.

use serde::{Deserialize, Serialize};

/// What may be chosen for large files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeIo {
    /// What turns out to be fastest while the run copies.
    #[default]
    Auto,
    /// Only this.
    Only(WayKind),
}

/// What passes the page cache, and in what order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WayKind {
    /// `O_DIRECT` on both sides, reading and writing at the same time.
    Direct,
    /// Written through the page cache, from which it is written out and evicted at once.
    Buffered,
    /// `O_DIRECT` on both sides, by turns: everything that fits is read, then all of it is written.
    Burst,
}

/// One way to move them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Way {
    /// What passes the page cache.
    pub kind: WayKind,
    /// The most bytes of one request.
    pub request: usize,
    /// The most requests at a time.
    pub depth: usize,
}

/// A measurement, and what followed from it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Decision {
    /// Seconds after the first large file was begun.
    pub seconds: f64,
    /// What was measured.
    #[serde(flatten)]
    pub way: Way,
    /// Its rate.
    pub bytes_per_second: f64,
    /// What followed.
    pub verdict: TrialVerdict,
}

/// What follows from a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialVerdict {
    /// The first to be measured: the others are compared with it.
    First,
    /// Faster than the best so far, and used from here on.
    Faster,
    /// Not clearly faster than the best.
    Slower,
    /// The best way has become slow: the others are tried again.
    Fell,
}

/// How the large files between two devices were copied, and why.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct LargeFiles {
    /// Device numbers, as in `/proc/self/mountinfo`.
    pub source_device: String,
    /// The same of the target.
    pub target_device: String,
    /// The way that was best in the end.
    pub way: Way,
    /// Bytes of large files that were copied.
    pub bytes: u64,
    /// From the first of them to the last.
    pub seconds: f64,
    /// The measurements, at most 32.
    pub decisions: Vec<Decision>,
}

const MIB: usize = 1 << 20;

/// The most memory that requests of large files take at a time, in bytes.
pub(crate) const IN_FLIGHT: usize = 128 * MIB;

const WHOLE_CHUNKS: Way = Way { kind: WayKind::Direct, request: 16 * MIB, depth: 8 };
/// For a driver that answers each of its small requests late, and for a device in memory: what the processor has
/// just read is still in its cache when it is written.
const MANY_SMALL: Way = Way { kind: WayKind::Direct, request: MIB, depth: 32 };
const BUFFERED: Way = Way { kind: WayKind::Buffered, request: 4 * MIB, depth: 4 };
const BURST: Way = Way { kind: WayKind::Burst, request: 16 * MIB, depth: 8 };

impl WayKind {
    /// The word for it, in the options and in the report.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Buffered => "buffered",
            Self::Burst => "burst",
        }
    }

    /// True if the target is written with `O_DIRECT`.
    pub(crate) const fn is_direct(self) -> bool {
        matches!(self, Self::Direct | Self::Burst)
    }
}

impl LargeIo {
    /// The ways to try, the likeliest first, for a target that takes `O_DIRECT` or does not; at
    /// least one.
    pub(crate) fn ways(self, direct: bool) -> Vec<Way> {
        let all = [WHOLE_CHUNKS, MANY_SMALL, BUFFERED, BURST];
        let wanted = |way: &Way| match self {
            Self::Auto => true,
            Self::Only(kind) => way.kind == kind,
        };
        match direct {
            true => all.into_iter().filter(wanted).collect(),
            false => vec![BUFFERED],
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (requests, s) = (self.depth, if self.depth == 1 { "" } else { "s" });
        write!(f, "{}, {requests} request{s} of {} MiB at a time", self.kind.word(), self.request / MIB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_fits_the_memory_and_can_be_asked_for() {
        for way in LargeIo::Auto.ways(true) {
            assert!(way.request * way.depth <= IN_FLIGHT, "{way}");
            assert!(LargeIo::Only(way.kind).ways(true).contains(&way), "{way}");
        }
    }

    #[test]
    fn what_refuses_o_direct_is_written_through_the_cache() {
        for asked in [LargeIo::Auto, LargeIo::Only(WayKind::Direct), LargeIo::Only(WayKind::Burst)] {
            assert!(asked.ways(false).iter().all(|way| way.kind == WayKind::Buffered), "{asked:?}");
        }
    }
}
