//! Why the engine did not do what it was asked.

use std::fmt;
use std::path::PathBuf;

use super::endpoint::{Endpoint, Source};
use crate::support::fs;
use crate::support::words::all_of;

/// What another program said, word for word: the cause of an error of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Said(pub String);

/// A kind of thing that an engine keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A file or folder in a container.
    File,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::File => "file or folder",
        })
    }
}

/// Why an engine refused, as far as its words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A port of this machine is taken.
    Port,
    /// A mount cannot be had.
    Mount,
    /// More CPUs than the machine has.
    Cpus,
    /// Too little memory for a container.
    Memory,
    /// GPUs that the engine cannot give.
    Gpus,
    /// The program to run is not in the image, or cannot be run.
    Program,
    /// The user or group is not in the image.
    User,
    /// The image is for another processor.
    Platform,
    /// All addresses for networks are given away.
    Addresses,
    /// Something else; the engine's words say it.
    Other,
}

/// Why an image cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFailure {
    /// The registry has no such image, or hides it from who may not see it.
    Unknown,
    /// The registry wants credentials, or refuses those it got.
    Denied,
    /// There is no image of this name for the platform.
    Platform,
    /// The registry cannot be reached.
    Unreachable,
    /// It allows no more pulls for now.
    Limited,
    /// Something else; the words of the engine say it.
    Other,
}

/// The engine, or the way to it, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket of an engine is on this machine.
    #[error("there is no container engine on this machine: looked for {}", all_of(tried.iter().map(|path| path.display())))]
    NoEngine {
        /// The sockets that were looked for.
        tried: Vec<PathBuf>,
    },
    /// The address is none that we know.
    #[error("`{address}` is not the address of a container engine ({from})")]
    Address {
        /// The address.
        address: String,
        /// Who gave it.
        from: Source,
    },
    /// There is no context of that name.
    #[error("there is no Docker context `{name}` ({from})")]
    Context {
        /// Its name.
        name: String,
        /// Who named it.
        from: Source,
        /// Those that there are.
        known: Vec<String>,
    },
    /// Docker's own configuration cannot be read as such.
    #[error("could not read `{}`", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Nothing answers there.
    #[error("could not reach the container engine at {endpoint}")]
    Unreachable {
        /// The engine.
        endpoint: Box<Endpoint>,
        /// Why.
        #[source]
        source: Said,
    },
    /// The socket is there, for others.
    #[error("no permission to use the container engine at {endpoint}")]
    Denied {
        /// The engine.
        endpoint: Box<Endpoint>,
    },
    /// A text that cannot name what it should name.
    #[error("`{name}` is not a valid {object} name")]
    Name {
        /// What it should name.
        object: Object,
        /// The text.
        name: String,
    },
    /// There is no such thing.
    #[error("{} has no {object} `{name}`", if *object == Object::File { "the container" } else { "the container engine" })]
    Missing {
        /// What.
        object: Object,
        /// Its name.
        name: String,
    },
    /// The name is taken, or the thing is in use or in another state.
    #[error("could not {act}")]
    Conflict {
        /// What was asked.
        act: String,
        /// What the engine said.
        #[source]
        source: Said,
    },
    /// The engine does not want to.
    #[error("could not {act}")]
    Refused {
        /// What was asked.
        act: String,
        /// Why, as far as it is known.
        why: Refusal,
        /// Whether the fault is the engine's own, so that the same may succeed later.
        own_fault: bool,
        /// What the engine said.
        #[source]
        source: Said,
    },
    /// An image could not be brought.
    #[error("could not pull the image `{image}`")]
    Pull {
        /// The image.
        image: String,
        /// Why.
        why: PullFailure,
        /// What the engine said.
        #[source]
        source: Said,
    },
    /// An image could not be sent.
    #[error("could not push the image `{image}`")]
    Push {
        /// The image.
        image: String,
        /// Why.
        why: PullFailure,
        /// What the engine said.
        #[source]
        source: Said,
    },
    /// The engine's disk is full.
    #[error("could not {act}: the disk of the container engine is full")]
    DiskFull {
        /// What was asked.
        act: String,
        /// What the engine said.
        #[source]
        source: Said,
    },
    /// The connection broke in the middle.
    #[error("the container engine went away while it was to {act}")]
    Lost {
        /// What was asked.
        act: String,
        /// Why.
        #[source]
        source: Said,
    },
    /// No answer in time.
    #[error("the container engine gave no answer in time when it was to {act}")]
    TimedOut {
        /// What was asked.
        act: String,
    },
    /// An answer that is not what this service answers.
    #[error("could not read the answer of the container engine when it was to {act}")]
    Unreadable {
        /// What was asked.
        act: String,
        /// Why.
        #[source]
        source: Said,
    },
}

impl Error {
    /// Returns whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost { .. } | Self::TimedOut { .. } => true,
            Self::Refused { why, own_fault, .. } => *own_fault && *why == Refusal::Other,
            Self::Pull { why, .. } | Self::Push { why, .. } => matches!(why, PullFailure::Unreachable | PullFailure::Limited),
            Self::NoEngine { .. }
            | Self::Address { .. }
            | Self::Context { .. }
            | Self::Configuration { .. }
            | Self::File(_)
            | Self::Denied { .. }
            | Self::Name { .. }
            | Self::Missing { .. }
            | Self::Conflict { .. }
            | Self::DiskFull { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}
