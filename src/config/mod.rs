//! The run config and the settings: from YAML as written to what is true after checking.
//!
//! `load` reads files, `document` is what is written in them, `check` is pure, and [`RunConfig`] is what is left when nothing was found wrong.
//! `trust` says who may say what, `layers` who wins.

mod check;
pub mod document;
mod error;
mod explain;
mod init;
mod inspect;
mod layers;
mod load;
mod pep723;
pub mod placeholders;
mod requirement;
mod schema;
mod set;
mod settings;
mod trust;
mod workspace;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::job::{Asked, AssetType, InputMode, OutputMode};
use crate::target::config::TargetSpec;
use crate::{auth, environment, tracking};

pub use error::Error;
pub use explain::{Explained, Shown};
pub use init::{Initialized, init};
pub use load::{Flags, Loaded, Purpose, Request, Stored, Tracking, credentials, load, settings_tracking};
pub use schema::{Schema, schema};

/// A run config that passed every check. Paths are absolute; defaults that need no look at the world are filled in.
#[derive(Debug, Clone)]
pub struct RunConfig {
    /// The run config file, or the `.py` file that was submitted without one.
    pub file: PathBuf,
    /// The text of that file.
    pub text: String,
    /// `experiment_name`, from whichever layer set it; `None` means the default (git repository's or folder's name), which the plan finds.
    pub experiment_name: Option<Sourced<String>>,
    /// `display_name`; `None` lets the submission generate one.
    pub display_name: Option<String>,
    /// `source_directory`, absolute.
    pub source_directory: PathBuf,
    /// What runs.
    pub entry: Entry,
    /// `arguments`, with `${{...}}` still in them.
    pub arguments: Vec<String>,
    /// `setup`: a shell block that runs before the command.
    pub setup: Option<String>,
    /// `inputs`, in the order written.
    pub inputs: Vec<(String, Input)>,
    /// `outputs`, in the order written.
    pub outputs: Vec<(String, Output)>,
    /// The compute target, and who chose it.
    pub target: Sourced<TargetSpec>,
    /// `environment`; its `mlflow` is filled in by the plan.
    pub environment: environment::Spec,
    /// `environment_variables`, in the order written.
    pub environment_variables: Vec<(String, String)>,
    /// `inherit`: variables that the job takes from the submitter's environment.
    pub inherit: Vec<String>,
    /// `secrets`: names of variables of the submitter's environment.
    pub secrets: Vec<String>,
    /// What only a service does that runs the job.
    pub asked: Asked,
    /// `resources`, a named target's replacements applied.
    pub resources: Resources,
    /// The tracker, and who chose it; its `uri` is `None` for no tracking.
    pub tracking: Sourced<tracking::Spec>,
    /// Which credentials the user's own settings send to which host.
    pub credentials: auth::Keyring,
    /// `tags`, in the order written.
    pub tags: Vec<(String, String)>,
    /// `include` patterns of the snapshot.
    pub include: Vec<String>,
    /// `allow_files` patterns of the snapshot.
    pub allow_files: Vec<String>,
    /// The snapshot size in bytes over which remote targets are refused.
    pub max_snapshot_size: u64,
    /// `grace`: how long after TERM a job is killed (default 30 s).
    pub grace: Duration,
    /// Notes for the user: aliases that were accepted, and the like.
    pub notes: Vec<String>,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// The layer that set it.
    pub origin: Origin,
}

/// The layers of precedence, strongest first: see [`Origin`]'s order of variants.
///
/// flag > run config > submitter's environment > project settings > user settings > default. This is the one place where the
/// order is written down; `layers` follows it. Files are named as the user sees them: relative to the working directory when they are below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag, with its name (`--target`, `--set`).
    Flag(String),
    /// The run config, at a line.
    RunConfig {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The job that is run again, by its id.
    Job(String),
    /// A variable of the submitter's environment.
    Environment(String),
    /// `sendoff.yaml` of the project, at a line.
    ProjectSettings {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// The user's own settings, at a line.
    UserSettings {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Nobody set it.
    Default,
}

impl Origin {
    /// Returns how strong the layer is; the smallest number wins.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::RunConfig { .. } | Self::Job(_) => 1,
            Self::Environment(_) => 2,
            Self::ProjectSettings { .. } => 3,
            Self::UserSettings { .. } => 4,
            Self::Default => 5,
        }
    }
}

/// Shows where a value came from as `run.yaml:4`, `--set`, `MLFLOW_TRACKING_URI`, `default`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::Job(id) => write!(f, "job {id}"),
            Self::RunConfig { file, line } | Self::ProjectSettings { file, line } | Self::UserSettings { file, line } => {
                write!(f, "{}:{line}", file.display())
            }
            Self::Default => f.write_str("default"),
        }
    }
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// `script:` a Python file, relative to the source directory, with forward slashes.
    Script(String),
    /// `script:` a notebook, relative to the source directory.
    Notebook(String),
    /// `command:` a shell line, with `${{...}}` still in it.
    Command(String),
}

/// One of `inputs:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A plain value, by its source text.
    Literal(String),
    /// A file or folder of the submitting machine, absolute.
    Local {
        /// Whether it is a file or a folder.
        kind: AssetType,
        /// Where it is now.
        path: PathBuf,
        /// How a job gets at it, where a service runs it.
        mode: Option<InputMode>,
    },
    /// `target:/scratch/x`: what is on the target already.
    OnTarget {
        /// Whether it is a file or a folder.
        kind: AssetType,
        /// The path there, or an address that its service knows.
        path: String,
        /// How a job gets at it, where a service runs it.
        mode: Option<InputMode>,
    },
}

/// One of `outputs:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether the job writes a file or a folder.
    pub kind: AssetType,
    /// How it gets to storage, where a service runs the job.
    pub mode: Option<OutputMode>,
    /// Where it goes there.
    pub uri: Option<String>,
    /// The name under which it is registered there.
    pub name: Option<String>,
    /// The version of that.
    pub version: Option<String>,
}

/// `resources:` after checking.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resources {
    /// Number of CPUs, `None` for all that the target shows.
    pub cpus: Option<u32>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// `None`: what the target shows; 0: hidden; N: that many and no more.
    pub gpus: Option<u32>,
    /// `max_duration`: how long the job may run.
    pub max_duration: Option<Duration>,
    /// Bytes of `/dev/shm`, on targets with containers.
    pub shared_memory: Option<u64>,
    /// How many nodes run the job side by side; `None` is one.
    pub nodes: Option<u32>,
}
