//! One job from its making to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use tokio_util::sync::CancellationToken;

use super::super::job::{Fault, Job, Status};
use super::super::service::Service;
use super::container;
use super::nodes::{JOB, NODES_GONE, Nodes, OWNER};
use super::system::{self, Log};
use super::{collect, data, tracked};
use crate::engine::Removal;
use crate::support::causes;
use crate::support::clock;

/// Why a job does not complete.
pub(super) enum Stop {
    /// Somebody wanted its end.
    Cancelled,
    /// Its time is up.
    TimedOut(Duration),
    /// Its nodes of low priority were taken away.
    Preempted,
    /// Something of the user's, or the user's process.
    User(String),
    /// Something of the emulator's.
    System(String),
}

/// Runs a job, or goes on with one, until it has ended.
pub(super) async fn drive(service: &Arc<Service>, job: &Job, cancel: &CancellationToken) {
    let drive = Drive { service, job, cancel };
    let stop = match &service.nodes {
        Ok(nodes) => Box::pin(drive.run(nodes)).await.err(),
        Err(reason) => Some(Stop::System(format!("{NODES_GONE}: {reason}"))),
    };
    let now = clock::now();
    let ended = service.store.change_job(&job.scope, &job.name, |job| {
        let mut fault = |code: &str, message: String| job.error = Some(Fault { code: code.to_owned(), message, time: now });
        match stop {
            None => job.reach(Status::Completed, now),
            Some(Stop::Cancelled) => job.reach(Status::Canceled, now),
            Some(Stop::TimedOut(limit)) => {
                fault("UserError", format!("The job was canceled because it ran longer than its limit of {} seconds.", limit.as_secs()));
                job.reach(Status::Canceled, now);
            }
            Some(Stop::Preempted) => {
                fault("SystemError", "The nodes of the job were preempted.".to_owned());
                job.reach(Status::Failed, now);
            }
            Some(Stop::User(message)) => {
                fault("UserError", message);
                job.reach(Status::Failed, now);
            }
            Some(Stop::System(message)) => {
                fault("SystemError", message);
                job.reach(Status::Failed, now);
            }
        }
    });
    match ended {
        Ok(Some(job)) => {
            system::note(service, &job, Log::Lifecycler, &format!("the job is {}", job.status.word()));
            if let Err(reason) = tracked::ended(service, &job).await {
                super::super::serve::note(&format!("the MLflow run of the job {} is not closed: {reason}", job.name));
            }
            super::super::serve::note(&format!("job {} {}", job.name, job.status.word()));
            // Only when its end is written: until then they are what tells of it.
            if let Ok(nodes) = &service.nodes {
                drive.clear(nodes).await;
            }
        }
        Ok(None) => {}
        Err(error) => super::super::serve::note(&format!("job {}: {}", job.name, causes::in_one_line(&error))),
    }
}

/// A job on its way.
pub(super) struct Drive<'a> {
    pub(super) service: &'a Arc<Service>,
    pub(super) job: &'a Job,
    pub(super) cancel: &'a CancellationToken,
}

