//! Where jobs run: the container engine, and a network of the emulator's own in which this machine has an address.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::engine::{Endpoint, Engine, Removal};
use crate::support::{causes, platform};

/// The label that says whose a container or network is: the emulator's folder.
pub(super) const OWNER: &str = "sendoff.emulator";
/// Why a job cannot run on a machine without an engine that suits.
pub(super) const NODES_GONE: &str = "There is no node to run on";
/// The label that says on which machine the emulator is.
const HOST: &str = "sendoff.emulator.host";
/// The label with the GUID of the job's run.
pub(super) const JOB: &str = "sendoff.emulator.job";

/// Where jobs run.
pub(in super::super) struct Nodes {
    pub(super) engine: Engine,
    /// The network of all nodes.
    pub(super) network: String,
    /// The address of this machine in it.
    pub(in super::super) gateway: IpAddr,
    /// The emulator's folder, as the label has it.
    pub(super) owner: String,
    /// What the engine's machine has.
    pub(super) cpus: u32,
    pub(super) memory: u64,
}

impl Nodes {
    /// Finds the engine and makes the network, or says why no job can run.
    pub(in super::super) async fn find(folder: &Path) -> Result<Self, String> {
        let said = |error: crate::engine::Error| causes::in_one_line(&error);
        let engine = engine().await.map_err(said)?;
        let about = engine.about().await.map_err(said)?;
        clear_gone(&engine).await;
        let owner = owner(folder);
        let digest: String = Sha256::digest(owner.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let name = format!("sendoff-azureml-{digest}");
        let network = match engine.inspect_network(&name).await.map_err(said)? {
            Some(network) => network,
            None => {
                let labels = [(OWNER, owner.clone()), (HOST, platform::host_name())];
                let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
                engine.create_network(&name, &labels).await.map_err(said)?
            }
        };
        let gateway: Option<IpAddr> = network.gateway.as_deref().and_then(|text| text.parse().ok());
        let gateway = gateway.ok_or_else(|| format!("the network `{name}` of the container engine has no gateway"))?;
        // Of a remote or rootless engine it is an address of another machine or network namespace.
        if TcpListener::bind((gateway, 0)).is_err() {
            let _ = engine.remove_network(&name).await;
            return Err(format!("the gateway {gateway} of the network `{name}` is not an address of this machine"));
        }
        Ok(Self { engine, network: name, gateway, owner, cpus: about.cpus, memory: about.memory })
    }

    /// Says when the network is no longer the one in which this machine is reached: somebody may have removed it.
    pub(super) async fn check(&self) -> Result<(), String> {
        let found = self.engine.inspect_network(&self.network).await.map_err(|error| causes::in_one_line(&error))?;
        let gateway = found.and_then(|network| network.gateway).and_then(|text| text.parse::<IpAddr>().ok());
        if gateway == Some(self.gateway) {
            return Ok(());
        }
        Err(format!("the network `{}` of the jobs was removed: end the emulator and start it again to make another", self.network))
    }

    /// Removes the containers of the emulator but those of these jobs.
    pub(super) async fn clear_except(&self, jobs: &[&str]) {
        clear_containers(&self.engine, &self.owner, jobs).await;
    }

    /// Removes all containers of the emulator, and its network.
    pub(super) async fn clear(&self) {
        clear(&self.engine, &self.owner).await;
    }
}

/// Connects to the engine that the environment names.
async fn engine() -> Result<Engine, crate::engine::Error> {
    let variables: BTreeMap<String, String> = std::env::vars().collect();
    let home = variables.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Engine::connect(&Endpoint::choose(None, &variables, &home)?).await
}

/// Returns by what the containers of an emulator are known.
fn owner(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

/// Removes what an emulator of this folder has left on the engine that did not end by itself. It must not run.
pub(in super::super) async fn sweep(folder: &Path) {
    // Where there is no engine, nothing is left on it.
    if let Ok(engine) = engine().await {
        clear(&engine, &owner(folder)).await;
    }
}

/// Removes what emulators of this machine have left whose folders are gone: nobody goes on with their jobs.
async fn clear_gone(engine: &Engine) {
    for network in engine.networks(&[(HOST, &platform::host_name())]).await.unwrap_or_default() {
        if let Some(owner) = network.labels.get(OWNER).filter(|owner| !Path::new(owner).exists()) {
            clear(engine, owner).await;
        }
    }
}

async fn clear_containers(engine: &Engine, owner: &str, but: &[&str]) {
    for container in engine.list(&[(OWNER, owner)]).await.unwrap_or_default() {
        if !container.labels.get(JOB).is_some_and(|job| but.contains(&job.as_str())) {
            let _ = engine.remove(&container.id, Removal::Forced).await;
        }
    }
}

async fn clear(engine: &Engine, owner: &str) {
    clear_containers(engine, owner, &[]).await;
    for network in engine.networks(&[(OWNER, owner)]).await.unwrap_or_default() {
        let _ = engine.remove_network(&network.id).await;
    }
}
