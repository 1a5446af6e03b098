//! What a client learns of a cloud before it has a token: endpoints, services, providers.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::super::super::call::Call;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Access, Plane, Route, at_once};
use super::super::super::service::Service;

pub(super) fn routes() -> Vec<Route> {
    let open = |pattern, handler| Route::new(Plane::Arm, Method::GET, pattern, handler).access(Access::Open);
    vec![
        open("metadata/endpoints", |service, call| at_once(endpoints(&service, &call))).approximated("one cloud, this emulator"),
        open("discovery", |service, call| at_once(discovery(&service, &call))),
    ]
}

fn endpoints(_: &Service, call: &Call) -> Result<Reply, Refusal> {
    let origin = &call.origin;
    let answer = json!([{
        "name": "AzureCloud", "portal": origin, "resourceManager": origin, "graph": origin, "graphAudience": origin, "batch": origin,
        "media": origin, "authentication": {
            "loginEndpoint": origin, "audiences": [origin, "https://management.azure.com"], "tenant": "common", "identityProvider": "AAD",
        },
        "suffixes": { "storage": "core.windows.net", "keyVaultDns": "vault.azure.net", "acrLoginServer": "azurecr.io" },
    }]);
    Ok(reply::json(StatusCode::OK, &answer))
}

fn discovery(_: &Service, call: &Call) -> Result<Reply, Refusal> {
    let names = [
        "api",
        "history",
        "experimentation",
        "modelmanagement",
        "hyperdrive",
        "pipelines",
        "catalog",
        "gallery",
        "labeling",
        "studiocoreservices",
    ];
    let answer: serde_json::Map<String, serde_json::Value> =
        names.iter().map(|name| ((*name).to_owned(), call.origin.clone().into())).collect();
    Ok(reply::json(StatusCode::OK, &answer.into()))
}
