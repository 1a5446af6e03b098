//! What `plan --output json` prints.

use std::path::{Path, PathBuf};

use sendoff::job::{Command, JobSpec};
use sendoff::submit::{Capability, Past, Plan, Rehearsal, Tracker};
use sendoff::support::hints::Hints;
use sendoff::target::Brought;
use sendoff::tracking;
use serde::Serialize;

use crate::cli::json::word;

#[derive(Serialize)]
pub(crate) struct PlanReport<'a> {
    job: JobPlan,
    target: Chosen,
    tracker: TrackerPlan,
    experiment: Option<&'a str>,
    attach: Option<String>,
    snapshot: SnapshotPlan<'a>,
    environment: EnvironmentPlan<'a>,
    variables: Vec<Variable<'a>>,
    secrets: Vec<Secret<'a>>,
    /// The variables that each node has of its own, in order of the ranks; absent of a job that has not several nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_variables: Vec<Vec<Variable<'a>>>,
    capabilities: Vec<CapabilityPlan<'a>>,
    /// How the job reaches its tracker; `null` where it runs beside what tracks it.
    route: Option<&'a str>,
    inputs: Vec<InputPlan<'a>>,
    pub(crate) request: Request<'a>,
    bootstrap: &'a str,
    notes: &'a [String],
    warnings: &'a [String],
}

#[derive(Serialize)]
struct JobPlan {
    /// `null` when it is named at submission.
    id: Option<String>,
    /// `new`, `adopted`, `resumed`, `next_attempt` or `refused`.
    outcome: &'static str,
    state: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Chosen {
    name: String,
    kind: &'static str,
    origin: String,
}

#[derive(Serialize)]
struct TrackerPlan {
    uri: String,
    origin: String,
    /// `none`, `running`, `stopped`, `not_installed`, `workspace` or `remote`.
    state: &'static str,
    address: Option<String>,
    mlflow_version: Option<String>,
    /// Where the credentials come from.
    credentials: Option<String>,
    problem: Option<Problem>,
}

#[derive(Serialize)]
struct Problem {
    message: String,
    hints: Vec<String>,
}

#[derive(Serialize)]
struct SnapshotPlan<'a> {
    id: &'a str,
    bytes: u64,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct EnvironmentPlan<'a> {
    id: Option<String>,
    cached: bool,
    resolved: bool,
    changed: &'a [String],
    python: Option<&'a str>,
    interpreter: Option<&'a Path>,
    packages: Option<Vec<&'a str>>,
    /// Where its image would be sent; `null` when it stays where it is built.
    push: Option<PushPlan<'a>>,
}

#[derive(Serialize)]
struct PushPlan<'a> {
    image: &'a str,
    /// Whose login would be used, in words.
    login: String,
    /// Whether it was sent before.
    done: bool,
}

#[derive(Serialize)]
struct Variable<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct Secret<'a> {
    name: &'a str,
    travels: &'a str,
}

#[derive(Serialize)]
struct CapabilityPlan<'a> {
    key: &'a str,
    asked: Option<&'a str>,
    target: &'a str,
}

/// An input of this machine, on a target that does not read it where it is.
#[derive(Serialize)]
struct InputPlan<'a> {
    path: &'a Path,
    /// `bound` or `copied`.
    brought: &'static str,
    /// Why it is copied.
    reason: Option<&'a str>,
}

/// The request to the target.
#[derive(Serialize)]
pub(crate) struct Request<'a> {
    id: String,
    attempt: u32,
    digest: &'a str,
    program: Option<&'a [String]>,
    shell: Option<&'a str>,
    setup: Option<&'a str>,
    archive: &'a Path,
    snapshot: &'a str,
    python: &'a Path,
    leases: Vec<&'a Path>,
    variables: Vec<Variable<'a>>,
    outputs: Vec<Output<'a>>,
    cpus: Option<u32>,
    memory: Option<u64>,
    gpus: Option<u32>,
    nodes: u32,
    max_duration_seconds: Option<f64>,
    grace_seconds: f64,
    queue: Option<&'a str>,
    queue_limit: Option<u32>,
    preflight: bool,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    kind: &'static str,
}

