//! Which engine: the target's own `host`, the variables of Docker, its contexts, or the sockets where engines usually listen.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::context;
use super::error::Error;

/// Where an engine listens, and who said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// Who said so.
    pub source: Source,
}

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket, or a named pipe on Windows.
    Local(PathBuf),
    /// A host and port.
    Tcp {
        /// `host:port`.
        authority: String,
        /// Certificates, when the connection is secured.
        tls: Option<Tls>,
    },
    /// A host behind ssh: `user@host[:port]`.
    Ssh(String),
}

/// The files of a secured connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authority that the engine's certificate must be signed by.
    pub authority: PathBuf,
    /// Our certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Tls {
    /// Returns the files of a folder, by the names that Docker gives them.
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self { authority: folder.join("ca.pem"), certificate: folder.join("cert.pem"), key: folder.join("key.pem") }
    }
}

/// Who said where the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The target's `host`.
    Target,
    /// `DOCKER_HOST`.
    HostVariable,
    /// `DOCKER_CONTEXT`, with the name of the context.
    ContextVariable(String),
    /// The context that `docker context use` chose.
    CurrentContext(String),
    /// Nobody: an engine usually listens there.
    Usual,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.write_str("from the target's `host`"),
            Self::HostVariable => f.write_str("from `DOCKER_HOST`"),
            Self::ContextVariable(name) => write!(f, "from the context `{name}` that `DOCKER_CONTEXT` names"),
            Self::CurrentContext(name) => write!(f, "from the current Docker context `{name}`"),
            Self::Usual => f.write_str("the usual place"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Tcp { authority, .. } => write!(f, "tcp://{authority}"),
            Self::Ssh(destination) => write!(f, "ssh://{destination}"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.address, self.source)
    }
}

impl Endpoint {
    /// Chooses the engine, as Docker's own client does: `host`, `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context of
    /// `$DOCKER_CONFIG/config.json`, then the sockets where Docker, Docker Desktop, rootless Docker and Podman listen.
    ///
    /// `variables` is the environment of the user, `home` the user's home folder. Of the usual sockets the first one that takes a
    /// connection is chosen; when none does, the first one that exists, so that the message names what is wrong with it.
    pub fn choose(host: Option<&str>, variables: &BTreeMap<String, String>, home: &Path) -> Result<Self, Error> {
        let given = |name: &str| variables.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let configuration = given("DOCKER_CONFIG").map_or_else(|| home.join(".docker"), PathBuf::from);
        let certificates = || Tls::in_folder(&given("DOCKER_CERT_PATH").map_or_else(|| configuration.clone(), PathBuf::from));
        let tls = || given("DOCKER_TLS_VERIFY").map(|_| certificates());
        if let Some(host) = host {
            return Self::parse(host, Source::Target, tls(), certificates);
        }
        if let Some(host) = given("DOCKER_HOST") {
            return Self::parse(host, Source::HostVariable, tls(), certificates);
        }
        let named = match given("DOCKER_CONTEXT") {
            Some(name) => Some((name.to_owned(), Source::ContextVariable(name.to_owned()))),
            None => context::current(&configuration)?.map(|name| (name.clone(), Source::CurrentContext(name))),
        };
        // The context `default` means: no context.
        match named.filter(|(name, _)| name != "default") {
            Some((name, source)) => {
                let context = context::read(&configuration, &name, &source)?;
                let tls = context.tls.clone();
                Self::parse(&context.host, source, context.tls, || tls.unwrap_or_else(certificates))
            }
            None => usual(given("XDG_RUNTIME_DIR").map(Path::new), home),
        }
    }

    /// Reads an address. `tls` secures `tcp://`, `certificates` are for an address that is secured by its own scheme.
    fn parse(text: &str, source: Source, tls: Option<Tls>, certificates: impl FnOnce() -> Tls) -> Result<Self, Error> {
        let unknown = |source: &Source| Error::Address { address: text.to_owned(), from: source.clone() };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (scheme, rest.trim_end_matches('/')),
            None if text.starts_with('/') => ("unix", text),
            None => return Err(unknown(&source)),
        };
        let address = match scheme {
            _ if rest.is_empty() => return Err(unknown(&source)),
            "unix" => Address::Local(PathBuf::from(rest)),
            "npipe" => Address::Local(PathBuf::from(text)),
            "tcp" | "http" => Address::Tcp { authority: with_port(rest, if tls.is_some() { 2376 } else { 2375 }), tls },
            "https" => Address::Tcp { authority: with_port(rest, 2376), tls: Some(tls.unwrap_or_else(certificates)) },
            "ssh" => Address::Ssh(rest.to_owned()),
            _ => return Err(unknown(&source)),
        };
        Ok(Self { address, source })
    }

    /// Returns whether the engine listens on this machine. A socket may still lead elsewhere: whether the engine sees a path of
    /// this machine is known only after trying.
    pub fn is_local(&self) -> bool {
        match &self.address {
            Address::Local(_) => true,
            Address::Tcp { authority, .. } => {
                let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
                matches!(host, "localhost" | "[::1]") || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            }
            Address::Ssh(_) => false,
        }
    }
}

fn with_port(authority: &str, port: u16) -> String {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { authority.to_owned() } else { format!("{authority}:{port}") }
}

/// Returns the sockets where engines usually listen, in the order of preference.
fn usual_sockets(runtime: Option<&Path>, home: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![PathBuf::from("//./pipe/docker_engine")];
    }
    let mut sockets = vec![PathBuf::from("/var/run/docker.sock")];
    sockets.extend(runtime.map(|folder| folder.join("docker.sock")));
    sockets.push(home.join(".docker/run/docker.sock"));
    sockets.push(home.join(".docker/desktop/docker.sock"));
    sockets.extend(runtime.map(|folder| folder.join("podman/podman.sock")));
    sockets.push(PathBuf::from("/run/podman/podman.sock"));
    sockets
}

fn usual(runtime: Option<&Path>, home: &Path) -> Result<Endpoint, Error> {
    let sockets = usual_sockets(runtime, home);
    let found = first(&sockets).cloned();
    let endpoint = |path| Endpoint { address: Address::Local(path), source: Source::Usual };
    found.map(endpoint).ok_or(Error::NoEngine { tried: sockets })
}

fn first(sockets: &[PathBuf]) -> Option<&PathBuf> {
    let there = || sockets.iter().filter(|path| path.symlink_metadata().is_ok());
    there().find(|path| answers(path)).or_else(|| there().next())
}

#[cfg(unix)]
fn answers(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path).is_ok()
}

#[cfg(not(unix))]
fn answers(path: &Path) -> bool {
    path.exists()
}
