//! Where a job runs: the boundary that every compute target keeps.
//!
//! A target sees a [`JobSpec`] and never the run config. What it cannot do is in its [`Capabilities`], which the plan compares with the
//! run config before anything is sent.

pub mod azureml;
pub mod config;
pub mod docker;
mod error;
pub mod local;
mod shell;
pub mod supervised;
mod ways;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::auth::Credentials;
use crate::job::{JobId, JobSpec, JobState, Launch, Request};

pub use docker::{Ending, Guest, Inside};
pub use error::Error;
pub use shell::{Door, Here, Room, Shell, Visit};
pub use ways::{Brought, Wanted, Ways};

/// What a target can do, and why not where it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// `None` when memory can be limited, else the reason why not.
    pub memory_refusal: Option<String>,
    /// How much memory there is, in bytes, where the target knows it.
    pub memory: Option<u64>,
    /// The least memory that a job can be limited to, in bytes.
    pub least_memory: u64,
    /// How many CPUs there are.
    pub cpus: u32,
    /// `None` when CPUs can be limited, else the reason why not.
    pub cpus_refusal: Option<String>,
    /// How many GPUs there are; `None` when there are some, and only a job that wants too many finds out.
    pub gpus: Option<u32>,
    /// Why there are no GPUs, where that can be said.
    pub gpus_refusal: Option<String>,
    /// Whether a job can have a `/dev/shm` of its own size.
    pub shared_memory: bool,
    /// Whether several nodes can run a job side by side.
    pub nodes: bool,
    /// Which of the target's own keys it cannot honour.
    pub refusals: Vec<Refusal>,
    /// What is made for the target's own keys.
    pub notes: Vec<String>,
}

/// A key that a target cannot honour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The key.
    pub key: &'static str,
    /// Why not.
    pub reason: String,
}

/// How often a target may be asked about one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The first pause.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
}

/// An MLflow run that a target made for a job of its own accord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRun {
    /// The tracker, as MLflow's clients name it.
    pub uri: String,
    /// The experiment.
    pub experiment_id: String,
    /// The MLflow run.
    pub run_id: String,
    /// Where people see it.
    pub url: String,
}

/// How the tracker is asked in which a target makes MLflow runs of its own accord.
#[derive(Debug, Clone)]
pub struct OwnTracker {
    /// The address over HTTP.
    pub uri: String,
    /// Who we are to it.
    pub credentials: Credentials,
    /// A certificate authority that is trusted beside the machine's own.
    pub certificate_authority: Option<PathBuf>,
}

/// One attempt of a job, as a target is asked about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRef {
    /// The job.
    pub id: JobId,
    /// The attempt.
    pub attempt: u32,
}

/// A job that a target has, as it tells of it itself: another store may have submitted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The job.
    pub id: JobId,
    /// Its newest attempt.
    pub attempt: u32,
    /// How many nodes it has.
    pub nodes: u32,
    /// The hash of run config, snapshot and environment.
    pub digest: String,
    /// The hashes of two of them.
    pub request: Request,
    /// The snapshot's id.
    pub snapshot: String,
    /// The machine that submitted it.
    pub machine: String,
    /// The store that submitted it.
    pub store: String,
}

/// What a target says of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It never heard of it, and made sure that it never will.
    Absent,
    /// It has it.
    Present(JobState),
    /// It has it, and nobody watches over it: [`Target::attend`] is to be called.
    Unattended,
    /// It has it, nobody watches over it, and nothing of it has ever run: [`Target::attend`] starts it, once somebody has its secrets.
    Unstarted {
        /// Since when it was to run.
        since: Timestamp,
    },
}

/// A place that runs jobs.
///
/// Promises, asked of every target by one conformance suite:
/// - [`Target::submit`] returns when the target has named the job, and leaves nothing behind on failure. It is called at most once for an
///   attempt; who does not know whether it was called asks [`Target::states`] first.
/// - [`Target::states`] answers for many jobs in one trip. A job that is provably gone is `Lost`; one that never was is [`Presence::Absent`],
///   and from then on cannot appear any more: either that is made sure of, or a later [`Target::submit`] would be the same
///   ([`Target::is_idempotent`]).
/// - [`Target::cancel`] returns when nothing of the job runs; cancelling an ended job succeeds.
#[async_trait]
pub trait Target: Send + Sync {
    /// Says what the target can do; changes nothing.
    async fn capabilities(&self) -> Result<Capabilities, Error>;

