//! Datastores: the built-in ones, each a container of the workspace's storage account.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::sas::{self, Grant, Resource};
use super::super::super::service::{Service, account};
use super::workspace;
use crate::support::azure::Scope;

/// The datastore of outputs and data that nobody names another one for.
pub(in super::super::super) const DEFAULT: &str = "workspaceblobstore";
/// The datastore of the artifacts of runs.
pub(in super::super::super) const ARTIFACTS: &str = "workspaceartifactstore";

/// The datastore of files.
const FILES: &str = "workspacefilestore";
/// The datastore of notebooks, which are files, too.
const NOTEBOOKS: &str = "workspaceworkingdirectory";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/datastores", |service, call| at_once(list(&service, &call)))
            .approximated("the four that are built in; no datastores of one's own, and nothing behind the file shares"),
        Route::new(Plane::Arm, Method::GET, "{scope}/datastores/{name}", |service, call| at_once(get(&service, &call))),
        Route::new(Plane::Arm, Method::POST, "{scope}/datastores/{name}/listSecrets", |service, call| Box::pin(secrets(service, call))),
    ]
}

/// Returns the container of a datastore; nothing for one that is not there.
pub(in super::super::super) fn container(scope: &Scope, datastore: &str) -> Option<String> {
    match datastore.to_lowercase().as_str() {
        DEFAULT => Some(format!("azureml-blobstore-{}", workspace::id(scope))),
        ARTIFACTS => Some("azureml".to_owned()),
        _ => None,
    }
}

/// Returns the share of a datastore of files; nothing for one that is not there.
fn share(scope: &Scope, datastore: &str) -> Option<String> {
    match datastore.to_lowercase().as_str() {
        FILES => Some(format!("azureml-filestore-{}", workspace::id(scope))),
        NOTEBOOKS => Some(format!("code-{}", workspace::id(scope))),
        _ => None,
    }
}

fn shown(scope: &Scope, name: &str) -> Option<Value> {
    let (kind, field, place) = match container(scope, name) {
        Some(container) => ("AzureBlob", "containerName", container),
        None => ("AzureFile", "fileShareName", share(scope, name)?),
    };
    let name = &name.to_lowercase();
    let properties = json!({
        "datastoreType": kind, "accountName": account(scope), field: place, "endpoint": "core.windows.net",
        "protocol": "https", "isDefault": name == DEFAULT, "subscriptionId": scope.subscription_id, "resourceGroup": scope.resource_group,
        "credentials": { "credentialsType": "AccountKey" }, "serviceDataAccessAuthIdentity": "None", "tags": {}, "properties": {},
        "description": null,
    });
    let id = format!("{scope}/datastores/{name}");
    Some(json!({ "id": id, "name": name, "type": "Microsoft.MachineLearningServices/workspaces/datastores", "properties": properties }))
}

fn unknown(name: &str) -> Refusal {
    Refusal::missing(format!("Could not find datastore with name {name}."))
}

fn list(_: &Service, call: &Call) -> Result<Reply, Refusal> {
    let only_default = call.asked("isDefault").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let names: &[&str] = if only_default { &[DEFAULT] } else { &[DEFAULT, ARTIFACTS, FILES, NOTEBOOKS] };
    let found: Vec<Value> = names.iter().filter_map(|name| shown(&call.scope(), name)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn get(_: &Service, call: &Call) -> Result<Reply, Refusal> {
    let found = shown(&call.scope(), call.part("name")).ok_or_else(|| unknown(call.part("name")))?;
    Ok(reply::json(StatusCode::OK, &found))
}

/// Gives the account's key, or an address's signature to who asks for something that ends.
async fn secrets(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let scope = call.scope();
    let place = container(&scope, call.part("name")).or_else(|| share(&scope, call.part("name")));
    let container = place.ok_or_else(|| unknown(call.part("name")))?;
    let asked = call.json().await?;
    // From the artifact store's secret Azure's client makes signatures of its own to read logs with, which only the key can be good for.
    let is_artifacts = call.part("name").eq_ignore_ascii_case(ARTIFACTS);
    if is_artifacts || asked["expirableSecret"].as_bool() != Some(true) {
        let answer = json!({ "secretsType": "AccountKey", "key": service.identity.account_key.expose() });
        return Ok(reply::json(StatusCode::OK, &answer));
    }
    let hours = asked["expireAfterHours"].as_i64().unwrap_or(1).clamp(1, 24 * 7);
    let account = account(&scope);
    let whole = Resource { account: &account, container: &container, blob: None };
    let token = sas::sign(&service.identity.account_key, whole, Grant { rights: "racwdl", lasts: SignedDuration::from_hours(hours) });
    Ok(reply::json(StatusCode::OK, &json!({ "secretsType": "Sas", "sasToken": token })))
}
