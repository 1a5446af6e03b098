//! What a container is to be, and its creation.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::models::{
    ContainerCreateBody, DeviceRequest, EndpointSettings, HostConfig, HostConfigLogConfig, MountTmpfsOptions, MountType, NetworkingConfig,
    PortBinding,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::error::Object;
use super::{ContainerId, Engine, Error, name};

/// What a container is to be. Everything in it can be read by whoever may use the engine: secrets go by
/// [`Engine::start_with_input`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// The image, by reference or id.
    pub image: String,
    /// The program to run before the command, instead of the image's; an empty list takes the image's away.
    pub entrypoint: Option<Vec<String>>,
    /// What to run; the image's when empty.
    pub command: Vec<String>,
    /// Variables, added to the image's.
    pub environment: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `user[:group]` by name or number; the image's when not given.
    pub user: Option<String>,
    /// Where the process starts; made when it does not exist.
    pub working_directory: Option<String>,
    /// How many CPUs it may use; all when not given.
    pub cpus: Option<f64>,
    /// How much memory, in bytes, and no swap beyond it.
    pub memory: Option<u64>,
    /// The size of `/dev/shm`, in bytes; the engine's default is 64 MiB.
    pub shared_memory: Option<u64>,
    /// How many processes and threads.
    pub pids: Option<u32>,
    /// Which GPUs; none when not given.
    pub gpus: Option<GpuRequest>,
    /// Whether an init process passes signals on and reaps orphans.
    pub init: bool,
    /// Whether no program may gain rights by being set-uid.
    pub no_new_privileges: bool,
    /// Whether it has a standard input, for [`Engine::start_with_input`].
    pub open_stdin: bool,
    /// Whether what it writes is kept by nobody: only who is attached sees it.
    pub unlogged: bool,
    /// The network's name, `host`, `none`, or `container:` with the id of a container whose network it shares; the engine's default bridge when
    /// not given.
    pub network: Option<String>,
    /// Other names that the container has in its network.
    pub aliases: Vec<String>,
    /// Its own host name; its id when not given.
    pub hostname: Option<String>,
    /// Names for addresses, in its hosts file. The address `host-gateway` is the engine's machine.
    pub extra_hosts: Vec<(String, String)>,
    /// Folders and files from elsewhere.
    pub mounts: Vec<Mount>,
    /// Ports of the engine's machine that lead to it.
    pub ports: Vec<Port>,
    /// The platform that the image must be of: `linux/arm64`.
    pub platform: Option<String>,
}

/// Which GPUs a container is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GpuRequest {
    /// All that there are.
    All,
    /// As many.
    Count(u32),
    /// These, by index or id.
    Devices(Vec<String>),
}

/// A folder or file from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// One of the engine's machine.
    Bind {
        /// Its path there. It must exist.
        source: String,
        /// Its path in the container.
        target: String,
        /// Whether the container may only read it.
        read_only: bool,
    },
    /// A volume, made when it does not exist.
    Volume {
        /// Its name.
        name: String,
        /// Its path in the container.
        target: String,
        /// Whether the container may only read it.
        read_only: bool,
    },
    /// Memory.
    Tmpfs {
        /// Its path in the container.
        target: String,
        /// How big it may grow, in bytes.
        size: Option<u64>,
    },
}

/// Which protocol a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port of the engine's machine that leads to one of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The address on the engine's machine; only that machine reaches `127.0.0.1`.
    pub address: IpAddr,
    /// The port there; the engine picks a free one when it is 0.
    pub host: u16,
    /// The port in the container.
    pub container: u16,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Engine {
    /// Creates a container, which does not run yet. The image must be there; a name that is taken is a conflict.
    ///
    /// Its log is kept whole: in files that do not rotate, whatever the engine's default is.
    pub async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId, Error> {
        let container = name::plain(Object::Container, &spec.name)?;
        name::image(&spec.image)?;
        let options =
            CreateContainerOptionsBuilder::default().name(container).platform(spec.platform.as_deref().unwrap_or_default()).build();
        let answer = self.docker.create_container(Some(options), body(spec));
        let made = self.act(|| format!("create the container `{container}`"), answer).await?;
        Ok(ContainerId(made.id))
    }
}

