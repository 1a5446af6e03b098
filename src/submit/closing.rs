//! What the supervisor does for tracking around a job: the relay that the job talks to, the artifacts for reproduction at its start, the
//! true final status at its end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{artifacts, delivery};
use crate::job::attempt::Attempt;
use crate::job::{Ending, JobSpec, Outcome};
use crate::relay::{self, Finish, Keeper, Left};
use crate::support::secret::Secret;
use crate::support::{causes, fs};
use crate::target;
use crate::target::docker::InContainer;
use crate::target::local::Process;
use crate::target::supervised::{self, Closing, Given, Runner, Turn, Vicinity};
use crate::tracking::{self, Client, Connection, Relaying, Status};

/// What travels to the supervisor in a launch's `closing`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    /// The tracker.
    pub(super) connection: Connection,
    /// The MLflow run.
    pub(super) run_id: String,
    /// The MLflow run and its experiment as the submitter saw them, for a relay whose tracker is away.
    pub(super) injected: Option<relay::Injected>,
    /// What the relay does with writes.
    pub(super) relaying: Relaying,
}

/// How long one act may take; a tracker that hangs is left to the next command.
const PATIENCE: Duration = Duration::from_secs(10);

/// The name of the file that says that the final status was written.
pub(super) const CLOSED: &str = "tracking-closed";

struct Tracker {
    attempt: Attempt,
    relay: Mutex<Option<Keeper>>,
}

/// Where the relay of a job is that outlives its supervisor, for the next one: the job knows this address and this token and no others.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    address: SocketAddr,
    token: Secret,
    relaying: Relaying,
}

impl Place {
    fn file(attempt: &Attempt) -> PathBuf {
        attempt.path("relay.json")
    }

    fn read(attempt: &Attempt) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::file(attempt)).ok()?).ok()
    }
}

/// Runs the supervisor of an attempt in this process, to the job's end.
pub fn supervise(folder: &Path, turn: Turn) -> Result<(), target::Error> {
    // A description that cannot be read is the supervisor's to record.
    let is_contained = Attempt::at(folder.to_owned()).spec().ok().flatten().is_some_and(|spec| spec.container.is_some());
    let runner: &dyn Runner = if is_contained { &InContainer::default() } else { &Process };
    supervised::supervise(folder, turn, runner, &Arc::new(Tracker { attempt: Attempt::at(folder.to_owned()), relay: Mutex::new(None) }))
}

impl Closing for Tracker {
    fn before(&self, spec: &JobSpec, closing: &Secret, vicinity: Vicinity) -> Result<Given, String> {
        let Some(task) = read(closing) else { return Ok(Given::default()) };
        let placement = match vicinity {
            Vicinity::Beside => relay::Placement::Beside,
            Vicinity::Gateway(address) => relay::Placement::Gateway(address),
            Vicinity::Named(host) => relay::Placement::Named(host),
        };
        let tracker = relay::tracker_of(&task.connection.uri);
        let (listen, uri) = match relay::route(&task.connection.uri, tracker, &placement) {
            relay::Route::Relay { listen, upstream } => (listen, upstream),
            relay::Route::Direct { .. } | relay::Route::None { .. } => return Err("there is no way to the tracker".to_owned()),
        };
        let before = Place::read(&self.attempt);
        let (relaying, token) = match &before {
            Some(place) => (place.relaying, place.token.clone()),
            None => (task.relaying, Secret::new(relay::token())),
        };
        let own = relay::Task {
            folder: delivery::folder(&self.attempt),
            uri,
            credentials: task.connection.auth.clone(),
            token: token.clone(),
            injected: task.injected,
            spools: relaying.mode == tracking::RelayMode::Spool,
            limits: delivery::limits(&relaying),
        };
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let keeper = match &before {
            Some(place) => relay::listen(place.address).and_then(|listener| Keeper::on(program, listener, own)),
            None => Keeper::start(program, listen, own),
        };
        let keeper = keeper.map_err(|error| causes::in_one_line(&error))?;
        if spec.container.is_some() && before.is_none() {
            let place = Place { address: keeper.address(), token: token.clone(), relaying };
            let text = serde_json::to_vec(&place).expect("plain data of ours always serialises");
            fs::write_private(Place::file(&self.attempt), &text).map_err(|error| causes::in_one_line(&error))?;
        }
        let secrets = tracking::through_relay(&listen.uri(keeper.address()), &token, &spec.variables);
        let relay = Some(keeper.address());
        *self.relay.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(keeper);
        Ok(Given { secrets, relay })
    }

    fn started(&self, _spec: &JobSpec, closing: &Secret) {
        let _ = with_client(closing, async |client, task| artifacts::upload(&self.attempt, client, &task.run_id).await);
    }

    fn ended(&self, _spec: &JobSpec, closing: &Secret, outcome: &Outcome) {
        let keeper = self.relay.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let closed = match (keeper, read(closing)) {
            (Some(keeper), Some(task)) => {
                // The true status is the spool's last record: whoever delivers the rest, now or later, ends with it.
                let left = keeper.finish(finish(&task.run_id, status_of(outcome), outcome));
                matches!(left, Left::Known(pending) if pending.records == 0)
            }
            (_, Some(task)) => self.close_without_relay(closing, &task, outcome),
            (_, None) => false,
        };
        if closed {
            let _ = std::fs::write(self.attempt.path(CLOSED), b"");
            // What the start could not upload; a tracker that does not even take the status is not asked.
            let _ = with_client(closing, async |client, task| artifacts::upload(&self.attempt, client, &task.run_id).await);
        }
    }
}

impl Tracker {
    /// Closes the MLflow run of a job whose relay does not run here, after what an earlier one has left.
    fn close_without_relay(&self, closing: &Secret, task: &Task, outcome: &Outcome) -> bool {
        let end = finish(&task.run_id, status_of(outcome), outcome);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let left = runtime.ok().and_then(|runtime| {
            let delivering = delivery::deliver(&self.attempt, &task.connection, Some(&end), PATIENCE);
            runtime.block_on(delivering)
        });
        if let Some(left) = left {
            return left.is_ok_and(|pending| pending.records == 0);
        }
        with_client(closing, async |client, task| client.set_status(&task.run_id, status_of(outcome), Some(outcome.ended_at)).await)
            .is_some()
    }
}

/// Returns how an MLflow run ends.
pub(super) fn finish(run_id: &str, status: Status, outcome: &Outcome) -> Finish {
    Finish { run_id: run_id.to_owned(), status: status.word().to_owned(), end_time: outcome.ended_at.as_millisecond() }
}

/// Returns what an outcome is to MLflow.
pub(super) fn status_of(outcome: &Outcome) -> Status {
    match outcome.ending {
        Ending::Exited if outcome.exit_code == Some(0) => Status::Finished,
        Ending::Cancelled | Ending::TimedOut | Ending::Lost => Status::Killed,
        Ending::Exited | Ending::OutOfMemory | Ending::PreflightFailed | Ending::Broken => Status::Failed,
    }
}

fn read(closing: &Secret) -> Option<Task> {
    serde_json::from_str(closing.expose()).ok()
}

/// Tries an act of tracking; its failure is left to the next command, which sees that it is not done.
fn with_client(closing: &Secret, act: impl AsyncFnOnce(&Client, &Task) -> Result<(), tracking::Error>) -> Option<()> {
    let task = read(closing)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let client = Client::new(&task.connection).ok()?;
    // The outcome is recorded by now, and whoever waits for the job waits for this too.
    runtime.block_on(async { tokio::time::timeout(PATIENCE, act(&client, &task)).await }).ok()?.ok()
}
