//! The MLflow plane of an emulated workspace: what stands below `.../mlflow/v1.0` and `.../mlflow/v2.0`.
//!
//! ```text
//! client ── run = the job's name, experiment = a GUID ──> Plane ── ids of its own ──> the MLflow server behind
//!                                                          │
//!                                    routes: which fields have ids; ids: the two-way map
//! ```
//!
//! Azure's MLflow names a job's run by the job and its experiments by GUIDs; the real server behind chooses its own ids. The plane keeps
//! the map and rewrites exactly the typed fields of each route, ids in search filters included. A route that is not in its
//! table is refused. The plane knows nothing of HTTP servers: whoever has one asks it with an [`Ask`].
//!
//! The server behind is shared with the user's other jobs, so that one place shows them all; what it has besides gets GUIDs.

mod answer;
mod error;
mod filter;
mod grammar;
mod ids;
mod inner;
mod job;
mod rewrite;
mod routes;
mod shown;
mod source;

use std::path::Path;
use std::sync::Arc;

use http::Method;
use hyper::http;
use serde_json::{Map, Value};

pub use answer::Answer;
pub use error::Error;
pub use job::{JobRun, RunStatus, Shown};

use super::Host;
use crate::support::azure::Scope;
use ids::{Ids, Kind, Maps};
use inner::Inner;
use routes::How;

/// The side that asks: URLs in answers carry its name for the emulator.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Host and port, as in the request's `Host` header.
    pub host: String,
    /// The workspace.
    pub scope: Scope,
}

impl Asker {
    /// Returns the artifact URI of a run in Azure's form, from which its plug-in reads workspace, experiment and run.
    ///
    /// The plug-in takes the segments as they stand: only what would end one is written in percent form.
    pub fn artifact_uri(&self, experiment: &str, run: &str) -> String {
        let segment = experiment.replace('%', "%25").replace('/', "%2F").replace('?', "%3F").replace('#', "%23");
        format!("azureml://{}/artifact/v2.0{}/experiments/{segment}/runs/{run}/artifacts", self.host, self.scope)
    }
}

/// One request to the plane.
pub struct Ask<'a> {
    /// Its method.
    pub method: &'a Method,
    /// What stands behind the workspace: `/api/2.0/mlflow/runs/get`.
    pub path: &'a str,
    /// Its query, decoded, in order.
    pub query: &'a [(String, String)],
    /// Its body; empty when there is none.
    pub body: &'a [u8],
    /// Who asks.
    pub asker: &'a Asker,
    /// The artifacts of the workspaces.
    pub artifacts: &'a dyn Artifacts,
}

/// A file among a run's artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Its path below the run.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The workspace's artifacts, which the run history keeps.
pub trait Artifacts: Sync {
    /// Returns every artifact of a run of a workspace, by Azure's id of it; none when the run has none.
    fn of_run(&self, scope: &Scope, run: &str) -> Vec<Artifact>;
}

/// Returns the routes that are served: method, place in the emulator's table of routes, and in what it differs from the service.
pub(super) fn served() -> impl Iterator<Item = (Method, &'static str, Option<&'static str>)> {
    routes::ROUTES.iter().map(|route| (route.method.clone(), route.pattern, route.differs))
}

/// Returns what MLflow has besides, by the beginning of its acts, and why it is refused.
pub(super) fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
    routes::REFUSED.iter().copied()
}

/// What no single route shows: in what the plane as a whole differs from the service.
pub(super) const DIFFERENCES: &[(&str, &str)] = &[
    ("lengths of keys and values, sizes of batches", "the limits are those of the MLflow server behind, which are wider"),
    (
        "experiments and registered models of several workspaces",
        "each has its own; in the pages of the MLflow server behind, a second one of a name has its workspace's name beside it",
    ),
    ("messages of errors", "those of the MLflow server behind, with Azure's id of the run that was asked for"),
    ("artifacts in the MLflow server's own pages", "not shown there: they are in the workspace's artifact store, as on the service"),
    (
        "download of artifacts by azureml-mlflow",
        "nothing arrives, and the plug-in says nothing: it reads from Azure's host names only; the run history's routes have them",
    ),
];

/// The MLflow plane of an emulator's workspaces.
pub struct Plane {
    maps: Arc<Maps>,
    inner: Inner,
}

impl Plane {
    /// Opens the plane: its maps of ids in a database of the emulator, and the server behind.
    pub fn open(database: &Path, host: Arc<dyn Host>) -> Result<Self, Error> {
        Ok(Self { maps: Arc::new(Maps::open(database)?), inner: Inner::new(host) })
    }

    /// Answers a request. Whatever happens is an answer: trouble with the server behind is one that MLflow's clients try again after.
    pub async fn answer(&self, ask: &Ask<'_>) -> Answer {
        self.try_answer(ask).await.unwrap_or_else(|error| Answer::trouble(&error))
    }

