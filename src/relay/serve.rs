//! Answers the job's MLflow client: what can be spooled is acknowledged at once, everything else waits for it and is passed on.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::answer::{self, Body};
use super::call::{self, Route, Split, Verdict, is_write, judge, route, split_update};
use super::create::create;
use super::record::{Call, Entry, Seen};
use super::shared::{Books, Shared};
use super::unheard::Unheard;
use super::upstream::{Cause, Trouble};
use super::used::Used;
use crate::support::secret::Secret;

/// Bytes of a body that is kept in memory; what is larger streams through.
pub(super) const IN_MEMORY: usize = 8 << 20;

/// What came of a write.
enum Written {
    /// The client gets this answer.
    Answer(Response<Body>),
    /// Only the server can say.
    Ask,
    /// The server has to be told this.
    Pass(Call),
}

/// What came of putting a write into the spool.
enum Appended {
    /// It is decided.
    Done(Written),
    /// As much waits as may.
    Full,
    /// The disk has no room.
    NoRoom {
        error: super::Error,
        /// What the server has to be told.
        sent: Call,
    },
}

/// The server side of a relay.
pub(super) struct Service {
    pub(super) shared: Arc<Shared>,
    /// What a client has to present.
    pub(super) token: Secret,
    /// Whether writes are spooled at all.
    pub(super) spools: bool,
    /// What the process before this one has done and its clients may not have heard of.
    pub(super) unheard: Unheard,
    /// Numbers uploads.
    pub(super) uploads: AtomicU64,
    /// Notes that somebody asks.
    pub(super) used: Used,
}

impl Service {
    /// Answers one request.
    pub(super) async fn answer(&self, connection: u64, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let place = route(request.uri().path());
        if place != Route::Public && !self.is_allowed(request.headers()) {
            let message = "this tracking relay serves one job, and these are not its credentials";
            let mut response = answer::error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message);
            response.headers_mut().insert(answer::CAUSE, hyper::header::HeaderValue::from_static("relay-credentials"));
            return Ok(response);
        }
        self.used.note();
        Ok(match place {
            Route::Refused => {
                answer::error(StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND", "the tracking relay passes MLflow's own paths only")
            }
            Route::Artifact if self.spools && request.method() == Method::PUT => self.upload(connection, request).await,
            Route::Api if request.method() == Method::POST => self.post(connection, request).await,
            _ => self.pass(request).await,
        })
    }

    /// Compares what the client presents, as Bearer or as Basic password, without telling by time how far it is right.
    fn is_allowed(&self, headers: &HeaderMap) -> bool {
        use base64::Engine as _;
        let Some(text) = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
        let given = match text.split_once(' ') {
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => value.trim().to_owned(),
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => {
                let pair =
                    base64::engine::general_purpose::STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                pair.and_then(|pair| pair.split_once(':').map(|(_, password)| password.to_owned())).unwrap_or_default()
            }
            _ => return false,
        };
        Sha256::digest(given.as_bytes()) == Sha256::digest(self.token.expose().as_bytes())
    }

