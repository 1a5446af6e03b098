//! The MLflow run of a job: created once whatever dies, and told what the job is.
//!
//! MLflow creates a second run when it is asked a second time. So each creation is journalled as an intent first, carries the job's tag, and an
//! intent without outcome is settled by looking for that tag.

use super::{Error, Jobs, Plan};
use crate::config::Entry;
use crate::job::store::Step;
use crate::job::{Record, TrackingRecord};
use crate::snapshot::git;
use crate::support::{clock, fault, platform};
use crate::tracking::{self, Client, Connection, MlflowRun, Status};

/// How much is known of a job's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// The id was made for this submission.
    None,
    /// The user chose the id: a client whose store is lost may have used it.
    Possible,
}

/// Creates the MLflow run of a job, or takes the one that an earlier client has left open.
pub(super) async fn mlflow_run(
    jobs: &mut Jobs,
    client: &Client,
    record: &Record,
    experiment_id: &str,
    past: Past,
    tags: &[(String, String)],
) -> Result<MlflowRun, Error> {
    if (past == Past::Possible || has_open_intent(jobs, record)?)
        && let Some(run) = left_open(client, experiment_id, record).await?
    {
        jobs.store.conclude(&record.id, record.attempt, Step::MlflowRun, &run.id)?;
        return Ok(run);
    }
    jobs.store.intend(&record.id, record.attempt, Step::MlflowRun)?;
    fault::point("mlflow-run.after-intent");
    let run = client.create_run(experiment_id, &record.name, tags).await?;
    fault::point("mlflow-run.after-act");
    jobs.store.conclude(&record.id, record.attempt, Step::MlflowRun, &run.id)?;
    Ok(run)
}

/// Returns the MLflow run that a dead client may have created without telling anybody, once it is known that the job was never started.
pub(super) async fn forgotten(jobs: &mut Jobs, connection: &Connection, record: &Record) -> Result<Option<TrackingRecord>, Error> {
    if record.tracking.is_some() || !has_open_intent(jobs, record)? {
        return Ok(None);
    }
    let client = Client::new(connection)?;
    let found = match client.find_experiment(&record.experiment).await? {
        Some(experiment) => left_open(&client, &experiment, record).await?,
        None => None,
    };
    let outcome = found.as_ref().map_or("none", |run| &run.id).to_owned();
    for attempt in 1..=record.attempt {
        jobs.store.conclude(&record.id, attempt, Step::MlflowRun, &outcome)?;
    }
    let typed = record.tracker.as_ref().is_some_and(|tracker| tracker.typed);
    Ok(found.map(|run| tracked(connection, &run, typed)))
}

/// Returns the newest MLflow run of a job that another store has submitted.
pub(super) async fn of_job(connection: &Connection, record: &Record) -> Result<Option<TrackingRecord>, Error> {
    let client = Client::new(connection)?;
    let Some(experiment) = client.find_experiment(&record.experiment).await? else { return Ok(None) };
    let found = client.runs_of_job(&experiment, record.id.as_str()).await?;
    let typed = record.tracker.as_ref().is_some_and(|tracker| tracker.typed);
    Ok(found.last().map(|run| tracked(connection, run, typed)))
}

/// Returns what is kept of an MLflow run.
pub(super) fn tracked(connection: &Connection, run: &MlflowRun, typed: bool) -> TrackingRecord {
    TrackingRecord {
        uri: connection.uri.clone(),
        managed: connection.managed,
        url: connection.run_url(&run.experiment_id, &run.id),
        experiment_id: run.experiment_id.clone(),
        run_id: run.id.clone(),
        typed,
        closed: false,
        by_target: false,
    }
}

/// Returns whether a client began to create the job's MLflow run and did not say how that went.
pub(super) fn has_open_intent(jobs: &Jobs, record: &Record) -> Result<bool, Error> {
    for attempt in 1..=record.attempt {
        if jobs.store.open_intent(&record.id, attempt, Step::MlflowRun)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the oldest MLflow run of the job that has not ended, and ends the surplus ones.
async fn left_open(client: &Client, experiment_id: &str, record: &Record) -> Result<Option<MlflowRun>, Error> {
    let found = client.runs_of_job(experiment_id, record.id.as_str()).await?;
    let mut open = found.into_iter().filter(|run| matches!(run.status.as_str(), "RUNNING" | "SCHEDULED"));
    let first = open.next();
    for surplus in open {
        client.set_status(&surplus.id, Status::Killed, Some(clock::now())).await?;
    }
    Ok(first)
}

/// Returns what the tags of the MLflow run tell.
pub(super) fn tag_facts(plan: &Plan, record: &Record, git: Option<&git::Facts>) -> tracking::Facts {
    let source = match &plan.run.entry {
        Entry::Script(text) | Entry::Notebook(text) | Entry::Command(text) => text.clone(),
    };
    tracking::Facts {
        job_id: record.id.to_string(),
        target: record.target.clone(),
        snapshot: record.snapshot.clone(),
        environment: record.environment.clone(),
        user: platform::user_name(),
        source,
        commit: git.and_then(|git| git.commit.clone()),
        branch: git.and_then(|git| git.branch.clone()),
        remote: git.and_then(|git| git.remote.clone()),
        dirty: git.is_some_and(|git| git.dirty),
        description: plan.run.asked.description.clone(),
        own: plan.again.iter().map(|again| ("sendoff.rerun_of".to_owned(), again.job.clone())).chain(plan.run.tags.clone()).collect(),
    }
}
