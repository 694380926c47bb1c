//! File modes as a plan writes them: bits, or a change of the bits that an inode has.

use crate::sys::stat::Kind;
use std::fmt;

/// A mode of the plan, with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    text: String,
    change: Change,
}

/// The effect of a mode on the twelve bits of an inode, as for chmod(1).
///
/// Each bit is kept or becomes a constant. Which of the two may depend on `X`, and so on the three
/// execute bits of a file, or on the inode being a directory: one case for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change([Case; CASES]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Case {
    keep: u16,
    set: u16,
}

/// Eight patterns of execute bits, and a directory.
const CASES: usize = 9;
const DIRECTORY: usize = 8;
const EVERY_BIT: u16 = 0o7777;
const SET_ID: u16 = 0o6000;
const EXECUTE: u16 = 0o111;

/// Why a text is not a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMode {
    /// It is neither octal nor symbolic.
    Form,
    /// It has a digit above 7, or more than twelve bits.
    Octal,
}

impl Mode {
    /// Parses "0755" (octal, up to four digits) or "u=rwx,go-w" (chmod(1); a clause that names nobody
    /// means everybody).
    pub(crate) fn parse(text: &str) -> Result<Self, NoMode> {
        if text.is_empty() {
            return Err(NoMode::Form);
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match u32::from_str_radix(text, 8) {
                Ok(bits) if bits <= 0o7777 => Ok(Self::octal(bits)),
                _ => Err(NoMode::Octal),
            };
        }
        let mut change = Change::NONE;
        let mut clauses = Vec::new();
        for text in text.split(',') {
            let clause = Clause::parse(text).ok_or(NoMode::Form)?;
            change.0.iter_mut().enumerate().for_each(|(case, bits)| clause.apply(case, bits));
            // Without it chmod(1) would apply the umask.
            clauses.push(if clause.named { text.to_string() } else { format!("a{text}") });
        }
        Ok(Self { text: clauses.join(","), change })
    }

    /// The mode of these twelve bits.
    pub(crate) fn octal(bits: u32) -> Self {
        Self { text: format!("{bits:04o}"), change: Change::to(bits) }
    }

    /// Its effect.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }
}

/// As chmod(1) accepts it, whatever the umask.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Change {
    const NONE: Self = Self([Case { keep: EVERY_BIT, set: 0 }; CASES]);

    /// Sets exactly these bits.
    #[must_use]
    pub fn to(bits: u32) -> Self {
        // A mode has only twelve bits.
        Self([Case { keep: 0, set: u16::try_from(bits & 0o7777).unwrap_or_default() }; CASES])
    }

    /// The new mode of an inode with the mode `bits`.
    #[must_use]
    pub fn of(self, bits: u32, kind: Kind) -> u32 {
        let had = u16::try_from(bits & 0o7777).unwrap_or_default();
        let Case { keep, set } = self.0[if kind == Kind::Directory { DIRECTORY } else { case_of(had) }];
        u32::from(had & keep | set)
    }

    /// The resulting bits, if they do not depend on those before.
    #[must_use]
    pub fn absolute(self) -> Option<u32> {
        let bits = self.of(0, Kind::Directory);
        (self.of(0o1777, Kind::Directory) == bits
            && self.of(0, Kind::File) == bits
            && self.of(0o7777, Kind::File) == bits)
            .then_some(bits)
    }

    /// This change and then `later`.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let mut both = self;
        for (case, bits) in both.0.iter_mut().enumerate() {
            let Case { keep, set } = later.0[case_after(case, *bits)];
            *bits = Case { keep: bits.keep & keep, set: bits.set & keep | set };
        }
        both
    }
}

/// The three execute bits as a number.
fn case_of(bits: u16) -> usize {
    usize::from(bits >> 4 & 4 | bits >> 2 & 2 | bits & 1)
}

/// The execute bits that `case` begins with.
fn execute_of(case: usize) -> u16 {
    [0, 0o001, 0o010, 0o011, 0o100, 0o101, 0o110, 0o111].get(case).copied().unwrap_or(EXECUTE)
}

fn case_after(case: usize, Case { keep, set }: Case) -> usize {
    if case == DIRECTORY { case } else { case_of(execute_of(case) & keep | set) }
}

/// `u=rwx`.
struct Clause {
    /// It has a `u`, `g`, `o` or `a`.
    named: bool,
    /// The bits that it applies to.
    who: u16,
    operator: char,
    bits: u16,
    /// `X`.
    maybe_execute: bool,
}

