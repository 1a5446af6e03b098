//! The workspace itself.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::identity::guid_of;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::service::{LOCATION, Service, account};
use super::super::super::store::key;
use crate::support::azure::Scope;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}", |service, call| at_once(get(&service, &call))),
        Route::new(
            Plane::Arm,
            Method::GET,
            "subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces",
            |service, call| at_once(list(&service, &call)),
        ),
    ]
}

/// Returns the GUID of a workspace.
pub(super) fn id(scope: &Scope) -> String {
    guid_of(&key(scope))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    Ok(reply::json(StatusCode::OK, &shown(service, call, &call.scope())))
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let same = |scope: &Scope| {
        scope.subscription_id.eq_ignore_ascii_case(call.part("subscription"))
            && scope.resource_group.eq_ignore_ascii_case(call.part("group"))
    };
    let found: Vec<Value> =
        service.store.workspaces()?.iter().filter(|scope| same(scope)).map(|scope| shown(service, call, scope)).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found })))
}

fn shown(service: &Service, call: &Call, scope: &Scope) -> Value {
    let Scope { subscription_id, resource_group, workspace_name: name } = scope;
    let beside = |provider: &str, name: &str| {
        format!("/subscriptions/{subscription_id}/resourceGroups/{resource_group}/providers/{provider}/{name}")
    };
    json!({
        "id": scope.to_string(), "name": name, "type": "Microsoft.MachineLearningServices/workspaces", "location": LOCATION, "kind": "Default",
        "tags": {}, "sku": { "name": "Basic", "tier": "Basic" },
        "identity": { "type": "SystemAssigned", "principalId": service.identity.object_id, "tenantId": service.identity.tenant_id },
        "properties": {
            "workspaceId": id(scope), "friendlyName": name, "description": "", "provisioningState": "Succeeded",
            "discoveryUrl": format!("{}/discovery", call.origin),
            "mlFlowTrackingUri": format!("azureml://{}/mlflow/v1.0{scope}", call.authority()),
            "storageAccount": beside("Microsoft.Storage/storageAccounts", &account(scope)),
            "keyVault": beside("Microsoft.KeyVault/vaults", "emulated"),
            "applicationInsights": beside("Microsoft.Insights/components", "emulated"),
            "containerRegistry": null, "publicNetworkAccess": "Enabled", "hbiWorkspace": false, "v1LegacyMode": false,
            "storageHnsEnabled": false, "systemDatastoresAuthMode": "AccessKey", "tenantId": service.identity.tenant_id,
        },
    })
}
