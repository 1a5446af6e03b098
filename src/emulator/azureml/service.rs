//! What all routes share, and the way of a request to its route.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::blobs::Blobs;
use super::call::Call;
use super::faults::{self, Fault};
use super::host::Host;
use super::identity::{Identity, guid};
use super::mlflow;
use super::reply::{Refusal, Reply, set};
use super::route::{self, Access, Found, Plane, Route};
use super::run::Nodes;
use super::run::pool::Pools;
use super::store::{Store, key};
use super::token::{self, Issuer};
use super::traffic::{self, Traffic};
use crate::support::azure::Scope;

/// The region that everything is in.
pub(super) const LOCATION: &str = "emulated";

/// For what a token may have been issued that is used here: the control planes of the clouds, Azure ML's own services, and a run.
const AUDIENCES: &[&str] = &[
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.chinacloudapi.cn",
    "https://management.usgovcloudapi.net",
    "https://ml.azure.com",
    "https://ml.azure.cn",
    "https://ml.azure.us",
    "azureml",
];

/// The end of the host names of blobs on the service.
pub(super) const BLOB_HOSTS: &str = ".blob.core.windows.net";

/// Where the emulator is reached.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    pub(super) port: u16,
    /// The address of this machine in the job network.
    pub(super) gateway: Option<std::net::IpAddr>,
}

impl Addresses {
    /// Returns the address for programs of this machine.
    pub(super) fn base_url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Returns the address for containers of jobs.
    pub(super) fn gateway_url(&self) -> Option<String> {
        self.gateway.map(|gateway| format!("{}://{gateway}:{}", self.scheme, self.port))
    }

    /// Returns whether this names the emulator, whatever name it is called by: another site's name may lead here too.
    fn has(&self, host: &str) -> bool {
        let known = |name: &str| host.eq_ignore_ascii_case(&format!("{name}:{}", self.port));
        known("127.0.0.1") || known("localhost") || self.gateway.is_some_and(|gateway| known(&gateway.to_string()))
    }
}

/// The emulator.
pub(super) struct Service {
    /// Its folder, which is also what its containers are known by.
    pub(super) folder: PathBuf,
    pub(super) identity: Identity,
    pub(super) issuer: Issuer,
    pub(super) store: Arc<Store>,
    pub(super) blobs: Arc<Blobs>,
    pub(super) mlflow: mlflow::Plane,
    pub(super) addresses: Addresses,
    pub(super) host: Arc<dyn Host>,
    /// Where jobs run; or why none can.
    pub(super) nodes: Result<Nodes, String>,
    pub(super) table: Vec<Route>,
    /// The jobs that are being run, by workspace and name, each with what ends it.
    pub(super) live: Mutex<HashMap<(String, String), CancellationToken>>,
    /// The nodes of the computes.
    pub(super) pools: Arc<Pools>,
    /// Whether the MLflow server behind was asked for.
    pub(super) expects_job: AtomicBool,
    /// What clients have sent.
    pub(super) traffic: Arc<Traffic>,
    /// Everything that runs beside the answering of requests.
    pub(super) tasks: TaskTracker,
}

/// The answer is not sent: the connection breaks.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost, as it was ordered")]
pub(super) struct Lost;

/// What a job is shown as in place of its state, as a part of the call.
pub(super) const SHOWN_STATUS: &str = "(shown status)";

/// Returns the storage account of a workspace.
pub(super) fn account(scope: &Scope) -> String {
    let digest: String = Sha256::digest(key(scope).as_bytes()).iter().take(11).map(|byte| format!("{byte:02x}")).collect();
    format!("st{digest}")
}

