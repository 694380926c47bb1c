//! Incremental verification: which entries are due.

use crate::base::clock::{self, Moment};
use crate::engine::events::unpreserved::Disk;
use crate::engine::journal::Row;
use crate::sys::stat::Stat;
use std::str::FromStr;

/// Entries last verified before this are due, and in any case those never verified or changed
/// since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Only what was never verified or has changed since.
    Last,
    /// Also what was last verified before this.
    Moment(Moment),
}

impl Since {
    /// True when `row`, whose entry has `stat`, is to be verified. The recorded ctime is that of the
    /// last verification, and ctimes cannot be set, so the clock does not matter.
    #[must_use]
    pub fn asks_for(self, row: &Row, stat: &Stat) -> bool {
        let Some(verified) = row.verified else { return true };
        let old = match self {
            Self::Last => false,
            Self::Moment(moment) => verified < moment.unix(),
        };
        // If inode numbers are made up each time, everything is due.
        let disk = Disk::usual(stat.dev);
        old || stat.ctime != row.dst_ctime || stat.ino != row.dst_ino || !row.target_unchanged(stat, disk)
    }
}

/// A text says neither when nor how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time")]
pub struct NoTime;

impl FromStr for Since {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        if text == "last" {
            return Ok(Self::Last);
        }
        let age = |digits: &str, unit: i64| {
            let seconds = digits.parse::<u32>().ok().map(|n| i64::from(n) * unit);
            seconds.map(|seconds| Moment::from_unix(clock::now().unix() - seconds))
        };
        let moment = match (text.strip_suffix('d'), text.strip_suffix('h')) {
            (Some(digits), _) => age(digits, 86_400),
            (_, Some(digits)) => age(digits, 3600),
            _ => Moment::parse(text),
        };
        moment.map(Self::Moment).ok_or(NoTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_dates_ages_and_last_are_understood() {
        assert_eq!("last".parse(), Ok(Since::Last));
        assert_eq!("1970-01-02".parse(), Ok(Since::Moment(Moment::from_unix(86_400))));
        let day = "1d".parse::<Since>();
        let hours = "24h".parse::<Since>();
        assert!(matches!((day, hours), (Ok(Since::Moment(a)), Ok(Since::Moment(b))) if b.unix() - a.unix() < 2));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "d", "-1d", "1w", "yesterday", "2026-13-01", "2026-02-30", "2026-11-24T25:00:00Z", "Last"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
