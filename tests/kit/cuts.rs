//! Power cuts: what a recorded disk may hold when the power fails.
//!
//! Everything before the last flush is there. Of the later writes any subset may
//! be, whatever their order: a disk with a cache writes as it likes. The subset
//! keeps the log's order, because an older write of a sector never comes to lie
//! over a newer one. One write may be torn at a sector.

use super::random::Random;
use super::recorder::{Event, Medium};

const SECTOR: usize = 512;

/// A state of the disk, and words that find it again.
pub(crate) struct Cut {
    pub(crate) name: String,
    pub(crate) medium: Medium,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Right after the flush that ends the gap.
    Flushed,
    /// Somewhere in the gap.
    Within,
}

/// `count` cuts at flushes, evenly over the log (all, when there are no more), and
/// as many at random between flushes; in the order of the log.
pub(crate) fn cuts(base: Medium, log: &[Event], count: usize, random: &mut Random) -> Vec<Cut> {
    // A gap ends with a flush, the last one perhaps with the log.
    let gaps: Vec<&[Event]> = log.split_inclusive(|event| matches!(event, Event::Flush)).collect();
    let mut asked: Vec<(usize, Kind)> = evenly(gaps.len(), count).map(|gap| (gap, Kind::Flushed)).collect();
    let busy: Vec<usize> = (0..gaps.len()).filter(|gap| writes(gaps[*gap]).next().is_some()).collect();
    // Each gap alike, and each write alike: the one finds the quiet end, the other the busy middle.
    let by_write: Vec<usize> =
        busy.iter().flat_map(|gap| std::iter::repeat_n(*gap, writes(gaps[*gap]).count())).collect();
    asked.extend((0..count).map(|n| (*random.pick(if n % 2 == 0 { &busy } else { &by_write }), Kind::Within)));
    asked.sort_by_key(|(gap, kind)| (*gap, matches!(kind, Kind::Flushed)));
    let mut asked = asked.into_iter().peekable();
    let mut durable = base;
    let mut out = Vec::new();
    for (index, gap) in gaps.iter().enumerate() {
        let before = durable.clone();
        writes(gap).for_each(|(at, data)| durable.write(at, data));
        while let Some((_, kind)) = asked.next_if(|(gap, _)| *gap == index) {
            out.push(match kind {
                Kind::Flushed => Cut { name: format!("at flush {index}"), medium: durable.clone() },
                Kind::Within => within(index, gap, before.clone(), random),
            });
        }
    }
    out
}

/// What is certain to be there after `log`: everything before its last flush.
pub(crate) fn certain(mut base: Medium, log: &[Event]) -> Cut {
    let end = log.iter().rposition(|event| matches!(event, Event::Flush)).unwrap_or(0);
    writes(&log[..end]).for_each(|(at, data)| base.write(at, data));
    Cut { name: format!("after {end} of {} events", log.len()), medium: base }
}

fn evenly(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(len);
    (0..count).map(move |n| (n + 1) * len / count - 1)
}

fn writes(gap: &[Event]) -> impl Iterator<Item = (u64, &[u8])> {
    gap.iter().filter_map(|event| match event {
        Event::Write { at, data } => Some((*at, data.as_slice())),
        Event::Flush => None,
    })
}

fn within(index: usize, gap: &[Event], mut medium: Medium, random: &mut Random) -> Cut {
    let all: Vec<_> = writes(gap).collect();
    let reached = random.between(1, all.len() as u64) as usize;
    let share = random.between(1, 9);
    let chosen: Vec<_> = all[..reached].iter().filter(|_| random.below(10) < share).collect();
    let torn = (!chosen.is_empty() && random.once_in(2)).then(|| random.below(chosen.len() as u64) as usize);
    for (n, (at, data)) in chosen.iter().enumerate() {
        // ext4 itself does not survive a torn superblock; what it promises is not in question here.
        let sectors = (data.len() / SECTOR) as u64;
        let tear = torn == Some(n) && sectors > 1 && *at >= 4096;
        let length = if tear { random.between(1, sectors - 1) as usize * SECTOR } else { data.len() };
        medium.write(*at, &data[..length]);
    }
    let torn = if torn.is_some() { ", one torn" } else { "" };
    let name = format!("after flush {index}, {} of {} writes{torn}", chosen.len(), all.len());
    Cut { name, medium }
}
