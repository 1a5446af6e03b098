//! Who we are to a registry: what `docker login` has kept, in Docker's own configuration or with the helpers that it names.

use docker_credential::DockerCredential;

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
}
