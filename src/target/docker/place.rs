//! What is where in a job's container, and what the container and its labels are called.

use std::collections::BTreeMap;
use std::path::Path;

use super::owner;
use crate::job::{JobId, JobSpec, User};
use crate::support::platform;
use crate::target::config::DockerSpec;

/// The folder of the container that is ours.
pub const HOME: &str = "/sendoff";

/// The label that every object of ours has: the job.
pub const JOB: &str = "sendoff.job";
/// The label with the attempt.
pub const ATTEMPT: &str = "sendoff.attempt";
/// The label with the rank of a container among the nodes of its job.
pub const NODE: &str = "sendoff.node";
/// The label with the number of nodes.
pub const NODES: &str = "sendoff.nodes";
/// The label with the digest of the request.
pub const DIGEST: &str = "sendoff.digest";
/// The label of what is beside a job's own container, with what it is for.
pub const ROLE: &str = "sendoff.role";
/// What a second container is for that leads to the relay.
pub const LINK: &str = "link";
/// The label with the data folder of who submitted it, for those who share an engine.
pub const OWNER: &str = "sendoff.owner";
/// The label with the name of that folder's store, which no other has: see [`super::owner`].
pub const STORE: &str = "sendoff.store";

/// The labels with the parts of the request, for whoever has to say what differs.
pub const CONFIG: &str = "sendoff.config";
/// The snapshot's id.
pub const SNAPSHOT: &str = "sendoff.snapshot";
/// The environment's id.
pub const ENVIRONMENT: &str = "sendoff.environment";
/// The label with the machine that it was submitted from.
pub const MACHINE: &str = "sendoff.machine";
/// The label with the milliseconds that the job has to end after TERM.
pub const GRACE: &str = "sendoff.grace";

/// The label of a container that a shell was opened in, with the job; it has none of the job's own labels, so that it is never taken for it.
pub const SHELL: &str = "sendoff.shell";

/// Returns the name of what an attempt has one of: its container, or the network of its nodes.
pub fn name(id: &JobId, attempt: u32) -> String {
    if attempt == 1 { id.to_string() } else { format!("{id}-a{attempt}") }
}

/// Returns whether containers in a network do not find each other by name: in those that every engine has.
pub fn is_nameless(network: &str) -> bool {
    matches!(network, "bridge" | "default" | "host" | "none") || network.starts_with("container:")
}

/// Returns the names of an attempt's containers, in order of their ranks.
pub fn names(spec: &JobSpec) -> Vec<String> {
    let name = name(&spec.id, spec.attempt);
    if spec.nodes == 1 { vec![name] } else { (0..spec.nodes).map(|rank| format!("{name}-n{rank}")).collect() }
}

/// Returns the labels of what belongs to an attempt of whoever has this data folder.
pub fn labels(spec: &JobSpec, data: &str) -> BTreeMap<String, String> {
    let own = [
        (JOB, spec.id.to_string()),
        (ATTEMPT, spec.attempt.to_string()),
        (DIGEST, spec.digest.clone()),
        (CONFIG, spec.request.config.clone()),
        (SNAPSHOT, spec.snapshot.clone()),
        (ENVIRONMENT, spec.request.environment.clone()),
        (NODES, spec.nodes.to_string()),
        (GRACE, spec.grace.as_millis().to_string()),
    ];
    own.map(|(label, value)| (label.to_owned(), value)).into_iter().chain(owned(data)).collect()
}

/// Returns the labels that say whose something is.
pub fn owned(data: &str) -> BTreeMap<String, String> {
    let store = owner::known(Path::new(data)).map(|store| (STORE, store));
    [(OWNER, data.to_owned()), (MACHINE, platform::host_name())]
        .into_iter()
        .chain(store)
        .map(|(label, value)| (label.to_owned(), value))
        .collect()
}

/// Returns the user whose processes run in a container, so that their files are those of who submits; nobody that is anything on the
/// engine's machine when that is root.
pub fn user(asked: &DockerSpec) -> User {
    asked.user.unwrap_or_else(|| match platform::own_user() {
        (0, _) => User { uid: 1000, gid: 1000 },
        (uid, gid) => User { uid, gid },
    })
}
