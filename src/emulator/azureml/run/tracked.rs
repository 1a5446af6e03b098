//! The MLflow run that a job is.

use super::super::job::{Job, Status};
use super::super::mlflow::{JobRun, RunStatus};
use super::super::service::Service;
use crate::support::causes;

fn said<T>(answer: Result<T, super::super::mlflow::Error>) -> Result<T, String> {
    answer.map_err(|error| causes::in_one_line(&error))
}

/// Makes the run, or finds the one that was made; returns the GUID of its experiment.
pub(in super::super) async fn open(service: &Service, job: &Job) -> Result<String, String> {
    // Facts of the source are properties of the job, which its run shows as tags.
    let known = job.properties["properties"].as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("mlflow."));
    let tags = job.properties["tags"].as_object().into_iter().flatten().chain(known);
    let name = Some(job.text("displayName")).filter(|name| !name.is_empty()).unwrap_or(&job.name);
    let run = JobRun {
        scope: job.scope.clone(),
        job: job.name.clone(),
        experiment_name: job.experiment.clone(),
        run_name: name.to_owned(),
        tags: tags.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
    };
    Ok(said(service.mlflow.open_job(&run).await)?.experiment_id)
}

/// Says that it waits again.
pub(super) async fn scheduled(service: &Service, job: &Job) -> Result<(), String> {
    said(service.mlflow.set_status(&job.scope, &job.name, RunStatus::Scheduled, None).await)
}

/// Says that it runs.
pub(super) async fn begun(service: &Service, job: &Job) -> Result<(), String> {
    said(service.mlflow.set_status(&job.scope, &job.name, RunStatus::Running, None).await)
}

/// Closes it as the job has ended.
pub(super) async fn ended(service: &Service, job: &Job) -> Result<(), String> {
    let status = match job.status {
        Status::Completed => RunStatus::Finished,
        Status::Canceled => RunStatus::Killed,
        _ => RunStatus::Failed,
    };
    said(service.mlflow.set_status(&job.scope, &job.name, status, job.ended_at).await)
}
