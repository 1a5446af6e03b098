//! The connection to the tracker: sends one request and says what became of it, in the terms that matter for sending it again.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::auth::{Credentials, Session};
use crate::support::{causes, http};

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
    /// The answer itself, when the server says that it failed at this very request (500).
    pub(super) failure: Option<Box<Answer>>,
}

impl Trouble {
    /// Makes one of a cause and a text for people; nothing was sent.
    pub(super) fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), in_doubt: false, retry_after: None, failure: None }
    }

    /// The same, where the server may have acted all the same.
    pub(super) fn doubtful(cause: Cause, detail: impl Into<String>) -> Self {
        Self { in_doubt: true, ..Self::new(cause, detail) }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        (!self.reachable).then(|| Trouble::new(Cause::NoWayOut, "this machine has no way to the tracker"))
    }

    /// Returns whether credentials that are refused now may be good later.
    pub(super) fn can_renew(&self) -> bool {
        self.session.is_renewable()
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
        self.call_within(self.stall, method, target, headers, body).await
    }

    /// The same, for a server that may be silent for another time than usual: head and body each have all of it.
    pub(super) async fn call_within(
        &self,
        limit: Duration,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Trouble> {
        let response = self.request(method, target, headers, || reqwest::Body::from(body.clone()), Some(limit)).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match tokio::time::timeout(limit, response.bytes()).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return Err(Trouble { in_doubt: true, ..of(&error) }),
            Err(_) => return Err(stalled()),
        };
        let answer = Answer { status, headers, body };
        let is_json = !answer.headers.contains_key("content-encoding")
            && answer.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if is_json && !answer.body.is_empty() && answer.json().is_none() {
            return Err(Trouble::doubtful(Cause::Broken, "its answer is cut short"));
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
                // What a program or a file said is nobody's business here: it may be the token.
                Trouble::new(Cause::Credentials, error.to_string())
            })?;
            let mut request = self.http.request(method.clone(), format!("{}{target}", self.base)).headers(headers.clone()).body(body());
            if let Some(secret) = &authorization {
                let mut value = HeaderValue::from_str(secret.expose())
                    .map_err(|_| Trouble::new(Cause::Credentials, crate::auth::Error::NotAHeader.to_string()))?;
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
                    return Err(self.busy(response).await);
                }
            }
            return Ok(response);
        }
    }
}

impl Upstream {
    /// Returns what an answer of 429 or 5xx means.
    async fn busy(&self, response: Response) -> Trouble {
        let (status, headers) = (response.status(), response.headers().clone());
        let code = status.as_u16();
        let trouble = Trouble {
            in_doubt: status != StatusCode::TOO_MANY_REQUESTS,
            retry_after: retry_after(&headers),
            ..Trouble::new(Cause::Busy(code), format!("it answers {code}"))
        };
        if status != StatusCode::INTERNAL_SERVER_ERROR {
            return trouble;
        }
        let body = tokio::time::timeout(self.stall, response.bytes()).await.ok().and_then(Result::ok).unwrap_or_default();
        Trouble { failure: Some(Box::new(Answer { status, headers, body })), ..trouble }
    }

    /// Returns whether the server answers to the simplest of questions, so that its failing at another is about that one.
    pub(super) async fn is_well(&self) -> bool {
        let answer = self.call(&Method::GET, "/version", &HeaderMap::new(), Bytes::new()).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }
}

/// Reads `Retry-After` in its form of seconds, at most five minutes.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(300)))
}

pub(super) fn stalled() -> Trouble {
    Trouble::doubtful(Cause::Stalled, "it does not answer in time")
}

/// Says what an error of the HTTP client means for the request.
pub(super) fn of(error: &reqwest::Error) -> Trouble {
    let texts: Vec<String> = causes::chain(error).skip(1).map(ToString::to_string).collect();
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
    Trouble { in_doubt: !error.is_connect(), ..Trouble::new(kind, detail) }
}
