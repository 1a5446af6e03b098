//! The container engine: images, containers, their files and logs, networks, volumes.
//!
//! Knows nothing of jobs, targets or run configs. [`Endpoint::choose`] says which engine, [`Engine::connect`] reaches it, and
//! each method is one act on it. A container goes through these acts, in this order:
//!
//! ```text
//! create -> put (the files it needs) -> start_with_input -> logs, wait -> get (the files it made) -> remove
//! ```
//!
//! A container is named by its id or its name, wherever a method takes `container`. Nothing is removed by itself: containers
//! stay until [`Engine::remove`], so that an end is never missed.

mod about;
pub mod build;
mod classify;
mod container;
mod context;
mod credentials;
mod endpoint;
mod error;
mod exec;
mod files;
mod hints;
mod image;
mod input;
pub mod login;
mod logs;
mod memory;
mod name;
mod network;
mod request;
mod shared;
mod spec;
mod terminate;
mod tunnel;
mod volume;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

pub use about::{About, Cgroups, Gpus, Limits, Product};
pub use container::{Attached, Container, ContainerId, Listed, Removal, State};
pub use credentials::Credentials;
pub use endpoint::{Address, Endpoint, Source, Tls};
pub use error::{Error, Object, PullFailure, Refusal, Said};
pub use exec::{Exec, ExecSpec, Piece, Terminal};
pub use files::Tar;
pub use image::{Image, ImageId, PullProgress};
pub use input::{Ends, Input};
pub use logs::Follow;
pub use memory::MemoryUse;
pub use network::Network;
pub use spec::{ContainerSpec, GpuRequest, Mount, Port, Protocol};
pub use tunnel::Remote;
pub use volume::Volume;

use crate::support::http;
use request::adapted;
use tunnel::Tunnel;

/// How long an engine may take to say that it is there: a busy one takes its time.
const CONNECT: Duration = Duration::from_secs(30);
/// How long it may take for an act: one that starts a hundred containers at once needs a minute for the last.
const ACT: Duration = Duration::from_mins(5);
/// How long it may take to take or give files, whose size is not ours to judge.
const TRANSFER: Duration = Duration::from_hours(6);

/// A connection to a container engine. Cloning it is cheap; every act opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    endpoint: Endpoint,
    /// What leads to an engine behind ssh, as long as the engine is used.
    tunnel: Option<Arc<Tunnel>>,
}

impl Engine {
    /// Reaches the engine at an endpoint, and fails when nothing there answers.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, Error> {
        http::install_tls();
        let mut tunnel = None;
        let docker = match &endpoint.address {
            Address::Local(path) => Docker::connect_with_local(&path.to_string_lossy(), CONNECT.as_secs(), API_DEFAULT_VERSION),
            Address::Tcp { authority, tls: None } => Docker::connect_with_http(authority, CONNECT.as_secs(), API_DEFAULT_VERSION),
            Address::Tcp { authority, tls: Some(tls) } => {
                Docker::connect_with_ssl(authority, &tls.key, &tls.certificate, &tls.authority, CONNECT.as_secs(), API_DEFAULT_VERSION)
            }
            Address::Ssh(remote) => {
                let opened = Tunnel::open(remote).await.map_err(|source| classify::unreachable(endpoint, source))?;
                let socket = tunnel.insert(Arc::new(opened)).socket();
                Docker::connect_with_local(&socket.to_string_lossy(), CONNECT.as_secs(), API_DEFAULT_VERSION)
            }
        };
        let docker = docker.map_err(|error| classify::connect(endpoint, error))?.with_request_modifier(adapted);
        // Not by the client's talk about versions: an engine runs programs to find its own, and the client puts none into its requests.
        match docker.ping().await {
            Ok(word) if word.trim() == "OK" => {}
            Ok(_) => return Err(classify::unreachable(endpoint, "what answers there is no container engine".to_owned())),
            Err(error) => match tunnel.as_deref().and_then(Tunnel::words) {
                Some(words) => return Err(classify::unreachable(endpoint, words)),
                None => return Err(classify::connect(endpoint, error)),
            },
        }
        Ok(Self { docker: docker.with_timeout(ACT), endpoint: endpoint.clone(), tunnel })
    }

    /// Returns where the engine is, and who said so.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns where it is reached from here: an engine behind ssh by the socket that leads to it.
    fn nearby(&self) -> Address {
        self.tunnel.as_deref().map_or_else(|| self.endpoint.address.clone(), |tunnel| Address::Local(tunnel.socket()))
    }

    /// Returns the client, with a deadline for one act.
    fn within(&self, limit: Duration) -> Docker {
        self.docker.clone().with_timeout(limit)
    }

    /// Waits for an answer of the engine, and says what failed when it is an error.
    async fn act<T>(
        &self,
        act: impl FnOnce() -> String,
        answer: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Error> {
        answer.await.map_err(|error| self.failed(act(), error))
    }

    /// Says what failed.
    fn failed(&self, act: String, error: bollard::errors::Error) -> Error {
        classify::act(&self.endpoint, act, error)
    }
}

/// How often, and after which pause, an answer that cannot be read is asked for again.
const AGAIN: (u32, Duration) = (10, Duration::from_millis(200));

/// Asks again when an answer cannot be read: for a moment, Podman has states of a container that Docker does not know.
async fn legible<T, F: Future<Output = Result<T, Error>>>(ask: impl Fn() -> F) -> Result<T, Error> {
    for _ in 0..AGAIN.0 {
        match ask().await {
            Err(Error::Unreadable { .. }) => tokio::time::sleep(AGAIN.1).await,
            answer => return answer,
        }
    }
    ask().await
}

/// Turns "there is no such thing" into an answer.
fn known<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
