//! What a run does to the target.

/// What a run does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunKind {
    /// It writes: a migration or a repair.
    Copy,
    /// It only looks.
    Verify,
}

impl RunKind {
    /// As the journal stores it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Verify => "verify",
        }
    }

    /// What such a word means.
    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Copy, Self::Verify].into_iter().find(|kind| kind.word() == word)
    }
}
