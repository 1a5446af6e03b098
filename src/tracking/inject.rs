//! The variables that attach a job's MLflow client to its MLflow run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Attach, Connection};
use crate::auth::Credentials;
use crate::support::secret::Secret;

/// How the job reaches its tracker.
#[derive(Debug, Clone, Copy)]
pub enum Via<'a> {
    /// Through a relay, whose address and token are known once it runs: see [`through_relay`].
    Relay {
        /// How long the relay may hold a request; the client waits longer.
        outage: Duration,
    },
    /// By itself, with the tracker's own credentials.
    Direct(&'a Connection),
}

/// What is injected.
#[derive(Debug, Clone, Copy)]
pub struct Injection<'a> {
    /// How the job reaches its tracker.
    pub via: Via<'a>,
    /// The MLflow run.
    pub run_id: &'a str,
    /// Its experiment's id.
    pub experiment_id: &'a str,
    /// How the script is attached; `Auto` counts as `Run`.
    pub attach: Attach,
    /// Tags for MLflow runs that the script itself opens.
    pub context: &'a [(String, String)],
}

/// The variables of a job.
#[derive(Debug, Clone, Default)]
pub struct Injected {
    /// What may be seen.
    pub plain: Vec<(String, String)>,
    /// What may not.
    pub secret: BTreeMap<String, Secret>,
}

/// The variables that attach a process to a job's MLflow run; without the others, which are secret, they lead nowhere.
pub const ATTACHING: [&str; 5] =
    ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "MLFLOW_RUN_CONTEXT", "MLFLOW_EXPERIMENT_ID"];

/// Returns the variables. The experiment goes by its id alone: MLflow's handling of the name is racy, and both together must agree.
pub fn inject(injection: &Injection<'_>) -> Injected {
    let mut context: serde_json::Map<String, serde_json::Value> =
        injection.context.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    context.insert("mlflow.parentRunId".to_owned(), injection.run_id.into());
    let mut plain = vec![
        ("MLFLOW_EXPERIMENT_ID".to_owned(), injection.experiment_id.to_owned()),
        ("MLFLOW_RUN_CONTEXT".to_owned(), serde_json::Value::Object(context).to_string()),
        ("MLFLOW_DISABLE_TELEMETRY".to_owned(), "true".to_owned()),
        ("GIT_PYTHON_REFRESH".to_owned(), "quiet".to_owned()),
    ];
    if injection.attach != Attach::Parent {
        plain.push(("MLFLOW_RUN_ID".to_owned(), injection.run_id.to_owned()));
    }
    let mut secret = BTreeMap::new();
    match injection.via {
        Via::Relay { outage } => {
            // The relay holds what only the tracker can answer; a client that gave up earlier would end the training.
            let seconds = (outage + Duration::from_mins(10)).as_secs();
            plain.push(("MLFLOW_HTTP_REQUEST_TIMEOUT".to_owned(), seconds.to_string()));
            // It would print the relay's address, which leads nowhere once the job has ended; we print the tracker's.
            plain.push(("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT".to_owned(), "true".to_owned()));
        }
        Via::Direct(connection) => {
            plain.insert(0, ("MLFLOW_TRACKING_URI".to_owned(), connection.uri.clone()));
            match &connection.auth {
                Credentials::Token { token } => drop(secret.insert("MLFLOW_TRACKING_TOKEN".to_owned(), token.clone())),
                Credentials::Basic { user, password } => {
                    secret.insert("MLFLOW_TRACKING_USERNAME".to_owned(), Secret::new(user.clone()));
                    secret.insert("MLFLOW_TRACKING_PASSWORD".to_owned(), password.clone());
                }
                // The others renew themselves, which a variable cannot: they need the relay.
                _ => {}
            }
        }
    }
    Injected { plain, secret }
}

/// Returns the variables by which a job's client finds its relay, given the job's other variables.
///
/// The token goes as Bearer and as Basic password: MLflow's client prefers Basic, and with it in the environment a file
/// `~/.mlflow/credentials` is not read.
pub fn through_relay(uri: &str, token: &Secret, variables: &[(String, String)]) -> BTreeMap<String, Secret> {
    let host = url::Url::parse(uri).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let mut own = BTreeMap::from([
        ("MLFLOW_TRACKING_URI".to_owned(), Secret::new(uri)),
        ("MLFLOW_REGISTRY_URI".to_owned(), Secret::new(uri)),
        ("MLFLOW_TRACKING_TOKEN".to_owned(), token.clone()),
        ("MLFLOW_TRACKING_USERNAME".to_owned(), Secret::new("sendoff")),
        ("MLFLOW_TRACKING_PASSWORD".to_owned(), token.clone()),
    ]);
    // A proxy of the job's network is not the way to a relay beside the job. Programs differ in which spelling they read.
    for name in ["NO_PROXY", "no_proxy"] {
        let before = variables.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = match before.filter(|value| !value.is_empty()) {
            None => host.clone(),
            Some(value) if value.split(',').any(|name| name.trim() == host) => value.to_owned(),
            Some(value) => format!("{value},{host}"),
        };
        own.insert(name.to_owned(), Secret::new(value));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(attach: Attach, via: Via<'_>) -> Vec<String> {
        let injected = inject(&Injection { via, run_id: "r", experiment_id: "1", attach, context: &[] });
        assert!(!format!("{injected:?}").contains("s3cret"));
        injected.plain.into_iter().map(|(name, _)| name).chain(injected.secret.into_keys()).collect()
    }

    #[test]
    fn the_run_id_is_injected_unless_the_script_makes_its_own() {
        let via = Via::Relay { outage: Duration::from_hours(24) };
        assert!(names(Attach::Run, via).contains(&"MLFLOW_RUN_ID".to_owned()));
        assert!(!names(Attach::Parent, via).contains(&"MLFLOW_RUN_ID".to_owned()));
    }

    #[test]
    fn the_trackers_credentials_reach_a_job_only_without_a_relay() {
        let connection = Connection { uri: "http://t".into(), auth: Credentials::Token { token: Secret::new("s3cret") }, managed: false };
        assert!(names(Attach::Run, Via::Direct(&connection)).contains(&"MLFLOW_TRACKING_TOKEN".to_owned()));
        let relayed = names(Attach::Run, Via::Relay { outage: Duration::from_hours(1) });
        assert!(!relayed.iter().any(|name| name.contains("TOKEN") || name.contains("URI")), "{relayed:?}");
    }

    #[test]
    fn a_relay_is_reached_without_the_jobs_proxy() {
        let variables = [("NO_PROXY".to_owned(), "example.org".to_owned())];
        let own = through_relay("http://127.0.0.1:4000", &Secret::new("t"), &variables);
        assert_eq!((own["NO_PROXY"].expose(), own["no_proxy"].expose()), ("example.org,127.0.0.1", "127.0.0.1"));
        assert_eq!(own["MLFLOW_TRACKING_URI"].expose(), "http://127.0.0.1:4000");
    }
}
