//! Delivers what was spooled: in order per MLflow run, at least once on the wire, exactly once in the history.
//!
//! ```text
//! window of records -> note that they are about to be sent -> merged calls, one after the other -> note that they are delivered
//! ```
//!
//! A call whose outcome is not known (its answer was lost, or the process that sent it died) is settled by reading: the history of its
//! metrics, or the run's inputs, and only what is missing is sent. Everything else that is spooled may be sent twice without harm.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::batch::{Sending, What, plan};
use super::doubt::{missing, missing_inputs};
use super::record::{Call, Entry, Record, Seq, Upload};
use super::shared::{Shared, backoff};
use super::upstream::{Answer, Cause, Trouble, of, stalled};
use super::{Error, Pending};

/// Records that are taken at a time.
const WINDOW: usize = 2000;
/// How long writes are gathered before they are sent, unless somebody waits for them.
const GATHER: Duration = Duration::from_millis(50);

/// How far a window has come, kept while the server is away in its middle.
#[derive(Debug)]
pub(super) struct Delivery {
    window: Vec<Record>,
    done: BTreeSet<Seq>,
    /// What the server may have although no answer said so.
    suspect: BTreeSet<Seq>,
    /// Up to here the process before this one may have sent.
    inherited: Seq,
    /// What the server has refused, of this window.
    refused: BTreeSet<Seq>,
    /// How often the server itself has failed at a request, by its first record.
    failures: BTreeMap<Seq, u32>,
}

/// After how many failures of the server at one request, while it is well otherwise, that request is taken for refused.
const FAILURES: u32 = 5;

