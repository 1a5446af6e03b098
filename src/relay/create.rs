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

/// The tag that marks a run until it is known to be there.
pub(super) const MARK: &str = "sendoff.request";

/// Creates a run, however long the server is away; the same request made again after a death of this process finds the first one's run.
pub(super) async fn create(shared: &Shared, connection: u64, call: Call) -> hyper::Response<Body> {
    let (deadline, mut tries) = (shared.deadline(), 0);
    let known = shared.books(|books| books.view.unfinished(&call).map(str::to_owned));
    let (mark, mut in_doubt) = match known {
        Some(mark) => (mark, true),
        None => (super::token(), false),
    };
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
                    return made(shared, connection, &mark, run);
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
    if in_doubt {
        let search = json!({
            "experiment_ids": [call.body.get("experiment_id").cloned().unwrap_or_default()],
            "filter": format!("tags.`{MARK}` = '{mark}'"), "max_results": 1,
        });
        let answer = post("/api/2.0/mlflow/runs/search", &search).await?;
        if let Some(run) = answer.json().and_then(|found| found["runs"].as_array()?.first().cloned()) {
            return Ok(Made::Run(run));
        }
    }
    let mut body = call.body.clone();
    let tags = body.entry("tags").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(tags) = tags {
        tags.push(json!({ "key": MARK, "value": mark }));
    }
    let answer = post(&call.path, &Value::Object(body)).await?;
    match answer.json().and_then(|made| made.get("run").cloned()) {
        Some(run) if answer.status.is_success() => Ok(Made::Run(run)),
        _ if answer.status.is_success() => Err(Trouble {
            cause: super::Cause::NotMlflow(answer.status.as_u16()),
            detail: "its answer names no run".into(),
            in_doubt: true,
            retry_after: None,
        }),
        _ => Ok(Made::Refused(answer)),
    }
}

/// Remembers the run, takes its mark off, and answers the client.
fn made(shared: &Shared, connection: u64, mark: &str, mut run: Value) -> hyper::Response<Body> {
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
        let _ = books
            .append(connection, seen)
            .and_then(|_| books.append(connection, Entry::Call(Call { path: "/api/2.0/mlflow/runs/delete-tag".into(), body })));
    });
    shared.work.notify_one();
    answer::json(hyper::StatusCode::OK, &json!({ "run": run }))
}
