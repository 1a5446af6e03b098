//! The MLflow run of a job: created once whatever dies, and told what the job is.

use super::{Error, Jobs, Plan};
use crate::config::Entry;
use crate::job::Record;
use crate::job::store::Step;
use crate::snapshot::git;
use crate::support::{clock, fault, platform};
use crate::tracking::{self, Client, MlflowRun, Status};

/// Creates the MLflow run of a job once: an intent of which the outcome is not known is settled by looking for the job's tag.
pub(super) async fn mlflow_run(
    jobs: &mut Jobs,
    client: &Client,
    record: &Record,
    experiment_id: &str,
    tags: &[(String, String)],
) -> Result<MlflowRun, Error> {
    let mut unresolved = false;
    for attempt in 1..=record.attempt {
        unresolved = unresolved || jobs.store.open_intent(&record.id, attempt, Step::MlflowRun)?;
    }
    // A store that was lost knows no intents; a chosen id may have a past all the same.
    if unresolved || record.attempt > 1 {
        let mut found = client.runs_of_job(experiment_id, record.id.as_str()).await?.into_iter();
        if let Some(first) = found.next() {
            for surplus in found {
                client.set_status(&surplus.id, Status::Killed, Some(clock::now())).await?;
            }
            client.set_status(&first.id, Status::Running, None).await?;
            jobs.store.conclude(&record.id, record.attempt, Step::MlflowRun, &first.id)?;
            return Ok(first);
        }
    }
    jobs.store.intend(&record.id, record.attempt, Step::MlflowRun)?;
    fault::point("mlflow-run.after-intent");
    let run = client.create_run(experiment_id, &record.name, tags).await?;
    fault::point("mlflow-run.after-act");
    jobs.store.conclude(&record.id, record.attempt, Step::MlflowRun, &run.id)?;
    Ok(run)
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
        own: plan.run.tags.clone(),
    }
}
