//! The daemon: opens what it keeps, listens, answers, and ends its jobs before it ends itself.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::authority::{self, Authority};
use super::blobs::Blobs;
use super::daemon::{Running, STATE};
use super::host::Host;
use super::identity::Identity;
use super::run::{self, Nodes};
use super::service::{Addresses, Service};
use super::store::Store;
use super::token::Issuer;
use super::{Error, mlflow, routes};
use crate::support::azure::Scope;
use crate::support::{clock, daemon, fs, platform, process};

/// How long a client may take for TLS's first messages.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long jobs may take to end when the emulator does.
const END: Duration = Duration::from_mins(1);

/// What the daemon is told over its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Where it keeps everything.
    pub folder: PathBuf,
    /// Whether it speaks plain HTTP.
    pub http: bool,
    /// The workspace that it serves first.
    pub scope: Scope,
}

/// Runs the daemon in this process until it is asked to end; says `ready` when it answers.
pub fn serve(host: Arc<dyn Host>) -> Result<(), Error> {
    platform::new_session();
    let order: Order = daemon::order().map_err(Error::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let ended = runtime.block_on(run(order, host));
    runtime.shutdown_background();
    ended
}

async fn run(order: Order, host: Arc<dyn Host>) -> Result<(), Error> {
    let mut asked = platform::Interruptions::listen();
    let folder = order.folder;
    let identity = Identity::open(&folder)?;
    let store = Arc::new(Store::open(&folder)?);
    store.ensure_workspace(&order.scope)?;
    let nodes = Nodes::find(&folder).await;
    if let Err(reason) = &nodes {
        note(&format!("no job can run: {reason}"));
    }
    let gateway = nodes.as_ref().ok().map(|nodes| nodes.gateway);
    let listeners = listen(&folder, gateway)?;
    let port = listeners[0].local_addr().map_err(Error::Start)?.port();
    let addresses = Addresses { scheme: if order.http { "http" } else { "https" }, port, gateway };
    let named: Vec<IpAddr> = [IpAddr::V4(Ipv4Addr::LOCALHOST)].into_iter().chain(gateway).collect();
    let authority = Authority::open(&folder)?;
    let tls = if order.http { None } else { Some(TlsAcceptor::from(authority.server(&named)?)) };
    let blobs = Arc::new(Blobs::new(&folder, store.clone()));
    let service = Arc::new(Service {
        mlflow: mlflow::Plane::open(&folder.join("state.db"), host.clone())?,
        issuer: Issuer::new(&identity.token_key),
        table: routes::table(),
        live: Mutex::new(HashMap::new()),
        pools: Arc::default(),
        expects_job: AtomicBool::new(false),
        traffic: Arc::default(),
        tasks: TaskTracker::new(),
        folder: folder.clone(),
        identity,
        store,
        blobs,
        addresses,
        host,
        nodes,
    });
    run::resume(&service).await?;
    for listener in listeners {
        listener.set_nonblocking(true).map_err(Error::Start)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Start)?;
        tokio::spawn(accept(listener, tls.clone(), service.clone()));
    }
    tell(&service, &folder, order.scope)?;
    asked.next().await;
    run::end_all(&service, END).await;
    Ok(())
}

/// Writes down where it is, and says so to whoever started it.
fn tell(service: &Service, folder: &Path, scope: Scope) -> Result<(), Error> {
    let running = Running {
        process: process::Identity::of(platform::own_pid()),
        base_url: service.addresses.base_url(),
        gateway_url: service.addresses.gateway_url(),
        certificate_authority: authority::certificate(folder),
        scope,
        tenant_id: service.identity.tenant_id.clone(),
        client_id: service.identity.client_id.clone(),
        client_secret: service.identity.client_secret.clone(),
        started_at: clock::now(),
    };
    let text = serde_json::to_vec_pretty(&running).expect("plain data of ours always serialises");
    fs::write_private(folder.join(STATE), &text)?;
    note(&format!("listens at {}", running.base_url));
    daemon::is_ready();
    Ok(())
}

/// Listens on the loopback interface and on the gateway of the job network, on one port: the one before, when it is free.
fn listen(folder: &Path, gateway: Option<IpAddr>) -> Result<Vec<TcpListener>, Error> {
    let file = folder.join("port");
    let last: Option<u16> = std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    let both = |port: u16| {
        let loopback = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = loopback.local_addr()?.port();
        let beside = gateway.map(|gateway| TcpListener::bind(SocketAddr::from((gateway, port)))).transpose()?;
        Ok::<_, std::io::Error>((port, [loopback].into_iter().chain(beside).collect::<Vec<_>>()))
    };
    let mut tries = last.into_iter().chain([0; 20]);
    loop {
        let port = tries.next().unwrap_or(0);
        match both(port) {
            Ok((port, listeners)) => {
                fs::write_atomic(&file, port.to_string().as_bytes())?;
                return Ok(listeners);
            }
            // The port may be taken on the other interface.
            Err(_) if tries.size_hint().0 > 0 => {}
            Err(source) => {
                let address = gateway.map_or_else(|| "127.0.0.1".to_owned(), |gateway| format!("127.0.0.1 and {gateway}"));
                return Err(Error::Listen { address, source });
            }
        }
    }
}

/// Takes connections and answers on them.
async fn accept(listener: tokio::net::TcpListener, tls: Option<TlsAcceptor>, service: Arc<Service>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: others will be given back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (tls, service) = (tls.clone(), service.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, service).await,
                Some(tls) => {
                    // A client that does not trust us has said so to its user.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
                        converse(stream, service).await;
                    }
                }
            }
        });
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, service: Arc<Service>) {
    let stream = service.traffic.meter(stream);
    let answering = service_fn(move |request| service.clone().answer(request));
    let mut server = hyper::server::conn::http1::Builder::new();
    // A client that goes away in the middle is its own business.
    let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answering).await;
}

/// Writes a line into the emulator's log, which is this process's standard error.
pub(super) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{} {line}", clock::now());
}
