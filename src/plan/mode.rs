//! File modes as a plan writes them.

/// Reads "0755" (octal, up to four digits) or "u=rwx,g=rx,o=" (chmod(1), on the
/// a=rwx that mkdir(1) starts from). The error says what was expected.
pub(super) fn parse(text: &str) -> Result<u32, &'static str> {
    const EXPECTED: &str = "expected octal like \"0755\" or symbolic like \"u=rwx,g=rx,o=\"";
    if text.is_empty() {
        return Err(EXPECTED);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(mode),
            _ => Err("octal modes have digits 0 to 7 and are at most 7777"),
        };
    }
    text.split(',').try_fold(0o777, clause).ok_or(EXPECTED)
}

fn clause(mode: u32, text: &str) -> Option<u32> {
    let at = text.find(['=', '+', '-'])?;
    let (who, rest) = text.split_at(at);
    let (operator, what) = rest.split_at(1);
    let mut who_mask = 0;
    for c in who.chars() {
        who_mask |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    if who.is_empty() {
        who_mask = 0o7777;
    }
    let mut bits = 0;
    for c in what.chars() {
        bits |= match c {
            'r' => 0o444,
            'w' => 0o222,
            'x' => 0o111,
            's' => 0o6000,
            't' => 0o1000,
            _ => return None,
        };
    }
    // The sticky bit belongs to nobody: `u+t` and `+t` both mean it.
    let bits = bits & (who_mask | (bits & 0o1000));
    Some(match operator {
        "=" => (mode & !who_mask) | bits,
        "+" => mode | bits,
        _ => mode & !bits,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn octal_and_symbolic() {
        for (text, mode) in [
            ("0755", 0o755),
            ("700", 0o700),
            ("1777", 0o1777),
            ("u=rwx,g=rx,o=", 0o750),
            ("u=rw,g=,o=", 0o600),
            ("a=rx", 0o555),
            ("u=rwxs,g=rx,o=rx", 0o4755),
            ("go-w", 0o755),
            ("+t", 0o1777),
        ] {
            assert_eq!(parse(text), Ok(mode), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0888", "77777", "rwx", "u=q", "z=r", "0x1ff"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
