//! Creating an MLflow run, which the server does not do idempotently: each request carries a mark by which its run can be found again.

use std::time::Instant;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::record::{Call, Creating, Entry, Seen};
use super::shared::Shared;
use super::upstream::{Answer, Trouble};
use super::view::Run;

/// The tag that marks a run until it is known to be there.
pub(super) const MARK: &str = "sendoff.request";

/// Creates a run, however long the server is away. A request that was made of a relay that died, with the same content, is the same request
/// made again: its mark is among `unheard`, and its run, if there is one, is its answer.
pub(super) async fn create(shared: &Shared, connection: u64, call: Call, unheard: Option<String>) -> hyper::Response<Body> {
    let (deadline, mut tries) = (shared.deadline(), 0);
    let made_before = unheard.as_deref().and_then(|mark| shared.books(|books| books.view.made_for(mark).map(Run::shown)));
    if let Some(run) = made_before {
        return answer::json(hyper::StatusCode::OK, &json!({ "run": run }));
    }
    let mut in_doubt = unheard.is_some();
    let mark = unheard.unwrap_or_else(super::token);
    if !in_doubt {
        let creating = Creating { mark: mark.clone(), call: call.clone() };
        // When this cannot be written the request is made all the same; only a death in its middle could then make two runs.
        let _ = shared.books(|books| books.append(connection, Entry::Creating(creating)));
    }
    loop {
        if shared.barrier().await {
            match attempt(shared, &call, &mark, in_doubt).await {
                Ok(Made::Run(run)) => {
                    shared.is_there();
                    return made(shared, &mark, run);
                }
                Ok(Made::Refused(refusal)) => {
                    shared.is_there();
                    return answer::pass(refusal);
                }
                Err(trouble) => {
                    in_doubt = in_doubt || trouble.in_doubt;
                    shared.is_away(&trouble);
                    if Instant::now() > deadline || trouble.cause == super::Cause::NoWayOut {
                        return answer::trouble(&trouble);
                    }
                    shared.pause(tries, trouble.retry_after).await;
                }
            }
        } else if let Some(trouble) = shared.given_up(deadline) {
            return answer::trouble(&trouble);
        } else {
            shared.pause(tries, None).await;
        }
        tries += 1;
    }
}

enum Made {
    Run(Value),
    Refused(Answer),
}

async fn attempt(shared: &Shared, call: &Call, mark: &str, in_doubt: bool) -> Result<Made, Trouble> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let post = async |path: &str, body: &Value| {
        let bytes = Bytes::from(serde_json::to_vec(body).expect("plain data of ours always serialises"));
        shared.upstream.call(&Method::POST, path, &headers, bytes).await
    };
    if in_doubt && let Some(run) = find(shared, call, mark).await? {
        return Ok(Made::Run(run));
    }
    let mut body = call.body.clone();
    let tags = body.entry("tags").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(tags) = tags {
        tags.push(json!({ "key": MARK, "value": mark }));
    }
    let answer = post(&call.path, &Value::Object(body)).await?;
    match answer.json().and_then(|made| made.get("run").cloned()) {
        Some(run) if answer.status.is_success() => Ok(Made::Run(run)),
        _ if answer.status.is_success() => {
            Err(Trouble::doubtful(super::Cause::NotMlflow(answer.status.as_u16()), "its answer names no run"))
        }
        _ => Ok(Made::Refused(answer)),
    }
}

/// Looks for the run of a request by its mark.
async fn find(shared: &Shared, call: &Call, mark: &str) -> Result<Option<Value>, Trouble> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let search = json!({
        "experiment_ids": [call.body.get("experiment_id").cloned().unwrap_or_default()],
        "filter": format!("tags.`{MARK}` = '{mark}'"), "max_results": 1,
    });
    let body = Bytes::from(serde_json::to_vec(&search).expect("plain data of ours always serialises"));
    let answer = shared.upstream.call(&Method::POST, "/api/2.0/mlflow/runs/search", &headers, body).await?;
    if !answer.status.is_success() {
        return Err(Trouble::doubtful(super::Cause::NotMlflow(answer.status.as_u16()), "it does not search for runs"));
    }
    Ok(answer.json().and_then(|found| found["runs"].as_array()?.first().cloned()))
}

/// Remembers the run, takes its mark off, and answers the client.
fn made(shared: &Shared, mark: &str, mut run: Value) -> hyper::Response<Body> {
    if let Some(tags) = run["data"]["tags"].as_array_mut() {
        tags.retain(|tag| tag["key"] != MARK);
        if tags.is_empty()
            && let Some(data) = run["data"].as_object_mut()
        {
            data.remove("tags");
        }
    }
    let id = run["info"]["run_id"].clone();
    let unmark = json!({ "run_id": id, "key": MARK });
    shared.books(|books| {
        let seen = Entry::Seen(Seen { run: run.clone(), mark: Some(mark.to_owned()) });
        let Value::Object(body) = unmark else { return };
        // The mark may stay: it only tells how the run came to be.
        let _ =
            books.append(0, seen).and_then(|_| books.append(0, Entry::Call(Call { path: "/api/2.0/mlflow/runs/delete-tag".into(), body })));
    });
    shared.work.notify_one();
    answer::json(hyper::StatusCode::OK, &json!({ "run": run }))
}

/// Ends the runs of requests whose outcome nobody heard: their clients are gone. What cannot be settled now is left.
pub(super) async fn settle(shared: &Shared, status: &str, end_time: i64) {
    let open = shared.books(|books| books.view.creating().to_vec());
    for (mark, call) in open {
        let Ok(Some(run)) = find(shared, &call, &mark).await else { continue };
        let body = json!({ "run_id": run["info"]["run_id"], "status": status, "end_time": end_time });
        let Value::Object(body) = body else { continue };
        let _ = shared.books(|books| books.append(0, Entry::Call(Call { path: "/api/2.0/mlflow/runs/update".into(), body })));
    }
}
