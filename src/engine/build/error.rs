//! Why an image cannot be built.

use crate::engine;
use crate::support::hints::Hints;

/// An image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine did not begin, or went away.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A step failed.
    #[error("the step `{step}` of the build failed: {reason}{}", tail(lines))]
    Failed {
        /// The step.
        step: String,
        /// Why, in the builder's words.
        reason: String,
        /// The last lines that it printed.
        lines: Vec<String>,
    },
    /// The engine's disk is full.
    #[error("the disk of the container engine is full (`{step}`)")]
    DiskFull {
        /// The step that hit it.
        step: String,
    },
    /// The answer ended without saying how the build did.
    #[error("the container engine ended the build without a result")]
    NoResult,
    /// Secrets are wanted, and there is nobody to keep them.
    #[error("the container engine has no BuildKit, so credentials would stay in the image's history")]
    NoBuildKit,
}

fn tail(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.join("\n")) }
}

impl Error {
    /// Reads how a step ended.
    pub(super) fn failed(step: String, reason: String, lines: Vec<String>) -> Self {
        let full = |text: &str| text.to_lowercase().contains("no space left on device");
        if full(&reason) || lines.iter().any(|line| full(line)) { Self::DiskFull { step } } else { Self::Failed { step, reason, lines } }
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::DiskFull { .. } => vec!["free some: `docker builder prune`, `docker image prune`, `sendoff env prune`".to_owned()],
            Self::NoBuildKit => vec!["use Docker Engine 20.10 or newer, or an index without credentials".to_owned()],
            Self::Engine(error) => error.hints(),
            Self::Failed { .. } | Self::NoResult => Vec::new(),
        }
    }
}
