//! The logs of the service itself, which stand beside those of the user: what the emulator did for a job, under the names that they have there.

use std::io::Write;

use super::super::job::Job;
use super::super::service::Service;
use super::collect;
use crate::support::clock;

/// A log of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Log {
    /// The states of the job.
    Lifecycler,
    /// The processes of the nodes.
    Execution,
    /// Inputs and outputs.
    Data,
}

impl Log {
    /// Returns its path among the artifacts of the run.
    fn path(self) -> &'static str {
        match self {
            Self::Lifecycler => "system_logs/lifecycler/lifecycler.log",
            Self::Execution => "system_logs/lifecycler/execution-wrapper.log",
            Self::Data => "system_logs/data_capability/data-capability.log",
        }
    }
}

/// Writes a line. A log that cannot be written hinders no job.
pub(super) fn note(service: &Service, job: &Job, log: Log, line: &str) {
    let file = collect::growing(service, job, log.path()).ok();
    if let Some(mut file) = file.and_then(|path| std::fs::OpenOptions::new().append(true).create(true).open(path).ok()) {
        let _ = file.write_all(format!("{} {line}\n", clock::now()).as_bytes());
    }
}
