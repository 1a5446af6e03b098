//! Data assets: names and versions of what lies in storage.

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

/// The versions.
pub(in super::super::super) const KIND: &str = "data";
/// What is said of a name beside its versions.
const NAMES: &str = "data names";

pub(super) fn routes() -> Vec<Route> {
    let (one, version) = ("{scope}/data/{name}", "{scope}/data/{name}/versions/{version}");
    let arm = |method, pattern, handler| Route::new(Plane::Arm, method, pattern, handler);
    vec![
        arm(Method::GET, "{scope}/data", |service, call| at_once(names(&service, &call))).approximated("without paging"),
        arm(Method::GET, one, |service, call| at_once(name(&service, &call))),
        arm(Method::PUT, one, |service, call| Box::pin(describe(service, call))),
        arm(Method::DELETE, one, |service, call| at_once(forget(&service, &call))),
        arm(Method::GET, "{scope}/data/{name}/versions", |service, call| at_once(versions(&service, &call)))
            .approximated("newest first, without paging"),
        arm(Method::GET, version, |service, call| at_once(get(&service, &call))),
        arm(Method::PUT, version, |service, call| Box::pin(put(service, call)))
            .approximated("whether something is at the address is not looked at before a job reads it"),
        arm(Method::DELETE, version, |service, call| at_once(delete(&service, &call))),
    ]
}

fn unknown(name: &str) -> Refusal {
    Refusal::missing(format!("Could not find asset with ID: azureml:{name}"))
}

fn shown(scope: &Scope, document: &Document) -> Value {
    let id = scope.asset(KIND, &document.name, &document.version).to_string();
    resource(&id, "data/versions", &document.version, &document.body, document)
}

/// Returns the versions of a name, newest first.
fn of_name(service: &Service, scope: &Scope, name: &str) -> Result<Vec<Document>, Refusal> {
    let mut found: Vec<Document> = service.store.list(scope, KIND)?.into_iter().filter(|document| document.name == name).collect();
    found.reverse();
    Ok(found)
}

/// Returns a name as the control plane shows it; nothing for one without versions that nobody described.
fn name_shown(service: &Service, scope: &Scope, name: &str) -> Result<Option<Value>, Refusal> {
    let found = of_name(service, scope, name)?;
    let described = service.store.get(scope, NAMES, name, "")?;
    let Some(document) = described.as_ref().or(found.first()) else { return Ok(None) };
    let mut properties = described.as_ref().map_or_else(|| json!({ "tags": {}, "properties": {} }), |described| described.body.clone());
    // Versions that are numbers are counted on; others are names of their owner's.
    let highest = found.iter().filter_map(|document| document.version.parse::<u64>().ok()).max();
    properties["nextVersion"] = highest.map_or(1, |highest| highest + 1).to_string().into();
    properties["latestVersion"] = found.first().map(|document| document.version.as_str()).into();
    if properties["dataType"].is_null() {
        properties["dataType"] = found.first().map(|document| document.body["dataType"].clone()).unwrap_or_default();
    }
    if properties["isArchived"].is_null() {
        properties["isArchived"] = false.into();
    }
    Ok(Some(resource(&format!("{scope}/data/{name}"), KIND, name, &properties, document)))
}

/// Returns whether something is in the view that is asked for.
fn is_in_view(call: &Call, shown: &Value) -> bool {
    let archived = shown["properties"]["isArchived"].as_bool().unwrap_or(false);
    match call.asked("listViewType").unwrap_or("ActiveOnly") {
        "All" => true,
        "ArchivedOnly" => archived,
        _ => !archived,
    }
}

fn names(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let scope = call.scope();
    let mut all: Vec<String> = [KIND, NAMES]
        .into_iter()
        .map(|kind| service.store.list(&scope, kind))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .map(|document| document.name)
        .collect();
    all.sort_unstable();
    all.dedup();
    let shown = all.iter().map(|name| name_shown(service, &scope, name)).collect::<Result<Vec<_>, _>>()?;
    let found: Vec<Value> = shown.into_iter().flatten().filter(|shown| is_in_view(call, shown)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn name(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let name = call.part("name");
    let shown = name_shown(service, &call.scope(), name)?.ok_or_else(|| unknown(name))?;
    Ok(reply::json(StatusCode::OK, &shown))
}

/// Describes a name, or archives it with all its versions.
async fn describe(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name) = (call.scope(), call.part("name"));
    let former = name_shown(&service, &scope, name)?;
    let mut properties = body["properties"].clone();
    if !properties.is_object() {
        return Err(Refusal::user("The field properties is required."));
    }
    if let Some(fields) = properties.as_object_mut() {
        // These are the service's to know.
        fields.retain(|field, _| !matches!(field.as_str(), "nextVersion" | "latestVersion"));
    }
    service.store.put(&scope, NAMES, name, "", &properties)?;
    let shown = name_shown(&service, &scope, name)?.ok_or_else(|| unknown(name))?;
    Ok(reply::json(if former.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &shown))
}

fn forget(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    for kind in [KIND, NAMES] {
        service.store.delete(&call.scope(), kind, call.part("name"))?;
    }
    Ok(reply::empty(StatusCode::OK))
}

fn versions(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (scope, name) = (call.scope(), call.part("name"));
    let top = call.asked("$top").and_then(|count| count.parse().ok()).unwrap_or(usize::MAX);
    let shown = of_name(service, &scope, name)?.into_iter().map(|document| shown(&scope, &document));
    let found: Vec<Value> = shown.filter(|shown| is_in_view(call, shown)).take(top).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (name, version) = (call.part("name"), call.part("version"));
    let found = service.store.get(&call.scope(), KIND, name, version)?.ok_or_else(|| unknown(&format!("{name}:{version}")))?;
    Ok(reply::json(StatusCode::OK, &shown(&call.scope(), &found)))
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name, version) = (call.scope(), call.part("name"), call.part("version"));
    let mut properties = body["properties"].clone();
    if properties["dataUri"].as_str().is_none_or(str::is_empty) {
        return Err(Refusal::user("The field dataUri is required."));
    }
    let kind = properties["dataType"].as_str().unwrap_or("uri_folder").to_owned();
    if !matches!(kind.as_str(), "uri_file" | "uri_folder" | "mltable") {
        return Err(Refusal::user(format!("The dataType '{kind}' is not valid.")));
    }
    properties["dataType"] = kind.into();
    if properties["isArchived"].is_null() {
        properties["isArchived"] = false.into();
    }
    let former = service.store.get(&scope, KIND, name, version)?;
    if former.as_ref().is_some_and(|former| ["dataUri", "dataType"].iter().any(|field| former.body[field] != properties[field])) {
        return Err(Refusal::user("Asset paths cannot be updated."));
    }
    service.store.put(&scope, KIND, name, version, &properties)?;
    let written = service.store.get(&scope, KIND, name, version)?.ok_or_else(|| unknown(name))?;
    Ok(reply::json(if former.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &shown(&scope, &written)))
}

fn delete(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    service.store.delete_version(&call.scope(), KIND, call.part("name"), call.part("version"))?;
    Ok(reply::empty(StatusCode::OK))
}