/// Returns whether this is the name of a storage account of ours.
fn is_account(word: &str) -> bool {
    word.len() == 24 && word.strip_prefix("st").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Service {
    /// Answers one request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Reply, Lost> {
        let (parts, body) = request.into_parts();
        let named = parts.headers.get(HOST).and_then(|host| host.to_str().ok()).or(parts.uri.host()).unwrap_or_default().to_owned();
        let blob_host = named.split(':').next().and_then(|host| host.strip_suffix(BLOB_HOSTS)).map(str::to_owned);
        let mut path = parts.uri.path().to_owned();
        if let Some(account) = &blob_host {
            path = format!("/{account}{path}");
        }
        let storage = path.split('/').nth(1).is_some_and(is_account);
        let call = Call {
            method: parts.method,
            query: url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
            path,
            headers: parts.headers,
            origin: format!("{}://{named}", self.addresses.scheme),
            parts: std::collections::BTreeMap::new(),
            claims: Value::Null,
            body: Some(body),
        };
        let (method, request_id) = (call.method.clone(), guid());
        let mut reply = if call.path == traffic::PATH && call.method == Method::GET {
            self.traffic.show()
        } else if blob_host.is_some() || self.addresses.has(&named) {
            self.route(call, storage).await?
        } else {
            Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", format!("`{named}` is not a name of this emulator")).into_json()
        };
        set(&mut reply, "x-ms-request-id", &request_id);
        if method == Method::HEAD {
            // The body would be read as the next answer.
            let (parts, _) = reply.into_parts();
            reply = hyper::Response::from_parts(parts, super::reply::nothing());
        }
        Ok(reply)
    }

    async fn route(self: &Arc<Self>, mut call: Call, storage: bool) -> Result<Reply, Lost> {
        let (route, parts) = match route::find(&self.table, storage, &call.method, &call.path, &call.query) {
            Found::Route(route, parts) => (route, parts),
            Found::OtherMethod => {
                return Ok(refused(storage, Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", not_built(&call))));
            }
            Found::Nothing => return Ok(refused(storage, Refusal::new(StatusCode::NOT_FOUND, "NotFound", not_built(&call)))),
        };
        call.parts = parts;
        self.traffic.count(&call.method, route.pattern, route.query);
        let fault = faults::take(&self.folder, &call.method, &call.path, route);
        if fault == Some(Fault::NotResponding) {
            call.parts.insert(SHOWN_STATUS, "NotResponding".to_owned());
        }
        let answer = match fault.and_then(|fault| fault.refusal(storage)).map_or_else(|| self.admit(route, &mut call), Err) {
            Ok(()) => (route.handler)(self.clone(), call).await,
            Err(refusal) => Err(refusal),
        };
        if fault == Some(Fault::LostReply) {
            return Err(Lost);
        }
        Ok(answer.unwrap_or_else(|refusal| match route.plane {
            Plane::Aad => refusal.into_oauth(),
            Plane::Blob => refusal.into_xml(),
            Plane::Arm | Plane::History | Plane::Mlflow => refusal.into_json(),
        }))
    }

    /// Checks what is the same for all routes: token, version, workspace.
    fn admit(&self, route: &Route, call: &mut Call) -> Result<(), Refusal> {
        if route.access == Access::Token {
            call.claims = self.claims(call)?;
        }
        if route.plane == Plane::Arm && route.access == Access::Token {
            let version = call.asked("api-version").unwrap_or_default();
            if version.is_empty() {
                let text = "The api-version query parameter (?api-version=) is required for all requests.";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", text));
            }
            if !is_version(version) {
                let text = format!("The api-version '{version}' is invalid.");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidApiVersionParameter", text));
            }
        }
        if call.parts.contains_key("workspace") {
            let scope = call.scope();
            let Some(kept) = self.store.workspace(&scope)? else {
                let Scope { resource_group, workspace_name, .. } = scope;
                let text = format!(
                    "The Resource 'Microsoft.MachineLearningServices/workspaces/{workspace_name}' under resource group '{resource_group}' was not found."
                );
                return Err(Refusal::new(StatusCode::NOT_FOUND, "ResourceNotFound", text));
            };
            // Ids are written as they were first written.
            call.parts.insert("subscription", kept.subscription_id);
            call.parts.insert("group", kept.resource_group);
            call.parts.insert("workspace", kept.workspace_name);
        }
        Ok(())
    }

    fn claims(&self, call: &Call) -> Result<Value, Refusal> {
        let unauthorized = |code: &str, text: &str| {
            let challenge = format!(
                "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{text}\"",
                call.origin, self.identity.tenant_id
            );
            Refusal::new(StatusCode::UNAUTHORIZED, code, text).with("www-authenticate", challenge)
        };
        let presented = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|text| text.split_once(' '));
        let Some((_, token)) = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
            return Err(unauthorized("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."));
        };
        let claims = self.issuer.check(token.trim()).map_err(|fault| match fault {
            token::Fault::Expired => {
                unauthorized("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier than current UTC time.")
            }
            token::Fault::Foreign => unauthorized("InvalidAuthenticationToken", "The access token is invalid."),
        })?;
        let audience = claims["aud"].as_str().unwrap_or_default();
        if !self.takes(audience) {
            let text = format!("The access token has been obtained for wrong audience or resource '{audience}'.");
            return Err(unauthorized("InvalidAuthenticationToken", &text));
        }
        Ok(claims)
    }

    /// Returns whether a token for this audience opens the planes: those of the clouds' control planes, of runs, and of this address.
    fn takes(&self, audience: &str) -> bool {
        let audience = audience.trim_end_matches('/');
        let own = audience.split_once("://").is_some_and(|(_, named)| self.addresses.has(named));
        own || AUDIENCES.contains(&audience)
    }

    /// Has the MLflow server behind started, once: somebody is about to send a job, whose run has to be there when it is answered.
    pub(super) fn expect_job(&self) {
        if !self.expects_job.swap(true, Ordering::Relaxed) {
            let host = self.host.clone();
            // What hinders it is said to the job. Nobody waits for it when the emulator ends.
            tokio::spawn(async move { host.tracker().await.map(drop) });
        }
    }

    /// Issues a token of the emulator's application for an audience.
    pub(super) fn token_for(&self, audience: &str) -> String {
        let Identity { tenant_id, client_id, object_id, .. } = &self.identity;
        let claims = json!({
            "aud": audience, "iss": format!("https://sts.windows.net/{tenant_id}/"), "appid": client_id, "oid": object_id, "sub": object_id,
            "tid": tenant_id, "idtyp": "app", "ver": "1.0",
        });
        self.issuer.issue(claims, super::token::LIFETIME)
    }
}

fn not_built(call: &Call) -> String {
    format!("the emulator has no route for {} {}: see `sendoff emulator parity azureml`", call.method, call.path)
}

fn refused(storage: bool, refusal: Refusal) -> Reply {
    if storage { refusal.into_xml() } else { refusal.into_json() }
}

/// Returns whether this is a version of the control plane: `2024-04-01`, `2024-04-01-preview`.
fn is_version(text: &str) -> bool {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dates_that_may_be_previews() {
        for (text, good) in [("2024-04-01", true), ("2025-01-01-preview", true), ("2024-4-1", false), ("v1.0", false), ("", false)] {
            assert_eq!(is_version(text), good, "{text}");
        }
    }

    #[test]
    fn a_workspaces_account_is_known_as_one_whatever_the_case_of_its_name() {
        let scope = |name: &str| Scope { subscription_id: "s".into(), resource_group: "g".into(), workspace_name: name.into() };
        assert!(is_account(&account(&scope("w"))));
        assert_eq!(account(&scope("w")), account(&scope("W")));
        assert_ne!(account(&scope("w")), account(&scope("x")));
        assert!(!is_account("subscriptions"));
    }
}
