//! One job from its making to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::{Span, SpanRelativeTo};
use tokio_util::sync::CancellationToken;

use super::super::job::{Fault, Job, Status};
use super::super::service::Service;
use super::super::store::key;
use super::container::{self, Start};
use super::nodes::{JOB, NODES_GONE, Nodes, OWNER};
use super::pool::{self, Grant, Scale};
use super::system::{self, Log};
use super::{collect, command, data, distribution, image, live, sizes, tracked};
use crate::engine::{Follow, Removal};
use crate::support::causes;
use crate::support::clock;

/// How long a node's processes have to end when they are asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How long an engine that does not answer is left alone.
const AWAY: Duration = Duration::from_secs(1);

/// Why a job does not complete.
enum Stop {
    /// Somebody wanted its end.
    Cancelled,
    /// Its time is up.
    TimedOut(Duration),
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

struct Drive<'a> {
    service: &'a Arc<Service>,
    job: &'a Job,
    cancel: &'a CancellationToken,
}

impl Drive<'_> {
    fn reach(&self, status: Status) -> Result<(), Stop> {
        let now = clock::now();
        let changed = self.service.store.change_job(&self.job.scope, &self.job.name, |job| job.reach(status, now));
        system::note(self.service, self.job, Log::Lifecycler, &format!("the job is {}", status.word()));
        changed.map(drop).map_err(|error| Stop::System(causes::in_one_line(&error)))
    }

    fn warn(&self, text: String) {
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
            done = act => done,
        }
    }

    async fn run(&self, nodes: &Nodes) -> Result<(), Stop> {
        let data = data::plan(self.service, self.job).map_err(Stop::User)?;
        let mut running = self.found(nodes).await?;
        let _held = if running.len() == self.job.nodes() as usize {
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
        let ended = self.watch(nodes, &running).await;
        self.reach(Status::Finalizing)?;
        for id in running.values() {
            let missing = collect::outputs(self.service, nodes, self.job, id, &data).await;
            let said = if missing.is_empty() { "all outputs of a node are in storage".to_owned() } else { missing.join("; ") };
            system::note(self.service, self.job, Log::Data, &said);
            for missing in missing {
                self.warn(format!("could not collect {missing}"));
            }
        }
        ended
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

    /// Returns from which nodes the job gets its own.
    fn pool(&self) -> pool::Key {
        (key(&self.job.scope), self.job.compute().unwrap_or("(serverless)").to_lowercase())
    }

    fn scale(&self) -> Scale {
        let compute = self.job.compute().and_then(|name| self.service.store.get(&self.job.scope, "computes", name, "").ok().flatten());
        compute.map_or_else(Scale::serverless, |compute| Scale::of(&compute.body))
    }

    /// Waits for nodes, and until new ones are there.
    async fn acquire(&self) -> Result<Grant, Stop> {
        self.reach(Status::Queued)?;
        let grant = self.service.pools.acquire(&self.pool(), &self.job.name, self.job.nodes() as usize, || self.scale()).await;
        if grant.fresh > 0 {
            self.reach(Status::Provisioning)?;
            tokio::time::sleep(pool::PROVISIONING).await;
            grant.ready(&self.job.name);
        }
        Ok(grant)
    }

    /// Makes the image and starts the nodes.
    async fn prepare(&self, nodes: &Nodes) -> Result<(BTreeMap<u32, String>, Grant, super::super::host::Image), Stop> {
        let (service, job) = (self.service, self.job);
        if let Some(reason) = distribution::refusal(job) {
            return Err(Stop::User(reason));
        }
        let data = data::plan(service, job).map_err(Stop::User)?;
        let command = command::render(job.text("command"), &data.values)
            .map_err(|expression| Stop::User(format!("The command has the expression {expression}, which nothing stands for.")))?;
        let experiment_id = tracked::open(service, job).await.map_err(Stop::System)?;
        self.reach(Status::Preparing)?;
        let image = image::make(service, job).await.map_err(|reason| Stop::User(format!("Image build failed: {reason}")))?;
        let grant = self.acquire().await?;
        nodes.check().await.map_err(Stop::System)?;
        let (size_name, size) = self.size(nodes);
        let archive = container::pack(service, job, &data).map_err(Stop::System)?;
        system::note(service, job, Log::Data, &format!("files of inputs for each node: {}", data.files.len()));
        let start = Start { image: image.name.clone(), command, data, experiment_id, size_name, size, archive };
        let mut running = BTreeMap::new();
        for rank in 0..job.nodes() {
            running.insert(rank, container::start(service, nodes, job, &start, rank).await.map_err(Stop::System)?);
            system::note(service, job, Log::Execution, &format!("the command runs on node {rank}, in the image {}", start.image));
        }
        Ok((running, grant, image))
    }

    /// Returns what a node of the job's compute has.
    fn size(&self, nodes: &Nodes) -> (String, sizes::Size) {
        let job = self.job;
        let compute = job.compute().and_then(|name| self.service.store.get(&job.scope, "computes", name, "").ok().flatten());
        let named = compute.and_then(|compute| compute.body["properties"]["vmSize"].as_str().map(str::to_owned));
        let named = named.or_else(|| job.properties["resources"]["instanceType"].as_str().map(str::to_owned)).unwrap_or_default();
        let machine = sizes::Size { cpus: nodes.cpus, memory: nodes.memory, gpus: 0 };
        let Some(wanted) = sizes::size(&named) else {
            self.warn(format!("the size {named} is not known to the emulator: a node has what this machine has"));
            return (named, machine);
        };
        let (size, note) = sizes::fitted(&named, wanted, nodes.cpus, nodes.memory);
        if let Some(note) = note {
            self.warn(note);
        }
        (named, size)
    }

    /// Copies the logs, and waits until all nodes have ended, one has failed, or the job is to end.
    async fn watch(&self, nodes: &Nodes, running: &BTreeMap<u32, String>) -> Result<(), Stop> {
        let limit = self.job.properties["limits"]["timeout"].as_str().and_then(seconds);
        let begun = self.service.store.job(&self.job.scope, &self.job.name).ok().flatten().and_then(|job| job.started_at);
        let left = limit.map(|limit| {
            let spent = begun.map_or(Duration::ZERO, |begun| Duration::try_from(clock::now().duration_since(begun)).unwrap_or_default());
            limit.saturating_sub(spent)
        });
        let up = async {
            match left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let mut ends: FuturesUnordered<_> = running.iter().map(|(rank, id)| self.node(nodes, *rank, id)).collect();
        let all = async {
            while let Some(ended) = ends.next().await {
                ended?;
            }
            Ok(())
        };
        let ended = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Stop::Cancelled),
            ended = all => ended,
            never = live::follow(self.service, nodes, self.job, running) => match never {},
            () = up => Err(Stop::TimedOut(limit.unwrap_or_default())),
        };
        if ended.is_err() {
            let stops: Vec<_> = running.values().map(|id| nodes.engine.stop(id, GRACE)).collect();
            futures_util::future::join_all(stops).await;
        }
        for (rank, id) in running {
            if let Ok(log) = collect::log_file(self.service, self.job, *rank)
                && let Err(reason) = collect::copy_log(nodes, id, &log, Follow::No).await
            {
                self.warn(format!("the log of node {rank} is not whole: {reason}"));
            }
        }
        ended
    }

    /// Copies the log of a node, and waits for its end.
    async fn node(&self, nodes: &Nodes, rank: u32, id: &str) -> Result<(), Stop> {
        let log = collect::log_file(self.service, self.job, rank).map_err(Stop::System)?;
        let copying = async {
            // An engine that is away is asked again.
            while collect::copy_log(nodes, id, &log, Follow::Yes).await.is_err() {
                tokio::time::sleep(AWAY).await;
            }
        };
        let ended = async {
            loop {
                match nodes.engine.wait(id).await {
                    Ok(Some(container)) if !container.has_ended() && container.error.is_none() => tokio::time::sleep(AWAY / 20).await,
                    Ok(ended) => return ended,
                    Err(_) => tokio::time::sleep(AWAY).await,
                }
            }
        };
        let mut ended = std::pin::pin!(ended);
        let ended = tokio::select! {
            ended = &mut ended => ended,
            () = copying => ended.await,
        };
        let Some(container) = ended else { return Err(Stop::System(format!("Node {rank} is gone: its container was removed."))) };
        let code = container.exit_code.map_or_else(|| "no code".to_owned(), |code| format!("code {code}"));
        system::note(self.service, self.job, Log::Execution, &format!("the command on node {rank} has ended with {code}"));
        match container.exit_code {
            Some(0) => Ok(()),
            Some(code) => Err(Stop::User(self.failed(rank, code))),
            None => Err(Stop::System(container.error.unwrap_or_else(|| format!("Node {rank} did not start.")))),
        }
    }

    /// Says it in the service's words.
    fn failed(&self, rank: u32, code: i32) -> String {
        format!(
            "Execution failed. User process '{}' exited with status code {code}. Please check log file '{}' for error details.",
            container::program(&self.job.properties["command"]),
            distribution::log_name(self.job, rank * distribution::processes(self.job)),
        )
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
