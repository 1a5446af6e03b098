//! Why a tracker cannot be used.

use crate::support::hints::Hints;
use crate::support::words::all_of;
use crate::support::{command, fs, uv};

/// A tracker could not do what it was asked, or could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing answers there.
    #[error("could not reach the tracker `{uri}`")]
    Unreachable {
        /// The tracker.
        uri: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The TLS connection was refused by one side.
    #[error("could not make a secure connection to the tracker `{uri}`")]
    Tls {
        /// The tracker.
        uri: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// 401.
    #[error("the tracker `{uri}` {} (401)", refused(sent.as_ref()))]
    Unauthorized {
        /// The tracker.
        uri: String,
        /// Where the credentials that it got come from, for people; `None` where nobody said.
        sent: Option<String>,
    },
    /// 403 by the host check of MLflow 3.5 and newer.
    #[error("the tracker `{uri}` does not accept the host name in its address (403)")]
    HostRefused {
        /// The tracker.
        uri: String,
    },
    /// 403 for another reason.
    #[error("the tracker `{uri}` refuses access (403): {message}")]
    Forbidden {
        /// The tracker.
        uri: String,
        /// What it said.
        message: String,
    },
    /// Something answers that is not MLflow.
    #[error("`{uri}` is not an MLflow server: it answered {status}{}", if *html { " with a web page" } else { "" })]
    NotMlflow {
        /// The address.
        uri: String,
        /// The status.
        status: u16,
        /// Whether it sent a page.
        html: bool,
    },
    /// MLflow answered with an error of its own.
    #[error("the tracker refused ({code}): {message}")]
    Api {
        /// `error_code`.
        code: String,
        /// `message`.
        message: String,
    },
    /// 5xx or 429.
    #[error("the tracker `{uri}` has trouble (status {status})")]
    Trouble {
        /// The tracker.
        uri: String,
        /// The status.
        status: u16,
    },
    /// An experiment of this name was deleted.
    #[error("the experiment `{0}` was deleted on the tracker")]
    DeletedExperiment(String),
    /// Variables or files that do not fit together.
    #[error("could not set up the connection to the tracker")]
    Setup(#[source] reqwest::Error),
    /// The managed server could not be installed.
    #[error("could not install the managed MLflow server")]
    Install(#[source] command::Error),
    /// No credentials can be had.
    #[error("could not get the credentials for the tracker")]
    Credentials(#[from] crate::auth::Error),
    /// `uv` cannot be had.
    #[error(transparent)]
    Uv(#[from] uv::Error),
    /// The managed server did not come up.
    #[error("the managed MLflow server did not start{}", if tail.is_empty() { String::new() } else { format!(":\n{tail}") })]
    Start {
        /// The end of its log.
        tail: String,
    },
    /// What is left of a dead server cannot be ended.
    #[error("could not end what is left of the managed MLflow server (process {})", all_of(.0))]
    Remains(Vec<i32>),
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
}

fn refused(sent: Option<&String>) -> String {
    match sent.map(String::as_str) {
        None => "wants credentials, or refuses those it got".to_owned(),
        Some("") => "wants credentials, and none are set for it".to_owned(),
        Some(source) => format!("refuses the credentials that it got, {source}"),
    }
}

impl Error {
    /// Says where the refused credentials come from; an empty text is none.
    #[must_use]
    pub fn sent(self, source: Option<&str>) -> Self {
        match self {
            Self::Unauthorized { uri, .. } => Self::Unauthorized { uri, sent: Some(source.unwrap_or_default().to_owned()) },
            other => other,
        }
    }

    /// Returns whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Trouble { .. })
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Unreachable { .. } => vec![
                "start the tracker, or correct `tracking.uri`; `tracking: {uri: managed}` uses a server on this machine".to_owned(),
                "`--no-tracking` submits without one".to_owned(),
            ],
            Self::Tls { .. } => vec!["`SSL_CERT_FILE` names the certificates that this machine trusts".to_owned()],
            Self::Unauthorized { .. } => vec![
                "set `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, where you submit".to_owned(),
                "`credentials:` of your own settings names them for good, and those that renew themselves".to_owned(),
            ],
            Self::HostRefused { uri } => {
                let host = url::Url::parse(uri).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "HOST".to_owned());
                vec![format!("start the server with `--allowed-hosts \"{host}:*,localhost:*\"`, or use its IP address")]
            }
            Self::NotMlflow { .. } => {
                vec!["`tracking.uri` is the address of the server itself, without `/api` or `/#/experiments`".to_owned()]
            }
            Self::DeletedExperiment(_) => vec!["restore it on the tracker, or choose another `experiment_name`".to_owned()],
            Self::Start { .. } => vec!["`sendoff tracking logs` shows all that it said".to_owned()],
            Self::Remains(_) => vec!["end it by hand: two servers on one database would harm it".to_owned()],
            Self::Credentials(error) => error.hints(),
            Self::Uv(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Install(source) => {
                let needs = || "it needs Python 3.10 or newer and a package index that this machine reaches".to_owned();
                vec![uv::cache_hint(source).unwrap_or_else(needs)]
            }
            Self::Forbidden { .. } => {
                vec!["ask whoever runs the tracker for access, or set the credentials of somebody who has it".to_owned()]
            }
            Self::Trouble { .. } => vec!["try again later; `--no-tracking` submits without a tracker".to_owned()],
            Self::Api { .. } | Self::Setup(_) => Vec::new(),
        }
    }
}
