//! How a container reaches the relay, which is beside the supervisor on the submitting machine: a table, and what is tried before it is
//! believed.
//!
//! | engine | network | way |
//! |---|---|---|
//! | on this machine | `host` | the loopback that both share |
//! | on this machine | a bridge | its gateway, if that is an address of this machine |
//! | Docker Desktop | a bridge | `host.docker.internal`, which leads to this machine's loopback |
//! | any | `none`, or one without a gateway | a link |
//! | rootless, on another machine, in another network namespace | any | a link |
//!
//! A [link](super::link) is a second container; it works wherever the engine can be asked, and is what is left when another way was tried in
//! vain. Nothing ever listens on all addresses of a machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::create::of;
use super::{marks, reach};
use crate::engine::{About, Engine, Product};
use crate::target::Error;
use crate::target::config::DockerSpec;
use crate::target::supervised::{Job, Vicinity};

/// What Docker Desktop calls the machine that it runs on.
const DESKTOP: &str = "host.docker.internal";

/// What a plan says of a way that only a container can try.
const TRIED: &str = "it is tried when the job starts, and a second container in that network leads here where it fails";

/// How a container reaches the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// On the loopback interface that both have.
    Loopback,
    /// At the gateway of its network.
    Gateway(Ipv4Addr),
    /// On this machine's loopback interface, by the name that Docker Desktop gives this machine.
    Named,
    /// By a link, for this reason.
    Link(String),
}

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Network {
    /// The engine's machine's own.
    Host,
    /// None.
    None,
    /// Another, with its name and its gateway.
    Other(String, Option<Ipv4Addr>),
}

impl Network {
    fn new(name: &str, gateway: Option<&str>) -> Self {
        match name {
            "host" => Self::Host,
            "none" => Self::None,
            name => Self::Other(name.to_owned(), gateway.and_then(|text| text.parse().ok())),
        }
    }
}

/// The table. `is_own` says whether an address is one of this machine's.
pub(super) fn way(about: &About, network: &Network, is_own: impl Fn(Ipv4Addr) -> bool) -> Way {
    let link = |reason: String| Way::Link(reason);
    let is_desktop = about.product == Product::DockerDesktop;
    match network {
        Network::None => link("the network `none` leads nowhere".to_owned()),
        _ if !about.is_local => link("the container engine is on another machine".to_owned()),
        _ if about.rootless => link("the container engine runs without root's rights, in a network of its own".to_owned()),
        Network::Host if is_desktop => link("`host` is the network of Docker Desktop's virtual machine".to_owned()),
        Network::Host => Way::Loopback,
        Network::Other(..) if is_desktop => Way::Named,
        Network::Other(_, Some(gateway)) if is_own(*gateway) => Way::Gateway(*gateway),
        Network::Other(name, Some(gateway)) => link(format!("the gateway {gateway} of `{name}` is no address of this machine")),
        Network::Other(name, None) => link(format!("the network `{name}` has no gateway")),
    }
}

/// Returns whether an address is one of this machine's, in the network namespace of this process.
fn is_own(address: Ipv4Addr) -> bool {
    TcpListener::bind((IpAddr::V4(address), 0)).is_ok()
}

impl Way {
    /// Returns where this machine is for the job.
    pub(super) fn vicinity(&self) -> Vicinity {
        match self {
            Self::Loopback | Self::Link(_) => Vicinity::Beside,
            Self::Gateway(address) => Vicinity::Gateway(*address),
            Self::Named => Vicinity::Named(DESKTOP),
        }
    }

    /// Returns the host that the container asks for, and the address of this machine that it is to come to.
    fn ends(&self) -> Option<(String, Ipv4Addr)> {
        match self {
            Self::Loopback => Some((Ipv4Addr::LOCALHOST.to_string(), Ipv4Addr::LOCALHOST)),
            Self::Gateway(address) => Some((address.to_string(), *address)),
            Self::Named => Some((DESKTOP.to_owned(), Ipv4Addr::LOCALHOST)),
            Self::Link(_) => None,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("a relay on the loopback interface that the job shares with this machine"),
            Self::Gateway(address) => write!(f, "a relay on this machine, at the gateway {address} of the job's network"),
            Self::Named => write!(f, "a relay on this machine, which Docker Desktop calls `{DESKTOP}`"),
            Self::Link(reason) => {
                write!(f, "a relay on this machine, to which a second container in the job's network leads through the engine: {reason}")
            }
        }
    }
}

