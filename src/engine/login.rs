//! Who we are to a registry: what `docker login` has kept, in Docker's own configuration or with the helpers that it names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use docker_credential::DockerCredential;
use serde::Deserialize;

use super::Credentials;
use crate::support::secret::Secret;

/// What Docker's configuration calls the registry of names without a host.
const DEFAULT: &str = "https://index.docker.io/v1/";

/// Returns the credentials for the registry of an image; none for nobody. May start a helper program, so it blocks.
pub fn for_image(reference: &str) -> Option<Credentials> {
    for_registry(registry(reference))
}

/// Returns the credentials for a registry, by its host. May start a helper program, so it blocks.
pub fn for_registry(host: &str) -> Option<Credentials> {
    let server = if matches!(host, "registry-1.docker.io" | "docker.io" | "index.docker.io") { DEFAULT } else { host };
    // What cannot be read is as good as not there: the registry's answer says what is missing.
    match docker_credential::get_credential(server).ok()? {
        DockerCredential::UsernamePassword(name, password) => Some(Credentials::User { name, password: Secret::new(password) }),
        DockerCredential::IdentityToken(token) => Some(Credentials::IdentityToken(Secret::new(token))),
    }
}

/// Where a login comes from, as far as it can be told without asking for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// Nothing is kept.
    Nobody,
    /// A file has it.
    Kept {
        /// The user; `None` for a token.
        user: Option<String>,
        /// The file.
        file: PathBuf,
    },
    /// A helper program is asked for it.
    Helper(String),
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("without a login"),
            Self::Kept { user: Some(user), file } => write!(f, "as `{user}` (`{}`)", file.display()),
            Self::Kept { user: None, file } => write!(f, "with the token in `{}`", file.display()),
            Self::Helper(name) => write!(f, "with what the helper `docker-credential-{name}` knows"),
        }
    }
}

/// What Docker's configuration says of logins.
#[derive(Default, Deserialize)]
struct Configuration {
    #[serde(default, rename = "auths")]
    kept: BTreeMap<String, Kept>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Kept {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
}

impl Login {
    /// Reads where the login for the registry of an image comes from, in the order that [`for_image`] keeps; starts nothing.
    pub fn known(reference: &str, variables: &BTreeMap<String, String>) -> Self {
        let folder = match (variables.get("DOCKER_CONFIG"), variables.get("HOME")) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, Some(home)) => Path::new(home).join(".docker"),
            (None, None) => return Self::Nobody,
        };
        let file = folder.join("config.json");
        let text = std::fs::read(&file).unwrap_or_default();
        let configuration: Configuration = serde_json::from_slice(&text).unwrap_or_default();
        Self::of(&configuration, registry(reference), file)
    }

    fn of(configuration: &Configuration, host: &str, file: PathBuf) -> Self {
        let helper = configuration.helpers.get(host).or(configuration.store.as_ref()).filter(|name| !name.is_empty());
        if let Some(helper) = helper {
            return Self::Helper(helper.clone());
        }
        let same = |name: &str| name == host || name.trim_start_matches("https://").trim_start_matches("http://") == host;
        let Some((_, kept)) = configuration.kept.iter().find(|(name, _)| same(name)) else { return Self::Nobody };
        if kept.identitytoken.is_some() {
            return Self::Kept { user: None, file };
        }
        let decoded = kept.auth.as_ref().and_then(|auth| BASE64_STANDARD.decode(auth).ok());
        let user = decoded.and_then(|bytes| Some(String::from_utf8(bytes).ok()?.split_once(':')?.0.to_owned()));
        user.map_or(Self::Nobody, |user| Self::Kept { user: Some(user), file })
    }
}

/// Returns the host in front of a reference, if there is one: it has a dot or a port, or is `localhost`.
pub(super) fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_stands_in_front_of_a_name_or_is_the_public_one() {
        for (reference, expected) in [
            ("python:3.11-slim", DEFAULT),
            ("team/image", DEFAULT),
            ("localhost/image", "localhost"),
            ("registry.test/team/image:1", "registry.test"),
            ("registry:5000/image@sha256:01", "registry:5000"),
        ] {
            assert_eq!(registry(reference), expected, "{reference}");
        }
    }

    #[test]
    fn who_would_log_in_is_told_without_the_secret() {
        let told = |text: &str| {
            let configuration: Configuration = serde_json::from_str(text).expect("JSON");
            Login::of(&configuration, "registry.test", PathBuf::from("config.json")).to_string()
        };
        for (text, expected) in [
            ("{}", "without a login"),
            (r#"{"auths": {"registry.test": {}}}"#, "without a login"),
            (r#"{"auths": {"other.test": {"auth": "bWU6cHc="}}}"#, "without a login"),
            (r#"{"auths": {"registry.test": {"auth": "bWU6cHc="}}}"#, "as `me` (`config.json`)"),
            (r#"{"auths": {"https://registry.test": {"identitytoken": "x"}}}"#, "with the token in `config.json`"),
            (r#"{"credsStore": "desktop"}"#, "with what the helper `docker-credential-desktop` knows"),
            (r#"{"credsStore": "desktop", "credHelpers": {"registry.test": "own"}}"#, "with what the helper `docker-credential-own` knows"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
