//! Who we are to a registry.

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
