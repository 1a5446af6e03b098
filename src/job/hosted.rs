//! What a service is told of a job that builds its environment, runs and tracks it; names are Azure Machine Learning's.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a service is told beside the job spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosted {
    /// The experiment.
    pub experiment: String,
    /// The job's name for people.
    pub name: String,
    /// Tags of the job, which is its own MLflow run.
    pub tags: Vec<(String, String)>,
    /// What git knows of the source directory, by the service's own names, and what the run config adds.
    pub properties: Vec<(String, String)>,
    /// The inputs.
    pub inputs: Vec<(String, HostedInput)>,
    /// What is said of outputs beyond their names.
    #[serde(default)]
    pub outputs: Vec<(String, HostedOutput)>,
    /// The environment's id: the same definition has the same.
    pub environment: String,
    /// The image that it starts from.
    pub image: String,
    /// The conda file that goes on top.
    pub conda_file: Option<String>,
    /// Bytes of `/dev/shm`.
    pub shared_memory: Option<u64>,
    /// What only such a service does.
    #[serde(default)]
    pub asked: Asked,
}

/// What a run config asks that only such a service does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What the job is about, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How its processes are started and told of each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// As whom it reads and writes data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Programs beside it that people can reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<(String, JobService)>,
    /// The tier of its queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<JobTier>,
    /// Its place in the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Properties of the job: what is set once cannot be changed later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<(String, String)>,
}

/// How the processes of a job are started and told of each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Processes per node, with the variables of `torch.distributed`.
    PyTorch(Option<u32>),
    /// Processes per node, started by `mpirun`.
    Mpi(Option<u32>),
    /// Workers and parameter servers, with `TF_CONFIG`.
    TensorFlow {
        /// `None` is as many as there are nodes.
        workers: Option<u32>,
        /// Parameter servers.
        servers: u32,
    },
    /// A Ray cluster, whose head is the first node.
    Ray {
        /// The head's port.
        port: Option<u32>,
        /// The head's address.
        address: Option<String>,
        /// Whether the dashboard is started, and its port.
        dashboard: (Option<bool>, Option<u32>),
        /// More arguments for `ray start` on the head, and on the others.
        arguments: (Option<String>, Option<String>),
    },
}

impl Distribution {
    /// Returns how many processes a node has.
    pub fn processes(&self) -> u32 {
        match self {
            Self::PyTorch(count) | Self::Mpi(count) => count.unwrap_or(1),
            Self::TensorFlow { .. } | Self::Ray { .. } => 1,
        }
    }
}

/// As whom a job reads and writes data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// As the workspace lets jobs.
    AmlToken,
    /// As who submits it.
    User,
    /// As a managed identity of the compute.
    Managed {
        /// Its client id.
        client_id: Option<String>,
        /// Its object id.
        object_id: Option<String>,
        /// Its resource id.
        resource_id: Option<String>,
    },
}

/// A program beside a job that people can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobService {
    /// Which.
    pub kind: ServiceKind,
    /// The port that it listens on.
    pub port: Option<u32>,
    /// Whether all nodes have it, and not the first one alone.
    pub on_all: bool,
    /// What it is told, by the service's own names.
    pub properties: Vec<(String, String)>,
}

/// An input of a job that a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostedInput {
    /// A value.
    Value(String),
    /// What the service has, or reaches.
    There {
        /// Its address.
        uri: String,
        /// What it is.
        kind: AssetType,
        /// How the job gets at it.
        mode: InputMode,
    },
    /// A file or folder of this machine.
    Here {
        /// Where it is.
        path: PathBuf,
        /// What it is.
        kind: AssetType,
        /// How the job gets at it.
        mode: InputMode,
    },
}

/// An output of a job that a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedOutput {
    /// What it is.
    pub kind: AssetType,
    /// How it gets to storage.
    pub mode: OutputMode,
    /// Where it goes; `None` is the service's own place.
    pub uri: Option<String>,
    /// The name under which it is registered.
    pub name: Option<String>,
    /// The version.
    pub version: Option<String>,
}

