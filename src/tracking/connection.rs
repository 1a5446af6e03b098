//! Where a tracker is and who we are to it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::auth::{self, Credentials, Entry, Keyring};
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

/// Which of several credentials go to an address, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// Those in the address itself.
    Address,
    /// Those of the environment, by the variable that holds the secret.
    Variable(&'static str),
    /// Those that the user's own settings name.
    Settings(&'a Entry),
    /// None.
    Nothing,
}

const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
const USERNAME: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";

impl<'a> Chosen<'a> {
    /// Returns which credentials go to an address.
    ///
    /// The rule of trust: credentials in the address itself go where they are written. Credentials of the environment
    /// (`MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` with `MLFLOW_TRACKING_PASSWORD`, which win as they do in MLflow's client) go only to
    /// the host that `MLFLOW_TRACKING_URI` of the same environment names, or to an address that the user typed as a flag: a run config
    /// from elsewhere cannot collect them by naming a host of its own. Those of the user's own settings go to the host that they name.
    pub fn new(url: &Url, typed: bool, environment: &BTreeMap<String, String>, keyring: &'a Keyring) -> Self {
        if !url.username().is_empty() {
            return Self::Address;
        }
        let get = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let named = get("MLFLOW_TRACKING_URI").and_then(|text| Url::parse(text).ok());
        let same =
            named.is_some_and(|named| named.host_str() == url.host_str() && named.port_or_known_default() == url.port_or_known_default());
        if typed || same {
            if get(USERNAME).is_some() && get(PASSWORD).is_some() {
                return Self::Variable(PASSWORD);
            }
            if get(TOKEN).is_some() {
                return Self::Variable(TOKEN);
            }
        }
        keyring.find(url).map_or(Self::Nothing, Self::Settings)
    }
}

/// Says where credentials come from, and nothing of what they are.
impl fmt::Display for Chosen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("the user and password in the address"),
            Self::Variable(name) => write!(f, "`{name}`"),
            Self::Settings(entry) => entry.source.fmt(f),
            Self::Nothing => f.write_str("none"),
        }
    }
}

impl Connection {
    /// Returns the connection to an address, with the credentials that are [`Chosen`] for it.
    ///
    /// Fails when the settings take a secret from a variable that is not set.
    pub fn new(url: &Url, typed: bool, environment: &BTreeMap<String, String>, keyring: &Keyring) -> Result<Self, auth::Error> {
        let get = |name: &str| environment.get(name).cloned().unwrap_or_default();
        let auth = match Chosen::new(url, typed, environment, keyring) {
            Chosen::Address => {
                Credentials::Basic { user: url.username().to_owned(), password: Secret::new(url.password().unwrap_or_default()) }
            }
            Chosen::Variable(TOKEN) => Credentials::Token { token: Secret::new(get(TOKEN)) },
            Chosen::Variable(_) => Credentials::Basic { user: get(USERNAME), password: Secret::new(get(PASSWORD)) },
            Chosen::Settings(entry) => entry.source.credentials(environment)?,
            Chosen::Nothing => Credentials::None,
        };
        Ok(Self { auth, ..Self::open(url) })
    }

    /// Returns the connection to an address without credentials.
    pub fn open(url: &Url) -> Self {
        Self { uri: redacted(url).as_str().trim_end_matches('/').to_owned(), auth: Credentials::None, managed: false }
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
    use std::path::Path;

    use super::*;
    use crate::support::yaml::{self, Context, Read};

    #[test]
    fn credentials_go_only_where_the_user_sent_them() {
        let environment: BTreeMap<String, String> = [("MLFLOW_TRACKING_URI", "https://ours:443"), ("MLFLOW_TRACKING_TOKEN", "t")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let has = |url: &str, typed| {
            let url = Url::parse(url).expect("a URL");
            let connection = Connection::new(&url, typed, &environment, &Keyring::default()).expect("nothing is missing");
            !matches!(connection.auth, Credentials::None)
        };
        assert!(has("https://ours/", false));
        assert!(!has("https://theirs/", false));
        assert!(!has("https://ours:8443/", false));
        assert!(has("https://theirs/", true));
        assert!(has("https://user:pw@theirs/", false));
    }

    #[test]
    fn the_address_is_stronger_than_the_environment_and_that_than_the_settings() {
        let context = Context::default();
        let text = "https://ours: {token_env: A}\nhttps://theirs: {token_env: B}\n";
        let root = yaml::parse(Path::new("sendoff.yaml"), text).0.expect("it is YAML");
        let sections = auth::Sections::read(&root, "credentials", &context).expect("it is a mapping");
        let keyring = auth::check(&sections, Path::new("/"), None, &context);
        let environment: BTreeMap<String, String> =
            [("MLFLOW_TRACKING_URI", "https://ours"), (TOKEN, "t")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let chosen = |url: &str| Chosen::new(&Url::parse(url).expect("a URL"), false, &environment, &keyring).to_string();
        assert_eq!(chosen("https://u:p@theirs"), "the user and password in the address");
        assert_eq!(chosen("https://ours/x"), "`MLFLOW_TRACKING_TOKEN`");
        assert_eq!(chosen("https://theirs"), "the token in `B`");
        assert_eq!(chosen("http://theirs"), "none");
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = Url::parse("https://user:hunter2@host/p").expect("a URL");
        let connection = Connection::new(&url, false, &BTreeMap::new(), &Keyring::default()).expect("nothing is missing");
        assert_eq!(connection.uri, "https://host/p");
        assert!(!format!("{connection:?}").contains("hunter2"));
    }
}
