//! The connection to the tracker: sends one request and says what became of it, in the terms that matter for sending it again.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::auth::{Credentials, Session};
use crate::support::http;

/// Why the tracker gives no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its name has no address.
    Dns,
    /// Nothing listens there, or nothing gets there.
    Connect,
    /// No secure connection.
    Tls,
    /// It took too long.
    Stalled,
    /// The connection broke.
    Broken,
    /// It answered 429 or 5xx.
    Busy(u16),
    /// It answered something that is not MLflow's.
    NotMlflow(u16),
    /// It takes none of our credentials, or none can be had.
    Credentials,
    /// There is no way out of this machine: what is written is delivered later from elsewhere.
    NoWayOut,
}

impl Cause {
    /// Returns the word that stands in a header.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Stalled => "stalled",
            Self::Broken => "broken",
            Self::Busy(_) => "busy",
            Self::NotMlflow(_) => "not-mlflow",
            Self::Credentials => "credentials",
            Self::NoWayOut => "no-way-out",
        }
    }
}

/// A request without an answer that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Why.
    pub(super) cause: Cause,
    /// More, for people.
    pub(super) detail: String,
    /// Whether the server may have acted on it all the same.
    pub(super) in_doubt: bool,
    /// When the server wants to be asked again.
    pub(super) retry_after: Option<Duration>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// Returns the body as JSON.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Returns MLflow's `error_code`, when this is an error that MLflow itself answers.
    pub(super) fn error_code(&self) -> Option<String> {
        self.json()?.get("error_code")?.as_str().map(str::to_owned)
    }
}

/// The tracker, as the relay reaches it.
#[derive(Debug)]
pub(super) struct Upstream {
    base: String,
    http: reqwest::Client,
    session: Session,
    stall: Duration,
    reachable: bool,
}

impl Upstream {
    /// Makes the client; opens no connection. `None` as address is a place without a way out.
    pub(super) fn new(uri: Option<&str>, credentials: &Credentials, stall: Duration) -> Result<Self, Error> {
        http::install_tls();
        let builder = || reqwest::Client::builder().user_agent(concat!("sendoff/", env!("CARGO_PKG_VERSION")));
        // Nothing is decoded or followed on the client's behalf: what passes, passes as it is.
        let client = builder()
            .connect_timeout(stall.min(Duration::from_secs(10)))
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .pool_idle_timeout(Duration::from_secs(20))
            .build()
            .map_err(Error::Setup)?;
        let issuer = builder().timeout(Duration::from_secs(30)).build().map_err(Error::Setup)?;
        Ok(Self {
            base: uri.unwrap_or_default().trim_end_matches('/').to_owned(),
            session: Session::new(credentials, &issuer),
            http: client,
            stall,
            reachable: uri.is_some(),
        })
    }

    /// Returns the trouble of a place that has no way to the tracker at all.
    pub(super) fn no_way(&self) -> Option<Trouble> {
        let detail = "this machine has no way to the tracker".to_owned();
        (!self.reachable).then_some(Trouble { cause: Cause::NoWayOut, detail, in_doubt: false, retry_after: None })
    }

    /// Returns how long the server may be silent.
    pub(super) fn stall(&self) -> Duration {
        self.stall
    }

    /// Sends a request of which the body can be sent again, and reads the whole answer.
    ///
    /// A token that the server refuses is renewed once. An answer that says nothing about the request (429, 5xx, a page of a proxy in
    /// between, JSON that is cut) is trouble; everything else is the server's word, refusals included.
    pub(super) async fn call(&self, method: &Method, target: &str, headers: &HeaderMap, body: Bytes) -> Result<Answer, Trouble> {
        let response = self.request(method, target, headers, || reqwest::Body::from(body.clone()), Some(self.stall)).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match tokio::time::timeout(self.stall, response.bytes()).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(Trouble { in_doubt: true, ..of(&error) }),
            Err(_) => return Err(stalled()),
        };
        let answer = Answer { status, headers, body };
        let is_json = answer.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if is_json && !answer.body.is_empty() && answer.json().is_none() {
            return Err(Trouble { cause: Cause::Broken, detail: "its answer is cut short".into(), in_doubt: true, retry_after: None });
        }
        Ok(answer)
    }

    /// Sends a request and returns the answer once its head is there; the body streams. 429 and 5xx are trouble.
    pub(super) async fn request(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: impl Fn() -> reqwest::Body,
        head_within: Option<Duration>,
    ) -> Result<Response, Trouble> {
        if let Some(trouble) = self.no_way() {
            return Err(trouble);
        }
        let mut renewed = false;
        loop {
            let authorization = self.session.authorization().await.map_err(|error| {
                let mut detail = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    detail = format!("{detail}: {cause}");
                }
                Trouble { cause: Cause::Credentials, detail, in_doubt: false, retry_after: None }
            })?;
            let mut request = self.http.request(method.clone(), format!("{}{target}", self.base)).headers(headers.clone()).body(body());
            if let Some(secret) = &authorization {
                let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| Trouble {
                    cause: Cause::Credentials,
                    detail: crate::auth::Error::NotAHeader.to_string(),
                    in_doubt: false,
                    retry_after: None,
                })?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            let sent = request.send();
            let response = match head_within {
                Some(limit) => tokio::time::timeout(limit, sent).await.map_err(|_| stalled())?,
                None => sent.await,
            };
            let response = response.map_err(|error| of(&error))?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED
                && !renewed
                && let Some(secret) = &authorization
                && self.session.refused(secret).await
            {
                renewed = true;
                continue;
            }
            if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
                // 501 is an answer: the server cannot do this at all (uploads in parts, on a local disk).
                if status != StatusCode::NOT_IMPLEMENTED {
                    let code = status.as_u16();
                    return Err(Trouble {
                        cause: Cause::Busy(code),
                        detail: format!("it answers {code}"),
                        in_doubt: status != StatusCode::TOO_MANY_REQUESTS,
                        retry_after: retry_after(response.headers()),
                    });
                }
            }
            return Ok(response);
        }
    }
}

/// Reads `Retry-After` in its form of seconds, at most five minutes.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(300)))
}

pub(super) fn stalled() -> Trouble {
    Trouble { cause: Cause::Stalled, detail: "it does not answer in time".into(), in_doubt: true, retry_after: None }
}

/// Says what an error of the HTTP client means for the request.
pub(super) fn of(error: &reqwest::Error) -> Trouble {
    let mut texts = Vec::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    let all = texts.join(": ");
    let low = all.to_lowercase();
    let detail = texts.last().cloned().unwrap_or_else(|| error.to_string());
    let kind = if low.contains("certificate") || low.contains("tls") || low.contains("handshake") {
        Cause::Tls
    } else if low.contains("dns") || low.contains("lookup") || low.contains("name or service not known") {
        Cause::Dns
    } else if error.is_connect() {
        Cause::Connect
    } else if error.is_timeout() {
        Cause::Stalled
    } else {
        Cause::Broken
    };
    Trouble { cause: kind, detail, in_doubt: !error.is_connect(), retry_after: None }
}
