//! Artifacts of runs: blobs below the run's folder in the artifact store.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::super::super::blobs::{Blob, Place};
use super::super::super::call::Call;
use super::super::super::job;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::sas::Grant;
use super::super::super::service::{Service, account};
use super::super::arm::{ARTIFACTS, container};
use super::details::address;

/// How long an address of an artifact is good for.
const LASTS: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn routes() -> Vec<Route> {
    let history = |method, pattern, handler| Route::new(Plane::History, method, pattern, handler);
    vec![
        history(Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/artifacts", |service, call| {
            at_once(list(&service, &call))
        })
        .approximated("all at once, without continuation"),
        history(Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/artifacts/contentinfo", |service, call| {
            at_once(content(&service, &call))
        }),
        history(Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/artifacts/prefix/contentinfo", |service, call| {
            at_once(below(&service, &call))
        }),
        history(Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/artifacts/path", |service, call| {
            at_once(one(&service, &call))
        }),
        history(Method::GET, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/artifacts/metadata", |service, call| {
            at_once(one(&service, &call))
        }),
        history(Method::POST, "history/v1.0/{scope}/experiments/{experiment}/runs/{run}/artifacts/batch/metadata", |service, call| {
            Box::pin(create(service, call))
        }),
    ]
}

/// A run's folder of artifacts.
struct Folder<'a> {
    service: &'a Service,
    call: &'a Call,
    account: String,
    container: String,
    /// Ends with a slash.
    prefix: String,
}

impl<'a> Folder<'a> {
    fn of(service: &'a Service, call: &'a Call) -> Self {
        let scope = call.scope();
        let container = container(&scope, ARTIFACTS).unwrap_or_default();
        Self { service, call, account: account(&scope), container, prefix: format!("{}/", job::folder(call.part("run"))) }
    }

    fn blobs(&self, path: &str) -> Result<Vec<Blob>, Refusal> {
        Ok(self.service.blobs.list(&self.account, &self.container, &format!("{}{path}", self.prefix))?)
    }

    fn place(&self, path: &str) -> Place {
        Place::new(&self.account, &self.container, &format!("{}{path}", self.prefix))
    }

    fn shown(&self, path: &str, etag: &str, time: &str) -> Value {
        let run = self.call.part("run");
        let id = format!("{}{path}", self.prefix);
        json!({
            "artifactId": id, "origin": "ExperimentRun", "container": format!("dcid.{run}"), "path": path, "etag": etag, "createdTime": time,
            "dataPath": { "dataStoreName": ARTIFACTS, "relativePath": id }, "tags": {},
        })
    }

    fn content(&self, path: &str, rights: &str) -> Value {
        let blob = format!("{}{path}", self.prefix);
        let grant = Grant { rights, lasts: LASTS };
        let uri = address(self.service, &self.call.origin, &self.call.scope(), &self.container, &blob, grant);
        json!({
            "contentUri": uri, "origin": "ExperimentRun", "container": format!("dcid.{}", self.call.part("run")), "path": path, "tags": {},
        })
    }

    fn known(&self) -> Result<(String, Blob), Refusal> {
        let path = self.call.asked("path").unwrap_or_default().trim_start_matches('/').to_owned();
        let blob = self.service.blobs.get(&self.place(&path))?;
        let blob = blob.ok_or_else(|| Refusal::missing(format!("Artifact {path} was not found.")))?;
        Ok((path, blob))
    }

    fn path_of<'b>(&self, blob: &'b Blob) -> &'b str {
        &blob.name[self.prefix.len()..]
    }
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let folder = Folder::of(service, call);
    let path = call.asked("path").unwrap_or_default();
    let shown = |blob: &Blob| folder.shown(folder.path_of(blob), &blob.etag(), &blob.modified_at.to_string());
    let found: Vec<Value> = folder.blobs(path)?.iter().map(shown).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found, "continuationToken": null, "nextLink": null })))
}

fn content(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let folder = Folder::of(service, call);
    let (path, _) = folder.known()?;
    Ok(reply::json(StatusCode::OK, &folder.content(&path, "r")))
}

fn below(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let folder = Folder::of(service, call);
    let path = call.asked("path").unwrap_or_default();
    let found: Vec<Value> = folder.blobs(path)?.iter().map(|blob| folder.content(folder.path_of(blob), "r")).collect();
    Ok(reply::json(StatusCode::OK, &json!({ "value": found, "continuationToken": null, "nextLink": null })))
}

fn one(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let folder = Folder::of(service, call);
    let (path, blob) = folder.known()?;
    Ok(reply::json(StatusCode::OK, &folder.shown(&path, &blob.etag(), &blob.modified_at.to_string())))
}

/// Gives addresses to write the content of artifacts to. A blob comes with its content alone: clients make it only where there is none.
async fn create(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let run = call.part("run");
    if service.store.job(&call.scope(), run)?.is_none() && !service.mlflow.has(&call.scope(), run) {
        return Err(Refusal::missing(format!("Run {run} was not found.")));
    }
    let folder = Folder::of(&service, &call);
    let (mut artifacts, mut contents) = (Map::new(), Map::new());
    for path in body["paths"].as_array().into_iter().flatten().filter_map(|entry| entry["path"].as_str()) {
        let path = path.trim_start_matches('/');
        artifacts.insert(path.to_owned(), folder.shown(path, "", &crate::support::clock::now().to_string()));
        contents.insert(path.to_owned(), folder.content(path, "rcw"));
    }
    Ok(reply::json(StatusCode::OK, &json!({ "artifacts": artifacts, "artifactContentInformation": contents, "errors": {} })))
}
