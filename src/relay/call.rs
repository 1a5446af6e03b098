//! What a request is: a write that can be spooled, one that the server would refuse, or something that only the server can answer. Pure.

use serde_json::{Map, Value};

use super::record::{Call, run_id};
use super::view::{View, differs, pair};

/// The prefixes of MLflow's REST API under which runs are written.
const APIS: [&str; 4] = ["/api/2.0/mlflow/", "/api/3.0/mlflow/", "/ajax-api/2.0/mlflow/", "/ajax-api/3.0/mlflow/"];
/// The routes of artifacts through the server's proxy.
const ARTIFACTS: [&str; 2] = ["/api/2.0/mlflow-artifacts/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/"];
/// What passes beside [`APIS`].
const ROUTES: [&str; 5] = ["/api/2.0/mlflow-artifacts/", "/ajax-api/", "/v1/traces", "/get-artifact", "/model-versions/get-artifact"];

/// Characters that a key may have (MLflow refuses longer ones).
const KEY_LENGTH: usize = 250;
/// How many entries `runs/log-batch` takes: metrics, parameters, tags, all together.
pub(super) const BATCH: Limits = Limits { metrics: 1000, params: 100, tags: 100, all: 1000 };

/// The server's limits of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) metrics: usize,
    pub(super) params: usize,
    pub(super) tags: usize,
    pub(super) all: usize,
}

/// Where a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// A call of the REST API.
    Api,
    /// An artifact through the server's proxy.
    Artifact,
    /// Anything else that MLflow's clients use.
    Other,
    /// `/version` and `/health`, which the server answers to anybody.
    Public,
    /// Not MLflow.
    Refused,
}

/// Returns where a path leads.
pub(super) fn route(path: &str) -> Route {
    if !is_plain(path) {
        Route::Refused
    } else if APIS.iter().any(|api| path.starts_with(api)) {
        Route::Api
    } else if ARTIFACTS.iter().any(|api| path.starts_with(api)) {
        Route::Artifact
    } else if matches!(path, "/version" | "/health") {
        Route::Public
    } else if ROUTES.iter().any(|known| path == *known || path.strip_prefix(known).is_some_and(|_| known.ends_with('/'))) {
        Route::Other
    } else {
        Route::Refused
    }
}

/// Returns whether a path means what it looks like: `.` and `..`, however they are written, would lead to other paths of the tracker's host.
fn is_plain(path: &str) -> bool {
    let decoded = percent_decoded(path);
    !decoded.contains('\\') && !decoded.split('/').any(|part| matches!(part, "." | ".."))
}

/// Resolves `%2e` and the like, twice, as a server behind another may.
fn percent_decoded(path: &str) -> String {
    let mut text = path.to_owned();
    for _ in 0..2 {
        for (coded, plain) in [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\"), ("%25", "%")] {
            text = text.replace(coded, plain);
        }
    }
    text
}

/// Returns the act of an API path: `runs/log-metric` of `/api/2.0/mlflow/runs/log-metric`.
pub(super) fn act(path: &str) -> Option<&str> {
    APIS.iter().find_map(|api| path.strip_prefix(api))
}

/// Returns whether a `POST` of this act is a write that the client does not read back.
pub(super) fn is_write(act: &str) -> bool {
    matches!(
        act,
        "runs/log-metric"
            | "runs/log-batch"
            | "runs/log-parameter"
            | "runs/set-tag"
            | "runs/delete-tag"
            | "runs/update"
            | "runs/log-inputs"
    )
}

/// What to do with a write.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is sound: it may be acknowledged.
    Spool,
    /// The server would refuse it, with this message.
    Refuse(String),
    /// Only the server can say.
    Ask,
}

