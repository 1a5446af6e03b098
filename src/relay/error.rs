//! What can go wrong with the relay.

use crate::auth;
use crate::support::fs;
use crate::support::hints::Hints;

/// The relay could not do what it is for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the spool refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// Another process has the spool.
    #[error("the spool `{0}` is in use by another process")]
    InUse(String),
    /// No credentials.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The HTTP client could not be made.
    #[error("could not set up the connection to the tracker")]
    Setup(#[source] reqwest::Error),
    /// The socket could not be had.
    #[error("could not listen for the job's tracking calls")]
    Listen(#[source] std::io::Error),
    /// The relay's process could not be started.
    #[error("could not start the tracking relay")]
    Start(#[source] std::io::Error),
    /// It ended before it was ready.
    #[error("the tracking relay ended at once{}", if .0.is_empty() { String::new() } else { format!(": {}", .0) })]
    Stillborn(String),
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Auth(error) => error.hints(),
            Self::InUse(_) => vec!["wait until the job has ended, and try again".to_owned()],
            Self::Setup(_) | Self::Listen(_) | Self::Start(_) | Self::Stillborn(_) => Vec::new(),
        }
    }
}
