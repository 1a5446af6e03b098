//! What the run config says about the snapshot, and its name.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The source directory, absolute.
    pub root: PathBuf,
    /// `include:` patterns (gitignore syntax, relative to the root): files that are packed although a rule ignores them.
    pub include: Vec<String>,
    /// `allow_files:` patterns: files that look like secrets and are packed all the same.
    pub allow_files: Vec<String>,
    /// The packed size in bytes of the files over which a submission to a remote target is refused (default 1 GiB).
    pub max_size: u64,
}

/// The name of a snapshot: `SHA-256` of its manifest, 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotId(String);

impl SnapshotId {
    /// Takes 64 hexadecimal digits.
    pub fn new(digits: impl Into<String>) -> Self {
        Self(digits.into())
    }

    /// Returns the 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
