//! The part of MLflow's REST API that sendoff needs. Paths and bodies: MLflow's REST API documentation, 2.0.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Connection, Error};
use crate::auth::Session;
use crate::support::{causes, fs, http};

/// How long somebody who waits to submit waits for the first answer.
const PREFLIGHT: Duration = Duration::from_secs(10);

/// A client of one tracker.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    session: Arc<Session>,
    connection: Connection,
}

/// What is known of an MLflow run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlflowRun {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its experiment.
    pub experiment_id: String,
    /// Where its artifacts are.
    pub artifact_uri: String,
    /// `RUNNING`, `FINISHED`, ...
    pub status: String,
    /// When it started, in milliseconds since 1970.
    pub started_at: i64,
    /// Whether it lies below another.
    pub is_child: bool,
    /// The keys of its metrics.
    pub metrics: Vec<String>,
    /// All that the tracker says of it: `run` of its answer.
    pub document: Value,
}

/// A final status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It goes on.
    Running,
    /// It succeeded.
    Finished,
    /// It failed.
    Failed,
    /// It was ended.
    Killed,
}

impl Status {
    /// Returns MLflow's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    error_code: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// Makes a client; opens no connection yet.
    pub fn new(connection: &Connection) -> Result<Self, Error> {
        let http = http::client(Duration::from_secs(5), Duration::from_secs(30)).map_err(Error::Setup)?;
        let session = Arc::new(Session::new(&connection.auth, &http));
        Ok(Self { http, session, connection: connection.clone() })
    }

