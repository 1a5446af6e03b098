//! Reads what an error of the client or the engine means. The only file that knows their words.

use std::error::Error as _;
use std::io;

use bollard::errors::Error as Client;

use super::endpoint::Endpoint;
use super::error::{Error, Object, PullFailure, Refusal, Said};
use crate::support::causes::chain;

/// An error before the first answer.
pub(super) fn connect(endpoint: &Endpoint, error: Client) -> Error {
    if let Some(io) = io_error(&error) {
        return connection(endpoint, io);
    }
    match error {
        Client::RequestTimeoutError => unreachable(endpoint, "it does not answer in time".to_owned()),
        Client::SocketNotFoundError(_) => unreachable(endpoint, "there is no such socket".to_owned()),
        error => unreachable(endpoint, words(&error)),
    }
}

/// There is no way to the engine, for a reason of which only the words are known.
pub(super) fn unreachable(endpoint: &Endpoint, words: String) -> Error {
    Error::Unreachable { endpoint: Box::new(endpoint.clone()), source: Said(words) }
}

pub(super) fn connection(endpoint: &Endpoint, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Error::Denied { endpoint: Box::new(endpoint.clone()) },
        _ => unreachable(endpoint, error.to_string()),
    }
}

/// An error of an act.
pub(super) fn act(endpoint: &Endpoint, act: String, error: Client) -> Error {
    match error {
        Client::DockerResponseServerError { status_code, message } => refused(act, status_code, &message),
        Client::DockerStreamError { error } => refused(act, 500, &error),
        Client::RequestTimeoutError => Error::TimedOut { act },
        Client::JsonDataError { message, .. } => Error::Unreadable { act, source: Said(message) },
        Client::JsonSerdeError { err } => Error::Unreadable { act, source: Said(err.to_string()) },
        error => match &error {
            Client::HyperLegacyError { err } if err.is_connect() => match io_error(&error) {
                Some(io) => connection(endpoint, io),
                None => unreachable(endpoint, innermost(&error)),
            },
            _ => Error::Lost { act, source: Said(innermost(&error)) },
        },
    }
}

/// Returns what the engine's status and words say.
pub(super) fn refused(act: String, status: u16, message: &str) -> Error {
    let message = message.trim().to_owned();
    if is_disk_full(&message) {
        return Error::DiskFull { act, source: Said(message) };
    }
    match status {
        404 => match missing(&message) {
            Some((object, name)) => Error::Missing { object, name },
            None => Error::Refused { act, why: refusal(&message), own_fault: false, source: Said(message) },
        },
        409 => Error::Conflict { act, source: Said(message) },
        _ => Error::Refused { act, why: refusal(&message), own_fault: status >= 500, source: Said(message) },
    }
}

fn is_disk_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Reads `No such container: x`, `network x not found`, `get x: no such volume` and their like.
fn missing(message: &str) -> Option<(Object, String)> {
    // Podman puts its own reason behind the name.
    let message = message.trim_end_matches(": image not known").trim_end_matches(": network not found");
    let lower = message.to_ascii_lowercase();
    let after = |mark: &str| lower.find(mark).map(|at| message[at + mark.len()..].trim().to_owned());
    if let Some(name) = after("no such container:") {
        return Some((Object::Container, name));
    }
    // Podman: `no container with name or ID "x" found: no such container`.
    if lower.contains("no such container") {
        return Some((Object::Container, quoted(message).unwrap_or_default()));
    }
    if let Some(name) = after("no such image:") {
        return Some((Object::Image, name));
    }
    if let Some(name) = after("failed to find image ") {
        return Some((Object::Image, name.split(": ").next().unwrap_or_default().to_owned()));
    }
    if let Some(name) = after("no such volume:").or_else(|| after("no volume with name")) {
        return Some((Object::Volume, quoted(&name).unwrap_or(name)));
    }
    if lower.ends_with(": no such volume") {
        let name = message.split(": no such volume").next().unwrap_or(message);
        return Some((Object::Volume, name.trim_start_matches("get ").trim().to_owned()));
    }
    if let Some(name) = after("unable to find network with name or id") {
        return Some((Object::Network, name));
    }
    if let Some(rest) = lower.find("network ").map(|at| &message[at + "network ".len()..])
        && let Some(name) = rest.strip_suffix(" not found")
    {
        return Some((Object::Network, name.to_owned()));
    }
    if let Some(name) = after("could not find the file") {
        let name = name.rsplit_once(" in container").map_or(name.as_str(), |(name, _)| name);
        return Some((Object::File, name.to_owned()));
    }
    None
}

fn quoted(message: &str) -> Option<String> {
    message.split('"').nth(1).map(str::to_owned)
}

