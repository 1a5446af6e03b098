//! The tracking relay: a small proxy beside a job that owns the connection to the tracker.
//!
//! ```text
//! job's MLflow client -> serve -> spool -> deliver -> tracker
//!                          |  (writes: acknowledged once they are in the spool)
//!                          +---------------------------> tracker
//!                             (everything else: after all that was spooled before it, held while the tracker is away)
//! ```
//!
//! The job talks plain HTTP to it with a token that only this relay accepts; the real credentials never enter the job. A tracker that is
//! away, slow or restarted neither stops the job nor loses a metric. The final status of the job's own MLflow run is the supervisor's to say.
//!
//! It runs as a process of its own (`sendoff relay`), kept by a [`Keeper`] that owns the listening socket, so that a relay that dies is
//! started again without a refused connection. It does not know jobs or targets. [`personal`] keeps one for a person.

mod answer;
mod batch;
mod call;
mod create;
mod deliver;
mod doubt;
mod error;
mod keeper;
mod passing;
pub mod personal;
mod process;
mod record;
mod route;
mod serve;
mod shared;
mod spool;
mod unheard;
mod uploads;
mod upstream;
mod used;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::Credentials;
use crate::support::secret::Secret;

pub use error::Error;
pub use keeper::{Keeper, Left, listen};
pub use process::{run, sync};
pub use route::{Listen, Placement, Route, Tracker, route, tracker_of};
pub use shared::{Health, health};
pub use spool::{Pending, pending};
pub use upstream::Cause;

/// What a relay is told. Travels over a pipe and is never stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// Where the spool is.
    pub folder: PathBuf,
    /// The tracker's address; `None` where there is no way to it, so that everything is delivered later from elsewhere.
    pub uri: Option<String>,
    /// Who we are to the tracker.
    pub credentials: Credentials,
    /// What the job presents to the relay.
    pub token: Secret,
    /// The MLflow run whose final status the supervisor says; `None` for a relay that serves a person.
    pub injected: Option<Injected>,
    /// Whether writes are spooled; without it everything is passed on as it comes.
    pub spools: bool,
    /// How long and how much.
    pub limits: Limits,
}

/// The MLflow run of a job, as the submitter saw it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Injected {
    /// `run` of the server's answer.
    pub run: serde_json::Value,
    /// `experiment` of the server's answer.
    pub experiment: serde_json::Value,
}

/// How long and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a request is held while the tracker is away.
    pub outage: Duration,
    /// How long delivery goes on after the job's end.
    pub drain: Duration,
    /// How long the tracker may be silent.
    pub stall: Duration,
    /// Bytes that may wait in the spool.
    pub spool: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { outage: Duration::from_hours(24), drain: Duration::from_mins(1), stall: Duration::from_secs(30), spool: 4 << 30 }
    }
}

/// How a job's MLflow run ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The run.
    pub run_id: String,
    /// `FINISHED`, `FAILED` or `KILLED`.
    pub status: String,
    /// In milliseconds since 1970.
    pub end_time: i64,
}

/// Returns a random token of 32 hexadecimal digits.
pub fn token() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness of the system nothing secret can be made at all.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    bytes.iter().fold(String::with_capacity(32), |text, byte| format!("{text}{byte:02x}"))
}