    async fn try_answer(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let Some(route) = routes::find(ask.method, ask.path) else {
            let refused = routes::act(ask.path).and_then(|act| Some(Answer::refused(act, routes::refusal(act)?)));
            return Ok(refused.unwrap_or_else(|| Answer::no_route(ask.path)));
        };
        let Some(fields) = fields(ask) else { return Ok(Answer::bad_request("the body is not a JSON object")) };
        let mut body = Value::Object(fields);
        let azure_run = body.get("run_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let ids = self.maps.of(&ask.asker.scope);
        if let Some(model) = routes::model_of(route, ask.path)
            && ids.inner(Kind::Model, model)?.is_none()
        {
            return Ok(Answer::unknown(Kind::Model, model));
        }
        if let Some(refusal) = rewrite::inward(&mut body, route.takes, &ids)? {
            return Ok(Answer::of(&refusal));
        }
        let Value::Object(fields) = body else { unreachable!("rewriting leaves an object an object") };
        match route.how {
            How::Asked => self.ask_behind(ask, &ids, route, &fields, &azure_run).await,
            How::Artifacts => self.list_artifacts(&fields, ask).await,
            How::BatchAsync => {
                let has_metrics = fields.get("metrics").and_then(Value::as_array).is_some_and(|metrics| !metrics.is_empty());
                let reply = self.inner.ask(&Method::POST, "runs/log-batch", &fields).await?;
                // It is written when the server behind has answered. Without metrics Azure gives no word to ask with.
                let word = if has_metrics { ids::guid() } else { String::new() };
                Ok(if reply.status.is_success() { Answer::batch(&word) } else { Answer::passed(reply, &fields, &azure_run) })
            }
            How::BatchStatus => Ok(Answer::batch_is_complete()),
            How::DownloadUri => self.download_uri(ask, &ids, &fields).await,
        }
    }

    async fn ask_behind(
        &self,
        ask: &Ask<'_>,
        ids: &Ids,
        route: &routes::Route,
        fields: &Map<String, Value>,
        azure_run: &str,
    ) -> Result<Answer, Error> {
        // The path says it with the words that stand for others.
        let act = routes::act(ask.path).unwrap_or(route.act);
        let mut reply = self.inner.ask(ask.method, act, fields).await?;
        if reply.status.is_success() {
            if let Some(refusal) = rewrite::hide(&mut reply.body, route.gives, ids)? {
                return Ok(Answer::of(&refusal));
            }
            for experiment in rewrite::experiments(&mut reply.body, route.gives) {
                self.learn_name(ids, &experiment).await?;
            }
            rewrite::outward(&mut reply.body, route.gives, ids, ask.asker)?;
        }
        Ok(Answer::passed(reply, fields, azure_run))
    }

    /// Says where the files of a version of a registered model are: in Azure's form, where they are those of a logged model, too.
    async fn download_uri(&self, ask: &Ask<'_>, ids: &Ids, fields: &Map<String, Value>) -> Result<Answer, Error> {
        let version = [("model_version", rewrite::Shape::ModelVersion)];
        let mut reply = self.inner.ask(&Method::GET, "model-versions/get", fields).await?;
        if !reply.status.is_success() {
            return Ok(Answer::passed(reply, fields, ""));
        }
        rewrite::outward(&mut reply.body, &version, ids, ask.asker)?;
        let source = reply.body["model_version"]["source"].take();
        let Some(model) = source.as_str().and_then(|source| source.strip_prefix("models:/")).filter(|rest| !rest.contains('/')) else {
            return Ok(Answer::download_uri(&source));
        };
        let act = format!("logged-models/{model}");
        let Some(mut found) = self.inner.get(&Method::GET, &act, Value::Object(Map::new())).await? else {
            return Ok(Answer::unknown(Kind::Model, model));
        };
        let shown = [("model", rewrite::Shape::Model)];
        for experiment in rewrite::experiments(&mut found, &shown) {
            self.learn_name(ids, &experiment).await?;
        }
        rewrite::outward(&mut found, &shown, ids, ask.asker)?;
        Ok(Answer::download_uri(&found["model"]["info"]["artifact_uri"]))
    }

    /// Sees to it that an experiment's name is known.
    async fn learn_name(&self, ids: &Ids, experiment: &str) -> Result<(), Error> {
        if ids.name(experiment)?.is_none() {
            let asked = serde_json::json!({ "experiment_id": experiment });
            let answer = self.inner.get(&Method::GET, "experiments/get", asked).await?;
            let name = answer.as_ref().and_then(|answer| answer.get("experiment")?.get("name")?.as_str());
            let name = ids.azure_name(Kind::ExperimentName, name.unwrap_or("Default"))?;
            ids.note_name(experiment, &name)?;
        }
        Ok(())
    }

    async fn list_artifacts(&self, fields: &Map<String, Value>, ask: &Ask<'_>) -> Result<Answer, Error> {
        let asker = ask.asker;
        let inner = ["run_id", "run_uuid"].iter().find_map(|key| fields.get(*key)?.as_str()).unwrap_or_default();
        let Some(run) = self.maps.of(&asker.scope).known(Kind::Run, inner)? else { return Ok(Answer::bad_request("`run_id` is missing")) };
        let shown = self.shown(&asker.scope, &run).await?;
        let Some(shown) = shown else { return Ok(Answer::unknown(Kind::Run, &run)) };
        let path = fields.get("path").and_then(Value::as_str).unwrap_or_default();
        Ok(Answer::artifacts(&asker.artifact_uri(&shown.experiment_name, &run), path, &ask.artifacts.of_run(&asker.scope, &run)))
    }
}

/// Returns the fields of a request: its body, or its query, of which a key that is given several times is a list.
fn fields(ask: &Ask<'_>) -> Option<Map<String, Value>> {
    if ask.method != Method::GET {
        return if ask.body.is_empty() { Some(Map::new()) } else { serde_json::from_slice(ask.body).ok().map(rewrite::canonical) };
    }
    let mut fields = Map::new();
    for (key, value) in ask.query {
        let value = Value::String(value.clone());
        // Azure's services take a version in the query; MLflow's behind would not know it.
        if key == "api-version" {
            continue;
        }
        match fields.get_mut(key) {
            None if matches!(key.as_str(), "experiment_ids" | "run_ids" | "order_by") => {
                fields.insert(key.clone(), Value::Array(vec![value]));
            }
            None => {
                fields.insert(key.clone(), value);
            }
            Some(Value::Array(items)) => items.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    Some(rewrite::canonical(fields))
}

#[cfg(test)]
mod tests;
