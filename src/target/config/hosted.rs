//! What a run config says of a job that only Azure Machine Learning does; the keys are those of its own job files.

use std::num::NonZeroU32;

use schemars::{Schema, json_schema};

use crate::document;
use crate::job::{self, JobTier, Priority, ServiceKind};
use crate::support::yaml::{Grammar, Map, Parsed, Text, word};

document! {
    /// How the processes of a job are started and told of each other.
    pub struct Distribution {
        /// The kind: `pytorch`, `mpi`, `tensorflow` or `ray`.
        r#type: Parsed<DistributionKind>,
        /// Processes on each node, of `pytorch` and `mpi`; default: 1.
        process_count_per_instance: Parsed<NonZeroU32>,
        /// Workers of `tensorflow`; default: as many as there are nodes.
        worker_count: Parsed<NonZeroU32>,
        /// Parameter servers of `tensorflow`; default: 0.
        parameter_server_count: Parsed<u32>,
        /// The port of the head of `ray`.
        port: Parsed<NonZeroU32>,
        /// The address of the head of `ray`.
        address: Text,
        /// Whether `ray` has a dashboard.
        include_dashboard: Parsed<bool>,
        /// The port of that dashboard.
        dashboard_port: Parsed<NonZeroU32>,
        /// More arguments for `ray start` on the head.
        head_node_additional_args: Text,
        /// More arguments for `ray start` on the other nodes.
        worker_node_additional_args: Text,
    }
}

document! {
    /// As whom a job reads and writes data.
    pub struct Identity {
        /// The kind: `user_identity`, `managed` or `aml_token`.
        r#type: Parsed<IdentityKind>,
        /// The client id of a `managed` identity.
        client_id: Text,
        /// Its object id.
        object_id: Text,
        /// Its resource id.
        msi_resource_id | "resource_id": Text,
    }
}

document! {
    /// A program beside a job that people can reach.
    pub struct JobService {
        /// The kind: `jupyter_lab`, `ssh`, `tensor_board`, `vs_code`, or `custom` for what the job itself serves.
        r#type: Parsed<ServiceKind>,
        /// The port that it listens on.
        port: Parsed<NonZeroU32>,
        /// `all` for one on every node; default: the first node alone.
        nodes: Parsed<Nodes>,
        /// The public key that `ssh` lets in.
        ssh_public_keys: Text,
        /// The folder that `tensor_board` shows.
        log_dir: Text,
        /// More that it is told, by the service's own names.
        properties: Map<Text>,
    }
}

document! {
    /// A job's place in the queue.
    pub struct QueueSettings {
        /// The tier: `spot`, `basic`, `standard` or `premium`; instead of the target's `job_tier`.
        job_tier: Parsed<JobTier>,
        /// `low`, `medium` or `high`.
        priority: Parsed<Priority>,
    }
}

/// The word after `type:` of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistributionKind {
    /// PyTorch.
    PyTorch,
    /// MPI.
    Mpi,
    /// TensorFlow.
    TensorFlow,
    /// Ray.
    Ray,
}

impl DistributionKind {
    const WORDS: [(&'static str, Self); 4] =
        [("pytorch", Self::PyTorch), ("mpi", Self::Mpi), ("tensorflow", Self::TensorFlow), ("ray", Self::Ray)];

    /// Returns the keys that a distribution of this kind has beside `type`.
    pub fn keys(self) -> &'static [&'static str] {
        match self {
            Self::PyTorch | Self::Mpi => &["process_count_per_instance"],
            Self::TensorFlow => &["worker_count", "parameter_server_count"],
            Self::Ray => {
                &["port", "address", "include_dashboard", "dashboard_port", "head_node_additional_args", "worker_node_additional_args"]
            }
        }
    }
}

impl Grammar for DistributionKind {
    const EXAMPLE: &'static str = "pytorch";

    fn parse(text: &str) -> Result<Self, String> {
        // Azure's own files write it in any case.
        word(&text.to_lowercase(), &Self::WORDS)
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["pytorch", "mpi", "tensorflow", "ray", "PyTorch", "Mpi", "TensorFlow", "Ray"] })
    }
}

/// The word after `type:` of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a word of the service")]
pub enum IdentityKind {
    User,
    Managed,
    AmlToken,
}

