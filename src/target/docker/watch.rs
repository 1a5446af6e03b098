//! Watches a container that runs, until it has ended or was ended.

use std::time::{Duration, Instant};

use crate::engine::{self, Engine};
use crate::target::Error;
use crate::target::supervised::{Evidence, Exit, Job, Stop};

use super::collect::state;
use super::{log, marks};

/// How often it is looked whether the job is to be ended.
const TICK: Duration = Duration::from_millis(50);

/// How long an engine that does not answer is left alone.
pub(super) const AWAY: Duration = Duration::from_secs(1);

/// Copies the log, waits for the end, and ends the container when asked or when its time is up.
pub(super) async fn watch(engine: &Engine, id: &str, job: &Job<'_>) -> Result<Evidence, Error> {
    let (attempt, spec) = (job.attempt, job.spec);
    let copying = tokio::spawn(log::copy(engine.clone(), id.to_owned(), attempt.path("log")));
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    let mut stopped: Option<(Stop, Instant)> = None;
    let mut killed = false;
    let mut ending = Box::pin(ended(engine, id));
    let end = loop {
        tokio::select! {
            end = &mut ending => break end,
            _ = ticks.tick() => {}
        }
        match stopped {
            None => {
                let reason = if attempt.path("cancel").exists() {
                    Some(Stop::Cancelled)
                } else {
                    spec.max_duration.filter(|limit| begun.elapsed() >= *limit).map(|_| Stop::TimedOut)
                };
                if let Some(reason) = reason {
                    let _ = engine.terminate(id).await;
                    stopped = Some((reason, Instant::now()));
                }
            }
            Some((_, since)) if !killed && since.elapsed() >= attempt.grace(spec.grace) => {
                killed = engine.kill(id, "KILL").await.is_ok();
            }
            Some(_) => {}
        }
    };
    let stop = stopped.map(|(reason, _)| reason);
    let Some(end) = end else {
        copying.abort();
        let gone = Some("its container was removed while it ran".to_owned());
        return Ok(Evidence { gone: gone.filter(|_| stop.is_none()), stop, ..Evidence::default() });
    };
    // What it wrote last is still on its way.
    if let Ok(Err(error)) = copying.await {
        marks::note(attempt, &format!("the rest of the log stays in the container `{id}`: {error}"));
    }
    let state = state(engine, id).await;
    let read = |name: &str| state.get(name).map(|(text, _)| text.trim().to_owned()).filter(|text| !text.is_empty());
    let started_at = state.get("started").map(|(_, time)| (*time).max(end.started_at.unwrap_or(*time)));
    Ok(Evidence {
        exit: end.exit_code.map(Exit::Code),
        code: read("code").and_then(|code| code.parse().ok()),
        started_at,
        failed_step: read("failed-step"),
        last_step: read("step"),
        kills: u64::from(end.oom_killed),
        stop,
        is_full: false,
        gone: None,
    })
}

/// Waits until the container has ended, over restarts of the engine; `None` when it is gone.
async fn ended(engine: &Engine, id: &str) -> Option<engine::Container> {
    loop {
        match engine.wait(id).await {
            Ok(Some(container)) if !container.has_ended() && container.error.is_none() => tokio::time::sleep(TICK).await,
            Ok(end) => return end,
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
}
