//! Exit codes, each documented where the user finds them: README and `submit --help`.

use std::process::ExitCode;

use sendoff::job::{Ending, JobState};

/// How a command ends. 240 to 249 are ours; everything else is the job's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Success was observed.
    Success,
    /// A gate was not met.
    GateFailed,
    /// The job's own code.
    Job(u8),
    /// We were interrupted.
    Interrupted,
    /// The job failed without a code of its own.
    JobFailed,
    /// The job was cancelled.
    Cancelled,
    /// The job ran past its time.
    TimedOut,
    /// The command line, the run config or the settings are wrong; nothing was sent.
    Usage,
    /// The submission failed; nothing is running.
    SubmissionFailed,
    /// The tracker cannot be used from the job.
    PreflightFailed,
    /// Our own fault.
    Internal,
    /// Contact to the job or its tracker was lost; the job may still run.
    ContactLost,
}

impl Exit {
    /// Returns the number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::GateFailed => 1,
            Self::Job(code) => code,
            Self::Interrupted => 130,
            Self::JobFailed => 240,
            Self::Cancelled => 241,
            Self::TimedOut => 242,
            Self::ContactLost => 243,
            Self::Usage => 244,
            Self::SubmissionFailed => 245,
            Self::PreflightFailed => 246,
            Self::Internal => 247,
        }
    }

    /// Returns what `submit`, `wait` and `logs --follow` end with for a job in this state.
    pub(crate) fn of(state: &JobState) -> Self {
        let Some(outcome) = state.outcome() else { return Self::ContactLost };
        match outcome.ending {
            Ending::Exited => match outcome.exit_code {
                Some(0) => Self::Success,
                Some(code) => u8::try_from(code).map_or(Self::JobFailed, Self::Job),
                None => Self::JobFailed,
            },
            Ending::Cancelled => Self::Cancelled,
            Ending::TimedOut => Self::TimedOut,
            Ending::PreflightFailed => Self::PreflightFailed,
            Ending::OutOfMemory | Ending::Broken | Ending::Lost => Self::JobFailed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
