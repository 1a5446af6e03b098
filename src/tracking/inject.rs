//! The variables that attach a job's MLflow client to its MLflow run.

use std::collections::BTreeMap;

use super::{Attach, Auth, Connection};
use crate::support::secret::Secret;

/// What is injected.
#[derive(Debug, Clone, Copy)]
pub struct Injection<'a> {
    /// The connection as the job sees it.
    pub connection: &'a Connection,
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

/// Returns the variables. The experiment goes by its id alone: MLflow's handling of the name is racy, and both together must agree.
pub fn inject(injection: &Injection<'_>) -> Injected {
    let mut context: serde_json::Map<String, serde_json::Value> =
        injection.context.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    context.insert("mlflow.parentRunId".to_owned(), injection.run_id.into());
    let mut plain = vec![
        ("MLFLOW_TRACKING_URI".to_owned(), injection.connection.uri.clone()),
        ("MLFLOW_EXPERIMENT_ID".to_owned(), injection.experiment_id.to_owned()),
        ("MLFLOW_RUN_CONTEXT".to_owned(), serde_json::Value::Object(context).to_string()),
        ("MLFLOW_DISABLE_TELEMETRY".to_owned(), "true".to_owned()),
        ("GIT_PYTHON_REFRESH".to_owned(), "quiet".to_owned()),
    ];
    if injection.attach != Attach::Parent {
        plain.push(("MLFLOW_RUN_ID".to_owned(), injection.run_id.to_owned()));
    }
    let mut secret = BTreeMap::new();
    match &injection.connection.auth {
        Auth::None => {}
        Auth::Token { token } => drop(secret.insert("MLFLOW_TRACKING_TOKEN".to_owned(), token.clone())),
        Auth::Basic { user, password } => {
            secret.insert("MLFLOW_TRACKING_USERNAME".to_owned(), Secret::new(user.clone()));
            secret.insert("MLFLOW_TRACKING_PASSWORD".to_owned(), password.clone());
        }
    }
    Injected { plain, secret }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_id_is_injected_unless_the_script_makes_its_own() {
        let connection = Connection { uri: "http://t".into(), auth: Auth::Token { token: Secret::new("s3cret") }, managed: false };
        let names = |attach| {
            let injected = inject(&Injection { connection: &connection, run_id: "r", experiment_id: "1", attach, context: &[] });
            assert!(!format!("{injected:?}").contains("s3cret"));
            injected.plain.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert!(names(Attach::Run).contains(&"MLFLOW_RUN_ID".to_owned()));
        assert!(!names(Attach::Parent).contains(&"MLFLOW_RUN_ID".to_owned()));
    }
}
