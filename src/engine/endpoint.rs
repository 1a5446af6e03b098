//! Which engine: the target's own `host`, the variables of Docker, its contexts, or the sockets where engines usually listen.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::context;
use super::error::Error;
use super::tunnel::Remote;
use crate::support::platform;

/// Where an engine listens, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where.
    pub address: Address,
    /// Who said so.
    pub source: Source,
}

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A host behind ssh.
    Ssh(Remote),
}

/// The files of a secured connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            Self::Ssh(remote) => write!(f, "{remote}"),
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
            "ssh" => Address::Ssh(Remote::parse(rest).ok_or_else(|| unknown(&source))?),
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
    there().find(|path| platform::answers(path)).or_else(|| there().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(host: Option<&str>, variables: &[(&str, &str)], home: &Path) -> Result<Endpoint, Error> {
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Endpoint::choose(host, &variables, home)
    }

    /// Makes a home whose current context is `lab`, secured, and which has `box`, behind ssh.
    fn home_with_contexts() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a folder");
        let docker = home.path().join(".docker");
        // The ids are what Docker itself makes of these names.
        for (name, id, host) in [("lab", LAB, "tcp://lab:2376"), ("box", BOX, "ssh://me@box")] {
            let meta = docker.join("contexts/meta").join(id);
            std::fs::create_dir_all(&meta).expect("a folder");
            let text = format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#);
            std::fs::write(meta.join("meta.json"), text).expect("a file");
        }
        std::fs::create_dir_all(docker.join("contexts/tls").join(LAB).join("docker")).expect("a folder");
        std::fs::write(docker.join("config.json"), r#"{"auths":{},"currentContext":"lab"}"#).expect("a file");
        home
    }

    const LAB: &str = "a51146d38077ff992eba84cf1d5e9b249073503eb74868699016153b031a38f7";
    const BOX: &str = "26f8567f2569182294c3fa5b9f9cb2270b554eef628b4c149cf82a42888ff4ae";

    #[test]
    fn what_is_said_nearest_wins() {
        let home = home_with_contexts();
        let (host, context) = (("DOCKER_HOST", "tcp://other"), ("DOCKER_CONTEXT", "box"));
        let shown = |host, variables: &[_]| chosen(host, variables, home.path()).expect("an endpoint").to_string();
        assert_eq!(shown(Some("unix:///run/own.sock"), &[host, context]), "`/run/own.sock` (from the target's `host`)");
        assert_eq!(shown(None, &[host, context]), "`tcp://other:2375` (from `DOCKER_HOST`)");
        assert_eq!(shown(None, &[context]), "`ssh://me@box` (from the context `box` that `DOCKER_CONTEXT` names)");
        assert_eq!(shown(None, &[]), "`tcp://lab:2376` (from the current Docker context `lab`)");
        assert_eq!(shown(None, &[("DOCKER_HOST", "")]), "`tcp://lab:2376` (from the current Docker context `lab`)");
    }

    #[test]
    fn certificates_come_from_where_the_address_comes_from() {
        let home = home_with_contexts();
        let files = |variables: &[_]| match chosen(None, variables, home.path()).expect("an endpoint").address {
            Address::Tcp { tls, .. } => tls.map(|tls| tls.key),
            other => panic!("{other:?}"),
        };
        let docker = home.path().join(".docker");
        assert_eq!(files(&[]), Some(docker.join("contexts/tls").join(LAB).join("docker/key.pem")));
        assert_eq!(files(&[("DOCKER_HOST", "tcp://a")]), None);
        assert_eq!(files(&[("DOCKER_HOST", "https://a")]), Some(docker.join("key.pem")));
        assert_eq!(files(&[("DOCKER_HOST", "tcp://a"), ("DOCKER_TLS_VERIFY", "1")]), Some(docker.join("key.pem")));
        let own = [("DOCKER_HOST", "tcp://a"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/certificates")];
        assert_eq!(files(&own), Some(PathBuf::from("/certificates/key.pem")));
    }

    #[test]
    fn addresses_that_are_read_and_refused() {
        for (text, expected) in [
            ("unix:///run/x.sock", "/run/x.sock"),
            ("/run/x.sock", "/run/x.sock"),
            ("tcp://h:1", "tcp://h:1"),
            ("tcp://h/", "tcp://h:2375"),
            ("http://[::1]:99", "tcp://[::1]:99"),
            ("https://h", "tcp://h:2376"),
            ("ssh://me@h:22", "ssh://me@h:22"),
        ] {
            assert_eq!(chosen(Some(text), &[], Path::new("/")).expect(text).address.to_string(), expected, "{text}");
        }
        for text in ["", "h:2375", "ftp://h", "unix://", "tcp://", "ssh://-oProxyCommand=x", "ssh://me@-h", "ssh://h:port"] {
            assert!(matches!(chosen(Some(text), &[], Path::new("/")), Err(Error::Address { .. })), "{text}");
        }
    }

    #[test]
    fn only_what_listens_here_is_local() {
        for (text, local) in [
            ("unix:///x", true),
            ("tcp://localhost:1", true),
            ("tcp://127.0.0.2:1", true),
            ("tcp://[::1]:1", true),
            ("tcp://h:1", false),
            ("ssh://h", false),
        ] {
            assert_eq!(chosen(Some(text), &[], Path::new("/")).expect(text).is_local(), local, "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_usual_socket_that_answers_goes_before_one_that_is_dead() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = ["missing", "dead", "alive"].map(|name| folder.path().join(name));
        drop(std::os::unix::net::UnixListener::bind(&paths[1]).expect("a socket"));
        assert_eq!(first(&paths), Some(&paths[1]));
        let _alive = std::os::unix::net::UnixListener::bind(&paths[2]).expect("a socket");
        assert_eq!(first(&paths), Some(&paths[2]));
        assert_eq!(first(&paths[..1]), None);
    }
}