impl<'a> PlanReport<'a> {
    pub(crate) fn new(plan: &'a Plan, rehearsal: &'a Rehearsal, problem: Option<&tracking::Error>) -> Self {
        let found = &plan.inspection;
        let lines = |lock: &'a String| lock.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        Self {
            job: JobPlan::new(rehearsal),
            target: Chosen {
                name: plan.run.target.value.name.clone(),
                kind: plan.run.target.value.config.kind().word(),
                origin: plan.run.target.origin.to_string(),
            },
            tracker: TrackerPlan::new(plan, problem),
            experiment: plan.is_tracked().then_some(plan.experiment.as_str()),
            attach: plan.is_tracked().then(|| word(&plan.attach)),
            snapshot: SnapshotPlan {
                id: &rehearsal.spec.snapshot,
                bytes: plan.listing.size(),
                files: plan.listing.files.iter().map(|file| File { path: &file.path, size: file.size }).collect(),
            },
            environment: EnvironmentPlan {
                id: found.id.as_ref().map(ToString::to_string),
                cached: found.built,
                resolved: found.lock.is_some(),
                changed: &found.changed,
                python: found.python.as_ref().map(|python| python.version.as_str()),
                interpreter: found.python.as_ref().map(|python| python.path.as_path()),
                packages: found.lock.as_ref().map(lines),
                push: plan.push.as_ref().map(|push| PushPlan { image: &push.image, login: push.login.to_string(), done: push.is_done }),
            },
            variables: variables(&rehearsal.spec.variables),
            node_variables: rehearsal.nodes.iter().map(|node| variables(node)).collect(),
            secrets: rehearsal.secrets.iter().map(|secret| Secret { name: &secret.name, travels: secret.travels }).collect(),
            capabilities: plan.capabilities.iter().map(CapabilityPlan::from).collect(),
            route: plan.ways.tracker.as_deref(),
            inputs: plan.ways.inputs.iter().map(InputPlan::from).collect(),
            request: Request::from(&rehearsal.spec),
            bootstrap: &rehearsal.bootstrap,
            notes: &plan.notes,
            warnings: &plan.warnings,
        }
    }
}

impl JobPlan {
    fn new(rehearsal: &Rehearsal) -> Self {
        let (outcome, state, reason) = match &rehearsal.past {
            Past::New => ("new", None, None),
            Past::Adopted(state) => ("adopted", Some(state.word().to_owned()), None),
            Past::Resumed => ("resumed", None, None),
            Past::NextAttempt(_) => ("next_attempt", None, None),
            Past::Refused(error) => ("refused", None, Some(error.to_string())),
        };
        Self { id: rehearsal.is_chosen.then(|| rehearsal.id.to_string()), outcome, state, reason }
    }
}

impl TrackerPlan {
    fn new(plan: &Plan, problem: Option<&tracking::Error>) -> Self {
        let (state, address) = match &plan.tracker {
            Tracker::None => ("none", None),
            Tracker::Workspace => ("workspace", None),
            Tracker::Managed { uri: Some(uri), .. } => ("running", Some(uri.clone())),
            Tracker::Managed { installed: true, .. } => ("stopped", None),
            Tracker::Managed { .. } => ("not_installed", None),
            Tracker::Remote { connection, .. } => ("remote", Some(connection.uri.clone())),
        };
        let credentials = match &plan.tracker {
            Tracker::Remote { credentials, .. } => credentials.clone(),
            Tracker::None | Tracker::Workspace | Tracker::Managed { .. } => None,
        };
        Self {
            credentials,
            uri: plan.run.tracking.value.uri.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
            origin: plan.run.tracking.origin.to_string(),
            state,
            address,
            mlflow_version: plan.tracker.version().map(str::to_owned),
            problem: problem.map(|problem| Problem { message: problem.to_string(), hints: problem.hints() }),
        }
    }
}

impl<'a> From<&'a Capability> for CapabilityPlan<'a> {
    fn from(capability: &'a Capability) -> Self {
        Self { key: capability.key, asked: capability.asked.as_deref(), target: &capability.can }
    }
}

impl<'a> From<&'a (PathBuf, Brought)> for InputPlan<'a> {
    fn from((path, brought): &'a (PathBuf, Brought)) -> Self {
        match brought {
            Brought::Bound => Self { path, brought: "bound", reason: None },
            Brought::Copied(reason) => Self { path, brought: "copied", reason: Some(reason) },
        }
    }
}

impl<'a> From<&'a JobSpec> for Request<'a> {
    fn from(spec: &'a JobSpec) -> Self {
        let (program, shell) = match &spec.command {
            Command::Program(words) => (Some(words.as_slice()), None),
            Command::Shell(line) => (None, Some(line.as_str())),
        };
        Self {
            id: spec.id.to_string(),
            attempt: spec.attempt,
            digest: &spec.digest,
            program,
            shell,
            setup: spec.setup.as_deref(),
            archive: &spec.archive,
            snapshot: &spec.snapshot,
            python: &spec.python,
            leases: spec.leases.iter().map(std::path::PathBuf::as_path).collect(),
            variables: variables(&spec.variables),
            outputs: spec
                .outputs
                .iter()
                .map(|(name, is_folder)| Output { name, kind: if *is_folder { "uri_folder" } else { "uri_file" } })
                .collect(),
            cpus: spec.cpus,
            memory: spec.memory,
            gpus: spec.gpus,
            nodes: spec.nodes,
            max_duration_seconds: spec.max_duration.map(|limit| limit.as_secs_f64()),
            grace_seconds: spec.grace.as_secs_f64(),
            queue: spec.queue.as_ref().map(|(name, _)| name.as_str()),
            queue_limit: spec.queue.as_ref().map(|(_, limit)| *limit),
            preflight: spec.preflight,
        }
    }
}

fn variables(variables: &[(String, String)]) -> Vec<Variable<'_>> {
    variables.iter().map(|(name, value)| Variable { name, value }).collect()
}
