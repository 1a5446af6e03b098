//! A job that runs: its logs are copied, and its end is awaited.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::drive::{Drive, Stop, seconds};
use super::nodes::Nodes;
use super::system::{self, Log};
use super::{collect, container, distribution, live};
use crate::engine::Follow;
use crate::support::clock;

/// How long a node's processes have to end when they are asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How long an engine that does not answer is left alone.
const AWAY: Duration = Duration::from_secs(1);

impl Drive<'_> {
    /// Copies the logs, and waits until all nodes have ended, one has failed, or the job is to end.
    pub(super) async fn watch(&self, nodes: &Nodes, running: &BTreeMap<u32, String>) -> Result<(), Stop> {
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
            () = self.preempted() => Err(Stop::Preempted),
            stop = self.compute_gone() => Err(stop),
            () = up => Err(Stop::TimedOut(limit.unwrap_or_default())),
        };
        if ended.is_err() {
            let stops: Vec<_> = running.values().map(|id| nodes.engine.stop(id, GRACE)).collect();
            futures_util::future::join_all(stops).await;
        }
        for (rank, id) in running {
            if let Ok(log) = collect::log_file(self.service, self.job, *rank)
                && let Err(reason) = collect::copy_log(nodes, id, &log, self.log_begin(*rank), Follow::No).await
            {
                self.warn(format!("the log of node {rank} is not whole: {reason}"));
            }
        }
        ended
    }

    /// Copies the log of a node, and waits for its end.
    async fn node(&self, nodes: &Nodes, rank: u32, id: &str) -> Result<(), Stop> {
        let log = collect::log_file(self.service, self.job, rank).map_err(Stop::System)?;
        let begin = self.log_begin(rank);
        let copying = async {
            // An engine that is away is asked again.
            while collect::copy_log(nodes, id, &log, begin, Follow::Yes).await.is_err() {
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

    /// Returns where in a node's log its present container begins.
    fn log_begin(&self, rank: u32) -> u64 {
        let job = self.service.store.job(&self.job.scope, &self.job.name).ok().flatten();
        job.and_then(|job| job.log_begins.get(&rank).copied()).unwrap_or(0)
    }

    /// Says it in the service's words.
    fn failed(&self, rank: u32, code: i32) -> String {
        format!(
            "Execution failed. User process '{}' exited with status code {code}. Please check log file '{}' for error details.",
            container::program(&self.job.properties["command"]),
            distribution::log_name(self.job, rank * distribution::processes(self.job)),
        )
    }
}
