//! Where a tracker is and who we are to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::auth::Credentials;
use crate::support::secret::{Secret, redacted};

/// A tracker and the credentials for it. Serialised over pipes only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connection {
    /// The address, without credentials and without a slash at its end.
    pub uri: String,
    /// Who we are.
    #[serde(flatten)]
    pub auth: Credentials,
    /// Whether it is the managed server of this machine.
    pub managed: bool,
}

impl Connection {
    /// Returns the connection to an address.
    ///
    /// The rule of trust: credentials in the address itself go where they are written. Credentials of the environment
    /// (`MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` with `MLFLOW_TRACKING_PASSWORD`, which win as they do in MLflow's client) go only to
    /// the host that `MLFLOW_TRACKING_URI` of the same environment names, or to an address that the user typed as a flag: a run config
    /// from elsewhere cannot collect them by naming a host of its own.
    pub fn new(url: &Url, typed: bool, environment: &BTreeMap<String, String>) -> Self {
        let uri = redacted(url).as_str().trim_end_matches('/').to_owned();
        if !url.username().is_empty() {
            let password = Secret::new(url.password().unwrap_or_default());
            return Self { uri, auth: Credentials::Basic { user: url.username().to_owned(), password }, managed: false };
        }
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let named = get("MLFLOW_TRACKING_URI").and_then(|text| Url::parse(text).ok());
        let same =
            named.is_some_and(|named| named.host_str() == url.host_str() && named.port_or_known_default() == url.port_or_known_default());
        let auth = if !typed && !same {
            Credentials::None
        } else if let (Some(user), Some(password)) = (get("MLFLOW_TRACKING_USERNAME"), get("MLFLOW_TRACKING_PASSWORD")) {
            Credentials::Basic { user: user.clone(), password: Secret::new(password) }
        } else if let Some(token) = get("MLFLOW_TRACKING_TOKEN") {
            Credentials::Token { token: Secret::new(token) }
        } else {
            Credentials::None
        };
        Self { uri, auth, managed: false }
    }

    /// Returns the connection to the managed server.
    pub fn managed(uri: String) -> Self {
        Self { uri, auth: Credentials::None, managed: true }
    }

    /// Returns where a browser sees an MLflow run (MLflow's own routes; without `workflowType` 3.18 opens in its GenAI mode).
    pub fn run_url(&self, experiment_id: &str, run_id: &str) -> String {
        format!("{}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning", self.uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_only_where_the_user_sent_them() {
        let environment: BTreeMap<String, String> = [("MLFLOW_TRACKING_URI", "https://ours:443"), ("MLFLOW_TRACKING_TOKEN", "t")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let has =
            |url: &str, typed| !matches!(Connection::new(&Url::parse(url).expect("a URL"), typed, &environment).auth, Credentials::None);
        assert!(has("https://ours/", false));
        assert!(!has("https://theirs/", false));
        assert!(!has("https://ours:8443/", false));
        assert!(has("https://theirs/", true));
        assert!(has("https://user:pw@theirs/", false));
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = Url::parse("https://user:hunter2@host/p").expect("a URL");
        let connection = Connection::new(&url, false, &BTreeMap::new());
        assert_eq!(connection.uri, "https://host/p");
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
