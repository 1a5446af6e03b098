//! What the supervisor does for tracking around a job: the artifacts for reproduction at its start, the true final status at its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::artifacts;
use crate::job::attempt::Attempt;
use crate::job::{Ending, JobSpec, Outcome};
use crate::support::secret::Secret;
use crate::target;
use crate::target::local::{self, Closing};
use crate::tracking::{self, Client, Connection, Status};

/// What travels to the supervisor in a launch's `closing`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    /// The tracker.
    pub(super) connection: Connection,
    /// The MLflow run.
    pub(super) run_id: String,
}

/// How long one act may take; a tracker that hangs is left to the next command.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the file that says that the final status was written.
pub(super) const CLOSED: &str = "tracking-closed";

struct Tracker {
    attempt: Attempt,
}

/// Runs the supervisor of an attempt in this process, to the job's end.
pub fn supervise(folder: &Path) -> Result<(), target::Error> {
    local::supervise(folder, &Arc::new(Tracker { attempt: Attempt::at(folder.to_owned()) }))
}

impl Closing for Tracker {
    fn started(&self, _spec: &JobSpec, closing: &Secret) {
        let _ = with_client(closing, async |client, task| artifacts::upload(&self.attempt, client, &task.run_id).await);
    }

    fn ended(&self, _spec: &JobSpec, closing: &Secret, outcome: &Outcome) {
        let written =
            with_client(closing, async |client, task| client.set_status(&task.run_id, status_of(outcome), Some(outcome.ended_at)).await);
        if written.is_some() {
            let _ = std::fs::write(self.attempt.path(CLOSED), b"");
            // What the start could not upload; a tracker that does not even take the status is not asked.
            let _ = with_client(closing, async |client, task| artifacts::upload(&self.attempt, client, &task.run_id).await);
        }
    }
}

/// Returns what an outcome is to MLflow.
pub(super) fn status_of(outcome: &Outcome) -> Status {
    match outcome.ending {
        Ending::Exited if outcome.exit_code == Some(0) => Status::Finished,
        Ending::Cancelled | Ending::TimedOut | Ending::Lost => Status::Killed,
        Ending::Exited | Ending::OutOfMemory | Ending::PreflightFailed | Ending::Broken => Status::Failed,
    }
}

/// Tries an act of tracking; its failure is left to the next command, which sees that it is not done.
fn with_client(closing: &Secret, act: impl AsyncFnOnce(&Client, &Task) -> Result<(), tracking::Error>) -> Option<()> {
    let task: Task = serde_json::from_str(closing.expose()).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let client = Client::new(&task.connection).ok()?;
    // The outcome is recorded by now, and whoever waits for the job waits for this too.
    runtime.block_on(async { tokio::time::timeout(PATIENCE, act(&client, &task)).await }).ok()?.ok()
}
