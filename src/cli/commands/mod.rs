//! One file per command or family: its arguments and its run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sendoff::relay::personal;
use sendoff::support::dirs::Dirs;

use super::Failure;

pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod emulator;
pub(crate) mod env;
pub(crate) mod gc;
pub(crate) mod init;
pub(crate) mod internal;
pub(crate) mod jobs;
pub(crate) mod list;
pub(crate) mod logs;
pub(crate) mod metrics;
pub(crate) mod open;
pub(crate) mod plan;
pub(crate) mod rerun;
pub(crate) mod schema;
pub(crate) mod send;
pub(crate) mod shell;
pub(crate) mod snapshot;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod tracking;
pub(crate) mod watcher;

/// What a command sees of the machine.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) dirs: Dirs,
    pub(crate) cwd: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
}

impl World {
    pub(crate) fn new() -> Result<Self, Failure> {
        let dirs = Dirs::from_environment().map_err(Failure::Dirs)?;
        let cwd = std::env::current_dir().map_err(|_| Failure::Usage("the working directory does not exist any more".to_owned()))?;
        // A variable that is not UTF-8 cannot be named by a run config.
        let mut variables: BTreeMap<String, String> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        see_through_relay(&mut variables, &dirs);
        Ok(Self { dirs, cwd, variables })
    }

    /// Returns whether a CI system runs this.
    pub(crate) fn is_ci(&self) -> bool {
        self.variables.get("CI").is_some_and(|value| !matches!(value.as_str(), "" | "false" | "0"))
    }
}

/// In a shell that has evaluated `tracking env`, replaces the relay by the tracker behind it: a job has a relay of its own, and what is
/// recorded of it leads to the tracker.
fn see_through_relay(variables: &mut BTreeMap<String, String>, dirs: &Dirs) {
    let (uri, token) = (variables.get("MLFLOW_TRACKING_URI"), variables.get("MLFLOW_TRACKING_TOKEN"));
    let upstream = uri.zip(token).and_then(|(uri, token)| personal::behind(&dirs.data, uri, token));
    let Some(upstream) = upstream else { return };
    for name in ["MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"] {
        variables.remove(name);
    }
    let uri = if upstream.managed { "managed".to_owned() } else { upstream.uri };
    variables.insert("MLFLOW_TRACKING_URI".to_owned(), uri);
}
