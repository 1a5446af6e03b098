//! Removes what a job has on its engine.

use std::path::Path;

use futures_util::future::join_all;

use crate::engine::{Engine, Removal};
use crate::job::JobSpec;
use crate::job::attempt::Attempt;
use crate::target::{Error, JobRef};

use super::{elsewhere, link, marks, nodes, owner, place};

/// Removes what an attempt has whose outcome, log and outputs are kept; what could not be collected stays, with all that is around it.
pub(super) async fn collected(engine: &Engine, attempt: &Attempt, spec: &JobSpec) -> Result<(), Error> {
    // Nobody asks for what led to a relay that has ended.
    link::remove(engine, attempt).await?;
    let made = nodes::made(attempt, spec);
    if marks::is_another_stores(attempt) {
        // Their owner waits for that; one that has removed them already does not.
        for made in made {
            let _ = elsewhere::done(engine, &made.id, attempt).await;
            marks::forget(&made.node.folder);
        }
        return Ok(());
    }
    if marks::is_kept(attempt) {
        return Ok(());
    }
    join_all(made.iter().map(|made| elsewhere::leave_to_watchers(engine, &made.id))).await;
    all(engine, attempt, spec).await
}

/// Removes all that an attempt has: its containers and their private network.
pub(super) async fn all(engine: &Engine, attempt: &Attempt, spec: &JobSpec) -> Result<(), Error> {
    containers(engine, attempt, spec).await?;
    if let Some(network) = marks::network(attempt) {
        engine.remove_network(&network).await?;
        marks::forget_network(attempt);
    }
    Ok(())
}

/// Removes the containers of an attempt, whatever they do, and what led to its relay: that of the first node last, because it is the one
/// that is looked for.
pub(super) async fn containers(engine: &Engine, attempt: &Attempt, spec: &JobSpec) -> Result<(), Error> {
    link::remove(engine, attempt).await?;
    for made in nodes::made(attempt, spec).iter().rev() {
        engine.remove(&made.id, Removal::Forced).await?;
        marks::forget(&made.node.folder);
    }
    Ok(())
}

/// Removes all that an attempt has on an engine by its labels, whatever our files know of it: containers, those of shells among them,
/// then the networks that they were on, and volumes.
pub(super) async fn everything(engine: &Engine, data: &Path, job: &JobRef) -> Result<(), Error> {
    let Some(store) = owner::known(data) else { return Ok(()) };
    let (id, attempt) = (job.id.as_str(), job.attempt.to_string());
    let ours = [(place::STORE, store.as_str()), (place::JOB, id), (place::ATTEMPT, attempt.as_str())];
    let shells = [(place::STORE, store.as_str()), (place::SHELL, id)];
    for container in engine.list(&ours).await?.into_iter().chain(engine.list(&shells).await?) {
        engine.remove(&container.id, Removal::Forced).await?;
    }
    for network in engine.networks(&ours).await? {
        engine.remove_network(&network.id).await?;
    }
    for volume in engine.volumes(&ours).await? {
        engine.remove_volume(&volume.name).await?;
    }
    Ok(())
}
