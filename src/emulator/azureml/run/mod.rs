//! Jobs that run: each node a container, its log a blob that grows, its outputs blobs at the end.
//!
//! ```text
//! start -> image of the environment -> nodes of the compute -> containers -> log copied, end awaited -> outputs collected -> containers removed
//! ```
//!
//! One task per job. What it has reached is in the store, and what it has made carries labels, so that the next process goes on where one died.

mod collect;
mod command;
mod container;
mod data;
mod distribution;
mod drive;
mod image;
mod live;
mod nodes;
pub(super) mod pool;
mod prepare;
mod sizes;
mod system;
mod tracked;
mod variables;
mod watch;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use super::job::{Job, Status};
use super::service::Service;
use super::store::key;
use crate::support::{clock, stop};

pub(super) use nodes::{Nodes, sweep};
pub(super) use tracked::open;
pub(super) use variables::token;

/// Runs a job that has just been made.
pub(super) fn start(service: &Arc<Service>, job: &Job) {
    let cancel = CancellationToken::new();
    let known = (key(&job.scope), job.name.clone());
    service.live.lock().unwrap_or_else(PoisonError::into_inner).insert(known.clone(), cancel.clone());
    let (this, job) = (service.clone(), job.clone());
    service.tasks.spawn(async move {
        Box::pin(drive::drive(&this, &job, &cancel)).await;
        this.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&known);
    });
}

/// Goes on with the jobs that have not ended, and removes what is left of those that have.
pub(super) async fn resume(service: &Arc<Service>) -> Result<(), Error> {
    let active = service.store.active_jobs()?;
    if let Ok(nodes) = &service.nodes {
        let live: Vec<&str> = active.iter().map(|job| job.uuid.as_str()).collect();
        nodes.clear_except(&live).await;
    }
    for job in active {
        start(service, &job);
        if job.cancelled {
            end(service, &job);
        }
    }
    Ok(())
}

/// Asks for the end of a job; one that has ended stays as it is.
pub(super) fn cancel(service: &Service, job: &Job) -> Result<(), Error> {
    service.store.change_job(&job.scope, &job.name, |job| {
        if !job.status.is_terminal() {
            job.cancelled = true;
            job.reach(Status::CancelRequested, clock::now());
        }
    })?;
    end(service, job);
    Ok(())
}

fn end(service: &Service, job: &Job) {
    let live = service.live.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cancel) = live.get(&(key(&job.scope), job.name.clone())) {
        cancel.cancel();
    }
}

/// Ends all jobs, and removes what they ran in.
pub(super) async fn end_all(service: &Arc<Service>, within: Duration) {
    for job in service.store.active_jobs().unwrap_or_default() {
        let _ = cancel(service, &job);
    }
    service.tasks.close();
    // An installation that is under way is broken off, and leaves nothing half made.
    stop::ask();
    let _ = tokio::time::timeout(within, service.tasks.wait()).await;
    if let Ok(nodes) = &service.nodes {
        nodes.clear().await;
    }
}
