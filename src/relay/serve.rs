//! Answers the job's MLflow client: what can be spooled is acknowledged at once, everything else waits for it and is passed on.

use std::convert::Infallible;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TRANSFER_ENCODING};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::answer::{self, Body, end_to_end};
use super::call::{self, Route, Split, Verdict, is_write, judge, route, split_update};
use super::create::create;
use super::record::{Call, Entry, Seen, Upload};
use super::shared::{Books, Shared};
use super::unheard::Unheard;
use super::upstream::{Answer, Cause, Trouble};
use super::used::Used;
use crate::support::platform;
use crate::support::secret::Secret;

/// Bytes of a body that is kept in memory; what is larger streams through.
const IN_MEMORY: usize = 8 << 20;
/// The header by which the preflight asks for an answer at once, whatever it is.
pub(super) const PREFLIGHT: &str = "x-sendoff-preflight";

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
        // A plug-in's own headers say something that a spooled call could not.
        let is_plain = !parts.headers.keys().any(|name| name.as_str().starts_with("x-mlflow") || name.as_str().starts_with("x-databricks"));
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

    /// Takes an artifact into a file beside the spool, and acknowledges it.
    async fn upload(&self, connection: u64, request: Request<Incoming>) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let deadline = self.shared.deadline();
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
        // Artifacts leave a fifth of the spool to metrics.
        let limit = self.shared.limits.spool / 5 * 4;
        let mut tries = 0;
        loop {
            let pending = self.shared.books(|books| books.spool.pending().bytes);
            if pending == 0 || pending + announced <= limit {
                break;
            }
            if Instant::now() > deadline {
                let detail = "the spool is full".to_owned();
                return answer::trouble(&Trouble::new(Cause::Busy(503), detail));
            }
            tokio::time::sleep(super::shared::backoff(tries).min(Duration::from_secs(1))).await;
            tries += 1;
        }
        let free = self.shared.books(|books| platform::free_bytes(books.spool.folder())).unwrap_or(u64::MAX);
        if announced > limit || announced > free / 2 || parts.headers.contains_key(TRANSFER_ENCODING) {
            // Too large for the spool or the disk, or nobody knows: it goes straight through, after everything before it.
            return self.pass(Request::from_parts(parts, body)).await;
        }
        let blob = format!("blob-{}-{}", self.shared.books(|books| books.spool.next()), self.uploads.fetch_add(1, Ordering::Relaxed));
        let opened = self.shared.books(|books| books.spool.blob(&blob));
        let Ok((mut file, path)) = opened else {
            return self.pass(Request::from_parts(parts, body)).await;
        };
        let mut hasher = Sha256::new();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let Some(piece) = frame.ok().and_then(|frame| frame.into_data().ok()) else {
                let _ = std::fs::remove_file(&path);
                return answer::error(StatusCode::BAD_REQUEST, "BAD_REQUEST", "the upload broke off");
            };
            hasher.update(&piece);
            if let Err(error) = file.write_all(&piece) {
                // Without room it cannot be kept. The client tries again, and then it goes straight through.
                let _ = std::fs::remove_file(&path);
                return answer::trouble(&Trouble::new(Cause::Busy(503), error.to_string()));
            }
            size += piece.len() as u64;
        }
        let digest = hasher.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let upload = Upload { target: target(&parts.uri).to_owned(), blob, size, content_type, digest };
        let mut tries = 0;
        while let Err(error) = self.shared.books(|books| books.append(connection, Entry::Upload(upload.clone()))) {
            if Instant::now() > deadline {
                let _ = std::fs::remove_file(&path);
                let detail = error.to_string();
                return answer::trouble(&Trouble::new(Cause::Busy(503), detail));
            }
            tokio::time::sleep(super::shared::backoff(tries).min(Duration::from_secs(1))).await;
            tries += 1;
        }
        self.shared.work.notify_one();
        answer::json(StatusCode::OK, &json!({}))
    }

    /// Passes a request on, after everything that was spooled before it.
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let has_body = !matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE) || length.is_some_and(|length| length > 0);
        if has_body && length.is_none_or(|length| length > IN_MEMORY) {
            return self.pass_stream(&parts.method, target(&parts.uri), &parts.headers, body).await;
        }
        let Ok(body) = Limited::new(body, IN_MEMORY).collect().await.map(http_body_util::Collected::to_bytes) else {
            return answer::error(StatusCode::BAD_REQUEST, "BAD_REQUEST", "the request broke off");
        };
        self.pass_whole(&parts.method, target(&parts.uri), &parts.headers, body).await
    }

    /// Passes on a request whose body can be sent again: it is held for as long as the server is away, or answered from what is known.
    async fn pass_whole(&self, method: &Method, target: &str, headers: &HeaderMap, body: Bytes) -> Response<Body> {
        let (deadline, mut tries) = (self.shared.deadline(), 0);
        let at_once = headers.contains_key(PREFLIGHT);
        let mut forwarded = forwarded(headers);
        let may_repeat = may_repeat(method, target);
        let is_download = *method == Method::GET
            && (route(target.split('?').next().unwrap_or(target)) == Route::Artifact || target.contains("get-artifact"));
        if !is_download {
            // What is read here comes as it is.
            forwarded.remove(ACCEPT_ENCODING);
        }
        loop {
            let clear = at_once || self.shared.barrier().await;
            let mut wanted = None;
            if clear {
                // The client itself waits two minutes for an answer; a page of a large search takes its time.
                let patience = self.shared.upstream.stall() * 4;
                let sent = if is_download {
                    let body = || reqwest::Body::from(body.clone());
                    self.shared.upstream.request(method, target, &forwarded, body, Some(patience)).await.map(answer::stream)
                } else {
                    let sent = self.shared.upstream.call_within(patience, method, target, &forwarded, body.clone()).await;
                    sent.and_then(|answer| self.held_back(answer, at_once)).map(|answer| self.corrected(method, target, answer))
                };
                match sent {
                    Ok(response) => {
                        self.shared.is_there();
                        return response;
                    }
                    Err(trouble) => {
                        if at_once {
                            return answer::trouble(&trouble);
                        }
                        // The server fails at this very request: the client hears it, as it would without us.
                        if let Some(failure) = trouble.failure.clone().filter(|_| tries >= 2 || !may_repeat) {
                            return answer::pass(*failure);
                        }
                        self.shared.is_away(&trouble);
                        if let Some(response) = self.known(method, target) {
                            return response;
                        }
                        let is_lost = trouble.in_doubt && !may_repeat && trouble.cause != Cause::Busy(503);
                        // What may have been done once is not done again behind the client's back.
                        if is_lost || Instant::now() > deadline || trouble.cause == Cause::NoWayOut {
                            return answer::trouble(&trouble);
                        }
                        wanted = trouble.retry_after;
                    }
                }
            } else if let Some(response) = self.known(method, target) {
                return response;
            } else if let Some(trouble) = self.shared.given_up(deadline) {
                return answer::trouble(&trouble);
            }
            self.shared.pause(tries, wanted).await;
            tries += 1;
        }
    }

    /// Holds back a refusal of credentials that may be good later: another try has others.
    fn held_back(&self, answer: Answer, at_once: bool) -> Result<Answer, Trouble> {
        if answer.status == StatusCode::UNAUTHORIZED && !at_once && self.shared.upstream.can_renew() {
            return Err(Trouble::new(Cause::Credentials, "it takes none of our credentials (401)"));
        }
        Ok(answer)
    }

    /// Passes on a request whose body is sent once, as it comes.
    async fn pass_stream(&self, method: &Method, target: &str, headers: &HeaderMap, body: Incoming) -> Response<Body> {
        let deadline = self.shared.deadline();
        let mut tries = 0;
        while !self.shared.barrier().await {
            if let Some(trouble) = self.shared.given_up(deadline) {
                return answer::trouble(&trouble);
            }
            self.shared.pause(tries, None).await;
            tries += 1;
        }
        let forwarded = forwarded(headers);
        let body = Mutex::new(Some(body));
        let once = || match body.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take() {
            Some(body) => reqwest::Body::wrap_stream(http_body_util::BodyDataStream::new(body)),
            None => reqwest::Body::default(),
        };
        match self.shared.upstream.request(method, target, &forwarded, once, None).await {
            Ok(response) => answer::stream(response),
            Err(trouble) => answer::trouble(&trouble),
        }
    }

    /// Learns from an answer, and corrects it where the client would read back something else than it wrote.
    fn corrected(&self, method: &Method, target: &str, mut answer: Answer) -> Response<Body> {
        let path = target.split('?').next().unwrap_or(target);
        let act = call::act(path).unwrap_or_default();
        if answer.status.is_success() {
            if is_about_the_server(path)
                && *method == Method::GET
                && let Ok(text) = std::str::from_utf8(&answer.body)
            {
                self.shared.books(|books| books.view.see_server(path, text));
            }
            match act {
                "runs/get" => {
                    if let Some(mut value) = answer.json() {
                        let seen = Seen { run: value["run"].clone(), mark: None };
                        self.shared.books(|books| {
                            // What was written since the answer was made would be lost from what is known.
                            if books.spool.pending().records == 0 {
                                books.view.apply_entry(&Entry::Seen(seen));
                            }
                            books.view.correct(&mut value["run"]);
                        });
                        answer.body = serde_json::to_vec(&value).map_or(answer.body, Bytes::from);
                    }
                }
                "experiments/get" | "experiments/get-by-name" => {
                    if let Some(value) = answer.json() {
                        self.shared.books(|books| books.view.see_experiment(&value["experiment"]));
                    }
                }
                "runs/search" if self.shared.books(|books| books.view.has_own_end()) => {
                    if let Some(mut value) = answer.json() {
                        self.shared.books(|books| {
                            value["runs"].as_array_mut().into_iter().flatten().for_each(|run| books.view.correct(run));
                        });
                        answer.body = serde_json::to_vec(&value).map_or(answer.body, Bytes::from);
                    }
                }
                _ => {}
            }
        }
        answer::pass(answer)
    }

    /// Answers from what is known, while the server is away.
    fn known(&self, method: &Method, target: &str) -> Option<Response<Body>> {
        if *method != Method::GET {
            return None;
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let value = |name: &str| query.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str());
        self.shared.books(|books| match call::act(path) {
            Some("runs/get") => {
                let run = books.view.run(value("run_id").or_else(|| value("run_uuid"))?)?;
                Some(answer::json(StatusCode::OK, &json!({ "run": run.shown() })))
            }
            Some("experiments/get") => {
                let experiment = books.view.experiment(Some(value("experiment_id")?), None)?;
                Some(answer::json(StatusCode::OK, &json!({ "experiment": experiment })))
            }
            Some("experiments/get-by-name") => {
                let experiment = books.view.experiment(None, Some(value("experiment_name")?))?;
                Some(answer::json(StatusCode::OK, &json!({ "experiment": experiment })))
            }
            _ if is_about_the_server(path) => {
                let text = books.view.server(path)?;
                let mut response = answer::text(text);
                if text.starts_with('{') {
                    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
                }
                Some(response)
            }
            _ => None,
        })
    }
}

/// Returns whether a request may be made twice without harm: it reads, or says how something shall be.
fn may_repeat(method: &Method, target: &str) -> bool {
    let path = target.split('?').next().unwrap_or(target);
    matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::DELETE)
        || call::act(path).is_some_and(|act| {
            let verb = act.rsplit('/').next().unwrap_or_default();
            verb.starts_with("search")
                || verb.starts_with("get")
                || verb.starts_with("set-")
                || is_write(act) && act != "runs/log-metric" && act != "runs/log-batch"
        })
}

fn is_about_the_server(path: &str) -> bool {
    path == "/version" || path == "/health" || path.ends_with("/mlflow/server-info")
}

/// Returns path and query.
fn target(uri: &hyper::Uri) -> &str {
    uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str)
}

/// Returns the headers that go to the server: not those of the connection, and not what the client presents to us.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut kept = end_to_end(headers);
    for name in [HOST, AUTHORIZATION, CONTENT_LENGTH, EXPECT] {
        kept.remove(name);
    }
    kept.remove(PREFLIGHT);
    kept
}
