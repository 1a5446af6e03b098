//! Code assets: looked up by hash, uploaded, named.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::identity::guid;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::sas::{self, Grant, Resource};
use super::super::super::service::{Service, account};
use super::super::super::store::Document;
use super::resource;
use crate::support::azure::Scope;

const KIND: &str = "codes";

/// How long an upload may take.
const UPLOAD: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn routes() -> Vec<Route> {
    let version = "{scope}/codes/{name}/versions/{version}";
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/codes/{name}/versions", |service, call| at_once(list(&service, &call))),
        Route::new(Plane::Arm, Method::GET, version, |service, call| at_once(get(&service, &call))),
        Route::new(Plane::Arm, Method::PUT, version, |service, call| Box::pin(put(service, call))),
        Route::new(Plane::Arm, Method::POST, "{scope}/codes/{name}/versions/{version}/startPendingUpload", |service, call| {
            Box::pin(upload(service, call))
        }),
    ]
}

fn shown(scope: &Scope, document: &Document) -> Value {
    let mut properties = document.body.clone();
    properties["provisioningState"] = "Succeeded".into();
    let id = scope.asset(KIND, &document.name, &document.version).to_string();
    resource(&id, "codes/versions", &document.version, &properties, document)
}

/// Lists versions: of a name, or, when a hash is asked for, those of any name that have it.
fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let scope = call.scope();
    let hash = call.asked("hash");
    let fits = |document: &Document| match hash {
        Some(hash) => document.body["properties"]["hash_sha256"].as_str() == Some(hash),
        None => document.name == call.part("name"),
    };
    let found: Vec<Value> =
        service.store.list(&scope, KIND)?.iter().filter(|document| fits(document)).map(|document| shown(&scope, document)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (name, version) = (call.part("name"), call.part("version"));
    let found = service.store.get(&call.scope(), KIND, name, version)?;
    let found = found.ok_or_else(|| Refusal::missing(format!("Code asset {name}:{version} was not found.")))?;
    Ok(reply::json(StatusCode::OK, &shown(&call.scope(), &found)))
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name, version) = (call.scope(), call.part("name"), call.part("version"));
    let properties = &body["properties"];
    let uri = properties["codeUri"].as_str().unwrap_or_default();
    if uri.is_empty() {
        return Err(Refusal::user("The field codeUri is required."));
    }
    let former = service.store.get(&scope, KIND, name, version)?;
    if former.as_ref().is_some_and(|former| former.body["codeUri"].as_str() != Some(uri)) {
        return Err(Refusal::user("Asset paths cannot be updated."));
    }
    service.store.put(&scope, KIND, name, version, properties)?;
    let status = if former.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let written = service.store.get(&scope, KIND, name, version)?.ok_or_else(|| Refusal::missing("The asset is gone."))?;
    Ok(reply::json(status, &shown(&scope, &written)))
}

/// Gives a container of its own to upload into.
async fn upload(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let asked = call.json().await?;
    let (scope, account) = (call.scope(), account(&call.scope()));
    let id = asked["pendingUploadId"].as_str().map_or_else(guid, str::to_owned);
    let container = guid();
    let whole = Resource { account: &account, container: &container, blob: None };
    let query = sas::sign(&service.identity.account_key, whole, Grant { rights: "rcwl", lasts: UPLOAD });
    let uri = format!("{}/{account}/{container}", call.origin);
    let answer = json!({
        "pendingUploadId": id, "pendingUploadType": "TemporaryBlobReference",
        "blobReferenceForConsumption": {
            "blobUri": uri,
            "storageAccountArmId": format!(
                "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Storage/storageAccounts/{account}",
                scope.subscription_id, scope.resource_group
            ),
            "credential": { "credentialType": "SAS", "sasUri": format!("{uri}?{query}") },
        },
    });
    Ok(reply::json(StatusCode::OK, &answer))
}
