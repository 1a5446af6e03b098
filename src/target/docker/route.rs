//! Where the supervisor is for a container, so that the job reaches what the supervisor keeps for it.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use crate::engine::Engine;
use crate::target::Error;
use crate::target::supervised::{Job, Vicinity};

use super::create::of;

/// Returns where this machine is for a container that runs: at the gateway of its network, if that address is ours.
pub(super) async fn vicinity(engine: &Engine, id: &str, job: &Job<'_>) -> Result<Vicinity, Error> {
    if !job.is_tracked || of(job.spec).options.network.as_deref() == Some("host") {
        return Ok(Vicinity::Beside);
    }
    let networks = engine.inspect(id).await?.map(|container| container.networks).unwrap_or_default();
    let (name, gateway) = networks.into_iter().next().map(|(name, attached)| (name, attached.gateway)).unwrap_or_default();
    let unreachable = |reason: String| Error::NoGateway { network: name.clone(), reason };
    let gateway = gateway.and_then(|text| text.parse::<Ipv4Addr>().ok()).ok_or_else(|| unreachable("it has no gateway".to_owned()))?;
    // Of a rootless or remote engine it is an address of another network namespace.
    match TcpListener::bind((IpAddr::V4(gateway), 0)) {
        Ok(_) => Ok(Vicinity::Gateway(gateway)),
        Err(_) => Err(unreachable(format!("its gateway {gateway} is not an address of this machine"))),
    }
}
