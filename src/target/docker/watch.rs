//! Watches the containers of a job that run, until all have ended or were ended.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use crate::engine::Engine;
use crate::target::supervised::{Evidence, Job, Stop};

use super::ends::{Ends, end};
use super::nodes::Made;
use super::{elsewhere, log, marks, nodes};

/// How often it is looked whether the job is to be ended.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// How long an engine that does not answer is left alone.
pub(super) const AWAY: Duration = Duration::from_secs(1);

/// Why and since when we end the nodes.
struct Stopping {
    /// What was asked; nothing when it is because a node has failed.
    asked: Option<Stop>,
    since: Instant,
    killed: bool,
}

/// Copies the logs, waits for the end of all nodes, and ends them when asked, when their time is up, or when one of them has failed.
pub(super) async fn watch(engine: &Engine, made: &[Made], job: &Job<'_>) -> Evidence {
    let (attempt, spec) = (job.attempt, job.spec);
    let copy = |made: &Made| tokio::spawn(log::copy(engine.clone(), made.id.clone(), made.node.folder.path("log")));
    let copying: Vec<_> = made.iter().map(copy).collect();
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    let mut stopping: Option<Stopping> = None;
    let known = if made.len() > 1 { nodes::inspect(engine, made).await.unwrap_or_default() } else { Vec::new() };
    let mut ends = Ends::new(made, &known);
    let mut endings: FuturesUnordered<_> = made.iter().enumerate().map(|(index, made)| end(engine, index, made, spec.memory)).collect();
    ends.note(attempt);
    loop {
        tokio::select! {
            Some((index, end)) = endings.next() => {
                ends.hear(index, end);
                ends.note(attempt);
            }
            _ = ticks.tick() => {}
        }
        if ends.are_complete() {
            break;
        }
        match &mut stopping {
            None => {
                let asked = if attempt.path("cancel").exists() {
                    Some(Stop::Cancelled)
                } else {
                    spec.max_duration.filter(|limit| begun.elapsed() >= *limit).map(|_| Stop::TimedOut)
                };
                if asked.is_some() || ends.has_failure() {
                    if let Some(why) = asked {
                        join_all(ends.running().map(|made| elsewhere::stop(engine, &made.id, why))).await;
                    }
                    join_all(ends.running().map(|made| engine.terminate(&made.id))).await;
                    stopping = Some(Stopping { asked, since: Instant::now(), killed: false });
                }
            }
            Some(stopping) if !stopping.killed && stopping.since.elapsed() >= attempt.grace(spec.grace) => {
                let killed = join_all(ends.running().map(|made| engine.kill(&made.id, "KILL"))).await;
                stopping.killed = killed.iter().all(Result::is_ok);
            }
            Some(_) => {}
        }
    }
    for (index, (made, copying)) in made.iter().zip(copying).enumerate() {
        if ends.is_gone(index) {
            copying.abort();
        } else if let Ok(Err(error)) = copying.await {
            // What it wrote last was still on its way.
            marks::note(attempt, &format!("the rest of the log stays in the container `{}`: {error}", made.id));
        }
    }
    let asked = stopping.and_then(|stopping| stopping.asked);
    ends.evidence(asked.or_else(|| ends.stopped()))
}
