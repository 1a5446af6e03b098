//! The keys that each kind of target has of its own.

use std::num::NonZeroU32;

use super::azureml::AzureCloud;
use crate::auth::AzureAuth;
use crate::document;
use crate::job::{JobTier, Mount, Platform, User};
use crate::support::yaml::{List, Parsed, Text};

document! {
    /// This machine; it has no keys of its own.
    pub struct Local {}
}

document! {
    /// A container on a Docker engine.
    pub struct Docker {
        /// The engine's address; default: the one that `docker` uses.
        host: Text,
        /// The image that environments are built on; default: `python:<version>-slim`.
        image: Text,
        /// The network that containers join; default: the engine's own.
        network: Text,
        /// What containers see of the engine's machine: `/folder:/folder`, or a volume's name; `:ro` at the end forbids writing.
        mounts: List<Parsed<Mount>>,
        /// The user inside the container, as `uid` or `uid:gid`; default: you, or 1000 when you are root.
        user: Parsed<User>,
        /// The platform of the image (`linux/amd64`).
        platform: Parsed<Platform>,
        /// How many processes and threads a container may have.
        pids_limit: Parsed<NonZeroU32>,
    }
}

document! {
    /// Another machine over SSH.
    pub struct Ssh {
        /// The machine, or its name in your SSH configuration.
        host: Text,
        /// The user there.
        user: Text,
        /// The port.
        port: Text,
        /// Your private key; only your own settings may name one.
        identity_file: Text,
        /// The folder there that sendoff works in.
        directory: Text,
    }
}

document! {
    /// A Slurm cluster.
    pub struct Slurm {
        /// The login node, or its name in your SSH configuration.
        host: Text,
        /// The user there.
        user: Text,
        /// The partition.
        partition: Text,
        /// The account that pays.
        account: Text,
        /// The quality of service.
        qos: Text,
        /// The folder there that sendoff works in.
        directory: Text,
        /// Modules that are loaded before the job.
        modules: List<Text>,
    }
}

document! {
    /// Azure Machine Learning.
    pub struct AzureMl {
        /// The subscription; default: what a `config.json` of the workspace says, searched upward.
        subscription_id: Text,
        /// The resource group.
        resource_group: Text,
        /// The workspace.
        workspace_name: Text,
        /// The compute cluster or instance.
        compute: Text,
        /// The machine type of serverless compute.
        instance_type: Text,
        /// The tier of the queue of serverless compute.
        job_tier: Parsed<JobTier>,
        /// Arguments for the service's Docker (`--ipc=host`).
        docker_args: Text,
        /// The cloud; default: `AZUREML_CURRENT_CLOUD`, else the public one.
        cloud: Parsed<AzureCloud>,
        /// The one way to authenticate; only your own settings may say so. Default: the ways that there are, in Azure's order.
        auth: Parsed<AzureAuth>,
    }
}

document! {
    /// Databricks.
    pub struct Databricks {
        /// The profile in `~/.databrickscfg`.
        profile: Text,
        /// The workspace's address.
        host: Text,
        /// A cluster that runs already.
        cluster_id: Text,
        /// The machine type of a new cluster.
        node_type_id: Text,
        /// The runtime of a new cluster.
        spark_version: Text,
    }
}

document! {
    /// A Ray cluster.
    pub struct Ray {
        /// The address of its job server.
        address: Text,
        /// The folder that jobs start in.
        working_directory: Text,
    }
}

document! {
    /// A Kubernetes cluster.
    pub struct Kubernetes {
        /// The context of your kubeconfig.
        context: Text,
        /// The namespace.
        namespace: Text,
        /// The image that jobs start from.
        image: Text,
    }
}