fn refusal(message: &str) -> Refusal {
    let lower = message.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if any(&["port is already allocated", "address already in use", "ports are not available", "cannot assign requested address"]) {
        Refusal::Port
    } else if any(&["could not select device driver", "nvidia-container-cli", "unresolvable cdi devices", "cdi device injection failed"]) {
        Refusal::Gpus
    } else if any(&["range of cpus"]) {
        Refusal::Cpus
    } else if any(&["minimum memory limit", "memory limit should be", "minimum memoryswap"]) {
        Refusal::Memory
    } else if any(&[
        "invalid mount config",
        "bind source path does not exist",
        "invalid volume specification",
        "error mounting",
        "mount denied",
    ]) {
        Refusal::Mount
    } else if any(&["unable to find user", "unable to find group", "no matching entries in passwd file"]) {
        Refusal::User
    } else if any(&["exec format error", "does not match the specified platform", "image operating system"]) {
        Refusal::Platform
    } else if any(&["could not find an available, non-overlapping", "all predefined address pools have been fully subnetted"]) {
        Refusal::Addresses
    } else if any(&[
        "executable file not found",
        "no such file or directory: unknown",
        "permission denied: unknown",
        "no command specified",
    ]) {
        Refusal::Program
    } else {
        Refusal::Other
    }
}

/// Returns why an image did not come.
pub(super) fn pull_failure(message: &str) -> PullFailure {
    let lower = message.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if any(&["toomanyrequests", "rate limit"]) {
        PullFailure::Limited
    } else if any(&["no matching manifest", "does not match the specified platform"]) {
        PullFailure::Platform
    } else if any(&["unauthorized", "no basic auth credentials", "authentication required", "incorrect username or password"]) {
        PullFailure::Denied
    } else if any(&["manifest unknown", "not found", "repository does not exist", "name unknown", "pull access denied", "name invalid"]) {
        PullFailure::Unknown
    } else if any(&["denied", "forbidden"]) {
        PullFailure::Denied
    } else if any(&[
        "dial tcp",
        "no such host",
        "timeout",
        "deadline exceeded",
        "connection refused",
        "connection reset",
        "x509",
        "tls",
        "eof",
        "http response to https",
    ]) {
        PullFailure::Unreachable
    } else {
        PullFailure::Other
    }
}

/// Returns the words of an error of the client, for causes that only have a text.
pub(super) fn words(error: &Client) -> String {
    match error {
        Client::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Client::DockerStreamError { error } => error.trim().to_owned(),
        error => innermost(error),
    }
}

fn io_error(error: &Client) -> Option<&io::Error> {
    chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).last()
}

/// Returns the words of the innermost cause: those around it repeat it.
fn innermost(error: &Client) -> String {
    chain(error.source().unwrap_or(error)).last().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_read_from_the_words_of_docker_and_podman() {
        use Object::{Container, File, Image, Network, Volume};
        for (said, expected) in [
            ("No such container: job-1", Some((Container, "job-1"))),
            (r#"no container with name or ID "job-1" found: no such container"#, Some((Container, "job-1"))),
            ("No such image: team/base:1", Some((Image, "team/base:1"))),
            ("No such image: docker.io/team/base:1: image not known", Some((Image, "docker.io/team/base:1"))),
            ("failed to find image base:1: docker.io/library/base:1: image not known", Some((Image, "base:1"))),
            ("failed to find image base:1: docker.io/library/base:1: No such image", Some((Image, "base:1"))),
            ("network job-1 not found", Some((Network, "job-1"))),
            ("unable to find network with name or ID job-1: network not found", Some((Network, "job-1"))),
            ("get data: no such volume", Some((Volume, "data"))),
            ("Could not find the file /srv/x y in container job-1", Some((File, "/srv/x y"))),
            ("page not found", None),
        ] {
            let expected = expected.map(|(object, name)| (object, name.to_owned()));
            assert_eq!(missing(said), expected, "{said}");
        }
    }

    #[test]
    fn why_an_image_does_not_come_is_read_from_the_words() {
        for (said, expected) in [
            ("pull access denied for team/base, repository does not exist or may require 'docker login': denied", PullFailure::Unknown),
            ("manifest for 127.0.0.1:5000/team/base:2 not found: manifest unknown: manifest unknown", PullFailure::Unknown),
            (r#"Head "https://ghcr.io/v2/team/base/manifests/1": unauthorized"#, PullFailure::Denied),
            ("Head \"http://h/v2/x/manifests/1\": no basic auth credentials", PullFailure::Denied),
            ("denied: requested access to the resource is denied", PullFailure::Denied),
            ("toomanyrequests: You have reached your pull rate limit.", PullFailure::Limited),
            ("no matching manifest for linux/s390x in the manifest list entries", PullFailure::Platform),
            ("Get \"https://r/v2/\": dial tcp: lookup r: no such host", PullFailure::Unreachable),
            ("Get \"https://r/v2/\": x509: certificate signed by unknown authority", PullFailure::Unreachable),
            ("filesystem layer verification failed for digest sha256:0", PullFailure::Other),
        ] {
            assert_eq!(pull_failure(said), expected, "{said}");
        }
    }

    #[test]
    fn a_full_disk_is_told_whatever_the_status() {
        for status in [404, 409, 500] {
            let error = refused("copy".to_owned(), status, "write /data/x: no space left on device");
            assert!(matches!(error, Error::DiskFull { .. }), "{error:?}");
        }
        assert!(refused("start".to_owned(), 500, "something broke").is_transient());
        assert!(!refused("start".to_owned(), 400, "something is wrong").is_transient());
    }
}
