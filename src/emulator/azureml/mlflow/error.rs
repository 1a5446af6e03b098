//! What can go wrong between the emulated workspace's MLflow and the real one behind it.

use std::path::PathBuf;

use crate::support::hints::Hints;

/// An act that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The map of ids could not be used.
    #[error("could not {act} the emulator's map of MLflow ids `{}`", path.display())]
    Ids {
        /// What was tried.
        act: &'static str,
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// There is no MLflow server behind the emulator.
    #[error("could not reach the MLflow server behind the emulator: {0}")]
    NoTracker(String),
    /// The connection to the server behind failed.
    #[error("could not ask the MLflow server behind the emulator for `{act}`")]
    Ask {
        /// The act of MLflow's API.
        act: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server behind refused what the emulator itself asked.
    #[error("the MLflow server behind the emulator answers {status} to `{act}`: {message}")]
    Refused {
        /// The act of MLflow's API.
        act: String,
        /// Its status.
        status: u16,
        /// What it said.
        message: String,
    },
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Ids { .. } => vec!["see whether the disk is full and the file is yours".to_owned()],
            Self::NoTracker(_) | Self::Ask { .. } => {
                vec!["`sendoff tracking status` and `sendoff tracking logs` tell of the server".to_owned()]
            }
            Self::Refused { .. } => Vec::new(),
        }
    }
}
