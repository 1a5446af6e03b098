//! What a user can do about an error of the engine.

use super::endpoint::{Address, Endpoint, Source};
use super::error::{Error, Object, PullFailure, Refusal};
use crate::support::hints::Hints;
use crate::support::suggest::nearest;
use crate::support::words::all_of;

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoEngine { .. } => "install Docker or Podman and start it, or name an engine elsewhere with `DOCKER_HOST`",
            Self::Address { .. } => "write `unix:///path/of/the.sock`, `tcp://host:port` or `ssh://user@host`",
            Self::Context { name, known, .. } => return vec![contexts(name, known)],
            Self::Configuration { .. } => "repair the file, or set `DOCKER_HOST`, which goes before it",
            Self::File(error) => return error.hints(),
            Self::Unreachable { endpoint, .. } => return vec![reach(endpoint)],
            Self::Denied { .. } => {
                "join the group that owns the socket (`sudo usermod -aG docker \"$USER\"`, then log in again), or use Docker or Podman without root"
            }
            Self::Name { object: Object::Image, .. } => "write an image as `name:tag`, in lower case",
            Self::Name { .. } => "use letters, digits, `_`, `.` and `-`, and one of the first two in front",
            Self::Missing { object: Object::Image, name } => return vec![format!("`docker pull {name}` brings it, if a registry has it")],
            Self::Missing { .. } | Self::Conflict { .. } | Self::Unreadable { .. } => return Vec::new(),
            Self::Refused { why, .. } => return why.hint().map(str::to_owned).into_iter().collect(),
            Self::Pull { why, image, .. } | Self::Push { why, image, .. } => return why.hint(image).into_iter().collect(),
            Self::DiskFull { .. } => "make room on the engine's machine: `docker system df` shows what takes it",
            Self::Lost { .. } | Self::TimedOut { .. } => "see whether the engine still runs: `docker version`",
        };
        vec![hint.to_owned()]
    }
}

impl Refusal {
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Port => Some("choose another port, or end what uses this one"),
            Self::Mount => Some("the path must exist where the engine runs, which may be another machine than this one, or a virtual one"),
            Self::Cpus => Some("ask for no more CPUs than the engine's machine has"),
            Self::Memory => Some("ask for more memory: a container needs a few megabytes"),
            Self::Gpus => Some("install NVIDIA's container toolkit where the engine runs and restart the engine, or ask for no GPUs"),
            Self::Program => Some("see that the image has this program, that it can be executed, and that its interpreter is there too"),
            Self::User => Some("give the user by its number, or name one that the image has"),
            Self::Platform => Some("choose an image for the processor of the engine's machine"),
            Self::Addresses => Some("remove networks that nothing uses: `docker network prune`"),
            Self::Other => None,
        }
    }
}

impl PullFailure {
    fn hint(self, image: &str) -> Option<String> {
        match self {
            Self::Unknown => {
                Some(format!("check the name; a registry also hides images from who may not see them: `docker login{}`", registry(image)))
            }
            Self::Denied => Some(format!("log in with an account that may: `docker login{}`", registry(image))),
            Self::Platform => Some("choose another platform, or an image that has this one".to_owned()),
            Self::Unreachable => {
                Some("see that the engine's machine reaches the registry, by a proxy of the engine's own if need be".to_owned())
            }
            Self::Limited => Some(format!("wait, or log in for more: `docker login{}`", registry(image))),
            Self::Other => None,
        }
    }
}

/// Returns the registry that an image's name says, with a space in front; nothing for the default one.
fn registry(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => format!(" {host}"),
        _ => String::new(),
    }
}

fn reach(endpoint: &Endpoint) -> String {
    let hint = match (&endpoint.address, &endpoint.source) {
        (Address::Local(_), Source::Usual) => {
            "start the engine: `sudo systemctl start docker`, or Docker Desktop, or `podman system service`"
        }
        (Address::Local(_), _) => "start the engine that listens there, or correct the address",
        (Address::Tcp { tls: None, .. }, _) => {
            "check the address, and whether that engine wants a secured connection (`DOCKER_TLS_VERIFY=1` and `DOCKER_CERT_PATH`)"
        }
        (Address::Tcp { .. }, _) => "check the address and the certificates in `DOCKER_CERT_PATH`",
        (Address::Ssh(remote), _) => return format!("see that `{} docker version` works, and asks for nothing", remote.command()),
    };
    hint.to_owned()
}

fn contexts(name: &str, known: &[String]) -> String {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are no contexts here: `docker context create` makes one".to_owned(),
        None => format!("there {} {}", if known.len() == 1 { "is" } else { "are" }, all_of(known)),
    }
}
