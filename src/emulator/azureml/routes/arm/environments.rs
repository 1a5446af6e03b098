//! Environment versions. Nothing is built before a job needs it.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::service::Service;
use super::super::super::store::Document;
use super::resource;
use crate::support::azure::Scope;

const KIND: &str = "environments";

pub(super) fn routes() -> Vec<Route> {
    let version = "{scope}/environments/{name}/versions/{version}";
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/environments/{name}", |service, call| at_once(container(&service, &call))),
        Route::new(Plane::Arm, Method::GET, "{scope}/environments/{name}/versions", |service, call| at_once(list(&service, &call)))
            .approximated("newest first, without paging"),
        Route::new(Plane::Arm, Method::GET, version, |service, call| at_once(get(&service, &call))),
        Route::new(Plane::Arm, Method::PUT, version, |service, call| Box::pin(put(service, call))).approximated(
            "images of `mcr.microsoft.com/azureml` become `python:3.11-slim`, and of a conda file the pip part is installed; `build` is refused",
        ),
    ]
}

fn shown(scope: &Scope, document: &Document) -> Value {
    let mut properties = document.body.clone();
    properties["environmentType"] = "UserCreated".into();
    properties["provisioningState"] = "Succeeded".into();
    let id = scope.asset(KIND, &document.name, &document.version).to_string();
    resource(&id, "environments/versions", &document.version, &properties, document)
}

/// Returns the versions of a name, newest first.
fn versions(service: &Service, scope: &Scope, name: &str) -> Result<Vec<Document>, Refusal> {
    let mut found: Vec<Document> = service.store.list(scope, KIND)?.into_iter().filter(|document| document.name == name).collect();
    found.reverse();
    Ok(found)
}

fn container(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (scope, name) = (call.scope(), call.part("name"));
    let found = versions(service, &scope, name)?;
    let latest = found.first().ok_or_else(|| Refusal::missing(format!("Environment {name} was not found.")))?;
    let properties = json!({ "latestVersion": latest.version, "nextVersion": null, "isArchived": false, "tags": {}, "properties": {} });
    Ok(reply::json(StatusCode::OK, &resource(&format!("{scope}/environments/{name}"), KIND, name, &properties, latest)))
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let scope = call.scope();
    let top = call.asked("$top").and_then(|count| count.parse().ok()).unwrap_or(usize::MAX);
    let found: Vec<Value> =
        versions(service, &scope, call.part("name"))?.iter().take(top).map(|document| shown(&scope, document)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (name, version) = (call.part("name"), call.part("version"));
    let found = service.store.get(&call.scope(), KIND, name, version)?;
    let found = found.ok_or_else(|| Refusal::missing(format!("Environment {name}:{version} was not found.")))?;
    Ok(reply::json(StatusCode::OK, &shown(&call.scope(), &found)))
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    service.expect_job();
    let body = call.json().await?;
    let (scope, name, version) = (call.scope(), call.part("name"), call.part("version"));
    let properties = &body["properties"];
    let lower = name.to_lowercase();
    if lower.starts_with("microsoft") || lower.starts_with("azureml") || name.len() > 255 {
        return Err(Refusal::user("Environment names must not begin with 'Microsoft' or 'AzureML' and have at most 255 characters."));
    }
    let has = |field: &str| properties.get(field).is_some_and(|value| !value.is_null());
    match (has("image"), has("build")) {
        (true, false) => {}
        (false, true) => return Err(Refusal::user("this emulator builds no Dockerfile: name an `image`")),
        (true, true) => return Err(Refusal::user("An environment has either an image or a build.")),
        (false, false) => return Err(Refusal::user("An environment needs an image or a build.")),
    }
    let former = service.store.get(&scope, KIND, name, version)?;
    let same = |former: &Document| ["image", "condaFile"].iter().all(|field| former.body[field] == properties[field]);
    if former.as_ref().is_some_and(|former| !same(former)) {
        return Err(Refusal::new(StatusCode::CONFLICT, "Conflict", format!("Environment {name}:{version} exists and cannot be changed.")));
    }
    service.store.put(&scope, KIND, name, version, properties)?;
    let status = if former.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let written = service.store.get(&scope, KIND, name, version)?.ok_or_else(|| Refusal::missing("The environment is gone."))?;
    Ok(reply::json(status, &shown(&scope, &written)))
}
