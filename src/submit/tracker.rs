//! The tracker as a plan finds it: asked, and nothing started.

use std::collections::BTreeMap;

use super::Error;
use crate::config::{Origin, RunConfig};
use crate::environment::{Mlflow, PackageSource, Spec};
use crate::support::dirs::Dirs;
use crate::tracking::managed::{self, Managed};
use crate::tracking::{self, Chosen, Client, Connection, Uri};

/// Who tracks, and how that stands now.
#[derive(Debug)]
pub enum Tracker {
    /// Nobody.
    None,
    /// The managed server of this machine.
    Managed {
        /// Its address, when it runs.
        uri: Option<String>,
        /// Whether it is installed.
        installed: bool,
    },
    /// The workspace that runs the job.
    Workspace,
    /// A server that somebody else runs.
    Remote {
        /// How it is reached.
        connection: Box<Connection>,
        /// Where its credentials come from, for people.
        credentials: Option<String>,
        /// Its version, if it tells; or why it cannot be used.
        answer: Result<Option<String>, tracking::Error>,
    },
}

impl Tracker {
    /// Asks the tracker of a run config.
    pub(super) async fn ask(run: &RunConfig, typed: bool, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Self, Error> {
        Ok(match &run.tracking.value.uri {
            Some(Uri::Managed) => {
                let managed = Managed::new(dirs);
                Self::Managed { uri: managed.running().map(|server| server.uri()), installed: managed.is_installed() }
            }
            Some(Uri::Http(url)) => {
                let typed = typed || matches!(run.tracking.origin, Origin::Flag(_));
                let connection = Connection::new(url, typed, variables, &run.credentials).map_err(tracking::Error::from)?;
                let credentials = credentials(Chosen::new(url, typed, variables, &run.credentials));
                let answer = Client::new(&connection)?.preflight().await.map_err(|error| error.sent(credentials.as_deref()));
                Self::Remote { connection: Box::new(connection), credentials, answer }
            }
            Some(Uri::Workspace) => Self::Workspace,
            Some(Uri::AzureMl(_) | Uri::Databricks(_)) | None => Self::None,
        })
    }

    /// Returns the server's version, as far as it is known.
    pub fn version(&self) -> Option<&str> {
        match self {
            Self::None | Self::Workspace => None,
            Self::Managed { .. } => Some(managed::VERSION),
            Self::Remote { answer, .. } => answer.as_ref().ok()?.as_deref(),
        }
    }

    /// Returns which MLflow the environment needs.
    pub(super) fn client(&self) -> Mlflow {
        match self {
            Self::None => Mlflow::None,
            _ => Mlflow::Client { server: self.version().map(str::to_owned) },
        }
    }

    /// Returns why it cannot be used, and no longer keeps it.
    pub fn take_problem(&mut self) -> Option<tracking::Error> {
        let Self::Remote { answer, .. } = self else { return None };
        if answer.is_ok() {
            return None;
        }
        std::mem::replace(answer, Ok(None)).err()
    }

    /// Warns of an MLflow client that is newer than the server: what it asks, the server may not know.
    pub(super) fn skew(&self, lock: Option<&str>, spec: &Spec) -> Option<String> {
        let server = self.version()?;
        let listed = match &spec.packages {
            PackageSource::Pip(lines) => lines.join("\n"),
            _ => String::new(),
        };
        let client = pinned(lock.unwrap_or(&listed))?;
        (numbers(&client) > numbers(server))
            .then(|| format!("the environment's MLflow {client} is newer than the tracker's {server}, which may not know all that it asks"))
    }
}

/// Says where credentials come from, without saying them.
fn credentials(chosen: Chosen<'_>) -> Option<String> {
    match chosen {
        Chosen::Nothing => None,
        Chosen::Settings(entry) => Some(format!("{chosen} ({}:{})", entry.file.display(), entry.line)),
        Chosen::Address | Chosen::Variable(_) => Some(chosen.to_string()),
    }
}

/// Returns the version of MLflow's client that a list of packages pins.
fn pinned(lines: &str) -> Option<String> {
    let version = |line: &str| {
        let (name, version) = line.split_once("==")?;
        matches!(name.trim(), "mlflow" | "mlflow-skinny").then(|| version.split([' ', ';', '\\']).next().unwrap_or(version).to_owned())
    };
    lines.lines().find_map(version)
}

/// Returns major and minor: patches speak the same protocol.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_in_a_lock_and_compared_by_major_and_minor() {
        assert_eq!(pinned("numpy==2.0\nmlflow-skinny==3.17.2 ; python_version > '3'\n"), Some("3.17.2".to_owned()));
        assert_eq!(pinned("mlflow-tracing==3.17.2\nmlflow>=3\n"), None);
        assert!(numbers("3.17.2") > numbers("2.22.0"));
        assert!(numbers("3.17.2") == numbers("3.17.0"));
    }
}