/// Makes a closed set of words, each with the service's own word for it.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident: $example:literal { $($(#[$variant_meta:meta])* $variant:ident: $word:literal $(| $alias:literal)* => $wire:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
        }

        impl $name {
            /// Returns the word of run configs.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// Returns the service's word.
            pub fn wire(self) -> &'static str {
                match self {
                    $(Self::$variant => $wire,)*
                }
            }
        }

        impl crate::support::yaml::Grammar for $name {
            const EXAMPLE: &'static str = $example;

            fn parse(text: &str) -> Result<Self, String> {
                crate::support::yaml::word(text, &[$(($word, Self::$variant), $(($alias, Self::$variant),)*)*])
            }

            fn schema() -> schemars::Schema {
                schemars::json_schema!({ "enum": [$($word, $($alias,)*)*] })
            }
        }
    };
}

words! {
    /// What an input or output is.
    AssetType: "uri_folder" {
        /// A file.
        File: "uri_file" => "uri_file",
        /// A folder.
        Folder: "uri_folder" => "uri_folder",
        /// A folder with an `MLTable` file.
        Mltable: "mltable" => "mltable",
        /// A model: a file or a folder.
        CustomModel: "custom_model" => "custom_model",
        /// A model as MLflow saves it.
        MlflowModel: "mlflow_model" => "mlflow_model",
        /// A model repository of Triton.
        TritonModel: "triton_model" => "triton_model",
    }
}

impl AssetType {
    /// Returns whether every target has it, and not Azure ML alone.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::File | Self::Folder)
    }

    /// Returns whether it is registered among the models, and not among the data.
    pub fn is_model(self) -> bool {
        matches!(self, Self::CustomModel | Self::MlflowModel | Self::TritonModel)
    }
}

words! {
    /// How a job gets at an input.
    InputMode: "ro_mount" {
        /// Mounted, and only read.
        ReadOnlyMount: "ro_mount" | "mount" => "ReadOnlyMount",
        /// Mounted, and changed by the job.
        ReadWriteMount: "rw_mount" => "ReadWriteMount",
        /// Copied before the job starts.
        Download: "download" => "Download",
        /// As the address that it has.
        Direct: "direct" => "Direct",
        /// An `MLTable`'s files, mounted.
        EvalMount: "eval_mount" => "EvalMount",
        /// An `MLTable`'s files, copied.
        EvalDownload: "eval_download" => "EvalDownload",
    }
}

words! {
    /// How an output gets to storage.
    OutputMode: "rw_mount" {
        /// Mounted.
        ReadWriteMount: "rw_mount" | "mount" => "ReadWriteMount",
        /// Copied when the job has ended.
        Upload: "upload" => "Upload",
        /// By the job itself, to the address that it is told.
        Direct: "direct" => "Direct",
    }
}

words! {
    /// The tiers of the queue.
    JobTier: "standard" {
        /// Machines that may be taken away.
        Spot: "spot" | "Spot" => "Spot",
        /// The cheapest that are not.
        Basic: "basic" | "Basic" => "Basic",
        /// The usual.
        Standard: "standard" | "Standard" => "Standard",
        /// Before others.
        Premium: "premium" | "Premium" => "Premium",
    }
}

words! {
    /// Places in the queue of a compute.
    Priority: "medium" {
        /// After others.
        Low: "low" => "1",
        /// The usual.
        Medium: "medium" => "2",
        /// Before others.
        High: "high" => "3",
    }
}

words! {
    /// Kinds of programs beside a job.
    ServiceKind: "jupyter_lab" {
        /// JupyterLab.
        JupyterLab: "jupyter_lab" => "JupyterLab",
        /// A shell over SSH.
        Ssh: "ssh" => "SSH",
        /// TensorBoard.
        TensorBoard: "tensor_board" => "TensorBoard",
        /// Visual Studio Code.
        VsCode: "vs_code" => "VSCode",
        /// What the job itself serves at a port.
        Custom: "custom" => "Custom",
    }
}
