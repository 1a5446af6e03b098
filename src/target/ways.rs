//! How a job gets at what stays on the submitting machine: its tracker, and its inputs.

use std::path::{Path, PathBuf};

/// What a job wants to get at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Inputs, by their paths on the submitting machine.
    pub inputs: Vec<PathBuf>,
    /// How many nodes it runs on.
    pub nodes: u32,
    /// Whether it has a tracker.
    pub is_tracked: bool,
}

/// How it gets at them, as far as that can be known before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ways {
    /// How it reaches what it is tracked by, in words; `None` where it runs beside it.
    pub tracker: Option<String>,
    /// How it gets its inputs; empty where it reads them where they are.
    pub inputs: Vec<(PathBuf, Brought)>,
    /// Whether some of it is known only when the job's environment is there.
    pub is_open: bool,
}

/// How an input gets to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// The job sees the input itself, and may only read it.
    Bound,
    /// It gets a copy, for this reason.
    Copied(String),
}

impl Ways {
    /// Returns whether the job sees the input itself.
    pub fn is_bound(&self, input: &Path) -> bool {
        self.inputs.iter().any(|(path, brought)| path == input && *brought == Brought::Bound)
    }
}