impl Grammar for IdentityKind {
    const EXAMPLE: &'static str = "user_identity";

    fn parse(text: &str) -> Result<Self, String> {
        let words =
            [("user_identity", Self::User), ("managed", Self::Managed), ("managed_identity", Self::Managed), ("aml_token", Self::AmlToken)];
        word(text, &words)
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["user_identity", "managed", "managed_identity", "aml_token"] })
    }
}

/// The word after `nodes:` of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nodes;

impl Grammar for Nodes {
    const EXAMPLE: &'static str = "all";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &[("all", Self)])
    }

    fn schema() -> Schema {
        json_schema!({ "const": "all" })
    }
}

fn number(value: Option<&Parsed<NonZeroU32>>) -> Option<u32> {
    value.map(|number| number.value.get())
}

fn text(value: Option<&Text>) -> Option<String> {
    value.map(|text| text.text.trim().to_owned()).filter(|text| !text.is_empty())
}

impl Distribution {
    /// Returns what is asked, once it has a kind.
    pub fn asked(&self) -> Option<job::Distribution> {
        Some(match self.r#type.as_ref()?.value {
            DistributionKind::PyTorch => job::Distribution::PyTorch(number(self.process_count_per_instance.as_ref())),
            DistributionKind::Mpi => job::Distribution::Mpi(number(self.process_count_per_instance.as_ref())),
            DistributionKind::TensorFlow => job::Distribution::TensorFlow {
                workers: number(self.worker_count.as_ref()),
                servers: self.parameter_server_count.as_ref().map_or(0, |count| count.value),
            },
            DistributionKind::Ray => job::Distribution::Ray {
                port: number(self.port.as_ref()),
                address: text(self.address.as_ref()),
                dashboard: (self.include_dashboard.as_ref().map(|flag| flag.value), number(self.dashboard_port.as_ref())),
                arguments: (text(self.head_node_additional_args.as_ref()), text(self.worker_node_additional_args.as_ref())),
            },
        })
    }

    /// Returns the keys that are written beside `type`, each with its place.
    pub fn written(&self) -> Vec<(&'static str, &crate::support::yaml::Place)> {
        let keys = [
            ("process_count_per_instance", self.process_count_per_instance.as_ref().map(|key| &key.place)),
            ("worker_count", self.worker_count.as_ref().map(|key| &key.place)),
            ("parameter_server_count", self.parameter_server_count.as_ref().map(|key| &key.place)),
            ("port", self.port.as_ref().map(|key| &key.place)),
            ("address", self.address.as_ref().map(|key| &key.place)),
            ("include_dashboard", self.include_dashboard.as_ref().map(|key| &key.place)),
            ("dashboard_port", self.dashboard_port.as_ref().map(|key| &key.place)),
            ("head_node_additional_args", self.head_node_additional_args.as_ref().map(|key| &key.place)),
            ("worker_node_additional_args", self.worker_node_additional_args.as_ref().map(|key| &key.place)),
        ];
        keys.into_iter().filter_map(|(key, place)| Some((key, place?))).collect()
    }
}

impl Identity {
    /// Returns what is asked, once it has a kind.
    pub fn asked(&self) -> Option<job::Identity> {
        Some(match self.r#type.as_ref()?.value {
            IdentityKind::User => job::Identity::User,
            IdentityKind::AmlToken => job::Identity::AmlToken,
            IdentityKind::Managed => job::Identity::Managed {
                client_id: text(self.client_id.as_ref()),
                object_id: text(self.object_id.as_ref()),
                resource_id: text(self.msi_resource_id.as_ref()),
            },
        })
    }
}

impl JobService {
    /// Returns what is asked, once it has a kind.
    pub fn asked(&self) -> Option<job::JobService> {
        let own = [("sshPublicKeys", &self.ssh_public_keys), ("logDir", &self.log_dir)];
        let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value.as_ref())?)));
        let more = self.properties.iter().flat_map(|map| &map.entries).map(|(name, value)| (name.text.clone(), value.text.clone()));
        Some(job::JobService {
            kind: self.r#type.as_ref()?.value,
            port: number(self.port.as_ref()),
            on_all: self.nodes.is_some(),
            properties: more.chain(own).collect(),
        })
    }
}
