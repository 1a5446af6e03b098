//! Runs as run history shows them: read, archived, ended; and the renewal of a job's token.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::job::Job;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::run;
use super::super::super::service::Service;
use super::job_of;

pub(super) fn routes() -> Vec<Route> {
    let history = |method, pattern, handler| Route::new(Plane::History, method, pattern, handler);
    let of_experiment = "history/v1.0/{scope}/experiments/{experiment}/runs/{run}";
    vec![
        history(Method::GET, "history/v1.0/{scope}/runs/{run}", |service, call| at_once(get(&service, &call))),
        history(Method::GET, of_experiment, |service, call| at_once(get(&service, &call))),
        history(Method::PATCH, of_experiment, |service, call| Box::pin(change(service, call))).approximated("changes `hidden` alone"),
        history(Method::POST, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/cancel", |service, call| {
            at_once(cancel(&service, &call))
        }),
        history(Method::GET, "history/v1.0/{scope}/runs/{run}/children", |service, call| at_once(children(&service, &call)))
            .approximated("always none: jobs of this emulator have no children"),
        history(Method::POST, "history/v1.0/{scope}/rundata", |service, call| Box::pin(data(service, call))),
        history(Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/token", |service, call| {
            at_once(token(&service, &call))
        }),
        history(Method::GET, "history/v1.0/{scope}/experimentids/{experiment}/runs/{run}/token", |service, call| {
            at_once(token(&service, &call))
        }),
    ]
}

/// Returns a run.
fn shown(job: &Job) -> Value {
    json!({
        "runId": job.name, "runUuid": job.uuid, "rootRunId": job.name, "rootRunUuid": job.uuid, "parentRunId": null,
        "experimentName": job.experiment, "displayName": job.text("displayName"), "name": job.text("displayName"),
        "status": job.status.word(), "runType": "azureml.scriptrun", "target": job.compute(), "hidden": job.hidden,
        "createdUtc": job.created_at.to_string(), "startTimeUtc": job.started_at.map(|time| time.to_string()),
        "endTimeUtc": job.ended_at.map(|time| time.to_string()), "tags": job.properties["tags"], "properties": job.properties["properties"],
        "error": job.error.as_ref().map(|fault| json!({ "error": { "code": fault.code, "message": fault.message } })),
    })
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    Ok(reply::json(StatusCode::OK, &shown(&job_of(service, call)?)))
}

async fn change(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let job = job_of(&service, &call)?;
    let body = call.json().await?;
    let changed = service.store.change_job(&job.scope, &job.name, |job| {
        if let Some(hidden) = body["hidden"].as_bool() {
            job.hidden = hidden;
        }
    })?;
    Ok(reply::json(StatusCode::OK, &shown(&changed.unwrap_or(job))))
}

fn cancel(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let job = job_of(service, call)?;
    if !job.status.is_terminal() {
        run::cancel(service, &job)?;
    }
    Ok(reply::json(StatusCode::OK, &shown(&job_of(service, call)?)))
}

fn children(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    job_of(service, call)?;
    Ok(reply::json(StatusCode::OK, &json!({ "value": [], "continuationToken": null, "nextLink": null })))
}

async fn data(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let name = body["runId"].as_str().unwrap_or_default().to_owned();
    call.parts.insert("run", name);
    let job = job_of(&service, &call)?;
    Ok(reply::json(StatusCode::OK, &json!({ "runMetadata": shown(&job), "runDefinition": null, "jobSpecification": null })))
}

/// Gives a job that has not ended another token in place of the one that it presents.
fn token(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let job = job_of(service, call)?;
    if job.status.is_terminal() {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", format!("Run {} has ended.", job.name)));
    }
    let (token, end) = run::token(service, &job);
    let mut answer = shown(&job);
    answer["token"] = token.into();
    answer["expiryTimeUtc"] = Timestamp::from_second(end).unwrap_or_default().to_string().into();
    Ok(reply::json(StatusCode::OK, &answer))
}
