//! Wall-clock time as reports and the journal write it: UTC, RFC 3339.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A moment with a resolution of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

/// The current time.
#[must_use]
pub fn now() -> Moment {
    Moment(Timestamp::now().as_second())
}

impl Moment {
    /// The moment this many seconds after the epoch.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Parses a date (its first second, UTC) or a moment in RFC 3339; fractions of a second are dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains(['T', 't', ' ']) {
            return Some(Self(text.parse::<Timestamp>().ok()?.as_second()));
        }
        let first = text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(Self(first.timestamp().as_second()))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0
    }

    /// For example `2026-11-24T14:25:09Z`; `@` and the seconds for years that RFC 3339 cannot express.
    #[must_use]
    pub fn rfc3339(self) -> String {
        match Timestamp::from_second(self.0) {
            Ok(moment) if (0..=9999).contains(&moment.to_zoned(TimeZone::UTC).year()) => moment.to_string(),
            _ => format!("@{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        assert_eq!(Moment(0).rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Moment(951_782_399).rfc3339(), "2000-02-28T23:59:59Z");
        assert_eq!(Moment(951_782_400).rfc3339(), "2000-02-29T00:00:00Z");
        assert_eq!(Moment(1_795_530_309).rfc3339(), "2026-11-24T14:25:09Z");
    }

    #[test]
    fn what_is_printed_can_be_read() {
        for seconds in [0, 951_782_399, 951_782_400, 1_795_530_309, -86_401] {
            assert_eq!(Moment::parse(&Moment(seconds).rfc3339()), Some(Moment(seconds)));
        }
        assert_eq!(Moment::parse("2026-11-24 15:25:09.5+01:00"), Some(Moment(1_795_530_309)));
        assert_eq!(Moment::parse("2026-11-24"), Some(Moment(1_795_478_400)));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["2026-02-29", "2026-13-01", "yesterday", "2026-11-24T25:00:00Z", "2026-11-24T10:00:00", ""] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn years_without_four_digits_are_told_in_seconds() {
        assert_eq!(Moment(i64::MAX).rfc3339(), format!("@{}", i64::MAX));
        assert_eq!(Moment(-62_167_219_201).rfc3339(), "@-62167219201");
        assert_eq!(Moment(-62_167_219_200).rfc3339(), "0000-01-01T00:00:00Z");
    }
}
