//! Why no token can be had.

use std::path::PathBuf;

use crate::support::hints::Hints;
use crate::support::{command, fs};

/// A token could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program that prints it failed.
    #[error("could not get a token from a command")]
    Command(#[source] command::Error),
    /// The program, or the file, has no token.
    #[error("there is no token in {0}")]
    Empty(String),
    /// The file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The service that issues tokens cannot be reached.
    #[error("could not reach `{url}`, which issues the token")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The service that issues tokens refused.
    #[error("`{url}` issues no token ({status}): {message}")]
    Refused {
        /// Its address.
        url: String,
        /// The status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The answer is not what this service answers.
    #[error("the answer of {0} is not a token")]
    Unreadable(String),
    /// A value cannot stand in a header.
    #[error("the token cannot be sent: it has characters that no header may have")]
    NotAHeader,
    /// A task of ours was lost.
    #[error("the search for a token ended without an answer")]
    Panicked,
    /// A variable that the settings name and that is not set.
    #[error("`{0}` is not set, and `credentials:` of your settings takes a secret from it")]
    Unset(String),
    /// A way to authenticate that was chosen and cannot be gone.
    #[error("cannot authenticate to Azure with {kind}: it {needs}")]
    NotSetUp {
        /// The way.
        kind: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// None of several sources gave a token.
    #[error("found no way to authenticate to Azure: {}", .0.join("; "))]
    NoneOf(Vec<String>),
    /// A path in the settings that does not exist.
    #[error("the token file `{}` is missing", .0.display())]
    Missing(PathBuf),
}

impl Error {
    /// Returns whether the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Command(_) | Self::Missing(_) | Self::Empty(_) => true,
            Self::Refused { status, .. } => *status == 429 || *status >= 500,
            Self::File(_)
            | Self::Unreadable(_)
            | Self::NotAHeader
            | Self::Panicked
            | Self::Unset(_)
            | Self::NotSetUp { .. }
            | Self::NoneOf(_) => false,
        }
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Command(_) => vec!["run the command of `credentials:` in your settings by hand, and see what it says".to_owned()],
            Self::Refused { .. } => vec!["check the identity of `credentials:` in your settings, and its secret".to_owned()],
            Self::Unset(name) => vec![format!("set `{name}` where you run sendoff")],
            Self::NotSetUp { .. } => {
                vec!["set what is missing where you run sendoff, or choose another `auth:` in your own settings".to_owned()]
            }
            Self::NoneOf(_) => vec![
                "log in with `az login`, or set `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`".to_owned(),
                "`--emulate` tries the job on this machine without an account".to_owned(),
            ],
            Self::File(error) => error.hints(),
            Self::Empty(_) | Self::Unreachable { .. } | Self::Unreadable(_) | Self::NotAHeader | Self::Panicked | Self::Missing(_) => {
                Vec::new()
            }
        }
    }
}