impl Clause {
    fn parse(text: &str) -> Option<Self> {
        let at = text.find(['=', '+', '-'])?;
        let (who, rest) = text.split_at(at);
        let mut clause =
            Self { named: !who.is_empty(), who: 0, operator: rest.chars().next()?, bits: 0, maybe_execute: false };
        for c in who.chars() {
            clause.who |= match c {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => EVERY_BIT,
                _ => return None,
            };
        }
        if who.is_empty() {
            clause.who = EVERY_BIT;
        }
        for c in rest.chars().skip(1) {
            clause.bits |= match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => EXECUTE,
                's' => SET_ID,
                't' => 0o1000,
                'X' => {
                    clause.maybe_execute = true;
                    0
                }
                _ => return None,
            };
        }
        Some(clause)
    }

    fn apply(&self, case: usize, on: &mut Case) {
        let executable = case == DIRECTORY || case_after(case, *on) != 0;
        let bits = if self.maybe_execute && executable { self.bits | EXECUTE } else { self.bits };
        // The sticky bit belongs to nobody: `u+t` and `+t` both mean it.
        let bits = bits & (self.who | bits & 0o1000);
        // As GNU chmod: a directory keeps set-ID bits that the clause does not name.
        let kept = if case == DIRECTORY && bits & SET_ID == 0 { SET_ID } else { 0 };
        let (clear, set) = match self.operator {
            '=' => (self.who & !kept, bits),
            '+' => (0, bits),
            _ => (bits, 0),
        };
        *on = Case { keep: on.keep & !clear & !set, set: on.set & !clear | set };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, bits: u32, kind: Kind) -> u32 {
        Mode::parse(text).expect(text).change().of(bits, kind)
    }

    #[test]
    fn octal_and_symbolic() {
        for (text, had, file, directory) in [
            ("0755", 0o4644, 0o755, 0o755),
            ("700", 0o644, 0o700, 0o700),
            ("u=rwx,g=rx,o=", 0o666, 0o750, 0o750),
            ("go-w", 0o700, 0o700, 0o700),
            ("go-w", 0o777, 0o755, 0o755),
            ("+t", 0o700, 0o1700, 0o1700),
            ("a=rx", 0o4700, 0o555, 0o4555),
            ("g=rxs", 0o700, 0o2750, 0o2750),
            ("g-s", 0o2755, 0o755, 0o755),
            ("o=", 0o2757, 0o2750, 0o2750),
            ("go=rX", 0o600, 0o644, 0o655),
            ("go=rX", 0o700, 0o755, 0o755),
            ("u+x,g+X", 0o600, 0o710, 0o710),
            ("u-x,g+X", 0o700, 0o600, 0o610),
        ] {
            assert_eq!(
                (of(text, had, Kind::File), of(text, had, Kind::Directory)),
                (file, directory),
                "{text} of {had:04o}"
            );
        }
    }

    #[test]
    fn every_mode_holds_once_it_is_set() {
        for text in ["u=rwx,go-w", "a+X", "u-x,g+X", "g-x,o+X", "o+X,g-x", "a-x,u+X", "go=rX,u-w"] {
            for bits in 0..=0o7777 {
                for kind in [Kind::File, Kind::Directory] {
                    let set = of(text, bits, kind);
                    assert_eq!(of(text, set, kind), set, "{text} of {bits:04o}");
                }
            }
        }
    }

    #[test]
    fn two_modes_in_turn_are_one() {
        let texts = ["0640", "u+x,g+X", "a-x", "go=rX", "u-x,g+X", "g=s", "+t"];
        for (first, second) in texts.iter().flat_map(|a| texts.iter().map(move |b| (*a, *b))) {
            let change = |text| Mode::parse(text).expect(text).change();
            let both = change(first).then(change(second));
            for bits in 0..=0o7777 {
                for kind in [Kind::File, Kind::Directory] {
                    let apart = of(second, of(first, bits, kind), kind);
                    assert_eq!(both.of(bits, kind), apart, "{first}, then {second}, of {bits:04o}");
                }
            }
        }
    }

    #[test]
    fn only_what_names_all_bits_needs_no_inode() {
        let absolute = |text| Mode::parse(text).expect(text).change().absolute();
        assert_eq!(absolute("u=rwx,g=rx,o="), Some(0o750));
        assert_eq!(absolute("=rx"), Some(0o555));
        assert_eq!(absolute("2755"), Some(0o2755));
        for text in ["go-w", "u=rwx,g=rx", "a=rX", "+t"] {
            assert_eq!(absolute(text), None, "{text}");
        }
    }

    #[test]
    fn the_text_does_not_hang_on_the_umask() {
        let shown = |text| Mode::parse(text).expect(text).to_string();
        assert_eq!(shown("=rx,u+w"), "a=rx,u+w");
        assert_eq!(shown("755"), "0755");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0888", "77777", "rwx", "u=q", "z=r", "0x1ff", "u=g", "u", ","] {
            assert!(Mode::parse(text).is_err(), "{text}");
        }
    }
}
