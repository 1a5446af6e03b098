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
        open("studio/runs/{run}", |_, call| at_once(Ok(studio(&call)))).approximated("there is no studio: the page says how to ask"),
        open("discovery", |service, call| at_once(discovery(&service, &call))),
    ]
}

/// Answers whoever follows a job's link to the studio. It shows nothing of the job, since nobody has to say who they are.
fn studio(call: &Call) -> Reply {
    let run = reply::escaped(call.part("run"));
    let text = format!(
        "<!doctype html><title>{run}</title><p>This is an emulated workspace, which has no studio.</p>\
         <p>Ask with <code>sendoff status</code> and <code>sendoff logs</code>, and find the MLflow run with <code>sendoff tracking open</code>.</p>\n"
    );
    reply::typed("text/html; charset=utf-8", text)
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
