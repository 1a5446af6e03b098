//! The nodes of a job: one container each, and a private network in which they find each other by name.

use crate::engine::{self, Container, Engine};
use crate::job::JobSpec;
use crate::job::attempt::Attempt;
use crate::target::Error;
use crate::target::supervised::Job;

use super::create::of;
use super::{marks, place};

/// A node of a job. A job that asks for no nodes has one.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its rank, from 0.
    pub(super) rank: u32,
    /// What its container is called.
    pub(super) name: String,
    /// Its own folder: log, outputs, what stands there about its container.
    pub(super) folder: Attempt,
}

/// A node whose container has been made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// The node.
    pub(super) node: Node,
    /// The container's id.
    pub(super) id: String,
}

/// Returns the nodes of an attempt, in order of their ranks.
pub(super) fn all(attempt: &Attempt, spec: &JobSpec) -> Vec<Node> {
    let names = place::names(spec).into_iter();
    (0..).zip(names).map(|(rank, name)| Node { rank, name, folder: attempt.node(rank) }).collect()
}

/// Returns the containers that have been made and not been removed.
pub(super) fn made(attempt: &Attempt, spec: &JobSpec) -> Vec<Made> {
    let made = |node: Node| marks::container(&node.folder).map(|id| Made { node, id });
    all(attempt, spec).into_iter().filter_map(made).collect()
}

/// Returns what the engine knows of each of the containers.
pub(super) async fn inspect(engine: &Engine, made: &[Made]) -> Result<Vec<Option<Container>>, Error> {
    let found = futures_util::future::join_all(made.iter().map(|made| engine.inspect(&made.id))).await;
    Ok(found.into_iter().collect::<Result<_, _>>()?)
}

/// Returns the network that the job's containers join: the user's, or the one of the nodes; `None` is the engine's default.
pub(super) fn network(spec: &JobSpec) -> Option<String> {
    of(spec).options.network.clone().or_else(|| own_network(spec))
}

fn own_network(spec: &JobSpec) -> Option<String> {
    (spec.nodes > 1 && of(spec).options.network.is_none()).then(|| place::name(&spec.id, spec.attempt))
}

/// Makes the private network of a job with nodes, unless an earlier supervisor of this attempt has made it.
pub(super) async fn make_network(engine: &Engine, job: &Job<'_>) -> Result<(), Error> {
    let Some(name) = own_network(job.spec) else { return Ok(()) };
    let labels = place::labels(job.spec, &marks::owner(job.attempt));
    let network = match engine.inspect_network(&name).await?.filter(|found| found.name == name) {
        Some(found) if labels.iter().all(|(label, value)| found.labels.get(label) == Some(value)) => found,
        Some(_) => return Err(Error::NetworkTaken { name }),
        None => match engine.create_network(&name, &labels).await {
            // Somebody took the name since it was looked at.
            Err(engine::Error::Conflict { .. }) => return Err(Error::NetworkTaken { name }),
            made => made?,
        },
    };
    marks::remember_network(job.attempt, &network.id)
}