/// Judges a write to a run that is known.
///
/// Only what is certain is refused or accepted here: anything unusual is left to the server, which answers it itself.
pub(super) fn judge(act: &str, body: &Map<String, Value>, view: &View) -> Verdict {
    let run_id = run_id(body);
    let Some(run) = view.run(run_id) else { return Verdict::Ask };
    if !run.is_active() {
        return Verdict::Ask;
    }
    let list = |name: &str| -> Option<Vec<&Map<String, Value>>> {
        match body.get(name) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(Value::as_object).collect(),
            Some(_) => None,
        }
    };
    match act {
        "runs/log-metric" => metric(body),
        "runs/log-parameter" => match pair(body) {
            Some((key, value)) => first([key_of(key, "Param key"), changed(run.param(key), key, value, run_id)]),
            None => Verdict::Ask,
        },
        "runs/set-tag" => match pair(body) {
            Some((key, _)) => key_of(key, "Tag key"),
            None => Verdict::Ask,
        },
        "runs/delete-tag" => match body.get("key").and_then(Value::as_str) {
            Some(key) if run.has_tag(key) => Verdict::Spool,
            _ => Verdict::Ask,
        },
        "runs/update" => match (body.get("status"), body.get("run_name"), body.get("end_time")) {
            (status, name, end)
                if status
                    .is_none_or(|status| matches!(status.as_str(), Some("RUNNING" | "SCHEDULED" | "FINISHED" | "FAILED" | "KILLED")))
                    && name.is_none_or(|name| name.as_str().is_some_and(|name| !name.is_empty() && name.chars().count() <= KEY_LENGTH))
                    && end.is_none_or(is_integer) =>
            {
                Verdict::Spool
            }
            _ => Verdict::Ask,
        },
        "runs/log-inputs" => match (body.get("datasets"), body.get("models")) {
            (Some(Value::Array(_)), None | Some(Value::Null)) => Verdict::Spool,
            _ => Verdict::Ask,
        },
        "runs/log-batch" => {
            let (Some(metrics), Some(params), Some(tags)) = (list("metrics"), list("params"), list("tags")) else { return Verdict::Ask };
            let count = metrics.len() + params.len() + tags.len();
            for (name, given, limit) in
                [("metrics", metrics.len(), BATCH.metrics), ("params", params.len(), BATCH.params), ("tags", tags.len(), BATCH.tags)]
            {
                if given > limit {
                    return Verdict::Refuse(format!(
                        "A batch logging request can contain at most {limit} {name}. Got {given} {name}. Please split up {name} across multiple requests and try again."
                    ));
                }
            }
            if count > BATCH.all {
                return Verdict::Refuse(format!(
                    "A batch logging request can contain at most {} metrics, params and tags in total. Got {count}.",
                    BATCH.all
                ));
            }
            let mut verdicts: Vec<Verdict> = metrics.iter().map(|fields| metric(fields)).collect();
            let mut keys = std::collections::BTreeSet::new();
            for fields in params {
                let Some((key, value)) = pair(fields) else { return Verdict::Ask };
                if !keys.insert(key) {
                    return Verdict::Refuse(format!(
                        "Duplicate parameter keys have been submitted: ['{key}']. Please ensure the request contains only one param value per param key."
                    ));
                }
                verdicts.push(key_of(key, "Param key"));
                verdicts.push(changed(run.param(key), key, value, run_id));
            }
            for fields in tags {
                let Some((key, _)) = pair(fields) else { return Verdict::Ask };
                verdicts.push(key_of(key, "Tag key"));
            }
            first(verdicts)
        }
        _ => Verdict::Ask,
    }
}

/// Returns the first doubt or refusal, a doubt being stronger: who is not sure of one part is not sure of the whole.
fn first(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let mut found = Verdict::Spool;
    for verdict in verdicts {
        match verdict {
            Verdict::Ask => return Verdict::Ask,
            Verdict::Refuse(reason) if found == Verdict::Spool => found = Verdict::Refuse(reason),
            _ => {}
        }
    }
    found
}

fn metric(fields: &Map<String, Value>) -> Verdict {
    let Some(key) = fields.get("key").and_then(Value::as_str) else { return Verdict::Ask };
    let value = fields.get("value");
    let is_number = value.is_some_and(|value| value.is_number() || matches!(value.as_str(), Some("NaN" | "Infinity" | "-Infinity")));
    let step = fields.get("step").is_none_or(is_integer);
    if is_number && step && fields.get("timestamp").is_some_and(is_integer) { key_of(key, "Metric name") } else { Verdict::Ask }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.as_str().is_some_and(|text| text.parse::<i64>().is_ok())
}

/// Judges a key: plain ones are sound, too long ones are refused in MLflow's words, and MLflow itself decides about the rest.
fn key_of(key: &str, what: &str) -> Verdict {
    if key.chars().count() > KEY_LENGTH {
        return Verdict::Refuse(format!("'{what}' exceeds the maximum length of {KEY_LENGTH} characters"));
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | ':' | '/');
    // MLflow also refuses what is not a clean relative path.
    let clean = key.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !key.is_empty() && key.chars().all(plain) && clean { Verdict::Spool } else { Verdict::Ask }
}

fn changed(known: Option<&str>, key: &str, value: &str, run_id: &str) -> Verdict {
    match known {
        Some(known) if differs(known, value) => Verdict::Refuse(format!(
            "Changing param values is not allowed. Param with key='{key}' was already logged with value='{known}' for run ID='{run_id}'. Attempted logging new value '{value}'."
        )),
        _ => Verdict::Spool,
    }
}

/// What becomes of an update of the injected run's status.
#[derive(Debug, PartialEq)]
pub(super) struct Split {
    /// What the client reads back and nobody else hears.
    pub(super) kept: Option<Call>,
    /// What is delivered.
    pub(super) sent: Option<Call>,
}

