//! What stands in an attempt's folder about its container, for whoever comes after a supervisor that died.
//!
//! ```text
//! engine.json   which engine
//! container     the container's id, from its creation until it is removed; of each node in its own folder
//! network       the id of the private network of the nodes, likewise
//! watched       its presence says that this store has not made the containers; which one has
//! way           how the job reaches the relay, which it is told once
//! links         the names of the containers that lead there, if any
//! uncollected   its presence says that what the job left is only in its container, which stays therefore
//! ```

use std::path::Path;

use super::route::Way;
use crate::engine::Endpoint;
use crate::job::attempt::Attempt;
use crate::support::fs::{self, Context};
use crate::support::platform;
use crate::target::Error;

/// Writes down which engine runs the attempt.
pub(super) fn choose(attempt: &Attempt, endpoint: &Endpoint) -> Result<(), Error> {
    let text = serde_json::to_vec(endpoint).expect("plain data of ours always serialises");
    Ok(fs::write_private(attempt.path("engine.json"), &text)?)
}

/// Returns which engine runs the attempt.
pub(super) fn endpoint(attempt: &Attempt) -> Result<Endpoint, Error> {
    let path = attempt.path("engine.json");
    let text = fs::read(&path)?;
    let source = |source| Error::Job(crate::job::Error::Record { path: path.clone(), source });
    serde_json::from_slice(&text).map_err(source)
}

/// Remembers the container.
pub(super) fn remember(attempt: &Attempt, id: &str) -> Result<(), Error> {
    Ok(fs::write_private(attempt.path("container"), id.as_bytes())?)
}

/// Returns the container's id, while there is one.
pub(super) fn container(attempt: &Attempt) -> Option<String> {
    std::fs::read_to_string(attempt.path("container")).ok().filter(|id| !id.is_empty())
}

/// Forgets the container, which is gone.
pub(super) fn forget(attempt: &Attempt) {
    let _ = fs::remove_file(attempt.path("container"));
}

/// Remembers the private network of the nodes.
pub(super) fn remember_network(attempt: &Attempt, id: &str) -> Result<(), Error> {
    Ok(fs::write_private(attempt.path("network"), id.as_bytes())?)
}

/// Returns the id of the private network, while there is one.
pub(super) fn network(attempt: &Attempt) -> Option<String> {
    std::fs::read_to_string(attempt.path("network")).ok().filter(|id| !id.is_empty())
}

/// Forgets the network, which is gone.
pub(super) fn forget_network(attempt: &Attempt) {
    let _ = fs::remove_file(attempt.path("network"));
}

/// Says whose the containers are: a store of another place, or an earlier one at this place.
pub(super) fn watch_only(attempt: &Attempt, place: &str) -> Result<(), Error> {
    Ok(fs::write_private(attempt.path("watched"), place.as_bytes())?)
}

/// Returns where this store is. Homes of several machines are at the same path often.
pub(super) fn own_place(attempt: &Attempt) -> String {
    format!("{}:{}", platform::host_name(), owner(attempt))
}

/// Returns whether the containers were made by somebody else, and are only watched over.
pub(super) fn is_watched_only(attempt: &Attempt) -> bool {
    attempt.path("watched").exists()
}

/// Returns whether the containers are another store's, which removes them.
pub(super) fn is_another_stores(attempt: &Attempt) -> bool {
    std::fs::read_to_string(attempt.path("watched")).is_ok_and(|place| place != own_place(attempt))
}

/// Writes down how the job reaches the relay.
pub(super) fn remember_way(attempt: &Attempt, way: &Way) -> Result<(), Error> {
    let text = serde_json::to_vec(way).expect("plain data of ours always serialises");
    Ok(fs::write_private(attempt.path("way"), &text)?)
}

/// Returns how the job reaches the relay, once it was told.
pub(super) fn way(attempt: &Attempt) -> Option<Way> {
    serde_json::from_slice(&std::fs::read(attempt.path("way")).ok()?).ok()
}

/// Remembers a container that leads to the relay, by its name.
pub(super) fn remember_link(attempt: &Attempt, name: &str) -> Result<(), Error> {
    let mut names = links(attempt);
    if names.iter().all(|known| known != name) {
        names.push(name.to_owned());
    }
    Ok(fs::write_private(attempt.path("links"), names.join("\n").as_bytes())?)
}

/// Returns the names of the containers that lead to the relay.
pub(super) fn links(attempt: &Attempt) -> Vec<String> {
    let text = std::fs::read_to_string(attempt.path("links")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Forgets these containers, which are gone.
pub(super) fn forget_links(attempt: &Attempt) {
    let _ = fs::remove_file(attempt.path("links"));
}

/// Returns whether the container stays.
pub(super) fn is_kept(attempt: &Attempt) -> bool {
    attempt.is_kept() || attempt.path("uncollected").exists()
}

/// Says in the supervisor's own log what nobody else hears of.
pub(super) fn say(attempt: &Attempt, text: &str) {
    use std::io::Write;
    if let Ok(mut log) = fs::append(attempt.path("supervisor.log")) {
        let _ = writeln!(log, "{text}");
    }
}

/// Says it, and keeps the container for it.
pub(super) fn note(attempt: &Attempt, text: &str) {
    say(attempt, text);
    let _ = std::fs::write(attempt.path("uncollected"), b"").context("write", attempt.path("uncollected"));
}

/// Returns what tells our containers from those of others on the same engine: the data folder.
pub(super) fn owner(attempt: &Attempt) -> String {
    // `<data>/jobs/<id>/attempt-<n>`
    attempt.folder().ancestors().nth(3).unwrap_or(Path::new("/")).display().to_string()
}
