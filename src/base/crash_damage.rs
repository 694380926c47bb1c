//! What a crash leaves of an unsynced file: nothing, or zeros.

/// How a small text file lost its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CrashDamage {
    /// No bytes.
    Empty,
    /// Zero bytes, which text does not have.
    Zeros,
}

impl CrashDamage {
    /// `None` for bytes that may be intact text.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] => Some(Self::Empty),
            _ => bytes.contains(&0).then_some(Self::Zeros),
        }
    }

    /// What is wrong with the file.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::Zeros => "is filled with zeros, at least in part, as after a crash",
        }
    }
}
