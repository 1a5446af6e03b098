//! The MLflow server behind the emulator, asked in its own words.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode};
use hyper::http;
use serde_json::{Map, Value};

use super::super::Host;
use super::Error;

/// A client of the server behind.
pub(super) struct Inner {
    host: Arc<dyn Host>,
    http: reqwest::Client,
    uri: Mutex<Option<String>>,
}

/// What the server behind answers.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Inner {
    /// Makes the client; asks nothing.
    pub(super) fn new(host: Arc<dyn Host>) -> Self {
        crate::support::http::install_tls();
        // The server is on this machine, whatever proxies the environment names.
        let builder = reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).timeout(Duration::from_mins(2));
        let http = builder.build().expect("a client without roots of its own can be built");
        Self { host, http, uri: Mutex::new(None) }
    }

    async fn uri(&self) -> Result<String, Error> {
        let known = self.uri.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        match known {
            Some(uri) => Ok(uri),
            None => {
                let uri = self.host.tracker().await.map_err(Error::NoTracker)?;
                *self.uri.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(uri.clone());
                Ok(uri)
            }
        }
    }

    /// Sends a request and returns the answer, refusals included. A server that is not there is looked for once more: it may have been
    /// started again elsewhere.
    pub(super) async fn ask(&self, method: &Method, act: &str, fields: &Map<String, Value>) -> Result<Reply, Error> {
        let failed = |source: reqwest::Error| Error::Ask { act: act.to_owned(), source: source.without_url() };
        let mut again = false;
        loop {
            let request = self.http.request(method.clone(), format!("{}/api/2.0/mlflow/{act}", self.uri().await?));
            let request = if method == Method::GET { request.query(&query(fields)) } else { request.json(fields) };
            match request.send().await {
                Ok(response) => {
                    let status = response.status();
                    let body = response.bytes().await.map_err(failed)?;
                    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
                    return Ok(Reply { status, body: serde_json::from_slice(&body).unwrap_or_else(|_| text()) });
                }
                Err(error) if error.is_connect() && !again => {
                    again = true;
                    *self.uri.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Sends a request of the emulator's own and returns the answer; `None` when the server has no such thing.
    pub(super) async fn get(&self, method: &Method, act: &str, fields: Value) -> Result<Option<Value>, Error> {
        let Value::Object(fields) = fields else { return Ok(None) };
        let reply = self.ask(method, act, &fields).await?;
        if reply.status.is_success() {
            return Ok(Some(reply.body));
        }
        let code = reply.body.get("error_code").and_then(Value::as_str).unwrap_or_default();
        if code == "RESOURCE_DOES_NOT_EXIST" {
            return Ok(None);
        }
        let message = reply.body.get("message").and_then(Value::as_str).unwrap_or(code).to_owned();
        Err(Error::Refused { act: act.to_owned(), status: reply.status.as_u16(), message })
    }
}

/// Returns fields as a query: a list is a key that is given several times.
fn query(fields: &Map<String, Value>) -> Vec<(&str, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .flat_map(|(key, value)| match value {
            Value::Array(items) => items.iter().map(|item| (key.as_str(), text(item))).collect(),
            one => vec![(key.as_str(), text(one))],
        })
        .collect()
}
