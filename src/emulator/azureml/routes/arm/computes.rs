//! Computes: clusters that jobs run on.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::service::{LOCATION, Service};
use super::super::super::store::Document;
use super::resource;
use crate::support::azure::Scope;

const KIND: &str = "computes";

pub(super) fn routes() -> Vec<Route> {
    let one = "{scope}/computes/{name}";
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/computes", |service, call| at_once(list(&service, &call))),
        Route::new(Plane::Arm, Method::GET, one, |service, call| at_once(get(&service, &call))),
        Route::new(Plane::Arm, Method::PUT, one, |service, call| Box::pin(put(service, call)))
            .approximated("AmlCompute only; it is there at once"),
        Route::new(Plane::Arm, Method::DELETE, one, |service, call| at_once(delete(&service, &call))).approximated("done at once"),
    ]
}

fn shown(scope: &Scope, document: &Document) -> Value {
    let mut properties = document.body.clone();
    properties["provisioningState"] = "Succeeded".into();
    let mut shown = resource(&scope.compute(&document.name), KIND, &document.name, &properties, document);
    shown["location"] = LOCATION.into();
    shown
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let scope = call.scope();
    let found: Vec<Value> = service.store.list(&scope, KIND)?.iter().map(|document| shown(&scope, document)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn unknown(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "ResourceNotFound", format!("The compute '{name}' was not found."))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let found = service.store.get(&call.scope(), KIND, call.part("name"), "")?.ok_or_else(|| unknown(call.part("name")))?;
    Ok(reply::json(StatusCode::OK, &shown(&call.scope(), &found)))
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name) = (call.scope(), call.part("name"));
    let kind = body["properties"]["computeType"].as_str().unwrap_or_default();
    if kind != "AmlCompute" {
        return Err(Refusal::user(format!("this emulator has computes of the type AmlCompute, not '{kind}'")));
    }
    let former = service.store.get(&scope, KIND, name, "")?;
    service.store.put(&scope, KIND, name, "", &body["properties"])?;
    let written = service.store.get(&scope, KIND, name, "")?.ok_or_else(|| unknown(name))?;
    Ok(reply::json(if former.is_some() { StatusCode::OK } else { StatusCode::CREATED }, &shown(&scope, &written)))
}

fn delete(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    service.store.delete(&call.scope(), KIND, call.part("name"))?;
    Ok(reply::empty(StatusCode::OK))
}
