//! A job as the emulator knows it: what the client sent, and what became of it.
//!
//! ```text
//! NotStarted -> Starting -> Preparing -> Queued -> Provisioning -> Running -> Finalizing -> Completed | Failed
//!      \___________\____________\___________\___________\___________\-> CancelRequested -> Canceled
//! ```

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::azure::{AssetId, Scope};

/// A state, in the service's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Status {
    NotStarted,
    Starting,
    Preparing,
    Queued,
    Provisioning,
    Running,
    Finalizing,
    CancelRequested,
    Completed,
    Failed,
    Canceled,
    /// The node does not answer; it may come back.
    NotResponding,
}

impl Status {
    /// Returns the service's word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NotStarted => "NotStarted",
            Self::Starting => "Starting",
            Self::Preparing => "Preparing",
            Self::Queued => "Queued",
            Self::Provisioning => "Provisioning",
            Self::Running => "Running",
            Self::Finalizing => "Finalizing",
            Self::CancelRequested => "CancelRequested",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Canceled => "Canceled",
            Self::NotResponding => "NotResponding",
        }
    }

    /// Returns whether nothing comes after it.
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }
}

/// Why a job failed, as run details show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fault {
    /// `UserError`, `SystemError`.
    pub(super) code: String,
    pub(super) message: String,
    pub(super) time: Timestamp,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) scope: Scope,
    pub(super) name: String,
    /// Its run's own GUID, which names its folders and containers.
    pub(super) uuid: String,
    pub(super) experiment: String,
    /// What the client sent in `properties`.
    pub(super) properties: Value,
    pub(super) status: Status,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) error: Option<Fault>,
    /// Whether somebody has asked for its end.
    pub(super) cancelled: bool,
    /// Whether it is archived.
    pub(super) hidden: bool,
    /// What its owner has to be told.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
    /// Where the logs of nodes have what the present containers write: behind what those before them wrote.
    #[serde(default)]
    pub(super) log_begins: BTreeMap<u32, u64>,
}

impl Job {
    /// Returns a text of what the client sent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.properties[name].as_str().unwrap_or_default()
    }

    /// Returns the run's GUID without dashes, as paths have it.
    pub(super) fn digits(&self) -> String {
        self.uuid.replace('-', "")
    }

    /// Returns the folder of its files in the artifact store: `ExperimentRun/dcid.<name>`.
    pub(super) fn folder(&self) -> String {
        folder(&self.name)
    }

    /// Returns how many nodes it runs on.
    pub(super) fn nodes(&self) -> u32 {
        self.properties["resources"]["instanceCount"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
    }

    /// Returns the name of its compute; nothing for a job without one.
    pub(super) fn compute(&self) -> Option<&str> {
        self.text("computeId").rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// Returns which code it runs.
    pub(super) fn code(&self) -> Option<AssetId> {
        self.text("codeId").parse().ok()
    }

    /// Moves on to a state; one that has ended stays as it is.
    pub(super) fn reach(&mut self, status: Status, now: Timestamp) {
        if self.status.is_terminal() {
            return;
        }
        // A job that is to end shows nothing else until it has.
        self.status = if self.cancelled && !status.is_terminal() { Status::CancelRequested } else { status };
        if status == Status::Running && self.started_at.is_none() {
            self.started_at = Some(now);
        }
        if status.is_terminal() {
            self.ended_at = Some(now);
        }
    }

    /// Returns it as the control plane shows it to who reaches the emulator at this address.
    pub(super) fn shown(&self, origin: &str, tenant_id: &str) -> Value {
        let Self { scope, name, .. } = self;
        let id = format!("{scope}/jobs/{name}");
        let mut properties = self.properties.clone();
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        properties["status"] = self.status.word().into();
        properties["experimentName"] = self.experiment.as_str().into();
        properties["isArchived"] = self.hidden.into();
        if properties["displayName"].as_str().is_none_or(str::is_empty) {
            properties["displayName"] = name.as_str().into();
        }
        if !properties["services"].is_object() {
            properties["services"] = json!({});
        }
        properties["services"]["Tracking"] = json!({
            "jobServiceType": "Tracking", "port": null, "status": null, "errorMessage": null,
            "endpoint": format!("azureml://{authority}/mlflow/v1.0{scope}?"),
        });
        properties["services"]["Studio"] = json!({
            "jobServiceType": "Studio", "port": null, "status": null, "errorMessage": null,
            "endpoint": format!("{origin}/studio/runs/{name}?wsid={scope}&tid={tenant_id}"),
        });
        if !properties["outputs"].is_object() {
            properties["outputs"] = json!({});
        }
        properties["outputs"]["default"] = json!({
            "jobOutputType": "uri_folder", "mode": "ReadWriteMount",
            "uri": format!("azureml://datastores/workspaceartifactstore/{}", self.folder()),
        });
        json!({
            "id": id, "name": name, "type": "Microsoft.MachineLearningServices/workspaces/jobs", "properties": properties,
            "systemData": { "createdAt": self.created_at.to_string(), "createdBy": "emulator", "createdByType": "Application" },
        })
    }
}

/// Returns the folder of a job's files in the artifact store.
pub(super) fn folder(name: &str) -> String {
    format!("ExperimentRun/dcid.{name}")
}

/// Returns whether a job may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    name.len() <= 255
        && bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn job(name: &str) -> Job {
        Job {
            scope: Scope { subscription_id: "s".into(), resource_group: "g".into(), workspace_name: "w".into() },
            name: name.to_owned(),
            uuid: "4be9a0c2-0000-4000-8000-000000000000".into(),
            experiment: "e".into(),
            properties: json!({ "jobType": "Command", "command": "true" }),
            status: Status::NotStarted,
            created_at: Timestamp::UNIX_EPOCH,
            started_at: None,
            ended_at: None,
            error: None,
            cancelled: false,
            hidden: false,
            warnings: Vec::new(),
            log_begins: BTreeMap::new(),
        }
    }

    #[test]
    fn a_job_that_is_to_end_shows_it_until_it_has_and_then_stays() {
        let mut job = job("j");
        job.reach(Status::Running, Timestamp::UNIX_EPOCH);
        assert_eq!((job.status, job.started_at), (Status::Running, Some(Timestamp::UNIX_EPOCH)));
        job.cancelled = true;
        job.reach(Status::Finalizing, Timestamp::UNIX_EPOCH);
        assert_eq!(job.status, Status::CancelRequested);
        job.reach(Status::Canceled, Timestamp::UNIX_EPOCH);
        job.reach(Status::Failed, Timestamp::UNIX_EPOCH);
        assert_eq!((job.status, job.ended_at), (Status::Canceled, Some(Timestamp::UNIX_EPOCH)));
    }

    #[test]
    fn names_are_those_that_the_service_takes() {
        for (name, good) in [("a", true), ("9-b_C", true), ("-a", false), ("", false), ("a.b", false), ("a b", false)] {
            assert_eq!(is_name(name), good, "{name}");
        }
        assert!(is_name(&"a".repeat(255)) && !is_name(&"a".repeat(256)));
    }
}
