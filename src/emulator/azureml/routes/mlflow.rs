//! MLflow's REST under `mlflow/v1.0` and `mlflow/v2.0`, answered by the server behind with ids that are Azure's.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::Value;

use super::super::call::Call;
use super::super::job;
use super::super::mlflow::{self, Artifact, Artifacts, Ask, Asker};
use super::super::reply::{self, Refusal, Reply};
use super::super::route::{Plane, Route};
use super::super::service::{Service, account};
use super::arm::{ARTIFACTS, container};
use crate::support::azure::Scope;

/// The words of a path before what stands below the workspace: `mlflow`, the version, and those of the workspace.
const BEFORE: usize = 10;

/// What a job is told that logs a model by MLflow 3.
const LOGGED_MODELS: &str = "the job logged a model as MLflow 3 does it, to which Azure ML has answered 404: to be safe there, save the model, \
     log its folder by `log_artifacts` and register it, or use MLflow 2";

pub(super) fn routes() -> Vec<Route> {
    let route = |method, pattern| Route::new(Plane::Mlflow, method, pattern, |service, call| Box::pin(answer(service, call)));
    let served = mlflow::served().map(|(method, pattern, differs)| match differs {
        Some(how) => route(method, pattern).approximated(how),
        None => route(method, pattern),
    });
    let others = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let refused =
        others.map(|method| route(method, "mlflow/{version}/{scope}/{*rest}").absent("what the rows below name: refused with the reason"));
    served.chain(refused).collect()
}

async fn answer(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let version = call.path.split('/').nth(2).unwrap_or_default();
    if !matches!(version, "v1.0" | "v2.0") {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("there is no version `{version}` of MLflow here: `v1.0` and `v2.0` are"),
        ));
    }
    let below: Vec<&str> = call.path.split('/').skip(1 + BEFORE).collect();
    let (path, body) = (format!("/{}", below.join("/")), call.bytes().await?);
    let asker = Asker { host: call.authority().to_owned(), scope: call.scope() };
    let ask = Ask { method: &call.method, path: &path, query: &call.query, body: &body, asker: &asker, artifacts: &*service };
    let answer = service.mlflow.answer(&ask).await;
    if answer.status.is_success() && call.method == Method::POST && path.ends_with("/mlflow/logged-models") {
        warn(&service, &asker.scope, &answer.body);
    }
    Ok(reply::json(answer.status, &answer.body))
}

/// Tells a job that the service may not take what it does here.
fn warn(service: &Service, scope: &Scope, model: &Value) {
    let run = model.pointer("/model/info/source_run_id").and_then(Value::as_str).unwrap_or_default();
    let _ = service.store.change_job(scope, run, |job| {
        if !job.warnings.iter().any(|text| text == LOGGED_MODELS) {
            job.warnings.push(LOGGED_MODELS.to_owned());
        }
    });
}

impl Artifacts for Service {
    fn of_run(&self, scope: &Scope, run: &str) -> Vec<Artifact> {
        let prefix = format!("{}/", job::folder(run));
        let blobs = container(scope, ARTIFACTS).and_then(|container| self.blobs.list(&account(scope), &container, &prefix).ok());
        let artifact = |name: &str, size| Some(Artifact { path: name.strip_prefix(&prefix)?.to_owned(), size });
        blobs.into_iter().flatten().filter_map(|blob| artifact(&blob.name, blob.size)).collect()
    }
}
