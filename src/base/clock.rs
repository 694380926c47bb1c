//! Wall-clock time as reports and the journal write it: UTC, RFC 3339.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment with a resolution of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

/// The current time.
#[must_use]
pub fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

impl Moment {
    /// That many seconds after the epoch.
    #[must_use]
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// A date (its first second, UTC) or a moment as RFC 3339 has it; fractions of
    /// a second are dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once(['T', 't', ' ']) {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let days = days_from_civil(year, month, day);
        // Days that no month has come out as another date.
        if civil_from_days(days) != (year, month, day) {
            return None;
        }
        let seconds = time.map_or(Some(0), time_of_day)?;
        Some(Self(days * 86_400 + seconds))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn unix(self) -> i64 {
        self.0
    }

    /// For example `2026-11-24T14:25:09Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z")
    }
}

/// Seconds from midnight UTC to `14:25:09.5+01:00`.
fn time_of_day(text: &str) -> Option<i64> {
    let (clock, offset) = match text.find(['Z', 'z', '+', '-']) {
        Some(at) => text.split_at(at),
        None => return None,
    };
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [h, m, s] = numbers(whole, ':', [2, 2, 2])?;
    if h > 23 || m > 59 || s > 60 || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ahead = match offset.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let [h, m] = numbers(zone, ':', [2, 2])?;
            if h > 23 || m > 59 {
                return None;
            }
            (h * 3600 + m * 60) * if sign == "-" { -1 } else { 1 }
        }
    };
    Some(h * 3600 + m * 60 + s - ahead)
}

/// Numbers of exactly so many digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut out = [0; N];
    for (number, digits) in out.iter_mut().zip(digits) {
        let part = parts.next().filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (month + 9).rem_euclid(12);
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Proleptic Gregorian date of a day count since 1970-01-01, by counting days
/// in years that begin on 1 March.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
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
}
