//! A connection to a workspace: how a request is sent, retried and answered. What is asked over it is in `assets` and `jobs`.
//!
//! All of them may be sent again: what is made is made under a name that we choose. So each is, when the service or the network asks for it.
//! The bearer token goes to the control plane and to hosts that the workspace itself names, and never to storage, which has its own proof in
//! the address.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{Access, Error, retry};
use crate::auth::Session;
use crate::support::azure::{API_VERSION, ErrorBody};
use crate::support::http;
use crate::target::OwnTracker;

/// A client of one workspace.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    session: Arc<Session>,
    /// Who submits, for the workspace itself.
    submitter: Option<Arc<Session>>,
    access: Access,
    workspace: Arc<OnceCell<Workspace>>,
}

/// What the workspace says of itself.
#[derive(Debug, Clone)]
pub(super) struct Workspace {
    /// Where its runs are: `<api>/history/v1.0<scope>`.
    pub(super) history: String,
    /// Its tracker, as MLflow's clients name it.
    pub(super) mlflow_uri: String,
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads a good answer; another becomes the service's own words.
    pub(super) fn read<T: DeserializeOwned>(self, act: &str) -> Result<T, Error> {
        let good = self.good(act)?;
        serde_json::from_slice(&good.body).map_err(|source| Error::Unreadable { act: act.to_owned(), source })
    }

    pub(super) fn good(self, act: &str) -> Result<Self, Error> {
        if self.is_good() { Ok(self) } else { Err(self.refusal(act)) }
    }

    fn refusal(&self, act: &str) -> Error {
        let said = serde_json::from_slice::<ErrorBody>(&self.body).map(|body| body.error).unwrap_or_default();
        let message = if said.message.is_empty() { "the service gives no reason".to_owned() } else { said.message };
        let id = self.header("x-ms-request-id").or_else(|| self.header("x-ms-correlation-request-id"));
        Error::Refused { act: act.to_owned(), status: self.status, code: said.code, message, id: id.map(str::to_owned) }
    }
}

impl Client {
    pub(super) fn new(access: Access) -> Result<Self, Error> {
        let authorities = access.certificate_authority.as_deref().map(authorities).transpose()?.unwrap_or_default();
        let http = http::client_trusting(Duration::from_secs(10), Duration::from_mins(5), authorities).map_err(Error::Setup)?;
        let session = Arc::new(Session::new(&access.credentials, &http));
        let submitter = access.submitter.as_ref().map(|credentials| Arc::new(Session::new(credentials, &http)));
        Ok(Self { http, session, submitter, access, workspace: Arc::new(OnceCell::new()) })
    }

    /// Returns the workspace's path, with which every id begins.
    pub(super) fn scope(&self) -> &crate::support::azure::Scope {
        &self.access.scope
    }

    /// Returns the address of the control plane.
    pub(super) fn resource_manager(&self) -> &str {
        &self.access.resource_manager
    }

    /// Returns who submits, for the workspace's own audience.
    pub(super) fn submitter(&self) -> Option<&Session> {
        self.submitter.as_deref()
    }

    /// Returns the client for storage, which presents no token.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Returns where storage accounts are, if not at the host that the service names.
    pub(super) fn storage(&self) -> Option<&str> {
        self.access.storage.as_deref()
    }

    pub(super) fn arm(&self, path: &str) -> String {
        format!("{}{}{path}", self.access.resource_manager.trim_end_matches('/'), self.access.scope)
    }

    /// Sends a request until it is answered for good.
    pub(super) async fn send(&self, build: impl Fn() -> RequestBuilder) -> Result<Answer, Error> {
        let mut renewed = false;
        let mut attempt = 0;
        loop {
            let authorization = self.session.authorization().await?;
            let request = match &authorization {
                Some(secret) => build().header(AUTHORIZATION, secret.expose()),
                None => build(),
            };
            attempt += 1;
            let headers = match answer(request).await {
                // A token may have been taken back before its end; asking for another once tells that from a lack of rights.
                Ok(answer) if answer.status == 401 && !renewed => {
                    renewed = true;
                    if let Some(secret) = &authorization
                        && self.session.refused(secret).await
                    {
                        continue;
                    }
                    return Ok(answer);
                }
                Ok(answer) if attempt < retry::ATTEMPTS && retry::may_succeed_later(answer.status, &answer.headers) => Some(answer.headers),
                Ok(answer) => return Ok(answer),
                Err(error) if attempt < retry::ATTEMPTS && error.is_transient() => None,
                Err(error) => return Err(error),
            };
            tokio::time::sleep(retry::pause(attempt - 1, headers.as_ref())).await;
        }
    }

