//! The exit status, as scripts see it.

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All copied, verified and fixed up.
    Ok = 0,
    /// Finished, but with problems.
    Problems = 1,
    /// The command line or the plan is wrong.
    Usage = 2,
    /// Preflight refused; nothing was written.
    Refused = 3,
    /// Stopped early; the same command goes on.
    Interrupted = 4,
}

impl Exit {
    /// The word that the report uses.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Problems => "problems",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