fn body(spec: &ContainerSpec) -> ContainerCreateBody {
    let exposed: Vec<String> = spec.ports.iter().map(port_key).collect();
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone().map(|program| if program.is_empty() { vec![String::new()] } else { program }),
        cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
        env: Some(spec.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        user: spec.user.clone(),
        working_dir: spec.working_directory.clone(),
        hostname: spec.hostname.clone(),
        open_stdin: Some(spec.open_stdin),
        attach_stdin: Some(spec.open_stdin),
        stdin_once: Some(spec.open_stdin),
        exposed_ports: (!exposed.is_empty()).then_some(exposed),
        host_config: Some(host(spec)),
        networking_config: networking(spec),
        ..ContainerCreateBody::default()
    }
}

fn host(spec: &ContainerSpec) -> HostConfig {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    HostConfig {
        nano_cpus: spec.cpus.map(nano),
        memory: spec.memory.map(bytes),
        // As much with swap as without: at its limit the container ends, it does not crawl.
        memory_swap: spec.memory.map(bytes),
        shm_size: spec.shared_memory.map(bytes),
        pids_limit: spec.pids.map(i64::from),
        device_requests: spec.gpus.as_ref().map(|gpus| vec![device_request(gpus)]),
        init: Some(spec.init),
        security_opt: spec.no_new_privileges.then(|| vec!["no-new-privileges".to_owned()]),
        network_mode: spec.network.clone(),
        extra_hosts: (!spec.extra_hosts.is_empty())
            .then(|| spec.extra_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect()),
        mounts: (!spec.mounts.is_empty()).then(|| spec.mounts.iter().map(mount).collect()),
        port_bindings: (!spec.ports.is_empty()).then(|| bindings(&spec.ports)),
        log_config: Some(if spec.unlogged { unlogged() } else { log() }),
        auto_remove: Some(false),
        ..HostConfig::default()
    }
}

/// The engine adds its own defaults to what is not said here: a size at which logs rotate, and dropping lines when it is slow.
fn log() -> HostConfigLogConfig {
    let options = [("max-size", "1000t"), ("mode", "blocking")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(HashMap::from(options)) }
}

fn unlogged() -> HostConfigLogConfig {
    HostConfigLogConfig { typ: Some("none".to_owned()), config: None }
}

#[expect(clippy::cast_possible_truncation, reason = "a number of CPUs is small, and what exceeds the type saturates")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

fn device_request(gpus: &GpuRequest) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        GpuRequest::All => (Some(-1), None),
        GpuRequest::Count(count) => (Some(i64::from(*count)), None),
        GpuRequest::Devices(devices) => (None, Some(devices.clone())),
    };
    DeviceRequest { count, device_ids, capabilities: Some(vec![vec!["gpu".to_owned()]]), ..DeviceRequest::default() }
}

fn mount(mount: &Mount) -> bollard::models::Mount {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let made = |typ, source: Option<&String>, target: &String, read_only: Option<bool>| bollard::models::Mount {
        typ: Some(typ),
        source: source.cloned(),
        target: Some(target.clone()),
        read_only,
        ..bollard::models::Mount::default()
    };
    match mount {
        Mount::Bind { source, target, read_only } => made(MountType::BIND, Some(source), target, Some(*read_only)),
        Mount::Volume { name, target, read_only } => made(MountType::VOLUME, Some(name), target, Some(*read_only)),
        Mount::Tmpfs { target, size } => bollard::models::Mount {
            tmpfs_options: size.map(|size| MountTmpfsOptions { size_bytes: Some(bytes(size)), ..MountTmpfsOptions::default() }),
            ..made(MountType::TMPFS, None, target, None)
        },
    }
}

fn port_key(port: &Port) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    format!("{}/{protocol}", port.container)
}

fn bindings(ports: &[Port]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in ports {
        let binding = PortBinding { host_ip: Some(port.address.to_string()), host_port: Some(port.host.to_string()) };
        bindings.entry(port_key(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn networking(spec: &ContainerSpec) -> Option<NetworkingConfig> {
    let network = spec.network.clone().filter(|_| !spec.aliases.is_empty())?;
    let settings = EndpointSettings { aliases: Some(spec.aliases.clone()), ..EndpointSettings::default() };
    Some(NetworkingConfig { endpoints_config: Some(HashMap::from([(network, settings)])) })
}
