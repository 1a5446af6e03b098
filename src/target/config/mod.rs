//! The `compute_target:` section, as an enum of the targets' own sections.

mod azureml;
mod docker;
mod document;
pub mod hosted;
pub mod kinds;
mod resources;

use schemars::{JsonSchema, Schema};
use serde::Serialize;

use crate::support::yaml::{Grammar, word};

pub use azureml::{AzureCloud, AzureMlSpec, Workspace};
pub use docker::DockerSpec;
pub use document::{Common, Keys, Target};
pub use resources::Resources;

/// A checked compute target: what the run config or the settings say about where to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// The name under which it was chosen (`local`, `gpu-box`), or `inline`.
    pub name: String,
    /// Its kind and the kind's own keys.
    pub config: TargetConfig,
    /// How many jobs of this target may run at once on its machine; `None` is no limit.
    pub max_jobs: Option<u32>,
    /// Whether a local emulation takes its place (`--emulate`).
    pub emulated: bool,
}

/// The kinds of compute target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetConfig {
    /// This machine.
    Local,
    /// A container on a Docker engine.
    Docker(DockerSpec),
    /// An Azure Machine Learning workspace.
    AzureMl(Box<AzureMlSpec>),
    /// A kind that is known and not built yet; the plan refuses it by name.
    NotBuilt(Kind),
}

/// The word after `type:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// This machine.
    Local,
    /// A container on a Docker engine.
    Docker,
    /// Another machine over SSH.
    Ssh,
    /// A Slurm cluster.
    Slurm,
    /// Azure Machine Learning.
    #[serde(rename = "azureml")]
    AzureMl,
    /// Databricks.
    Databricks,
    /// A Ray cluster.
    Ray,
    /// A Kubernetes cluster.
    Kubernetes,
}

impl Kind {
    /// All kinds, in the order in which messages list them.
    pub const ALL: [Self; 8] =
        [Self::Local, Self::Docker, Self::Ssh, Self::Slurm, Self::AzureMl, Self::Databricks, Self::Ray, Self::Kubernetes];

    /// Returns the word that stands after `type:`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Docker => "docker",
            Self::Ssh => "ssh",
            Self::Slurm => "slurm",
            Self::AzureMl => "azureml",
            Self::Databricks => "databricks",
            Self::Ray => "ray",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// Returns whether there is a local emulation of it.
    pub fn has_emulator(self) -> bool {
        matches!(self, Self::AzureMl)
    }

    /// Returns whether a job sent there may cost money.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::AzureMl | Self::Databricks)
    }
}

impl Grammar for Kind {
    const EXAMPLE: &'static str = "local";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &Self::ALL.map(|kind| (kind.word(), kind)))
    }

    fn schema() -> Schema {
        Self::json_schema(&mut schemars::SchemaGenerator::default())
    }
}

impl TargetConfig {
    /// Returns the configuration of a kind of which nothing more is said.
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Local => Self::Local,
            Kind::Docker => Self::Docker(DockerSpec::default()),
            Kind::AzureMl => Self::AzureMl(Box::default()),
            kind => Self::NotBuilt(kind),
        }
    }

    /// Returns the configuration that is written.
    pub fn read(target: &Target) -> Self {
        match &target.keys {
            Keys::Docker(keys) => Self::Docker(keys.into()),
            Keys::AzureMl(keys) => Self::AzureMl(Box::new(keys.into())),
            _ => Self::of(target.kind),
        }
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Local => Kind::Local,
            Self::Docker(_) => Kind::Docker,
            Self::AzureMl(_) => Kind::AzureMl,
            Self::NotBuilt(kind) => *kind,
        }
    }
}
