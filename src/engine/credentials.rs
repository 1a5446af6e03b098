//! Who we are to a registry.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE;
use bollard::auth::DockerCredentials;

use crate::support::secret::Secret;

/// Who we are to a registry.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A user.
    User {
        /// The name.
        name: String,
        /// The password or token.
        password: Secret,
    },
    /// A token that the registry gave for a login.
    IdentityToken(Secret),
}

impl Credentials {
    /// Returns what the classic builder is told of registries: for each host who we are, in the alphabet that engines read.
    pub(super) fn of_registries(known: &BTreeMap<String, Self>) -> String {
        let all: BTreeMap<&str, DockerCredentials> = known.iter().map(|(host, login)| (host.as_str(), login.header())).collect();
        BASE64_URL_SAFE.encode(serde_json::to_vec(&all).expect("plain data always serialises"))
    }

    pub(super) fn header(&self) -> DockerCredentials {
        match self {
            Self::User { name, password } => DockerCredentials {
                username: Some(name.clone()),
                password: Some(password.expose().to_owned()),
                ..DockerCredentials::default()
            },
            Self::IdentityToken(token) => {
                DockerCredentials { identitytoken: Some(token.expose().to_owned()), ..DockerCredentials::default() }
            }
        }
    }
}
