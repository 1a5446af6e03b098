//! The states of a job and the one function that moves between them.
//!
//! ```text
//! preparing -> submitted -> queued -> running -> succeeded | failed | cancelled
//!      any state that is not an end -> lost      (the target no longer knows it, and nothing of it is left)
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a job stands, with what is known there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// A client is, or was, busy submitting it; nothing runs.
    Preparing,
    /// The target has named it.
    Submitted {
        /// When.
        at: Timestamp,
    },
    /// The target holds it back.
    Queued {
        /// Since when.
        since: Timestamp,
        /// For what it waits.
        reason: String,
    },
    /// Its bootstrap is at work.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It ended with exit code 0.
    Succeeded(Outcome),
    /// It ended otherwise.
    Failed(Outcome),
    /// It was ended on request.
    Cancelled(Outcome),
    /// The target no longer knows it and nothing of it is left.
    Lost(Outcome),
    /// The target used a word that we do not know; counts as active.
    Unknown {
        /// The word.
        word: String,
    },
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// The exit code of the user's command (128 + n for signal n), when it ended by itself.
    pub exit_code: Option<i32>,
    /// When the user's command started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// More about the reason, for people.
    pub detail: Option<String>,
}

/// Why a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The command ended by itself.
    Exited,
    /// We ended it on request.
    Cancelled,
    /// We ended it at `max_duration`.
    TimedOut,
    /// The kernel killed the command for want of memory.
    OutOfMemory,
    /// The tracker cannot be used from the job; the command never started.
    PreflightFailed,
    /// The job failed before or beside its command.
    Broken,
    /// Its supervisor died; nothing of it is left.
    Lost,
}

impl Outcome {
    /// Returns how a job ends that is cancelled before anything of it has run.
    pub fn before_start(ended_at: Timestamp) -> Self {
        let detail = Some("it had not started".to_owned());
        Self { ending: Ending::Cancelled, exit_code: None, started_at: None, ended_at, detail }
    }
}

impl JobState {
    /// Returns the state's word.
    pub fn word(&self) -> &str {
        match self {
            Self::Preparing => "preparing",
            Self::Submitted { .. } => "submitted",
            Self::Queued { .. } => "queued",
            Self::Running { .. } => "running",
            Self::Succeeded(_) => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
            Self::Lost(_) => "lost",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// Returns the outcome of a job that has ended.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Succeeded(outcome) | Self::Failed(outcome) | Self::Cancelled(outcome) | Self::Lost(outcome) => Some(outcome),
            Self::Preparing | Self::Submitted { .. } | Self::Queued { .. } | Self::Running { .. } | Self::Unknown { .. } => None,
        }
    }

    /// Returns whether the job has ended.
    pub fn is_ended(&self) -> bool {
        self.outcome().is_some()
    }

    /// Returns the state that an outcome means.
    pub fn from_outcome(outcome: Outcome) -> Self {
        match outcome.ending {
            Ending::Exited if outcome.exit_code == Some(0) => Self::Succeeded(outcome),
            Ending::Cancelled => Self::Cancelled(outcome),
            Ending::Lost => Self::Lost(outcome),
            Ending::Exited | Ending::TimedOut | Ending::OutOfMemory | Ending::PreflightFailed | Ending::Broken => Self::Failed(outcome),
        }
    }

    /// Returns the state after an observation: time runs forward, and an end is final.
    #[must_use]
    pub fn observed(self, seen: Self) -> Self {
        let rank = |state: &Self| match state {
            Self::Preparing => 0,
            Self::Submitted { .. } => 1,
            Self::Queued { .. } => 2,
            Self::Unknown { .. } | Self::Running { .. } => 3,
            Self::Succeeded(_) | Self::Failed(_) | Self::Cancelled(_) | Self::Lost(_) => 4,
        };
        if self.is_ended() || rank(&seen) < rank(&self) { self } else { seen }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ending: Ending, exit_code: Option<i32>) -> Outcome {
        Outcome { ending, exit_code, started_at: None, ended_at: Timestamp::UNIX_EPOCH, detail: None }
    }

    #[test]
    fn only_an_observed_exit_code_zero_is_success() {
        let word = |ending, code| JobState::from_outcome(outcome(ending, code)).word().to_owned();
        assert_eq!(word(Ending::Exited, Some(0)), "succeeded");
        assert_eq!(word(Ending::Exited, Some(3)), "failed");
        assert_eq!(word(Ending::Exited, None), "failed");
        assert_eq!(word(Ending::TimedOut, Some(0)), "failed");
        assert_eq!(word(Ending::Cancelled, Some(0)), "cancelled");
        assert_eq!(word(Ending::Lost, None), "lost");
    }

    #[test]
    fn an_end_is_final_and_time_runs_forward() {
        let running = JobState::Running { since: Timestamp::UNIX_EPOCH };
        let ended = JobState::from_outcome(outcome(Ending::Exited, Some(0)));
        assert_eq!(JobState::Preparing.observed(running.clone()), running);
        assert_eq!(running.clone().observed(JobState::Submitted { at: Timestamp::UNIX_EPOCH }), running);
        assert_eq!(ended.clone().observed(running.clone()), ended);
        assert_eq!(running.observed(ended.clone()), ended);
    }

    #[test]
    fn a_state_survives_its_record() {
        let state = JobState::from_outcome(outcome(Ending::OutOfMemory, Some(137)));
        let text = serde_json::to_string(&state).expect("states are plain data");
        assert!(text.contains(r#""state":"failed""#), "{text}");
        assert_eq!(serde_json::from_str::<JobState>(&text).expect("it was just written"), state);
    }
}
