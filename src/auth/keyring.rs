//! Which host gets which credentials, as the user's own settings say it: names of places, and no secret.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::{AzureCli, AzureClient, AzureManagedIdentity, Credentials, DatabricksOAuth, Error};
use crate::support::secret::Secret;

/// Where credentials come from; secrets by the name of the variable that holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A token in a variable.
    TokenEnv(String),
    /// A token in a file.
    TokenFile(PathBuf),
    /// A user and a password in a variable.
    Basic {
        /// The user.
        username: String,
        /// The variable.
        password_env: String,
    },
    /// A program that prints a token.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// How long what it prints is good for.
        lifetime: Option<Duration>,
    },
    /// A service principal of Azure.
    AzureClient {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The variable.
        client_secret_env: String,
        /// The audience.
        resource: String,
    },
    /// The identity of an Azure machine.
    AzureManagedIdentity {
        /// Which of them.
        client_id: Option<String>,
        /// The audience.
        resource: String,
    },
    /// Whoever is logged in to the az CLI.
    AzureCli {
        /// The tenant.
        tenant_id: Option<String>,
        /// The audience.
        resource: String,
    },
    /// A service principal of Databricks.
    DatabricksOAuth {
        /// The workspace.
        host: String,
        /// The application.
        client_id: String,
        /// The variable.
        client_secret_env: String,
    },
}

impl Source {
    /// Returns the credentials, taking secrets from the variables that hold them. Nothing is asked and nothing runs.
    pub fn credentials(&self, environment: &BTreeMap<String, String>) -> Result<Credentials, Error> {
        let secret = |name: &String| {
            let value = environment.get(name).filter(|value| !value.is_empty());
            value.map(Secret::new).ok_or_else(|| Error::Unset(name.clone()))
        };
        Ok(match self.clone() {
            Self::TokenEnv(name) => Credentials::Token { token: secret(&name)? },
            Self::TokenFile(file) => Credentials::File { file },
            Self::Basic { username, password_env } => Credentials::Basic { user: username, password: secret(&password_env)? },
            Self::Command { command, lifetime } => Credentials::Command { command, lifetime },
            Self::AzureClient { tenant_id, client_id, client_secret_env, resource } => Credentials::AzureClient(AzureClient {
                tenant_id,
                client_id,
                client_secret: secret(&client_secret_env)?,
                resource,
                authority: "https://login.microsoftonline.com".to_owned(),
            }),
            Self::AzureManagedIdentity { client_id, resource } => Credentials::AzureManagedIdentity(AzureManagedIdentity {
                client_id,
                resource,
                endpoint: "http://169.254.169.254".to_owned(),
            }),
            Self::AzureCli { tenant_id, resource } => Credentials::AzureCli(AzureCli { resource, tenant_id }),
            Self::DatabricksOAuth { host, client_id, client_secret_env } => {
                Credentials::DatabricksOauth(DatabricksOAuth { host, client_id, client_secret: secret(&client_secret_env)? })
            }
        })
    }

    /// Returns the variable that holds the secret.
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::TokenEnv(name)
            | Self::Basic { password_env: name, .. }
            | Self::AzureClient { client_secret_env: name, .. }
            | Self::DatabricksOAuth { client_secret_env: name, .. } => Some(name),
            Self::TokenFile(_) | Self::Command { .. } | Self::AzureManagedIdentity { .. } | Self::AzureCli { .. } => None,
        }
    }
}

/// Shows the kind and where the secret is; of a command only the program.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenEnv(name) => write!(f, "the token in `{name}`"),
            Self::TokenFile(file) => write!(f, "the token in the file `{}`", file.display()),
            Self::Basic { username, password_env } => write!(f, "the user `{username}` with the password in `{password_env}`"),
            Self::Command { command, .. } => {
                write!(f, "the token that `{}` prints", command.first().map_or("", String::as_str))
            }
            Self::AzureClient { client_id, .. } => write!(f, "the Azure service principal `{client_id}`"),
            Self::AzureManagedIdentity { .. } => f.write_str("the managed identity of this Azure machine"),
            Self::AzureCli { .. } => f.write_str("whoever is logged in to the az CLI"),
            Self::DatabricksOAuth { client_id, .. } => write!(f, "the Databricks service principal `{client_id}`"),
        }
    }
}

/// The credentials of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The host.
    pub host: Url,
    /// Its credentials.
    pub source: Source,
    /// The settings file that says so.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
}

impl Entry {
    /// Returns whether an address is on this host: same scheme, same name, same port.
    pub fn is_for(&self, url: &Url) -> bool {
        self.host.origin() == url.origin()
    }
}

/// The credentials of all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring(Vec<Entry>);

impl Keyring {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self(entries)
    }

    /// Returns what goes to the host of an address.
    pub fn find(&self, url: &Url) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.is_for(url))
    }

    /// Returns the variables that hold secrets, for whoever starts processes that must not see them.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|entry| entry.source.variable())
    }
}