    pub(super) async fn arm_call(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> Result<Answer, Error> {
        let url = self.arm(path);
        self.send(|| {
            let request = self.http.request(method.clone(), &url).query(&[("api-version", API_VERSION)]).query(query);
            match body {
                Some(body) => request.json(body),
                // An empty body wants its length said.
                None if method == Method::POST => request.header("Content-Length", "0"),
                None => request,
            }
        })
        .await
    }

    /// Returns how the workspace's tracker is asked: MLflow's REST, with the credentials of the workspace.
    pub(super) async fn tracker(&self) -> Result<OwnTracker, Error> {
        let named = &self.workspace().await?.mlflow_uri;
        let rest = named.strip_prefix("azureml://").ok_or_else(|| Error::NoHistory(self.scope().workspace_name.clone()))?;
        let scheme = if self.access.resource_manager.starts_with("http://") { "http" } else { "https" };
        Ok(OwnTracker {
            // Clients of MLflow 2 and later ask this version, whatever the address says.
            uri: format!("{scheme}://{}", rest.replacen("/mlflow/v1.0/", "/mlflow/v2.0/", 1)),
            credentials: self.access.credentials.clone(),
            certificate_authority: self.access.certificate_authority.clone(),
        })
    }

    /// Returns what the workspace says of itself, which is asked once.
    pub(super) async fn workspace(&self) -> Result<&Workspace, Error> {
        self.workspace.get_or_try_init(|| self.ask_workspace()).await
    }

    async fn ask_workspace(&self) -> Result<Workspace, Error> {
        let scope = self.scope();
        let act = format!("look at the workspace `{}`", scope.workspace_name);
        let found: Value = self.arm_call(Method::GET, "", &[], None).await?.read(&act)?;
        let text = |name: &str| found["properties"][name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let nowhere = || Error::NoHistory(scope.workspace_name.clone());
        let mlflow_uri = text("mlFlowTrackingUri").ok_or_else(nowhere)?;
        // By the discovery where there is one: a private workspace has another host there than its region's.
        let api = match text("discoveryUrl") {
            Some(url) => {
                let services: Value = self.send(|| self.http.get(&url)).await?.read("find the workspace's services")?;
                services["api"].as_str().map(str::to_owned)
            }
            None => None,
        };
        let host = || mlflow_uri.strip_prefix("azureml://").and_then(|rest| rest.split('/').next()).map(|host| format!("https://{host}"));
        let api = api.or_else(host).ok_or_else(nowhere)?;
        let mlflow_uri = mlflow_uri.split('?').next().unwrap_or_default().to_owned();
        Ok(Workspace { history: format!("{}/history/v1.0{scope}", api.trim_end_matches('/')), mlflow_uri })
    }
}

/// Returns whether a 404 is about the workspace and not about what is looked for in it.
pub(super) fn is_about_workspace(answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(&answer.body) else { return false };
    matches!(body.error.code.as_str(), "ResourceGroupNotFound" | "SubscriptionNotFound")
        || (body.error.code == "ResourceNotFound" && body.error.message.contains("/workspaces/") && !body.error.message.contains("/jobs/"))
}

/// Sends one request and reads the answer.
pub(super) async fn answer(request: RequestBuilder) -> Result<Answer, Error> {
    let (client, request) = request.build_split();
    let request = request.map_err(Error::Setup)?;
    let host = request.url().host_str().unwrap_or_default().to_owned();
    // Addresses may hold a proof.
    let unreachable = |source: reqwest::Error| Error::Unreachable { host: host.clone(), source: source.without_url() };
    let response = client.execute(request).await.map_err(unreachable)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.map_err(unreachable)?.to_vec();
    Ok(Answer { status, headers, body })
}

/// Reads the certificate authorities of a file.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, Error> {
    http::authorities(&crate::support::fs::read(path)?).map_err(Error::Setup)
}
