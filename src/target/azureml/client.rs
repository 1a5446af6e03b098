//! Requests to a workspace: every address, header and method is here.
//!
//! All of them may be sent again: what is made is made under a name that we choose. So each is, when the service or the network asks for it.
//! The bearer token goes to the control plane and to hosts that the workspace itself names, and never to storage, which has its own proof in
//! the address.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;

use super::parse::{Details, Job};
use super::{Access, Error, retry, wire};
use crate::auth::Session;
use crate::support::azure::{API_VERSION, AssetId, ErrorBody, HASH_VERSION};
use crate::support::http;

/// The version of the interface that knows what the stable one does not.
const PREVIEW: &str = "2025-01-01-preview";

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
    history: String,
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

/// A place to upload a code asset to.
#[derive(Debug)]
pub(super) struct Upload {
    /// The container, without the proof.
    pub(super) container: String,
    /// The container, with the proof in its query; never kept.
    pub(super) sas: Url,
}

impl Answer {
    fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads a good answer; another becomes the service's own words.
    fn read<T: DeserializeOwned>(self, act: &str) -> Result<T, Error> {
        let good = self.good(act)?;
        serde_json::from_slice(&good.body).map_err(|source| Error::Unreadable { act: act.to_owned(), source })
    }

    fn good(self, act: &str) -> Result<Self, Error> {
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

    /// Returns the client for storage, which presents no token.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Returns where storage accounts are, if not at the host that the service names.
    pub(super) fn storage(&self) -> Option<&str> {
        self.access.storage.as_deref()
    }

    fn arm(&self, path: &str) -> String {
        format!("{}{}{path}", self.access.resource_manager.trim_end_matches('/'), self.access.scope)
    }

    /// Sends a request until it is answered for good.
    async fn send(&self, build: impl Fn() -> RequestBuilder) -> Result<Answer, Error> {
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

    async fn arm_call(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<&Value>) -> Result<Answer, Error> {
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

    /// Returns the code asset that has this hash.
    pub(super) async fn code(&self, name: &str, hash: &str) -> Result<Option<AssetId>, Error> {
        let query = [("hash", hash), ("hashVersion", HASH_VERSION)];
        let act = "look for the source directory among the workspace's code";
        let answer = self.arm_call(Method::GET, &format!("/codes/{name}/versions"), &query, None).await?;
        if answer.status == 404 && !is_about_workspace(&answer) {
            return Ok(None);
        }
        let found: Value = answer.read(act)?;
        let id = found["value"].as_array().and_then(|found| found.first()).and_then(|found| found["id"].as_str());
        Ok(id.and_then(|id| id.parse().ok()))
    }

    /// Asks for a place to upload a code asset to.
    pub(super) async fn start_upload(&self, name: &str) -> Result<Upload, Error> {
        let act = "ask for a place to upload the source directory to";
        let path = format!("/codes/{name}/versions/1/startPendingUpload");
        let body = json!({ "pendingUploadType": "TemporaryBlobReference" });
        let found: Value = self.arm_call(Method::POST, &path, &[], Some(&body)).await?.read(act)?;
        let reference = &found["blobReferenceForConsumption"];
        let sas = reference["credential"]["sasUri"].as_str().and_then(|text| Url::parse(text).ok());
        let container = reference["blobUri"].as_str().map(|text| text.trim_end_matches('/').to_owned());
        sas.zip(container).map(|(sas, container)| Upload { container, sas }).ok_or_else(|| Error::Refused {
            act: act.to_owned(),
            status: 200,
            code: String::new(),
            message: "the answer names no place".to_owned(),
            id: None,
        })
    }

    /// Registers an uploaded code asset and returns its id; `None` when another one has its name.
    pub(super) async fn put_code(&self, name: &str, uri: &str, hash: &str) -> Result<Option<String>, Error> {
        let body = json!({ "properties": {
            "codeUri": uri,
            "isAnonymous": true,
            "properties": { "hash_sha256": hash, "hash_version": HASH_VERSION },
        } });
        let answer = self.arm_call(Method::PUT, &format!("/codes/{name}/versions/1"), &[], Some(&body)).await?;
        if matches!(answer.status, 400 | 409) {
            return Ok(None);
        }
        let found: Value = answer.read("register the source directory")?;
        Ok(Some(found["id"].as_str().map_or_else(|| self.scope().asset("codes", name, "1").to_string(), str::to_owned)))
    }

    /// Returns whether an environment's version is there.
    pub(super) async fn has_environment(&self, name: &str, version: &str) -> Result<bool, Error> {
        let answer = self.arm_call(Method::GET, &format!("/environments/{name}/versions/{version}"), &[], None).await?;
        if answer.status == 404 && !is_about_workspace(&answer) {
            return Ok(false);
        }
        answer.good("look for the environment").map(|_| true)
    }

    /// Makes an environment's version.
    pub(super) async fn put_environment(&self, name: &str, version: &str, body: &Value) -> Result<(), Error> {
        let path = format!("/environments/{name}/versions/{version}");
        self.arm_call(Method::PUT, &path, &[], Some(body)).await?.good("register the environment").map(drop)
    }

    /// Returns a job; `None` when the workspace has none of this name.
    pub(super) async fn job(&self, name: &str) -> Result<Option<Job>, Error> {
        let answer = self.arm_call(Method::GET, &format!("/jobs/{name}"), &[], None).await?;
        if answer.status == 404 && !is_about_workspace(&answer) {
            return Ok(None);
        }
        answer.read(&format!("ask about the job `{name}`")).map(Some)
    }

    /// Makes a job, or finds that it is there.
    pub(super) async fn put_job(&self, name: &str, body: &Value) -> Result<Job, Error> {
        let act = format!("submit the job `{name}`");
        let version = if wire::needs_preview(body) { PREVIEW } else { API_VERSION };
        // A job that acts as its submitter needs a token for the workspace's own audience beside.
        let as_user = body["properties"]["identity"]["identityType"] == "UserIdentity";
        let beside = match self.submitter.as_ref().filter(|_| as_user) {
            Some(session) => session.authorization().await?,
            None => None,
        };
        let url = self.arm(&format!("/jobs/{name}"));
        let answer = self.send(|| {
            let request = self.http.put(&url).query(&[("api-version", version)]).json(body);
            match &beside {
                Some(secret) => request.header("x-azureml-token", secret.expose().trim_start_matches("Bearer ")),
                None => request,
            }
        });
        answer.await?.read(&act)
    }

    /// Returns the id of the latest version of what the workspace has registered: `data`, `models` or `environments`.
    pub(super) async fn latest(&self, collection: &str, name: &str) -> Result<String, Error> {
        let act = format!("look for the latest version of `{name}`");
        let found: Value = self.arm_call(Method::GET, &format!("/{collection}/{name}"), &[], None).await?.read(&act)?;
        let version = found["properties"]["latestVersion"].as_str().filter(|version| !version.is_empty());
        let version = version.ok_or_else(|| Error::Refused {
            act,
            status: 200,
            code: String::new(),
            message: "the workspace has no version of it".to_owned(),
            id: None,
        })?;
        Ok(self.scope().asset(collection, name, version).to_string())
    }

    /// Asks for the end of a job, and waits until the service has taken that in; `false` when there is no such job.
    pub(super) async fn cancel(&self, name: &str) -> Result<bool, Error> {
        let act = format!("cancel the job `{name}`");
        let answer = self.arm_call(Method::POST, &format!("/jobs/{name}/cancel"), &[], None).await?;
        match answer.status {
            404 => return Ok(false),
            // A job that has ended is refused by some versions of the service.
            400 | 409 => return Ok(true),
            202 => {}
            _ => return answer.good(&act).map(|_| true),
        }
        let mut pause = retry::pause(0, Some(&answer.headers));
        let place = answer.headers.get("azure-asyncoperation").or_else(|| answer.headers.get(LOCATION));
        let Some(url) = place.and_then(|place| place.to_str().ok()).filter(|url| self.may_hear_token(url)).map(str::to_owned) else {
            return Ok(true);
        };
        loop {
            tokio::time::sleep(pause.clamp(Duration::from_millis(200), Duration::from_secs(30))).await;
            let answer = self.send(|| self.http.get(&url)).await?;
            if answer.status != 202 && !is_in_progress(&answer) {
                // Whether the job has ended is asked of the job.
                return Ok(true);
            }
            pause = retry::pause(0, Some(&answer.headers));
        }
    }

    /// Returns whether an address that the service gave may be asked with our token: the control plane's, in whatever region.
    fn may_hear_token(&self, url: &str) -> bool {
        let own = Url::parse(&self.access.resource_manager).ok();
        let (Some(own), Some(url)) = (own, Url::parse(url).ok()) else { return false };
        let (Some(host), Some(asked)) = (own.host_str(), url.host_str()) else { return false };
        url.scheme() == own.scheme() && (url.origin() == own.origin() || asked.ends_with(&format!(".{host}")))
    }

    /// Returns what run history tells of a job; `None` when it has not heard of it yet.
    pub(super) async fn details(&self, name: &str) -> Result<Option<Details>, Error> {
        let url = format!("{}/runs/{name}/details", self.workspace().await?.history);
        let answer = self.send(|| self.http.get(&url)).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        answer.read(&format!("ask how the job `{name}` stands")).map(Some)
    }

    /// Asks run history about a job's artifacts.
    pub(super) async fn artifacts(&self, experiment: &str, run: &str, route: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        let mut url = Url::parse(&self.workspace().await?.history).map_err(|_| Error::NoHistory(self.scope().workspace_name.clone()))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(["experiments", experiment, "runs", run, "artifacts"]).extend(route.split('/').filter(|part| !part.is_empty()));
        }
        self.send(|| self.http.get(url.clone()).query(query)).await?.read(&format!("ask for what `{run}` has left"))
    }

    /// Asks for a proof with which a datastore can be read, and for where it is.
    pub(super) async fn datastore(&self, name: &str) -> Result<(Value, Value), Error> {
        let act = format!("look at the datastore `{name}`");
        let found: Value = self.arm_call(Method::GET, &format!("/datastores/{name}"), &[], None).await?.read(&act)?;
        // Only this version of the interface gives one that expires, and not the account's own key.
        let url = self.arm(&format!("/datastores/{name}/listSecrets"));
        let body = json!({ "expirableSecret": true, "expireAfterHours": 1 });
        let answer = self.send(|| self.http.post(&url).query(&[("api-version", "2024-10-01-preview")]).json(&body)).await?;
        Ok((found, answer.read(&format!("ask for access to the datastore `{name}`"))?))
    }
}

/// Returns whether a 404 is about the workspace and not about what is looked for in it.
fn is_about_workspace(answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(&answer.body) else { return false };
    matches!(body.error.code.as_str(), "ResourceGroupNotFound" | "SubscriptionNotFound")
        || (body.error.code == "ResourceNotFound" && body.error.message.contains("/workspaces/") && !body.error.message.contains("/jobs/"))
}

fn is_in_progress(answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return false };
    let status = body["status"].as_str().unwrap_or_default().to_lowercase();
    answer.is_good() && !matches!(status.as_str(), "" | "succeeded" | "failed" | "canceled")
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
    reqwest::Certificate::from_pem_bundle(&crate::support::fs::read(path)?).map_err(Error::Setup)
}
