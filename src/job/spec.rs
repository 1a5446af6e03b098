//! What a target is told of a job, and what it is told in secret.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Hosted, JobId};
use crate::support::secret::Secret;

/// What runs in a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A program and its arguments; `python` is the environment's.
    Program(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

/// Hashes of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The checked run config's.
    pub config: String,
    /// The environment's id.
    pub environment: String,
}

/// Everything that a target needs to run one attempt of a job, secrets apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The job.
    pub id: JobId,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// A hash of run config, snapshot and environment: the same digest is the same request.
    pub digest: String,
    /// The parts of that hash which have no field of their own, for whoever has to say what differs.
    #[serde(default)]
    pub request: Request,
    /// What runs.
    pub command: Command,
    /// A shell block that runs before it.
    pub setup: Option<String>,
    /// The snapshot's archive on this machine.
    pub archive: PathBuf,
    /// The snapshot's id.
    pub snapshot: String,
    /// Lock files that the supervisor holds in shared mode while the job lives (its environment's).
    pub leases: Vec<PathBuf>,
    /// The environment's interpreter.
    pub python: PathBuf,
    /// The variables of the job, in order; nothing secret.
    pub variables: Vec<(String, String)>,
    /// Names of the variables that travel in secret because the run config says so.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Names of outputs, and whether each is a folder.
    pub outputs: Vec<(String, bool)>,
    /// CPUs that the job may use.
    pub cpus: Option<u32>,
    /// Bytes of memory that it may use.
    pub memory: Option<u64>,
    /// GPUs: `None` for what is there, 0 for none, N for that many.
    pub gpus: Option<u32>,
    /// How long it may run.
    pub max_duration: Option<Duration>,
    /// How long after TERM it is killed.
    pub grace: Duration,
    /// The queue of the machine that it waits in, and how many jobs of that queue may run at once.
    pub queue: Option<(String, u32)>,
    /// Whether the bootstrap asks the tracker before the command starts.
    pub preflight: bool,
    /// How many nodes run it side by side.
    #[serde(default = "one")]
    pub nodes: u32,
    /// The container that it runs in, on a target with containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// What a service is told beside that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosted: Option<Hosted>,
}

fn one() -> u32 {
    1
}

/// The container of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The image, by its id.
    pub image: String,
    /// Whose processes run in it.
    pub user: User,
    /// Inputs of the submitting machine that it sees as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound: Vec<Mount>,
    /// Files and folders of the submitting machine that are copied in: the path there, and the one in the container.
    pub copied: Vec<(PathBuf, String)>,
    /// Bytes of `/dev/shm`.
    pub shared_memory: Option<u64>,
    /// What the run config says of it, as it stands there.
    #[serde(flatten)]
    pub options: ContainerOptions,
}

/// What a run config may say of a container, and what the engine is told unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOptions {
    /// The network that it joins; `None` is the engine's default.
    pub network: Option<String>,
    /// What it sees of the engine's machine, beside its own files.
    pub mounts: Vec<Mount>,
    /// The platform of its image; `None` is the engine's own.
    pub platform: Option<Platform>,
    /// How many processes and threads it may have.
    pub pids: Option<u32>,
}

/// The platform of an image, as Docker writes it: `linux/amd64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Platform(pub String);

/// A user by numbers: names are an image's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// A folder of the engine's machine, or a volume by its name, as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// An absolute path, or the name of a volume.
    pub source: String,
    /// The absolute path in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
}

impl Mount {
    /// Returns whether the source is a path.
    pub fn is_bind(&self) -> bool {
        self.source.starts_with('/')
    }
}

/// What travels to the supervisor over a pipe and is never stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Launch {
    /// Secret variables of the job.
    pub secrets: BTreeMap<String, Secret>,
    /// What the caller needs at the end of the job, opaque here (the tracking connection).
    pub closing: Option<Secret>,
    /// Variables of the submitter that hold other secrets: the supervisor is started without them.
    #[serde(skip)]
    pub withheld: Vec<String>,
}

impl Launch {
    /// Returns the secrets that a job names and that are not part of it.
    pub fn lacks(&self, spec: &JobSpec) -> Vec<String> {
        spec.secrets.iter().filter(|name| !self.secrets.contains_key(*name)).cloned().collect()
    }
}