    async fn post(&self, connection: u64, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let act = call::act(&path).unwrap_or_default().to_owned();
        let creates = act == "runs/create";
        if !is_write(&act) && !creates {
            return self.pass(request).await;
        }
        if request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok())
            .is_none_or(|length| length > IN_MEMORY)
        {
            return self.pass(request).await;
        }
        let (parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, IN_MEMORY).collect().await.map(http_body_util::Collected::to_bytes) else {
            return answer::error(StatusCode::BAD_REQUEST, "BAD_REQUEST", "the request broke off");
        };
        // These say where a call belongs, which a spooled one could not; the client's version, which it always sends, does not.
        let is_plain = !parts.headers.keys().any(|name| name == "x-mlflow-workspace" || name.as_str().starts_with("x-databricks-"));
        let whole = |body: Bytes| self.pass_whole(&parts.method, target(&parts.uri), &parts.headers, body);
        match serde_json::from_slice::<Map<String, Value>>(&body).ok().filter(|_| is_plain) {
            Some(fields) if creates => {
                let (shared, call) = (self.shared.clone(), Call { path, body: fields });
                let unheard = self.unheard.creation(&call);
                // On its own: a client that goes away in the middle leaves a run that is known, and ended with the job.
                let creating = tokio::spawn(async move { create(&shared, connection, call, unheard).await });
                let lost = |_| answer::error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "the relay lost the request");
                creating.await.unwrap_or_else(lost)
            }
            Some(fields) if self.spools || act == "runs/update" => match self.write(connection, Call { path, body: fields }).await {
                Written::Answer(response) => response,
                Written::Ask => whole(body).await,
                Written::Pass(call) => whole(serde_json::to_vec(&call.body).map_or(body, Bytes::from)).await,
            },
            _ => whole(body).await,
        }
    }

    /// Acknowledges a write once it is in the spool.
    async fn write(&self, connection: u64, call: Call) -> Written {
        let deadline = self.shared.deadline();
        if call.run_id().is_empty() {
            return Written::Ask;
        }
        if self.shared.books(|books| books.view.run(call.run_id()).is_none()) && self.learn(call.run_id(), deadline).await.is_none() {
            return Written::Ask;
        }
        if self.unheard.has(&call) {
            return Written::Answer(self.acknowledge(&call));
        }
        let mut tries = 0;
        loop {
            let full = match self.shared.books(|books| self.append(books, connection, &call)) {
                Appended::Done(written) => {
                    self.shared.work.notify_one();
                    return written;
                }
                Appended::Full => "the spool is full".to_owned(),
                Appended::NoRoom { error, sent } => {
                    // When nothing waits before it, the tracker may take it itself.
                    if self.shared.barrier().await {
                        return Written::Pass(sent);
                    }
                    error.to_string()
                }
            };
            // A full spool, or a full disk while the tracker is away, holds the caller.
            if Instant::now() > deadline {
                return Written::Answer(answer::trouble(&Trouble::new(Cause::Busy(503), full)));
            }
            tokio::time::sleep(super::shared::backoff(tries).min(Duration::from_secs(1))).await;
            tries += 1;
        }
    }

    /// Judges a write and puts it into the spool.
    fn append(&self, books: &mut Books, connection: u64, call: &Call) -> Appended {
        match judge(call.act(), &call.body, &books.view) {
            Verdict::Ask => return Appended::Done(Written::Ask),
            Verdict::Refuse(reason) => {
                let refusal = answer::error(StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", &reason);
                return Appended::Done(Written::Answer(refusal));
            }
            Verdict::Spool => {}
        }
        let split = if call.act() == "runs/update" && books.view.is_injected(call.run_id()) {
            split_update(call.clone())
        } else {
            Split { kept: None, sent: Some(call.clone()) }
        };
        if self.spools && split.sent.is_some() && books.spool.pending().bytes > self.shared.limits.spool {
            return Appended::Full;
        }
        if let Some(kept) = split.kept
            && books.append(connection, Entry::Kept(kept.clone())).is_err()
        {
            // Only this client needs it: without room on the disk it is remembered for as long as this process lives.
            books.view.apply_entry(&Entry::Kept(kept));
        }
        match split.sent {
            Some(sent) if !self.spools => return Appended::Done(Written::Pass(sent)),
            Some(sent) => {
                if let Err(error) = books.append(connection, Entry::Call(sent.clone())) {
                    return Appended::NoRoom { error, sent };
                }
            }
            None => {}
        }
        Appended::Done(Written::Answer(Self::acknowledgement(books, call)))
    }

    fn acknowledge(&self, call: &Call) -> Response<Body> {
        self.shared.books(|books| Self::acknowledgement(books, call))
    }

    fn acknowledgement(books: &Books, call: &Call) -> Response<Body> {
        let value = match call.act() {
            "runs/update" => json!({ "run_info": books.view.run(call.run_id()).map(super::view::Run::shown_info) }),
            _ => json!({}),
        };
        answer::json(StatusCode::OK, &value)
    }

    /// Asks the server for a run that is not known yet; `None` when it has none, so that it may say so itself.
    async fn learn(&self, run_id: &str, deadline: Instant) -> Option<()> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("run_id", run_id).finish();
        let target = format!("/api/2.0/mlflow/runs/get?{query}");
        let mut tries = 0;
        loop {
            match self.shared.upstream.call(&Method::GET, &target, &HeaderMap::new(), Bytes::new()).await {
                Ok(answer) => {
                    self.shared.is_there();
                    let run = answer.json().filter(|_| answer.status.is_success())?.get("run")?.clone();
                    return self.shared.books(|books| books.append(0, Entry::Seen(Seen { run, mark: None }))).ok().map(drop);
                }
                Err(trouble) if Instant::now() > deadline || trouble.cause == Cause::NoWayOut => return None,
                Err(trouble) => {
                    self.shared.is_away(&trouble);
                    self.shared.pause(tries, trouble.retry_after).await;
                    tries += 1;
                }
            }
        }
    }
}

/// Returns path and query.
pub(super) fn target(uri: &hyper::Uri) -> &str {
    uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str)
}
