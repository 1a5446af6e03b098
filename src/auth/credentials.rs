//! Where tokens come from, as plain data.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::azure::{AzureCli, AzureClient, AzureManagedIdentity};
use super::azure_identity::{AzureFederation, AzureIdentityEndpoint};
use super::azure_order::FirstOf;
use super::databricks::DatabricksOAuth;
use super::local::{FromCommand, FromFile};
use super::{Provider, Token};
use crate::support::secret::Secret;

/// How requests to a service are authenticated. Serialised over pipes and into 0600 files only.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(tag = "auth", rename_all = "snake_case")]
pub enum Credentials {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Bearer` with a token that does not change (a Databricks personal access token, say).
    Token {
        /// The token.
        token: Secret,
    },
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A program that prints a token.
    Command {
        /// The program and its arguments; no shell.
        command: Vec<String>,
        /// How long what it prints is good for; a JWT says so itself, else 5 minutes.
        lifetime: Option<Duration>,
    },
    /// A file that somebody else renews; it is read again when it changes, at the latest after 30 seconds.
    File {
        /// The file.
        file: PathBuf,
    },
    /// A service principal of Microsoft Entra ID (Azure AD), by client credentials.
    AzureClient(AzureClient),
    /// The managed identity of the Azure machine that this runs on.
    AzureManagedIdentity(AzureManagedIdentity),
    /// Whoever is logged in to the az CLI.
    AzureCli(AzureCli),
    /// An Azure application for which somebody else vouches.
    AzureFederation(AzureFederation),
    /// The endpoint of a managed identity beside this process.
    AzureIdentityEndpoint(AzureIdentityEndpoint),
    /// The first of several that gives a token.
    FirstOf {
        /// In the order in which they are asked.
        of: Vec<Credentials>,
    },
    /// A Databricks service principal, by OAuth (machine to machine).
    DatabricksOauth(DatabricksOAuth),
}

/// How a session gets its tokens.
pub(super) enum Source {
    /// Nothing is presented.
    Nothing,
    /// Always the same.
    Fixed(Token),
    /// Asked again and again.
    Renewed(Box<dyn Provider>),
}

impl Credentials {
    pub(super) fn source(&self, http: &reqwest::Client) -> Source {
        match self {
            Self::None => Source::Nothing,
            Self::Token { token } => Source::Fixed(Token::bearer(token.clone(), None)),
            Self::Basic { user, password } => Source::Fixed(Token::basic(user, password)),
            Self::Command { command, lifetime } => Source::Renewed(Box::new(FromCommand { command: command.clone(), lifetime: *lifetime })),
            Self::File { file } => Source::Renewed(Box::new(FromFile { file: file.clone() })),
            Self::AzureClient(own) => Source::Renewed(Box::new(own.clone().with(http))),
            Self::AzureManagedIdentity(own) => Source::Renewed(Box::new(own.clone().with(http))),
            Self::AzureCli(own) => Source::Renewed(Box::new(own.clone())),
            Self::AzureFederation(own) => Source::Renewed(Box::new(own.clone().with(http))),
            Self::AzureIdentityEndpoint(own) => Source::Renewed(Box::new(own.clone().with(http))),
            Self::FirstOf { of } => {
                let renewed = |one: &Self| match one.source(http) {
                    Source::Renewed(provider) => Some((one.clone(), provider)),
                    Source::Nothing | Source::Fixed(_) => None,
                };
                Source::Renewed(Box::new(FirstOf { of: of.iter().filter_map(renewed).collect() }))
            }
            Self::DatabricksOauth(own) => Source::Renewed(Box::new(own.clone().with(http))),
        }
    }
}