    /// Finds out how a job would get at what stays here. Leaves nothing behind.
    async fn ways(&self, wanted: &Wanted) -> Result<Ways, Error> {
        let _ = wanted;
        Ok(Ways::default())
    }

    /// Returns what [`Target::submit`] would run, for `plan`.
    fn render(&self, spec: &JobSpec) -> Result<String, Error>;

    /// Puts the bundle in place; may be repeated.
    async fn prepare(&self, spec: &JobSpec) -> Result<(), Error>;

    /// Starts a prepared job.
    async fn submit(&self, spec: &JobSpec, launch: &Launch) -> Result<(), Error>;

    /// Watches over a job again that is [`Presence::Unattended`], or starts one that is [`Presence::Unstarted`]; one that has run is never
    /// started a second time. The launch holds what the job's end needs, and the job's own secrets when it is to be started.
    async fn attend(&self, job: &JobRef, launch: &Launch) -> Result<(), Error> {
        let _ = (job, launch);
        Ok(())
    }

    /// Returns a job that the target has and that this store does not know; changes nothing. Something else of its name is an error.
    async fn find(&self, id: &JobId) -> Result<Option<Found>, Error> {
        let _ = id;
        Ok(None)
    }

    /// Takes part in a job that was found: from now on all else can be asked about it here too. It stays its owner's.
    async fn adopt(&self, found: &Found, launch: &Launch) -> Result<(), Error> {
        let _ = (found, launch);
        Ok(())
    }

    /// Returns the state of each job, in order.
    async fn states(&self, jobs: &[JobRef]) -> Result<Vec<Presence>, Error>;

    /// Returns whether a second [`Target::submit`] of the same attempt is the first one again, however late either arrives.
    fn is_idempotent(&self) -> bool {
        false
    }

    /// Returns how often the target may be asked about one job.
    fn pace(&self) -> Pace {
        Pace { shortest: Duration::from_millis(2), longest: Duration::from_millis(100) }
    }

    /// Returns the file that holds the log of a node of an attempt, once the target has one here. The first node's is the job's.
    fn log(&self, job: &JobRef, node: u32) -> PathBuf;

    /// Brings that file up to date where the log is written elsewhere; a log that was not begun yet leaves none. May be called by many at once.
    async fn fetch_log(&self, job: &JobRef, node: u32) -> Result<(), Error> {
        let _ = (job, node);
        Ok(())
    }

    /// Returns the MLflow run that the target made for a job that it has; `None` where that is the submitter's task.
    async fn own_run(&self, job: &JobRef) -> Result<Option<OwnRun>, Error> {
        let _ = job;
        Ok(None)
    }

    /// Returns how the tracker of [`Target::own_run`] is asked; `None` where there is none.
    async fn own_tracker(&self) -> Result<Option<OwnTracker>, Error> {
        Ok(None)
    }

    /// Keeps files, by their names, below `sendoff/` among the artifacts of [`Target::own_run`]. May be repeated.
    async fn keep(&self, job: &JobRef, files: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
        let _ = (job, files);
        Ok(())
    }

    /// Ends a job: TERM, its grace, KILL; verified. `at_most` shortens the job's own grace, for a caller who cannot wait that long.
    async fn cancel(&self, job: &JobRef, at_most: Option<Duration>) -> Result<JobState, Error>;

    /// Copies what the job has left into a folder, overwriting nothing; returns the number of files.
    async fn collect(&self, job: &JobRef, into: &Path) -> Result<usize, Error>;

    /// Says where the place is that was kept of an attempt which has ended; `None` when there is none.
    fn kept(&self, job: &JobRef) -> Option<String>;

    /// Removes what an attempt which has ended still has outside of our folders; what is gone already is no error.
    async fn forget(&self, job: &JobRef) -> Result<(), Error>;

    /// Opens a shell where a job runs, or else where it would run again; what is made for it is gone after.
    async fn shell(&self, job: &JobRef, visit: &Visit) -> Result<Shell, Error>;
}
