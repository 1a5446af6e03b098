//! What an engine is and what it can do.

use bollard::models::{SystemInfo, SystemInfoCgroupVersionEnum, SystemVersion};

use super::{Engine, Error};

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Docker Engine, or what calls itself so.
    Docker,
    /// Docker Desktop: containers run in a virtual machine.
    DockerDesktop,
    /// Podman, by its compatible interface.
    Podman,
}

/// Which control groups limit containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    /// The first version.
    V1,
    /// The second version.
    V2,
    /// Not said.
    Unknown,
}

/// Whether containers can have GPUs, as far as the engine shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpus {
    /// It has a runtime or devices for them.
    Offered,
    /// It shows none. Old engines with NVIDIA's hook and no runtime show none and have them all the same.
    NotShown,
}

/// Which limits have an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory.
    pub memory: bool,
    /// Swap: without it, a container at its memory limit swaps instead of ending.
    pub swap: bool,
    /// CPUs.
    pub cpus: bool,
    /// The number of processes.
    pub pids: bool,
}

/// An engine, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What it is.
    pub product: Product,
    /// Its version.
    pub version: String,
    /// The version of its interface.
    pub api: String,
    /// The operating system of its containers: `linux`.
    pub os: String,
    /// Their processor, as images name it: `amd64`, `arm64`.
    pub architecture: String,
    /// The name of the machine it runs on, as it sees it.
    pub host: String,
    /// The CPUs that it has.
    pub cpus: u32,
    /// The memory that it has, in bytes.
    pub memory: u64,
    /// Whether it runs without root's rights.
    pub rootless: bool,
    /// Whether users in containers are other users outside.
    pub user_namespaces: bool,
    /// The runtimes that it has, by name.
    pub runtimes: Vec<String>,
    /// Whether it has GPUs to give.
    pub gpus: Gpus,
    /// Its control groups.
    pub cgroups: Cgroups,
    /// Which limits have an effect.
    pub limits: Limits,
    /// Whether it listens on this machine (see [`super::Endpoint::is_local`]).
    pub is_local: bool,
}

impl Engine {
    /// Asks the engine about itself.
    pub async fn about(&self) -> Result<About, Error> {
        let act = || "describe itself".to_owned();
        let (version, info) = futures_util::try_join!(self.act(act, self.docker.version()), self.act(act, self.docker.info()))?;
        Ok(read(version, info, self.endpoint.is_local()))
    }
}

/// Tells Podman from what else answers to Docker's client.
pub(super) fn is_podman(version: &SystemVersion) -> bool {
    version.components.iter().flatten().any(|component| component.name.contains("Podman"))
}

fn read(version: SystemVersion, info: SystemInfo, is_local: bool) -> About {
    let operating_system = info.operating_system.unwrap_or_default();
    let is_podman = is_podman(&version);
    let platform = version.platform.map(|platform| platform.name).unwrap_or_default();
    let product = if is_podman {
        Product::Podman
    } else if operating_system.contains("Docker Desktop") || platform.contains("Docker Desktop") {
        Product::DockerDesktop
    } else {
        Product::Docker
    };
    let security = |name: &str| info.security_options.iter().flatten().any(|option| option.split(',').any(|part| part == name));
    let (rootless, user_namespaces) = (security("name=rootless"), security("name=userns"));
    let mut runtimes: Vec<String> = info.runtimes.unwrap_or_default().into_keys().collect();
    runtimes.sort();
    let offers_gpus = runtimes.iter().any(|name| name.contains("nvidia"))
        || info.discovered_devices.iter().flatten().any(|device| device.id.as_deref().is_some_and(|id| id.contains("/gpu")));
    let has = |limit: Option<bool>| limit.unwrap_or(false);
    About {
        product,
        version: version.version.unwrap_or_default(),
        api: version.api_version.unwrap_or_default(),
        os: version.os.unwrap_or_default(),
        architecture: version.arch.unwrap_or_default(),
        host: info.name.unwrap_or_default(),
        cpus: info.ncpu.and_then(|cpus| u32::try_from(cpus).ok()).unwrap_or_default(),
        memory: info.mem_total.and_then(|memory| u64::try_from(memory).ok()).unwrap_or_default(),
        rootless,
        user_namespaces,
        runtimes,
        gpus: if offers_gpus { Gpus::Offered } else { Gpus::NotShown },
        cgroups: match info.cgroup_version {
            Some(SystemInfoCgroupVersionEnum::_1) => Cgroups::V1,
            Some(SystemInfoCgroupVersionEnum::_2) => Cgroups::V2,
            Some(SystemInfoCgroupVersionEnum::EMPTY) | None => Cgroups::Unknown,
        },
        limits: Limits {
            memory: has(info.memory_limit),
            swap: has(info.swap_limit),
            cpus: has(info.cpu_cfs_quota),
            pids: has(info.pids_limit),
        },
        is_local,
    }
}
