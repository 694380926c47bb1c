//! The exit status, as scripts see it.

use crate::engine::report::Outcome;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything was copied, verified and fixed up.
    Ok = 0,
    /// Finished, but with problems.
    Problems = 1,
    /// The command line or the plan is wrong.
    Usage = 2,
    /// Preflight refused; nothing was written.
    Refused = 3,
    /// Stopped early; the same command resumes the run.
    Interrupted = 4,
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Ok,
            Outcome::Problems => Self::Problems,
            Outcome::Refused => Self::Refused,
            Outcome::Stopped => Self::Interrupted,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
