//! Passes requests on to the tracker: after what was spooled before them, held while it is away, or answered from what is known.

use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;

use super::answer::{self, Body, end_to_end};
use super::call::{self, Route, is_write, route};
use super::record::{Entry, Seen};
use super::serve::{IN_MEMORY, Service, target};
use super::upstream::{Answer, Cause, Trouble};

/// The header by which the preflight asks for an answer at once, whatever it is.
const PREFLIGHT: &str = "x-sendoff-preflight";

impl Service {
    /// Passes a request on, after everything that was spooled before it.
    pub(super) async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
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
    pub(super) async fn pass_whole(&self, method: &Method, target: &str, headers: &HeaderMap, body: Bytes) -> Response<Body> {
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

/// Returns the headers that go to the server: not those of the connection, and not what the client presents to us.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut kept = end_to_end(headers);
    for name in [HOST, AUTHORIZATION, CONTENT_LENGTH, EXPECT] {
        kept.remove(name);
    }
    kept.remove(PREFLIGHT);
    kept
}
