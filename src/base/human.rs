//! Numbers for people.

/// Bytes with a binary unit and three digits: `1.23 GiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut scaled = n as f64;
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match (unit, scaled) {
        (0, _) => format!("{n} B"),
        (_, s) if s < 9.995 => format!("{s:.2} {}", UNITS[unit]),
        (_, s) if s < 99.95 => format!("{s:.1} {}", UNITS[unit]),
        (_, s) => format!("{s:.0} {}", UNITS[unit]),
    }
}

/// Bytes a second: `1.23 GiB/s`.
#[must_use]
pub fn rate(n: u64, seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "saturates; a rate is for reading")]
    let rate = (n as f64 / seconds.max(0.001)) as u64;
    format!("{}/s", bytes(rate))
}

/// A number with groups of three digits: `1 234 567`.
#[must_use]
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Seconds as `4.2 s`, `3 min 05 s` or `2 h 07 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and no run takes that long")]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1024), "1.00 KiB");
        assert_eq!(bytes(1 << 40), "1.00 TiB");
        assert_eq!(bytes(1023 << 20), "1.00 GiB");
        assert_eq!(count(1_234_567), "1 234 567");
        assert_eq!(duration(59.4), "59.4 s");
        assert_eq!(duration(185.0), "3 min 05 s");
    }
}