impl Drive<'_> {
    pub(super) fn reach(&self, status: Status) -> Result<(), Stop> {
        let now = clock::now();
        let changed = self.service.store.change_job(&self.job.scope, &self.job.name, |job| job.reach(status, now));
        system::note(self.service, self.job, Log::Lifecycler, &format!("the job is {}", status.word()));
        changed.map(drop).map_err(|error| Stop::System(causes::in_one_line(&error)))
    }

    pub(super) fn warn(&self, text: String) {
        let _ = self.service.store.change_job(&self.job.scope, &self.job.name, |job| {
            if !job.warnings.contains(&text) {
                job.warnings.push(text);
            }
        });
    }

    /// Says what the MLflow server behind did not take.
    fn tracked(&self, answer: Result<(), String>) {
        if let Err(reason) = answer {
            self.warn(format!("the state of the MLflow run is not written: {reason}"));
        }
    }

    /// Does something, unless somebody wants the job's end.
    async fn unless_cancelled<T>(&self, act: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Stop::Cancelled),
            stop = self.compute_gone() => Err(stop),
            done = act => done,
        }
    }

    async fn run(&self, nodes: &Nodes) -> Result<(), Stop> {
        let data = data::plan(self.service, self.job).map_err(Stop::User)?;
        let (running, ended) = loop {
            let mut running = self.found(nodes).await?;
            let held = if running.len() == self.job.nodes() as usize {
                (self.service.pools.occupy(&self.pool(), &self.job.name, running.len()), None)
            } else if self.has_run()? {
                return Err(Stop::System("The nodes of the job are gone, and with them its end.".to_owned()));
            } else {
                let (started, grant, image) = Box::pin(self.unless_cancelled(self.prepare(nodes))).await?;
                running = started;
                (grant, Some(image))
            };
            self.reach(Status::Running)?;
            self.tracked(tracked::begun(self.service, self.job).await);
            match self.watch(nodes, &running).await {
                Err(Stop::Preempted) => {
                    held.0.preempt();
                    self.begin_again(nodes).await?;
                }
                ended => break ((running, held), ended),
            }
        };
        self.reach(Status::Finalizing)?;
        for id in running.0.values() {
            let missing = collect::outputs(self.service, nodes, self.job, id, &data).await;
            let said = if missing.is_empty() { "all outputs of a node are in storage".to_owned() } else { missing.join("; ") };
            system::note(self.service, self.job, Log::Data, &said);
            for missing in missing {
                self.warn(format!("could not collect {missing}"));
            }
        }
        ended
    }

    /// Puts a job that has lost its nodes back into the queue. Its logs go on where they are.
    async fn begin_again(&self, nodes: &Nodes) -> Result<(), Stop> {
        let mut lengths = BTreeMap::new();
        for rank in 0..self.job.nodes() {
            let log = collect::log_file(self.service, self.job, rank).map_err(Stop::System)?;
            lengths.insert(rank, std::fs::metadata(log).map_or(0, |metadata| metadata.len()));
        }
        let changed = self.service.store.change_job(&self.job.scope, &self.job.name, |job| {
            job.started_at = None;
            job.log_begins = lengths;
        });
        changed.map_err(|error| Stop::System(causes::in_one_line(&error)))?;
        self.warn("the nodes of the job were preempted: it began again".to_owned());
        self.clear(nodes).await;
        self.tracked(tracked::scheduled(self.service, self.job).await);
        self.reach(Status::Queued)
    }

    /// Returns the containers that an earlier process of the emulator has started; those that it has only made are removed.
    async fn found(&self, nodes: &Nodes) -> Result<BTreeMap<u32, String>, Stop> {
        let said = |error| Stop::System(causes::in_one_line(&error));
        let mut found = BTreeMap::new();
        for listed in nodes.engine.list(&[(OWNER, &nodes.owner), (JOB, &self.job.uuid)]).await.map_err(said)? {
            let container = nodes.engine.inspect(&listed.id).await.map_err(said)?;
            let rank = listed.labels.get(container::NODE).and_then(|rank| rank.parse().ok());
            match (container, rank) {
                (Some(container), Some(rank)) if container.has_run() => drop(found.insert(rank, container.id.to_string())),
                _ => nodes.engine.remove(&listed.id, Removal::Forced).await.map_err(said)?,
            }
        }
        if found.len() < self.job.nodes() as usize {
            // A job with a part of its nodes cannot go on.
            for id in found.values() {
                nodes.engine.remove(id, Removal::Forced).await.map_err(said)?;
            }
            found.clear();
        }
        Ok(found)
    }

    /// Returns whether the job ran before this process of the emulator.
    fn has_run(&self) -> Result<bool, Stop> {
        let job = self.service.store.job(&self.job.scope, &self.job.name).map_err(|error| Stop::System(causes::in_one_line(&error)))?;
        Ok(job.is_some_and(|job| job.started_at.is_some()))
    }

    /// Removes the job's containers.
    async fn clear(&self, nodes: &Nodes) {
        for listed in nodes.engine.list(&[(OWNER, &nodes.owner), (JOB, &self.job.uuid)]).await.unwrap_or_default() {
            let _ = nodes.engine.remove(&listed.id, Removal::Forced).await;
        }
    }
}

/// Reads a duration in ISO 8601: `PT1H30M`.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    Duration::try_from(span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_durations_in_either_form() {
        for (text, expected) in [("PT90S", Some(90)), ("PT1M30S", Some(90)), ("P1DT1H", Some(90_000)), ("90", None)] {
            assert_eq!(seconds(text).map(|limit| limit.as_secs()), expected, "{text}");
        }
    }
}
