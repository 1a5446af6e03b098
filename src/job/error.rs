//! What can go wrong with the records of jobs.

use std::path::PathBuf;

use crate::support::dirs::ELSEWHERE;
use crate::support::fs;
use crate::support::hints::Hints;

/// A record, journal or attempt folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's database refused.
    #[error("could not {act} the job store `{}`", path.display())]
    Store {
        /// What was tried.
        act: &'static str,
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A record of ours cannot be read.
    #[error("could not read the record `{}`", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// Returns whether the data folder is one that this user cannot write to.
    pub fn is_refused(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, PermissionDenied, ReadOnly};
        match self {
            Self::File(error) => error.is_refused(),
            Self::Store { source, .. } => matches!(source.sqlite_error_code(), Some(CannotOpen | PermissionDenied | ReadOnly)),
            Self::Record { .. } => false,
        }
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::File(error) => error.hints(),
            Self::Store { .. } if self.is_refused() => vec![ELSEWHERE.to_owned()],
            Self::Store { .. } | Self::Record { .. } => Vec::new(),
        }
    }
}
