//! Watches over containers that another store owns: copies, and ends them when asked, but neither starts nor removes them.

use std::time::Duration;

use futures_util::future::join_all;

use crate::engine::{Engine, Removal};
use crate::job::JobState;
use crate::support::{causes, clock};
use crate::target::Error;
use crate::target::supervised::{Acts, Evidence, Job, Stop};

use super::nodes::{self, Made};
use super::{elsewhere, marks, watch};

/// How often it is looked whether the owner has started them.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until the containers run, and watches them to their end.
pub(super) async fn run(engine: &Engine, made: &[Made], job: &Job<'_>, acts: &Acts<'_>) -> Result<Evidence, Error> {
    if made.is_empty() {
        return Err(Error::GivenUp { id: job.spec.id.to_string() });
    }
    if !have_begun(engine, made, job).await? {
        return Ok(Evidence { stop: Some(Stop::Cancelled), ..Evidence::default() });
    }
    for said in join_all(made.iter().map(|made| elsewhere::begin(engine, &made.id, job.attempt))).await {
        // In one that is gone by now nothing can be said; the watch tells.
        if let Err(error) = said {
            marks::say(job.attempt, &causes::in_one_line(&error));
        }
    }
    (acts.started)();
    Ok(watch::watch(engine, made, job).await)
}

/// Waits until the containers have been started, or are gone; returns false when the job was cancelled before.
async fn have_begun(engine: &Engine, made: &[Made], job: &Job<'_>) -> Result<bool, Error> {
    let since = clock::now();
    let mut told = false;
    loop {
        if nodes::inspect(engine, made).await?.iter().flatten().all(crate::engine::Container::has_run) {
            return Ok(true);
        }
        if job.attempt.path("cancel").exists() {
            // Their owner finds them gone, and does not start them.
            for made in made {
                engine.remove(&made.id, Removal::Forced).await?;
            }
            return Ok(false);
        }
        if !told {
            let reason = "who made its container to start it".to_owned();
            job.attempt.note_status(&JobState::Queued { since, reason });
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