    /// Makes a client that trusts the certificate authorities of a file beside those of this machine.
    pub fn trusting(connection: &Connection, authorities: &Path) -> Result<Self, Error> {
        let authorities = http::authorities(&fs::read(authorities)?).map_err(Error::Setup)?;
        let http = http::client_trusting(Duration::from_secs(5), Duration::from_secs(30), authorities).map_err(Error::Setup)?;
        let session = Arc::new(Session::new(&connection.auth, &http));
        Ok(Self { http, session, connection: connection.clone() })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/{path}", self.connection.uri))
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        self.json(self.request(Method::GET, &format!("api/2.0/mlflow/{path}")).query(query)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.json(self.request(Method::POST, &format!("api/2.0/mlflow/{path}")).json(body)).await
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value, Error> {
        let text = self.send(request).await?;
        serde_json::from_slice(&text).map_err(|_| Error::NotMlflow {
            uri: self.connection.uri.clone(),
            status: 200,
            html: text.trim_ascii_start().starts_with(b"<"),
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Error> {
        let uri = || self.connection.uri.clone();
        let authorization = self.session.authorization().await?;
        let request = match &authorization {
            Some(secret) => request.header(reqwest::header::AUTHORIZATION, secret.expose()),
            None => request,
        };
        let response = request.send().await.map_err(|source| {
            let tls = causes::chain(&source).any(|cause| cause.to_string().to_lowercase().contains("certificate"));
            let source = source.without_url();
            if tls { Error::Tls { uri: uri(), source } } else { Error::Unreachable { uri: uri(), source } }
        })?;
        let status = response.status();
        let body = response.bytes().await.map_err(|source| Error::Unreachable { uri: uri(), source: source.without_url() })?;
        if status.is_success() {
            return Ok(body.into());
        }
        let parsed = serde_json::from_slice::<ApiError>(&body).ok().filter(|error| !error.error_code.is_empty());
        let text = String::from_utf8_lossy(&body).trim().chars().take(300).collect::<String>();
        Err(match (status, parsed) {
            (StatusCode::UNAUTHORIZED, _) => Error::Unauthorized { uri: uri(), sent: None },
            (StatusCode::FORBIDDEN, _) if text.contains("Invalid Host header") => Error::HostRefused { uri: uri() },
            (StatusCode::FORBIDDEN, parsed) => Error::Forbidden { uri: uri(), message: parsed.map_or(text, |error| error.message) },
            (status, _) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Error::Trouble { uri: uri(), status: status.as_u16() }
            }
            (_, Some(error)) => Error::Api { code: error.error_code, message: error.message },
            (status, None) => Error::NotMlflow { uri: uri(), status: status.as_u16(), html: text.starts_with('<') },
        })
    }

    /// Asks a real API path, through MLflow's host check and authentication, and returns the server's version when it says it.
    pub async fn preflight(&self) -> Result<Option<String>, Error> {
        let search = self.request(Method::POST, "api/2.0/mlflow/experiments/search").json(&json!({ "max_results": 1 }));
        self.json(search.timeout(PREFLIGHT)).await?;
        let version = self
            .send(self.request(Method::GET, "version").timeout(PREFLIGHT))
            .await
            .ok()
            .map(|text| String::from_utf8_lossy(&text).trim().to_owned());
        Ok(version.filter(|version| version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') && version.len() < 20))
    }

    /// Returns the id of an experiment, creating it when it is missing; safe against others who do the same.
    pub async fn experiment(&self, name: &str) -> Result<String, Error> {
        if let Some(id) = self.find_experiment(name).await? {
            return Ok(id);
        }
        match self.post("experiments/create", &json!({ "name": name })).await {
            Ok(answer) => Ok(text(&answer, "experiment_id")),
            Err(Error::Api { code, .. }) if code == "RESOURCE_ALREADY_EXISTS" => {
                self.find_experiment(name).await?.ok_or_else(|| Error::DeletedExperiment(name.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Returns all that the tracker says of an experiment: `experiment` of its answer.
    pub async fn experiment_document(&self, id: &str) -> Result<Value, Error> {
        Ok(self.get("experiments/get", &[("experiment_id", id)]).await?["experiment"].take())
    }

    /// Returns the id of an experiment that is there.
    pub async fn find_experiment(&self, name: &str) -> Result<Option<String>, Error> {
        match self.get("experiments/get-by-name", &[("experiment_name", name)]).await {
            Ok(answer) if answer["experiment"]["lifecycle_stage"] == "deleted" => Err(Error::DeletedExperiment(name.to_owned())),
            Ok(answer) => Ok(Some(text(&answer["experiment"], "experiment_id"))),
            Err(Error::Api { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an MLflow run. Not idempotent: who does not know whether it was called asks [`Client::runs_of_job`] first.
    pub async fn create_run(&self, experiment_id: &str, name: &str, tags: &[(String, String)]) -> Result<MlflowRun, Error> {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let body = json!({
            "experiment_id": experiment_id, "run_name": name, "tags": tags,
            "start_time": crate::support::clock::now().as_millisecond(),
        });
        Ok(run(&self.post("runs/create", &body).await?["run"]))
    }

    /// Returns the MLflow runs that carry a job's tag, oldest first.
    pub async fn runs_of_job(&self, experiment_id: &str, job: &str) -> Result<Vec<MlflowRun>, Error> {
        let body = json!({
            "experiment_ids": [experiment_id], "filter": format!("tags.`sendoff.job_id` = '{job}'"),
            "order_by": ["attributes.start_time ASC"], "max_results": 100,
        });
        let answer = self.post("runs/search", &body).await?;
        Ok(answer["runs"].as_array().into_iter().flatten().map(run).collect())
    }

    /// Returns an MLflow run.
    pub async fn run(&self, id: &str) -> Result<MlflowRun, Error> {
        Ok(run(&self.get("runs/get", &[("run_id", id)]).await?["run"]))
    }

    /// Writes the status of an MLflow run, with its end when it is one. May be repeated.
    pub async fn set_status(&self, id: &str, status: Status, ended_at: Option<Timestamp>) -> Result<(), Error> {
        let mut body = json!({ "run_id": id, "status": status.word() });
        if let Some(ended_at) = ended_at {
            body["end_time"] = ended_at.as_millisecond().into();
        }
        self.post("runs/update", &body).await.map(drop)
    }

    /// Writes tags.
    pub async fn set_tags(&self, id: &str, tags: &[(String, String)]) -> Result<(), Error> {
        let tags: Vec<Value> = tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        self.post("runs/log-batch", &json!({ "run_id": id, "tags": tags })).await.map(drop)
    }

    /// Uploads an artifact through the server's proxy; a tracker without one is passed over (`false`).
    pub async fn upload(&self, run: &MlflowRun, path: &str, content: Vec<u8>) -> Result<bool, Error> {
        let Some(root) = run.artifact_uri.strip_prefix("mlflow-artifacts:/") else { return Ok(false) };
        let target = format!("api/2.0/mlflow-artifacts/artifacts/{}/{path}", root.trim_start_matches('/'));
        self.send(self.request(Method::PUT, &target).body(content)).await?;
        Ok(true)
    }

    /// Downloads an artifact through the server's proxy; `None` where there is no such artifact, or no proxy.
    pub async fn download(&self, run: &MlflowRun, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(root) = run.artifact_uri.strip_prefix("mlflow-artifacts:/") else { return Ok(None) };
        let source = format!("api/2.0/mlflow-artifacts/artifacts/{}/{path}", root.trim_start_matches('/'));
        match self.send(self.request(Method::GET, &source)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Api { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

pub(super) fn run(value: &Value) -> MlflowRun {
    let info = &value["info"];
    let mut tags = value["data"]["tags"].as_array().into_iter().flatten();
    MlflowRun {
        id: text(info, "run_id"),
        name: text(info, "run_name"),
        experiment_id: text(info, "experiment_id"),
        artifact_uri: text(info, "artifact_uri"),
        status: text(info, "status"),
        started_at: info["start_time"].as_i64().or_else(|| info["start_time"].as_str()?.parse().ok()).unwrap_or(0),
        is_child: tags.any(|tag| tag["key"] == "mlflow.parentRunId"),
        metrics: value["data"]["metrics"].as_array().into_iter().flatten().map(|metric| text(metric, "key")).collect(),
        document: value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    async fn answer(response: ResponseTemplate) -> Error {
        let server = MockServer::start().await;
        Mock::given(method("POST")).and(path("/api/2.0/mlflow/experiments/search")).respond_with(response).mount(&server).await;
        let connection = Connection { uri: server.uri(), auth: crate::auth::Credentials::None, managed: false };
        Client::new(&connection).expect("a client").preflight().await.expect_err("the answer is an error")
    }

    #[tokio::test]
    async fn every_kind_of_refusal_is_told_apart() {
        let page = || ResponseTemplate::new(404).set_body_string("<html>no</html>");
        assert!(matches!(answer(ResponseTemplate::new(401)).await, Error::Unauthorized { .. }));
        let host = ResponseTemplate::new(403).set_body_string("Invalid Host header - possible DNS rebinding attack detected");
        assert!(matches!(answer(host).await, Error::HostRefused { .. }));
        assert!(matches!(answer(ResponseTemplate::new(403)).await, Error::Forbidden { .. }));
        assert!(matches!(answer(page()).await, Error::NotMlflow { status: 404, html: true, .. }));
        assert!(matches!(answer(ResponseTemplate::new(200).set_body_string("<html>")).await, Error::NotMlflow { html: true, .. }));
        let busy = answer(ResponseTemplate::new(503)).await;
        assert!(busy.is_transient() && matches!(busy, Error::Trouble { status: 503, .. }));
    }

    #[tokio::test]
    async fn a_tracker_that_is_down_is_unreachable() {
        let connection = Connection { uri: "http://127.0.0.1:9".into(), auth: crate::auth::Credentials::None, managed: false };
        let error = Client::new(&connection).expect("a client").preflight().await.expect_err("nothing listens");
        assert!(error.is_transient() && matches!(error, Error::Unreachable { .. }));
    }
}