/// Why a window is not through.
pub(super) enum Stop {
    /// The server is away; the same again later.
    Trouble(Trouble),
    /// Our own files.
    Own(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

/// What the server refused, as it is kept.
#[derive(Serialize)]
struct Refusal<'a> {
    at: String,
    path: &'a str,
    body: Value,
    status: u16,
    answer: String,
}

impl Delivery {
    /// Begins where the spool says that delivery stands.
    pub(super) fn new(shared: &Shared) -> Self {
        let inherited = shared.books(|books| books.spool.cursor().in_doubt);
        Self {
            window: Vec::new(),
            done: BTreeSet::new(),
            suspect: BTreeSet::new(),
            inherited,
            refused: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Delivers for as long as this process lives.
    pub(super) async fn run(mut self, shared: &Shared) -> Error {
        let mut tries = 0;
        loop {
            if shared.books(|books| books.spool.pending().records) == 0 {
                shared.work.notified().await;
                self.gather(shared).await;
                continue;
            }
            match self.step(shared).await {
                Ok(()) => tries = 0,
                Err(Stop::Trouble(trouble)) => {
                    shared.is_away(&trouble);
                    tokio::time::sleep(trouble.retry_after.unwrap_or_else(|| backoff(tries))).await;
                    tries += 1;
                }
                Err(Stop::Own(error)) if tries > 100 => return error,
                // A full disk passes.
                Err(Stop::Own(_)) => {
                    tokio::time::sleep(backoff(tries)).await;
                    tries += 1;
                }
            }
        }
    }

    /// Waits a moment for more to come, unless somebody waits for what is there.
    async fn gather(&self, shared: &Shared) {
        let mut waiting = shared.waiting.subscribe();
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            _ = waiting.wait_for(|count| *count > 0) => {}
        }
    }

    /// Delivers everything within a time; returns what is left.
    pub(super) async fn drain(&mut self, shared: &Shared, within: Duration) -> Pending {
        let end = Instant::now() + within;
        let mut tries = 0;
        loop {
            let pending = shared.books(|books| books.spool.pending());
            let left = end.saturating_duration_since(Instant::now());
            if pending.records == 0 || left.is_zero() {
                return pending;
            }
            match tokio::time::timeout(left, self.step(shared)).await {
                Ok(Ok(())) => tries = 0,
                Ok(Err(stop)) => {
                    if let Stop::Trouble(trouble) = &stop {
                        shared.is_away(trouble);
                        if trouble.cause == Cause::NoWayOut {
                            return pending;
                        }
                    }
                    let left = end.saturating_duration_since(Instant::now());
                    tokio::time::sleep(backoff(tries).min(left)).await;
                    tries += 1;
                }
                Err(_) => {
                    // What was under way may have arrived.
                    self.suspect.extend(self.window.iter().map(|record| record.seq));
                }
            }
        }
    }

    /// Delivers a window.
    async fn step(&mut self, shared: &Shared) -> Result<(), Stop> {
        if self.window.is_empty() {
            self.window = shared.books(|books| books.spool.window(WINDOW))?;
            let Some(last) = self.window.last() else {
                // What waits cannot be read back; it is counted as damaged, and there is nothing to do for it.
                return Err(Stop::Own(Error::InUse(shared.books(|books| books.spool.folder().display().to_string()))));
            };
            let through = last.seq;
            shared.books(|books| books.spool.intend(through))?;
        }
        let rest: Vec<Record> = self.window.iter().filter(|record| !self.done.contains(&record.seq)).cloned().collect();
        for sending in plan(&rest) {
            self.send(shared, &sending).await?;
            self.done.extend(&sending.members);
            shared.is_there();
        }
        shared.books(|books| books.spool.delivered(&self.window, &self.refused))?;
        let last = self.window.last().map_or(0, |record| record.seq);
        self.window.clear();
        self.done.clear();
        self.refused.clear();
        self.failures.clear();
        self.suspect.retain(|seq| *seq > last);
        shared.delivered.send_replace(last);
        Ok(())
    }

    fn is_in_doubt(&self, sending: &Sending) -> bool {
        sending.members.iter().any(|seq| *seq <= self.inherited || self.suspect.contains(seq))
    }

    async fn send(&mut self, shared: &Shared, sending: &Sending) -> Result<(), Stop> {
        let in_doubt = self.is_in_doubt(sending);
        let sent = match &sending.what {
            What::Upload(upload) => self.upload(shared, upload).await,
            What::Call(call) => self.call(shared, call, sending.members[0], in_doubt).await,
        };
        let sent = match sent {
            Err(Stop::Trouble(trouble)) => self.failed(shared, sending, trouble).await,
            sent => sent,
        };
        match sent {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => self.refused(shared, sending, &answer).await,
            Err(stop) => Err(self.suspected(stop, &sending.members)),
        }
    }

    /// Tells a server that fails at one request from one that is in trouble: the first must not hold up everything behind it.
    async fn failed(&mut self, shared: &Shared, sending: &Sending, trouble: Trouble) -> Result<Answer, Stop> {
        let Some(failure) = trouble.failure.clone() else { return Err(Stop::Trouble(trouble)) };
        let count = self.failures.entry(sending.members[0]).or_default();
        *count += 1;
        if *count >= FAILURES && shared.upstream.is_well().await {
            return Ok(*failure);
        }
        Err(Stop::Trouble(trouble))
    }

    fn suspected(&mut self, stop: Stop, members: &[Seq]) -> Stop {
        if let Stop::Trouble(Trouble { in_doubt: true, .. }) = &stop {
            self.suspect.extend(members);
        }
        stop
    }

    /// Sends a call, or what is missing of one whose outcome is not known.
    async fn call(&self, shared: &Shared, call: &Call, first: Seq, in_doubt: bool) -> Result<Answer, Stop> {
        let mut call = call.clone();
        let nothing = || Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from_static(b"{}") };
        if in_doubt {
            match call.act() {
                "runs/log-metric" => {
                    let missing = missing(shared, call.run_id(), &[Value::Object(call.body.clone())], first).await?;
                    if missing.is_empty() {
                        return Ok(nothing());
                    }
                }
                "runs/log-batch" => {
                    let metrics = call.body.get("metrics").and_then(Value::as_array).cloned().unwrap_or_default();
                    let missing = missing(shared, call.run_id(), &metrics, first).await?;
                    call.body.remove("metrics");
                    if !missing.is_empty() {
                        call.body.insert("metrics".into(), missing.into());
                    } else if ["params", "tags"].iter().all(|name| call.body.get(*name).is_none()) {
                        return Ok(nothing());
                    }
                }
                "runs/log-inputs" => {
                    let missing = missing_inputs(shared, &call).await?;
                    if missing.is_empty() {
                        return Ok(nothing());
                    }
                    call.body.insert("datasets".into(), missing.into());
                }
                _ => {}
            }
        }
        let answer = post(shared, &call).await?;
        if in_doubt && call.act() == "runs/delete-tag" && answer.status == StatusCode::NOT_FOUND {
            return Ok(nothing());
        }
        checked(answer)
    }

