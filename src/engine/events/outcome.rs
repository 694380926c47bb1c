//! How a run ended.

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was copied, verified and fixed up.
    Done,
    /// Finished, but with problems.
    Problems,
    /// Nothing was written.
    Refused,
    /// Stopped early; the same command resumes it.
    Stopped,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Done, Self::Problems, Self::Refused, Self::Stopped];

    /// The word of the JSON report and of the journal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Done => "ok",
            Self::Problems => "problems",
            Self::Refused => "refused",
            Self::Stopped => "interrupted",
        }
    }

    /// Parses such a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.word() == word)
    }
}
