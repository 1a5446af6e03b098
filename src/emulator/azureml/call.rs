//! One request, with what its route found in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use super::reply::Refusal;
use crate::support::azure::Scope;

/// Bytes of a body that is read as a whole.
const IN_MEMORY: usize = 64 << 20;

/// A request.
pub(super) struct Call {
    pub(super) method: Method,
    /// The path as it came.
    pub(super) path: String,
    /// The query, decoded, in order.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// The address by which the client reaches this emulator, which addresses in answers begin with: `https://127.0.0.1:4711`.
    pub(super) origin: String,
    /// What the names in the route's pattern stand for, decoded.
    pub(super) parts: BTreeMap<&'static str, String>,
    /// What the presented token says.
    pub(super) claims: Value,
    pub(super) body: Option<Incoming>,
}

impl Call {
    /// Returns what a name in the route's pattern stands for.
    pub(super) fn part(&self, name: &str) -> &str {
        self.parts.get(name).map_or("", String::as_str)
    }

    /// Returns the workspace that the path names.
    pub(super) fn scope(&self) -> Scope {
        Scope {
            subscription_id: self.part("subscription").to_owned(),
            resource_group: self.part("group").to_owned(),
            workspace_name: self.part("workspace").to_owned(),
        }
    }

    /// Returns a value of the query; names differ in case from client to client.
    pub(super) fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns a header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns host and port of the origin.
    pub(super) fn authority(&self) -> &str {
        self.origin.split_once("://").map_or(self.origin.as_str(), |(_, authority)| authority)
    }

    /// Reads the whole body.
    pub(super) async fn bytes(&mut self) -> Result<Bytes, Refusal> {
        let Some(body) = self.body.take() else { return Ok(Bytes::new()) };
        match Limited::new(body, IN_MEMORY).collect().await {
            Ok(whole) => Ok(whole.to_bytes()),
            Err(_) => Err(Refusal::new(StatusCode::BAD_REQUEST, "BadArgument", "the request broke off, or its body is too long")),
        }
    }

    /// Reads the body as JSON; none at all is an empty object.
    pub(super) async fn json(&mut self) -> Result<Value, Refusal> {
        let bytes = self.bytes().await?;
        if bytes.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "BadArgument", format!("the body is not JSON: {error}")))
    }

    /// Reads the body as a form.
    pub(super) async fn form(&mut self) -> Result<BTreeMap<String, String>, Refusal> {
        let bytes = self.bytes().await?;
        Ok(url::form_urlencoded::parse(&bytes).into_owned().collect())
    }
}