    /// Sends the halves of a refused batch, and so on, until those that are refused stand alone; these are kept.
    async fn refused(&mut self, shared: &Shared, sending: &Sending, answer: &Answer) -> Result<(), Stop> {
        // A server may have taken a part of a batch before it refused it.
        self.suspect.extend(&sending.members);
        let of = |members: &[Seq], window: &[Record]| -> Vec<Record> {
            window.iter().filter(|record| members.contains(&record.seq)).cloned().collect()
        };
        let mut stack = vec![(of(&sending.members, &self.window), Some(answer.clone()))];
        while let Some((records, refusal)) = stack.pop() {
            let refusal = match refusal {
                Some(refusal) => refusal,
                None => {
                    let Some(refusal) = self.again(shared, &records).await? else { continue };
                    refusal
                }
            };
            if let [only] = records.as_slice() {
                keep(shared, only, &refusal)?;
                self.refused.insert(only.seq);
                self.done.insert(only.seq);
                continue;
            }
            let (first, second) = records.split_at(records.len() / 2);
            // The first half is on top: within a run the order is kept.
            stack.push((second.to_vec(), None));
            stack.push((first.to_vec(), None));
        }
        Ok(())
    }

    /// Sends a part of a batch; returns the refusal when that is refused too.
    async fn again(&mut self, shared: &Shared, records: &[Record]) -> Result<Option<Answer>, Stop> {
        for part in plan(records) {
            let What::Call(call) = &part.what else { continue };
            let sent = self.call(shared, call, part.members[0], true).await.map_err(|stop| self.suspected(stop, &part.members))?;
            if !sent.status.is_success() {
                return Ok(Some(sent));
            }
            self.done.extend(&part.members);
        }
        Ok(None)
    }

