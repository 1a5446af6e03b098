//! The `compute_target:` section, as an enum of the targets' own sections.

use std::collections::BTreeMap;

use serde::Serialize;

/// A checked compute target: what the run config or the settings say about where to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// The name under which it was chosen (`local`, `gpu-box`), or `inline`.
    pub name: String,
    /// Its kind and the kind's own keys.
    pub config: TargetConfig,
    /// How many jobs of this target may run at once on its machine; `None` is no limit.
    pub max_jobs: Option<u32>,
    /// `resources:` of the named target, which replaces the same keys of the run config.
    pub resources: BTreeMap<String, String>,
}

/// The kinds of compute target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetConfig {
    /// This machine.
    Local,
    /// A kind that is known and not built yet, with the keys as written; the plan refuses it by name.
    NotBuilt {
        /// `docker`, `ssh`, `slurm`, `azureml`, `databricks`, `ray`, `kubernetes`.
        kind: Kind,
        /// Its keys, as source text.
        keys: BTreeMap<String, String>,
    },
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

    /// Returns whether a job sent there may cost money.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::AzureMl | Self::Databricks)
    }
}

impl TargetConfig {
    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Local => Kind::Local,
            Self::NotBuilt { kind, .. } => *kind,
        }
    }
}
