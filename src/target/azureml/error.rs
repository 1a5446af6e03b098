//! What can go wrong with Azure Machine Learning.

use std::path::PathBuf;

use crate::support::hints::Hints;
use crate::support::{fs, template};
use crate::{auth, job};

/// The service could not do what it was asked, or could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there.
    #[error("could not reach `{host}`")]
    Unreachable {
        /// The host.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The service refused.
    #[error("could not {act}: {message} ({}{status}{})", word(code), request(id.as_ref()))]
    Refused {
        /// What was to be done.
        act: String,
        /// The status.
        status: u16,
        /// The service's word.
        code: String,
        /// The service's sentence.
        message: String,
        /// The request's id, for Azure's support.
        id: Option<String>,
    },
    /// An answer that is none of this service's.
    #[error("could not {act}: the answer cannot be read")]
    Unreadable {
        /// What was to be done.
        act: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No credentials can be had.
    #[error("could not authenticate to Azure")]
    Credentials(#[from] auth::Error),
    /// The connection could not be set up.
    #[error("could not set up the connection to Azure")]
    Setup(#[source] reqwest::Error),
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A record refused.
    #[error(transparent)]
    Job(#[from] job::Error),
    /// The command could not be rendered.
    #[error(transparent)]
    Template(#[from] template::Error),
    /// The snapshot's archive cannot be read.
    #[error("could not read the snapshot `{}`", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// A link of the snapshot that cannot be sent.
    #[error("the link `{path}` leads to `{goal}`, which the snapshot does not have; the service keeps no links, only what they lead to")]
    Link {
        /// The link.
        path: String,
        /// Where it leads.
        goal: String,
    },
    /// The address for an upload expired again and again.
    #[error("could not upload the source directory: storage refused the address that it had given ({status})")]
    Expired {
        /// The status.
        status: u16,
    },
    /// Storage refused.
    #[error("could not {act} in the workspace's storage: it answered {status} ({code})")]
    Storage {
        /// What was to be done.
        act: String,
        /// The status.
        status: u16,
        /// Its word.
        code: String,
    },
    /// A job that is not this one has its name.
    #[error("the workspace has a job `{name}` already, and it is another one")]
    Taken {
        /// The name.
        name: String,
    },
    /// The workspace does not say where it keeps its runs.
    #[error("the workspace `{0}` does not say where its runs are")]
    NoHistory(String),
    /// A key that is not built yet.
    #[error("{0} is not built yet for Azure ML")]
    NotBuilt(&'static str),
    /// The emulation could not be started.
    #[error("could not start the local emulation of Azure ML: {reason}")]
    Emulator {
        /// Why.
        reason: String,
        /// What can be done.
        hints: Vec<String>,
    },
}

fn word(code: &str) -> String {
    if code.is_empty() { String::new() } else { format!("{code}, ") }
}

fn request(id: Option<&String>) -> String {
    id.map(|id| format!(", request {id}")).unwrap_or_default()
}

impl Error {
    /// Returns whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Expired { .. } => true,
            Self::Refused { status, .. } | Self::Storage { status, .. } => matches!(status, 408 | 429 | 500..),
            Self::Credentials(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl Error {
    /// Returns whether a job that was asked about may go on all the same: nobody told how it stands.
    pub fn is_out_of_contact(&self) -> bool {
        match self {
            Self::Refused { status, .. } => *status != 404,
            Self::Unreachable { .. }
            | Self::Unreadable { .. }
            | Self::Expired { .. }
            | Self::Storage { .. }
            | Self::NoHistory(_)
            | Self::Credentials(_)
            | Self::Emulator { .. } => true,
            _ => false,
        }
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unreachable { .. } => vec!["check the network; `--emulate` tries the job on this machine".to_owned()],
            Self::Refused { status: 403, .. } => {
                vec!["the role `AzureML Data Scientist` of the workspace has what a job needs; `Reader` has not".to_owned()]
            }
            Self::Refused { status: 404, code, .. } if code.starts_with("Resource") || code == "SubscriptionNotFound" => {
                vec!["correct `subscription_id`, `resource_group` and `workspace_name` of the target".to_owned()]
            }
            Self::Refused { message, .. } if message.to_lowercase().contains("compute") => {
                vec!["correct `compute:` of the target, or write `instance_type:` for serverless compute".to_owned()]
            }
            Self::Credentials(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Job(error) => error.hints(),
            Self::Link { path, .. } => vec![format!("remove the link, or leave it out: add `/{path}` to `.sendoffignore`")],
            Self::Taken { .. } => vec!["choose another `--job-id` or `--key`".to_owned()],
            Self::Emulator { hints, .. } => hints.clone(),
            Self::Refused { .. }
            | Self::Unreadable { .. }
            | Self::Setup(_)
            | Self::Template(_)
            | Self::Archive { .. }
            | Self::Expired { .. }
            | Self::Storage { .. }
            | Self::NoHistory(_)
            | Self::NotBuilt(_) => Vec::new(),
        }
    }
}
