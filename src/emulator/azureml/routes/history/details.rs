//! Run details: times, the error of a failed run, and addresses of its logs.

use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::super::super::call::Call;
use super::super::super::identity::guid;
use super::super::super::job::Job;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::sas::{self, Grant, Resource};
use super::super::super::service::{LOCATION, Service, account};
use super::super::arm::{ARTIFACTS, container};
use super::job_of;
use crate::support::azure::Scope;

/// How long an address of a log is good for.
const READ: SignedDuration = SignedDuration::from_hours(1);

/// What is escaped in the path of an address.
const IN_PATHS: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Plane::History, Method::GET, "history/v1.0/{scope}/runs/{run}/details", |service, call| at_once(get(&service, &call)))
            .approximated("the error's words are those of a failed user process; of other causes they are the emulator's own"),
        Route::new(Plane::History, Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/details", |service, call| {
            at_once(get(&service, &call))
        }),
    ]
}

/// Returns an address of a blob, with its signature.
pub(super) fn address(service: &Service, origin: &str, scope: &Scope, container: &str, blob: &str, grant: Grant<'_>) -> String {
    let account = account(scope);
    let query = sas::sign(&service.identity.account_key, Resource { account: &account, container, blob: Some(blob) }, grant);
    format!("{origin}/{account}/{container}/{}?{query}", encoded(blob))
}

/// Returns a blob's name as it stands in a path.
pub(super) fn encoded(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, IN_PATHS).to_string()
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let job = job_of(service, call)?;
    let log_files = logs(service, call, &job)?;
    Ok(reply::json(StatusCode::OK, &shown(&job, &log_files)))
}

/// Returns addresses of everything that is a log, by its path in the run's folder.
fn logs(service: &Service, call: &Call, job: &Job) -> Result<Map<String, Value>, Refusal> {
    let container = container(&job.scope, ARTIFACTS).unwrap_or_default();
    let folder = format!("{}/", job.folder());
    let mut found = Map::new();
    for blob in service.blobs.list(&account(&job.scope), &container, &folder)? {
        let path = &blob.name[folder.len()..];
        if ["user_logs/", "system_logs/", "logs/", "azureml-logs/"].iter().any(|start| path.starts_with(start)) {
            let address = address(service, &call.origin, &job.scope, &container, &blob.name, Grant { rights: "r", lasts: READ });
            found.insert(path.to_owned(), address.into());
        }
    }
    Ok(found)
}

fn shown(job: &Job, log_files: &Map<String, Value>) -> Value {
    let error = job.error.as_ref().map(|fault| {
        json!({
            "error": {
                "code": fault.code, "severity": null, "message": fault.message, "messageFormat": null, "messageParameters": {},
                "referenceCode": null, "detailsUri": null, "target": null, "details": [],
                "innerError": { "code": fault.code, "innerError": null }, "debugInfo": null, "additionalInfo": null,
            },
            "correlation": { "operation": job.digits(), "request": guid() }, "environment": LOCATION, "location": LOCATION,
            "time": fault.time.to_string(), "componentName": "CommonRuntime",
        })
    });
    let warnings: Vec<Value> = job.warnings.iter().map(|text| json!({ "source": "Emulator", "message": text })).collect();
    json!({
        "runId": job.name, "runUuid": job.uuid, "parentRunUuid": null, "rootRunUuid": job.uuid, "target": job.compute().unwrap_or("serverless"),
        "status": job.status.word(), "parentRunId": null, "createdTimeUtc": job.created_at.to_string(),
        "startTimeUtc": job.started_at.map(|time| time.to_string()), "endTimeUtc": job.ended_at.map(|time| time.to_string()),
        "error": error, "warnings": warnings, "tags": job.properties["tags"].as_object().cloned().unwrap_or_default(),
        "properties": job.properties["properties"].as_object().cloned().unwrap_or_default(), "parameters": {}, "services": {},
        "inputDatasets": [], "outputDatasets": [], "runDefinition": {}, "jobSpecification": null, "submittedBy": "emulator",
        "logFiles": log_files,
    })
}
