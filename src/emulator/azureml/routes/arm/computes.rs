//! Computes: clusters that jobs run on.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::run::pool::{Key, Scale};
use super::super::super::service::{LOCATION, Service};
use super::super::super::store::{self, Document};
use super::resource;
use crate::support::azure::Scope;

const KIND: &str = "computes";
/// A machine of one's own, which can be stopped.
const INSTANCE: &str = "ComputeInstance";

pub(super) fn routes() -> Vec<Route> {
    let one = "{scope}/computes/{name}";
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/computes", |service, call| at_once(list(&service, &call))),
        Route::new(Plane::Arm, Method::GET, one, |service, call| at_once(get(&service, &call))),
        Route::new(Plane::Arm, Method::PUT, one, |service, call| Box::pin(put(service, call)))
            .approximated("AmlCompute and ComputeInstance, at once; other types are refused"),
        Route::new(Plane::Arm, Method::PATCH, one, |service, call| Box::pin(scale(service, call))).approximated("done at once"),
        Route::new(Plane::Arm, Method::POST, "{scope}/computes/{name}/start", |service, call| at_once(turn(&service, &call, "Running")))
            .approximated("done at once"),
        Route::new(Plane::Arm, Method::POST, "{scope}/computes/{name}/stop", |service, call| at_once(turn(&service, &call, "Stopped")))
            .approximated("done at once; a job that runs there goes on"),
        Route::new(Plane::Arm, Method::POST, "{scope}/computes/{name}/restart", |service, call| at_once(turn(&service, &call, "Running")))
            .approximated("done at once; a job that runs there goes on"),
        Route::new(Plane::Arm, Method::POST, "{scope}/computes/{name}/listNodes", |service, call| at_once(nodes(&service, &call)))
            .approximated("nodes have no addresses"),
        Route::new(Plane::Arm, Method::DELETE, one, |service, call| at_once(delete(&service, &call)))
            .approximated("done at once; its jobs fail in words of the emulator's own"),
    ]
}

/// Returns by what the nodes of a compute are known.
fn key(scope: &Scope, name: &str) -> Key {
    (store::key(scope), name.to_lowercase())
}

fn shown(service: &Service, scope: &Scope, document: &Document) -> Value {
    let mut properties = document.body.clone();
    let (counts, _) = service.pools.shown(&key(scope, &document.name), Scale::of(&document.body));
    let is_cluster = properties["computeType"] != INSTANCE;
    for (name, value) in counts.as_object().filter(|_| is_cluster).into_iter().flatten() {
        properties["properties"][name] = value.clone();
    }
    properties["provisioningState"] = "Succeeded".into();
    let mut shown = resource(&scope.compute(&document.name), KIND, &document.name, &properties, document);
    shown["location"] = LOCATION.into();
    shown
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let scope = call.scope();
    let found: Vec<Value> = service.store.list(&scope, KIND)?.iter().map(|document| shown(service, &scope, document)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "ResourceNotFound", format!("The compute '{name}' was not found."))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let found = service.store.get(&call.scope(), KIND, call.part("name"), "")?.ok_or_else(|| unknown(call.part("name")))?;
    Ok(reply::json(StatusCode::OK, &shown(service, &call.scope(), &found)))
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name) = (call.scope(), call.part("name"));
    let kind = body["properties"]["computeType"].as_str().unwrap_or_default();
    if !matches!(kind, "AmlCompute" | INSTANCE) {
        return Err(Refusal::user(format!("this emulator has computes of the types AmlCompute and ComputeInstance, not '{kind}'")));
    }
    if !body["properties"]["properties"].is_object() {
        return Err(Refusal::user("The field properties is required."));
    }
    let former = service.store.get(&scope, KIND, name, "")?;
    let mut properties = body["properties"].clone();
    if kind == INSTANCE {
        let state = former.as_ref().and_then(|former| former.body["properties"]["state"].as_str());
        properties["properties"]["state"] = state.unwrap_or("Running").into();
    }
    service.store.put(&scope, KIND, name, "", &properties)?;
    service.pools.look_again();
    let written = service.store.get(&scope, KIND, name, "")?.ok_or_else(|| unknown(name))?;
    Ok(reply::json(if former.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &shown(&service, &scope, &written)))
}

/// Changes how many nodes a cluster may have.
async fn scale(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name) = (call.scope(), call.part("name"));
    let mut found = service.store.get(&scope, KIND, name, "")?.ok_or_else(|| unknown(name))?;
    let wanted = &body["properties"]["properties"]["scaleSettings"];
    if found.body["computeType"] == INSTANCE || !wanted.is_object() {
        return Err(Refusal::user("Only the scaleSettings of a cluster can be changed."));
    }
    found.body["properties"]["scaleSettings"] = wanted.clone();
    service.store.put(&scope, KIND, name, "", &found.body)?;
    service.pools.look_again();
    Ok(reply::json(StatusCode::OK, &shown(&service, &scope, &found)))
}

/// Starts or stops a compute instance.
fn turn(service: &Service, call: &Call, state: &str) -> Result<Reply, Refusal> {
    let (scope, name) = (call.scope(), call.part("name"));
    let mut found = service.store.get(&scope, KIND, name, "")?.ok_or_else(|| unknown(name))?;
    if found.body["computeType"] != INSTANCE {
        return Err(Refusal::user(format!("The compute '{name}' is no compute instance: only those are started and stopped.")));
    }
    found.body["properties"]["state"] = state.into();
    service.store.put(&scope, KIND, name, "", &found.body)?;
    service.pools.look_again();
    // Where its end is asked after: it has come when that is asked.
    let mut pending = reply::empty(StatusCode::ACCEPTED);
    let version = call.asked("api-version").unwrap_or_default();
    reply::set(&mut pending, "location", &format!("{}{}?api-version={version}", call.origin, scope.compute(name)));
    Ok(pending)
}

fn nodes(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (scope, name) = (call.scope(), call.part("name"));
    let found = service.store.get(&scope, KIND, name, "")?.ok_or_else(|| unknown(name))?;
    let (_, nodes) = service.pools.shown(&key(&scope, name), Scale::of(&found.body));
    Ok(reply::json(StatusCode::OK, &json!({ "nodes": nodes })))
}

fn delete(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    service.store.delete(&call.scope(), KIND, call.part("name"))?;
    service.pools.look_again();
    Ok(reply::empty(StatusCode::OK))
}
