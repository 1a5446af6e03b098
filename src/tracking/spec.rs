//! What the run config says about tracking.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

/// Who tracks a job, and how its script is attached to the MLflow run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The tracker; `None` after `--no-tracking` or `uri: none`.
    pub uri: Option<Uri>,
    /// How the script is attached to the injected MLflow run.
    pub attach: Attach,
    /// What the relay does with the job's tracking calls.
    pub relay: Relaying,
}

/// What stands between a job and its tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relaying {
    /// Whether writes are spooled.
    pub mode: RelayMode,
    /// For how long a tracker may be away before calls of the job fail.
    pub outage: Duration,
    /// How long delivery goes on after the job's end.
    pub drain: Duration,
    /// Bytes that may wait.
    pub spool: u64,
}

impl Default for Relaying {
    fn default() -> Self {
        Self { mode: RelayMode::Spool, outage: Duration::from_hours(24), drain: Duration::from_mins(1), spool: 4 << 30 }
    }
}

/// What the relay does with writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RelayMode {
    /// Acknowledges them once they are in a file beside the job, and delivers them whenever the tracker answers.
    #[default]
    Spool,
    /// Passes each on before it is acknowledged.
    Through,
}

impl RelayMode {
    /// Returns the word of the run config.
    pub fn word(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Through => "through",
        }
    }
}

/// A tracker as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uri {
    /// `managed`: the MLflow server that sendoff starts on this machine.
    Managed,
    /// `http(s)://...`, possibly with credentials in it.
    Http(Url),
    /// `workspace`: the Azure Machine Learning workspace that runs the job.
    Workspace,
    /// `azureml://...`, not built yet.
    AzureMl(String),
    /// `databricks` or `databricks://profile`, not built yet.
    Databricks(String),
}

/// A text that names no tracker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a tracker: {reason}")]
pub struct UriError {
    /// What was written.
    pub text: String,
    /// Why it does not fit, with the accepted forms.
    pub reason: String,
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason: &str| Err(UriError { text: text.to_owned(), reason: reason.to_owned() });
        if text == "managed" {
            return Ok(Self::Managed);
        }
        if text == "workspace" {
            return Ok(Self::Workspace);
        }
        if text == "databricks" || text.starts_with("databricks://") {
            return Ok(Self::Databricks(text.to_owned()));
        }
        if text.starts_with("azureml://") {
            return Ok(Self::AzureMl(text.to_owned()));
        }
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self::Http(url)),
            Ok(url) if matches!(url.scheme(), "file" | "sqlite") => {
                refuse("a file or database on this disk has no address that a job could reach; use `managed`, or an `http(s)://` address")
            }
            _ => refuse("expected `managed`, `workspace`, `http(s)://...`, `azureml://...`, `databricks` or `none`"),
        }
    }
}

/// Shows the tracker without credentials.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed => f.write_str("managed"),
            Self::Workspace => f.write_str("workspace"),
            Self::Http(url) => f.write_str(crate::support::secret::redacted(url).as_str().trim_end_matches('/')),
            Self::AzureMl(text) | Self::Databricks(text) => f.write_str(text),
        }
    }
}

/// How a script is attached to the MLflow run that sendoff created (`reference` for the effects: MLflow's `MLFLOW_RUN_ID`, `MLFLOW_RUN_CONTEXT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attach {
    /// Looks at the entry script: `parent` when it calls `set_experiment(`, else `run`.
    #[default]
    Auto,
    /// The script's first `start_run()` resumes the injected MLflow run; later ones become its children.
    Run,
    /// Only the context is injected: every MLflow run of the script becomes a child.
    Parent,
}