/// Says which way the table names, before there is a container to try it with.
pub(super) async fn planned(engine: &Engine, about: &About, asked: &DockerSpec, nodes: u32, data: &Path) -> Result<String, Error> {
    let named = asked.options.network.as_deref().filter(|name| *name != "default");
    let name = named.unwrap_or(if about.product == Product::Podman { "podman" } else { "bridge" });
    let is_made = nodes > 1 && asked.options.network.is_none();
    let network = if is_made { None } else { engine.inspect_network(name).await? };
    if let Some(way) = network.as_ref().and_then(|network| reach::remembered(data, &network.id)) {
        return Ok(way.to_string());
    }
    // The default network does not say its own until it has had a container.
    let gateway =
        network.filter(|network| !network.internal).and_then(|network| network.gateway.or_else(|| first(network.subnet?.as_str())));
    Ok(match way(about, &Network::new(name, gateway.as_deref()), is_own) {
        Way::Link(_) if is_made && about.is_local && !about.rootless => {
            format!("a relay on this machine, at the gateway of the nodes' own network; {TRIED}")
        }
        way @ Way::Link(_) => way.to_string(),
        way => format!("{way}; {TRIED}"),
    })
}

/// Returns the first address of `172.17.0.0/16`, say, which is the gateway unless somebody chose another.
fn first(subnet: &str) -> Option<String> {
    let address: Ipv4Addr = subnet.split('/').next()?.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(address).checked_add(1)?).to_string())
}

/// Returns the way of a container that runs: the one that the job was told of, or the table's once it was tried.
pub(super) async fn found(engine: &Engine, container: &str, job: &Job<'_>) -> Result<Way, Error> {
    if !job.is_tracked {
        return Ok(Way::Loopback);
    }
    if let Some(way) = marks::way(job.attempt) {
        return Ok(way);
    }
    let way = tried(engine, container, job).await?;
    marks::remember_way(job.attempt, &way)?;
    Ok(way)
}

async fn tried(engine: &Engine, container: &str, job: &Job<'_>) -> Result<Way, Error> {
    let data = PathBuf::from(marks::owner(job.attempt));
    let networks = engine.inspect(container).await?.map(|container| container.networks).unwrap_or_default();
    let (name, attached) = networks.into_iter().next().unwrap_or_default();
    if let Some(way) = reach::remembered(&data, &attached.network) {
        return Ok(way);
    }
    // Podman says nothing of these two.
    let name = of(job.spec).options.network.clone().filter(|name| matches!(name.as_str(), "host" | "none")).unwrap_or(name);
    let way = way(&engine.about().await?, &Network::new(&name, attached.gateway.as_deref()), is_own);
    let Some((host, listen)) = way.ends() else { return Ok(way) };
    if reach::comes_here(engine, container, &job.spec.python, &host, listen).await {
        reach::remember(&data, &attached.network, &way);
        return Ok(way);
    }
    Ok(Way::Link(format!("a connection from the network `{name}` to {host} does not come to this machine")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Cgroups, Gpus, Limits};

    fn about(product: Product, is_local: bool, rootless: bool) -> About {
        About {
            product,
            version: String::new(),
            api: String::new(),
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            host: String::new(),
            cpus: 1,
            memory: 1,
            rootless,
            user_namespaces: false,
            runtimes: Vec::new(),
            gpus: Gpus::NotShown,
            cgroups: Cgroups::V2,
            limits: Limits { memory: true, swap: true, cpus: true, pids: true },
            is_local,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        use Product::{Docker, DockerDesktop, Podman};
        let own = Ipv4Addr::new(172, 17, 0, 1);
        let other = Ipv4Addr::new(10, 0, 0, 1);
        let bridge = |gateway| Network::Other("lab".to_owned(), gateway);
        let link = "link";
        for (engine, network, expected) in [
            (about(Docker, true, false), Network::Host, "loopback"),
            (about(Docker, true, false), bridge(Some(own)), "gateway"),
            (about(Podman, true, false), bridge(Some(own)), "gateway"),
            (about(Docker, true, false), bridge(Some(other)), link),
            (about(Docker, true, false), bridge(None), link),
            (about(Docker, true, false), Network::None, link),
            (about(DockerDesktop, true, false), bridge(Some(other)), "named"),
            (about(DockerDesktop, true, false), Network::Host, link),
            (about(DockerDesktop, true, false), Network::None, link),
            (about(Docker, true, true), bridge(Some(own)), link),
            (about(Podman, true, true), Network::Host, link),
            // Its gateway is an address of this machine too, and another one.
            (about(Docker, false, false), bridge(Some(own)), link),
            (about(Docker, false, false), Network::Host, link),
        ] {
            let way = way(&engine, &network, |address| address == own);
            let word = match &way {
                Way::Loopback => "loopback",
                Way::Gateway(address) if *address == own => "gateway",
                Way::Gateway(_) => "another gateway",
                Way::Named => "named",
                Way::Link(_) => link,
            };
            assert_eq!(word, expected, "{engine:?} {network:?}: {way}");
        }
    }
}
