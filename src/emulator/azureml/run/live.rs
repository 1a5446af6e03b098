//! Logs that a job writes into files: brought into storage while it runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::super::job::Job;
use super::super::service::Service;
use super::collect::{self, Seen};
use super::nodes::Nodes;

/// How long a log may be behind.
const PERIOD: Duration = Duration::from_secs(2);
/// How much longer than the bringing itself the time between two bringings is: many files, or large ones, cost the node no more.
const RESPITE: u32 = 10;

/// Brings the logs of a job's nodes, again and again, for as long as it is polled.
///
/// What cannot be brought is left for the next time; what is missing at the end is said then.
pub(super) async fn follow(service: &Service, nodes: &Nodes, job: &Job, running: &BTreeMap<u32, String>) -> Infallible {
    let mut seen: BTreeMap<(u32, String), Seen> = BTreeMap::new();
    let mut rest = PERIOD;
    loop {
        tokio::time::sleep(rest).await;
        let begun = Instant::now();
        for (rank, id) in running {
            for (folder, goal) in collect::logs(job) {
                let seen = seen.entry((*rank, folder.clone())).or_default();
                let _ = collect::bring(service, nodes, job, id, (&folder, &goal), seen).await;
            }
        }
        rest = PERIOD.max(begun.elapsed() * RESPITE);
    }
}
