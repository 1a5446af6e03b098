//! What a job's relay has left in its spool: how much it is, and its delivery by a later command.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::job::attempt::Attempt;
use crate::relay::{self, Finish, Health, Limits, Pending};
use crate::support::secret::Secret;
use crate::tracking::{Connection, Relaying};

/// Returns the folder of an attempt's spool.
pub(super) fn folder(attempt: &Attempt) -> PathBuf {
    attempt.path("relay")
}

/// Returns the relay's limits.
pub(super) fn limits(relaying: &Relaying) -> Limits {
    Limits { outage: relaying.outage, drain: relaying.drain, spool: relaying.spool, ..Limits::default() }
}

/// What is known of the delivery of a job's tracking calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What waits.
    pub pending: Pending,
    /// Whether the tracker answered when it was last asked; `None` once the job has ended.
    pub health: Option<Health>,
}

/// Returns what is known of an attempt's delivery; `None` when it had no relay.
pub(super) fn of(attempt: &Attempt, ended: bool) -> Option<Delivery> {
    let folder = folder(attempt);
    let pending = relay::pending(&folder)?;
    Some(Delivery { pending, health: (!ended).then(|| relay::health(&folder)) })
}

/// Delivers what is left within a time, the job's end last; returns what is still left, and `None` when there is no spool.
///
/// A relay that has not ended yet has a moment to do so.
pub(super) async fn deliver(
    attempt: &Attempt,
    connection: &Connection,
    finish: Option<&Finish>,
    within: Duration,
) -> Option<Result<Pending, relay::Error>> {
    let folder = folder(attempt);
    if !folder.join("cursor").exists() {
        return None;
    }
    let task = relay::Task {
        folder,
        uri: Some(connection.uri.clone()),
        credentials: connection.auth.clone(),
        token: Secret::new(""),
        injected: None,
        spools: true,
        limits: Limits { drain: within, stall: within.min(Limits::default().stall), ..Limits::default() },
    };
    let begun = Instant::now();
    loop {
        match relay::sync(&task, finish).await {
            Err(relay::Error::InUse(_)) if begun.elapsed() < within => tokio::time::sleep(Duration::from_millis(100)).await,
            answer => return Some(answer),
        }
    }
}