    /// Sends an artifact from its file. It may take as long as it moves.
    async fn upload(&self, shared: &Shared, upload: &Upload) -> Result<Answer, Stop> {
        let path = shared.books(|books| books.spool.folder().join(&upload.blob));
        // Without its bytes it was delivered by the process before this one, which died before it could say so.
        if !path.exists() {
            return Ok(Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() });
        }
        let mut headers = HeaderMap::new();
        if let Some(kind) = upload.content_type.as_deref().and_then(|kind| HeaderValue::from_str(kind).ok()) {
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.insert(reqwest::header::CONTENT_LENGTH, upload.size.into());
        let moved = std::sync::Arc::new(std::sync::Mutex::new(Instant::now()));
        let body = || {
            let (path, moved) = (path.clone(), moved.clone());
            let pieces = futures_util::stream::try_unfold(None, move |file: Option<tokio::fs::File>| {
                let (path, moved) = (path.clone(), moved.clone());
                async move {
                    use tokio::io::AsyncReadExt;
                    let mut file = match file {
                        Some(file) => file,
                        None => tokio::fs::File::open(&path).await?,
                    };
                    let mut piece = vec![0; 1 << 16];
                    let count = file.read(&mut piece).await?;
                    *moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
                    piece.truncate(count);
                    Ok::<_, std::io::Error>((count > 0).then(|| (Bytes::from(piece), Some(file))))
                }
            });
            reqwest::Body::wrap_stream(pieces)
        };
        let request = shared.upstream.request(&Method::PUT, &upload.target, &headers, body, None);
        tokio::pin!(request);
        let limit = shared.upstream.stall() * 2;
        let response = loop {
            tokio::select! {
                response = &mut request => break response.map_err(Stop::Trouble)?,
                () = tokio::time::sleep(Duration::from_millis(500)) => {
                    let still = moved.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed();
                    if still > limit {
                        return Err(Stop::Trouble(stalled()));
                    }
                }
            }
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = tokio::time::timeout(limit, response.bytes()).await.map_err(|_| Stop::Trouble(stalled()))?;
        checked(Answer { status, headers, body: body.map_err(|error| Stop::Trouble(of(&error)))? })
    }
}

/// Sends a call past the spool; returns whether the server took it.
pub(super) async fn send_directly(shared: &Shared, call: &Call) -> bool {
    post(shared, call).await.is_ok_and(|answer| answer.status.is_success())
}

/// Tells the server's own answers from those of something that stands in between.
fn checked(answer: Answer) -> Result<Answer, Stop> {
    let code = answer.status.as_u16();
    if answer.status.is_success() {
        // A page to log in with says nothing of what was sent.
        if answer.body.is_empty() || answer.json().is_some_and(|body| body.is_object()) {
            return Ok(answer);
        }
        return Err(Stop::Trouble(Trouble::doubtful(
            Cause::NotMlflow(code),
            format!("it answers {code} with something that is not MLflow's"),
        )));
    }
    // Credentials may be renewed, and rights be given, while the job goes on.
    if code != 401 && (answer.error_code().is_some() || answer.status == StatusCode::PAYLOAD_TOO_LARGE) {
        return Ok(answer);
    }
    let text = String::from_utf8_lossy(&answer.body).trim().chars().take(120).collect::<String>();
    let cause = if code == 401 { Cause::Credentials } else { Cause::NotMlflow(code) };
    let detail = if text.is_empty() || text.starts_with('<') { format!("it answers {code}") } else { format!("it answers {code}: {text}") };
    Err(Stop::Trouble(Trouble::new(cause, detail)))
}

/// Keeps what the server refused, with its reason.
fn keep(shared: &Shared, record: &Record, answer: &Answer) -> Result<(), Stop> {
    let (path, body) = match &record.entry {
        Entry::Call(call) => (call.path.clone(), Value::Object(call.body.clone())),
        Entry::Upload(upload) => (upload.target.clone(), json!({ "bytes": upload.size, "sha256": upload.digest, "kept_in": upload.blob })),
        _ => return Ok(()),
    };
    let refusal = Refusal {
        at: crate::support::clock::now().to_string(),
        path: &path,
        body,
        status: answer.status.as_u16(),
        answer: String::from_utf8_lossy(&answer.body).trim().to_owned(),
    };
    Ok(shared.books(|books| books.spool.refuse(&refusal))?)
}

async fn post(shared: &Shared, call: &Call) -> Result<Answer, Stop> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = serde_json::to_vec(&call.body).expect("plain data of ours always serialises");
    shared.upstream.call(&Method::POST, &call.path, &headers, body.into()).await.map_err(Stop::Trouble)
}

pub(super) async fn get(shared: &Shared, path: &str, query: &[(&str, &str)]) -> Result<Value, Stop> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let target = format!("/api/2.0/mlflow/{path}?{query}");
    let answer = shared.upstream.call(&Method::GET, &target, &HeaderMap::new(), Bytes::new()).await.map_err(Stop::Trouble)?;
    let answer = checked(answer)?;
    // A run that is gone has no history.
    Ok(if answer.status.is_success() { answer.json().unwrap_or_default() } else { Value::Null })
}
