//! MLflow's REST under `mlflow/v1.0` and `mlflow/v2.0`, answered by the plane that knows it.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::{Method, StatusCode};

use super::super::blobs::Blobs;
use super::super::call::Call;
use super::super::host::Host;
use super::super::job;
use super::super::mlflow::{Artifact, Artifacts, Ask, Asker, Tracker};
use super::super::reply::{self, Refusal, Reply};
use super::super::route::{Plane, Route};
use super::super::service::{Service, account};
use super::arm::{ARTIFACTS, container};
use crate::support::azure::Scope;

pub(super) fn routes() -> Vec<Route> {
    let mut all = Vec::new();
    for pattern in ["mlflow/v1.0/{scope}/{*path}", "mlflow/v2.0/{scope}/{*path}"] {
        for method in [Method::GET, Method::POST] {
            let route = Route::new(Plane::Mlflow, method, pattern, |service, call| Box::pin(answer(service, call)));
            all.push(
                route.approximated("the managed MLflow server answers; ids are carried over, and what has none that can be is refused"),
            );
        }
    }
    all
}

async fn answer(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.bytes().await?;
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&call.query).finish();
    let path = format!("/{}", call.part("path"));
    let asker = Asker { host: call.authority().to_owned(), scope: call.scope().to_string() };
    let answer = service.mlflow.answer(&Ask { method: &call.method, path: &path, query: &query, body: &body, asker: &asker }).await;
    Ok(reply::json(StatusCode::from_u16(answer.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &answer.body))
}

/// The artifacts of the artifact store, for the plane.
pub(in super::super) struct Kept(pub(in super::super) Arc<Blobs>);

#[async_trait]
impl Artifacts for Kept {
    async fn of_run(&self, scope: &str, run: &str) -> Vec<Artifact> {
        let Ok(scope) = scope.parse::<Scope>() else { return Vec::new() };
        let folder = format!("{}/", job::folder(run));
        let found = self.0.list(&account(&scope), &container(&scope, ARTIFACTS).unwrap_or_default(), &folder).unwrap_or_default();
        found.into_iter().map(|blob| Artifact { path: blob.name[folder.len()..].to_owned(), size: blob.size }).collect()
    }
}

/// The server behind, as the program around the emulator has it.
pub(in super::super) struct Behind(pub(in super::super) Arc<dyn Host>);

#[async_trait]
impl Tracker for Behind {
    async fn uri(&self) -> Result<String, String> {
        self.0.tracker().await
    }
}