/// Splits an update of the injected run: its end is the supervisor's to say, everything else is the client's.
pub(super) fn split_update(call: Call) -> Split {
    let ends = call.body.get("status").and_then(Value::as_str).is_some_and(super::view::is_end);
    if !ends {
        return Split { kept: None, sent: Some(call) };
    }
    let mut sent = call.clone();
    sent.body.remove("status");
    sent.body.remove("end_time");
    let says_more = sent.body.keys().any(|key| !matches!(key.as_str(), "run_id" | "run_uuid"));
    Split { kept: Some(call), sent: says_more.then_some(sent) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { unreachable!("it is written as an object") };
        fields
    }

    fn view() -> View {
        let mut view = View::default();
        let run = json!({ "info": { "run_id": "r", "lifecycle_stage": "active" }, "data": { "params": [{ "key": "a", "value": "1" }] } });
        view.inject(&run, &Value::Null);
        view
    }

    #[test]
    fn only_the_routes_of_mlflow_pass() {
        for (path, expected) in [
            ("/api/2.0/mlflow/runs/get", Route::Api),
            ("/api/3.0/mlflow/traces/search", Route::Api),
            ("/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/x", Route::Artifact),
            ("/api/2.0/mlflow-artifacts/mpu/create/1", Route::Other),
            ("/ajax-api/2.0/mlflow/runs/search", Route::Api),
            ("/v1/traces", Route::Other),
            ("/get-artifact", Route::Other),
            ("/model-versions/get-artifact", Route::Other),
            ("/version", Route::Public),
            ("/health", Route::Public),
            ("/", Route::Refused),
            ("/v1/tracesx", Route::Refused),
            ("/api/2.0/clusters/list", Route::Refused),
            ("/static-files/x.js", Route::Refused),
            ("/api/2.0/mlflow/../clusters/list", Route::Refused),
            ("/api/2.0/mlflow/%2e%2E/clusters/list", Route::Refused),
            ("/api/2.0/mlflow-artifacts/artifacts/1/..%5cx", Route::Refused),
            ("/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/a..b/.hidden", Route::Artifact),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    #[test]
    fn writes_are_accepted_refused_or_left_to_the_server() {
        let view = view();
        let long = "k".repeat(251);
        let many: Vec<Value> = (0..1001).map(|step| json!({ "key": "m", "value": 1, "timestamp": 1, "step": step })).collect();
        for (act, body, expected) in [
            ("runs/log-metric", json!({ "run_id": "r", "key": "m", "value": 1, "timestamp": "5" }), "spool"),
            ("runs/log-metric", json!({ "run_id": "r", "key": "m", "value": "NaN", "timestamp": 5, "step": -1 }), "spool"),
            ("runs/log-metric", json!({ "run_id": "r", "key": "m", "value": "abc", "timestamp": 5 }), "ask"),
            ("runs/log-metric", json!({ "run_id": "r", "key": "m", "value": 1 }), "ask"),
            ("runs/log-metric", json!({ "run_id": "r", "key": "../m", "value": 1, "timestamp": 5 }), "ask"),
            ("runs/log-metric", json!({ "run_id": "other", "key": "m", "value": 1, "timestamp": 5 }), "ask"),
            ("runs/log-metric", json!({ "run_id": "r", "key": long, "value": 1, "timestamp": 5 }), "maximum length of 250"),
            ("runs/log-parameter", json!({ "run_id": "r", "key": "a", "value": "1" }), "spool"),
            ("runs/log-parameter", json!({ "run_id": "r", "key": "a", "value": "2" }), "already logged with value='1'"),
            ("runs/log-parameter", json!({ "run_id": "r", "key": "a", "value": 2 }), "ask"),
            ("runs/set-tag", json!({ "run_id": "r", "key": "t", "value": 5 }), "ask"),
            ("runs/delete-tag", json!({ "run_id": "r", "key": "t" }), "ask"),
            ("runs/update", json!({ "run_id": "r", "status": "FINISHED", "end_time": 5 }), "spool"),
            ("runs/update", json!({ "run_id": "r", "status": "DONE" }), "ask"),
            ("runs/log-batch", json!({ "run_id": "r", "metrics": many }), "at most 1000 metrics"),
            (
                "runs/log-batch",
                json!({ "run_id": "r", "params": [{ "key": "z", "value": "1" }, { "key": "z", "value": "1" }] }),
                "Duplicate",
            ),
            ("runs/log-batch", json!({ "run_id": "r", "tags": [{ "key": "t", "value": "v" }] }), "spool"),
        ] {
            let said = match judge(act, &object(body.clone()), &view) {
                Verdict::Spool => "spool".to_owned(),
                Verdict::Ask => "ask".to_owned(),
                Verdict::Refuse(reason) => reason,
            };
            assert!(said == expected || said.contains(expected), "{act} {body}: {said}");
        }
    }

    #[test]
    fn the_end_of_the_injected_run_is_kept_and_the_rest_of_an_update_is_sent() {
        let call = |body| Call { path: "/api/2.0/mlflow/runs/update".into(), body: object(body) };
        let split = split_update(call(json!({ "run_id": "r", "status": "FINISHED", "end_time": 5, "run_name": "n" })));
        assert!(split.kept.is_some());
        assert_eq!(split.sent, Some(call(json!({ "run_id": "r", "run_name": "n" }))));
        assert_eq!(split_update(call(json!({ "run_id": "r", "status": "FAILED" }))).sent, None);
        assert_eq!(split_update(call(json!({ "run_id": "r", "status": "RUNNING" }))).kept, None);
    }
}
