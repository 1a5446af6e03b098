//! The report types behind `--output json`, apart from the domain's own; each with a `kind` and a `version`.

use jiff::Timestamp;
use sendoff::job::{JobState, NodeState, Record};
use sendoff::submit::Delivery;
use sendoff::support::yaml::Finding;
use sendoff::tracking::{Histories, Measured};
use serde::Serialize;

use super::exit::Exit;

const VERSION: u32 = 1;

#[derive(Serialize)]
pub(crate) struct Report<T> {
    kind: &'static str,
    version: u32,
    #[serde(flatten)]
    body: T,
}

/// Wraps a body with its kind.
pub(crate) fn report<T: Serialize>(kind: &'static str, body: T) -> Report<T> {
    Report { kind, version: VERSION, body }
}

/// Returns the word that an enum of ours has in JSON.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

/// Returns a time as all of ours are written for programs: UTC, to the millisecond.
pub(crate) fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

#[derive(Serialize)]
pub(crate) struct Job {
    id: String,
    name: String,
    state: String,
    ended: bool,
    exit_code: Option<u8>,
    job_exit_code: Option<i32>,
    reason: Option<String>,
    detail: Option<String>,
    experiment: String,
    target: String,
    attempt: u32,
    handle: String,
    snapshot: String,
    environment: String,
    mlflow_run_id: Option<String>,
    mlflow_run_url: Option<String>,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    /// How its nodes stand; absent of a job that has not several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<Node>,
    /// The place that stays of a job which has ended, in words; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// What the tracker does not have yet; absent where nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_delivery: Option<TrackingDelivery>,
}

#[derive(Serialize)]
struct Node {
    node: u32,
    name: String,
    state: String,
    exit_code: Option<i32>,
    started_at: Option<String>,
    ended_at: Option<String>,
}

impl From<NodeState> for Node {
    fn from(node: NodeState) -> Self {
        Self {
            node: node.rank,
            state: word(&node.state),
            name: node.name,
            exit_code: node.exit_code,
            started_at: node.started_at.map(instant),
            ended_at: node.ended_at.map(instant),
        }
    }
}

#[derive(Serialize)]
struct TrackingDelivery {
    waiting: u64,
    waiting_bytes: u64,
    refused: u64,
    damaged: u64,
    away_since: Option<String>,
    away_reason: Option<String>,
}

impl From<Delivery> for TrackingDelivery {
    fn from(delivery: Delivery) -> Self {
        let health = delivery.health.unwrap_or_default();
        Self {
            waiting: delivery.pending.records,
            waiting_bytes: delivery.pending.bytes,
            refused: delivery.pending.refused,
            damaged: delivery.pending.damaged,
            away_since: health.away_since.map(instant),
            away_reason: health.reason,
        }
    }
}

impl Job {
    /// Adds what is known of the delivery of its tracking calls.
    pub(crate) fn with(mut self, delivery: Option<Delivery>) -> Self {
        self.tracking_delivery = delivery.map(TrackingDelivery::from);
        self
    }

    /// Adds how its nodes stand.
    pub(crate) fn on(mut self, nodes: Vec<NodeState>) -> Self {
        self.nodes = nodes.into_iter().map(Node::from).collect();
        self
    }

    /// Adds the place that stays of it.
    pub(crate) fn keeping(mut self, kept: Option<String>) -> Self {
        self.kept = kept;
        self
    }
}

impl From<&Record> for Job {
    fn from(record: &Record) -> Self {
        let outcome = record.state.outcome();
        Self {
            id: record.id.to_string(),
            name: record.name.clone(),
            state: record.state.word().to_owned(),
            ended: record.state.is_ended(),
            exit_code: outcome.map(|_| Exit::of(&record.state).code()),
            job_exit_code: outcome.and_then(|outcome| outcome.exit_code),
            reason: outcome.and_then(|outcome| serde_json::to_value(outcome.ending).ok()?.as_str().map(str::to_owned)),
            detail: match &record.state {
                JobState::Queued { reason, .. } => Some(reason.clone()),
                _ => outcome.and_then(|outcome| outcome.detail.clone()),
            },
            experiment: record.experiment.clone(),
            target: record.target.clone(),
            attempt: record.attempt,
            handle: record.handle.clone(),
            snapshot: record.snapshot.clone(),
            environment: record.environment.clone(),
            mlflow_run_id: record.tracking.as_ref().map(|tracking| tracking.run_id.clone()),
            mlflow_run_url: record.tracking.as_ref().map(|tracking| tracking.url.clone()),
            created_at: instant(record.created_at),
            started_at: match record.state {
                JobState::Running { since } => Some(instant(since)),
                _ => outcome.and_then(|outcome| outcome.started_at).map(instant),
            },
            ended_at: outcome.map(|outcome| instant(outcome.ended_at)),
            nodes: Vec::new(),
            kept: None,
            tracking_delivery: None,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
}

#[derive(Serialize)]
pub(crate) struct FindingReport {
    file: String,
    line: usize,
    column: usize,
    message: String,
    reason: String,
    fix: Option<String>,
}

impl From<&Finding> for FindingReport {
    fn from(finding: &Finding) -> Self {
        let (line, column) = finding.place();
        Self {
            file: finding.place.source.name.display().to_string(),
            line,
            column,
            message: finding.message.clone(),
            reason: finding.reason.clone(),
            fix: finding.fix.clone(),
        }
    }
}

#[derive(Serialize)]
struct FailureBody {
    exit_code: u8,
    message: String,
    causes: Vec<String>,
    hints: Vec<String>,
    findings: Vec<FindingReport>,
}

/// Reports an error.
pub(crate) fn failure(exit_code: u8, message: &str, causes: &[String], hints: &[String], findings: &[Finding]) -> impl Serialize + use<> {
    let body = FailureBody {
        exit_code,
        message: message.to_owned(),
        causes: causes.to_vec(),
        hints: hints.to_vec(),
        findings: findings.iter().map(FindingReport::from).collect(),
    };
    report("error", body)
}

/// The metrics of a job: those of its own MLflow run, or of the only one below it that has some, and those of all others.
#[derive(Serialize)]
pub(crate) struct Metrics {
    job: String,
    mlflow_run_id: String,
    metrics: Histories,
    children: Vec<ChildMetrics>,
    /// Writes that the tracker does not have yet.
    undelivered: u64,
    unmet: Vec<String>,
}

#[derive(Serialize)]
struct ChildMetrics {
    mlflow_run_id: String,
    name: String,
    metrics: Histories,
}

impl Metrics {
    /// `measured` has the job's own MLflow run first.
    pub(crate) fn new(record: &Record, measured: Vec<Measured>, undelivered: u64, unmet: Vec<String>) -> Self {
        let only_child = measured.len() == 2 && measured[0].metrics.is_empty();
        let mut runs = measured.into_iter().skip(usize::from(only_child));
        let (mlflow_run_id, metrics) = runs.next().map(|run| (run.run_id, run.metrics)).unwrap_or_default();
        let children = runs.map(|run| ChildMetrics { mlflow_run_id: run.run_id, name: run.name, metrics: run.metrics }).collect();
        Self { job: record.id.to_string(), mlflow_run_id, metrics, children, undelivered, unmet }
    }
}
