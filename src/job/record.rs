//! What is kept of a job for as long as it is not deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Handle, JobId, JobState};
use crate::support::clock;

/// A job as the store and `jobs/<id>/job.json` hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The record's format, 1 today; older ones stay readable.
    pub version: u32,
    /// The job.
    pub id: JobId,
    /// `--key`, if the id was derived.
    pub key: Option<String>,
    /// `display_name`.
    pub name: String,
    /// The experiment.
    pub experiment: String,
    /// The target's name and kind.
    pub target: String,
    /// The kind of target.
    pub target_kind: String,
    /// Where it is, for machines without this record.
    pub handle: String,
    /// What the target needs to find the job again, opaque here; absent where this machine is enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The run config's path at submission.
    pub config_file: String,
    /// The source directory at submission.
    pub source_directory: String,
    /// The hash of run config, snapshot and environment.
    pub digest: String,
    /// A hash of the checked run config alone, for naming differences.
    pub config_digest: String,
    /// The snapshot's id.
    pub snapshot: String,
    /// The environment's id.
    pub environment: String,
    /// Who tracks it, known before there is an MLflow run.
    #[serde(default)]
    pub tracker: Option<TrackerRecord>,
    /// The MLflow run, once there is one.
    pub tracking: Option<TrackingRecord>,
    /// The attempt that counts, from 1.
    pub attempt: u32,
    /// When the job was first submitted.
    pub created_at: Timestamp,
    /// The last known state.
    pub state: JobState,
}

impl Record {
    /// Returns the record of a job that is about to be made: nothing of it is known yet but its names.
    pub fn new(id: JobId, handle: &Handle, target: &str) -> Self {
        Self {
            version: 1,
            key: None,
            name: id.to_string(),
            id,
            experiment: String::new(),
            target: target.to_owned(),
            target_kind: handle.kind.clone(),
            handle: handle.to_string(),
            address: None,
            config_file: String::new(),
            source_directory: String::new(),
            digest: String::new(),
            config_digest: String::new(),
            snapshot: String::new(),
            environment: String::new(),
            tracker: None,
            tracking: None,
            attempt: 1,
            created_at: clock::now(),
            state: JobState::Preparing,
        }
    }
}

/// The tracker of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerRecord {
    /// Its URI, without credentials.
    pub uri: String,
    /// Whether it is the managed server of this machine.
    pub managed: bool,
    /// Whether the user typed the address as a flag, so that credentials of the environment may go there.
    pub typed: bool,
}

/// The MLflow run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingRecord {
    /// The tracker's URI, without credentials.
    pub uri: String,
    /// Whether it is the managed server of this machine.
    pub managed: bool,
    /// The experiment's id.
    pub experiment_id: String,
    /// The MLflow run's id.
    pub run_id: String,
    /// Where a browser sees it.
    pub url: String,
    /// Whether the user typed the address as a flag, so that credentials of the environment may go there.
    #[serde(default)]
    pub typed: bool,
    /// Whether its true final status was written.
    pub closed: bool,
    /// Whether the target itself made it, tracks the job in it and closes it.
    #[serde(default)]
    pub by_target: bool,
}
