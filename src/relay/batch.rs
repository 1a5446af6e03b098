//! Merges writes into as few calls as the server's limits allow, in order per MLflow run. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::call::{BATCH, act};
use super::record::{Call, Entry, Record, Seq, Upload};

/// One request to the server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sending {
    /// What is sent.
    pub(super) what: What,
    /// The records that it delivers.
    pub(super) members: Vec<Seq>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// A call: the client's own, or a `runs/log-batch` of several.
    Call(Call),
    /// An artifact.
    Upload(Upload),
}

/// Returns the requests that deliver these records. Runs take turns in the order of their first record; within a run the order is kept.
pub(super) fn plan(records: &[Record]) -> Vec<Sending> {
    let mut order: Vec<String> = Vec::new();
    let mut runs: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        let key = match &record.entry {
            Entry::Call(call) => call.run_id().to_owned(),
            Entry::Upload(upload) => run_of_artifact(&upload.target).unwrap_or_default().to_owned(),
            _ => continue,
        };
        let own = runs.entry(key.clone()).or_default();
        if own.is_empty() {
            order.push(key);
        }
        own.push(record);
    }
    order.iter().flat_map(|run| merge(&runs[run])).collect()
}

/// Returns the run of an artifact's path: `<experiment>/<run>/artifacts/...` below the proxy's route.
pub(super) fn run_of_artifact(target: &str) -> Option<&str> {
    let mut parts = target.split_once("/artifacts/")?.1.split('/');
    let (_, run) = (parts.next()?, parts.next()?);
    (parts.next() == Some("artifacts")).then_some(run)
}

fn merge(records: &[&Record]) -> Vec<Sending> {
    let mut sendings = Vec::new();
    let mut open: Option<Open> = None;
    for record in records {
        let parts = match &record.entry {
            Entry::Call(call) => parts(call),
            _ => None,
        };
        if let (Some(open), Some(parts)) = (&mut open, &parts)
            && open.takes(parts)
        {
            open.add(record, parts);
            continue;
        }
        sendings.extend(open.take().map(Open::close));
        match (&record.entry, parts) {
            (Entry::Call(call), Some(parts)) => {
                let mut new = Open {
                    first: call.clone(),
                    fields: Parts::default(),
                    params: BTreeMap::new(),
                    tags: BTreeSet::new(),
                    members: Vec::new(),
                };
                new.add(record, &parts);
                open = Some(new);
            }
            (Entry::Call(call), None) => sendings.push(Sending { what: What::Call(call.clone()), members: vec![record.seq] }),
            (Entry::Upload(upload), _) => sendings.push(Sending { what: What::Upload(upload.clone()), members: vec![record.seq] }),
            _ => {}
        }
    }
    sendings.extend(open.map(Open::close));
    sendings
}

/// The entries of a call that can stand in a `runs/log-batch`.
#[derive(Debug, Default, Clone)]
struct Parts {
    metrics: Vec<Value>,
    params: Vec<Value>,
    tags: Vec<Value>,
}

/// Takes a call apart; `None` when it has fields that a batch has no place for, or means more there than here (MLflow's own tags).
fn parts(call: &Call) -> Option<Parts> {
    let only = |known: &[&str]| call.body.keys().all(|key| matches!(key.as_str(), "run_id" | "run_uuid") || known.contains(&key.as_str()));
    let entry = || {
        let fields = call.body.iter().filter(|(key, _)| !matches!(key.as_str(), "run_id" | "run_uuid"));
        Value::Object(fields.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let list = |name: &str| match call.body.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => Some(items.clone()),
        Some(_) => None,
    };
    let own_tag = |tag: &Value| tag["key"].as_str().is_some_and(|key| key.starts_with("mlflow."));
    match call.act() {
        "runs/log-metric" if only(&["key", "value", "timestamp", "step"]) => Some(Parts { metrics: vec![entry()], ..Parts::default() }),
        "runs/log-parameter" if only(&["key", "value"]) => Some(Parts { params: vec![entry()], ..Parts::default() }),
        "runs/set-tag" if only(&["key", "value"]) && !own_tag(&Value::Object(call.body.clone())) => {
            Some(Parts { tags: vec![entry()], ..Parts::default() })
        }
        "runs/log-batch" if only(&["metrics", "params", "tags"]) => {
            let parts = Parts { metrics: list("metrics")?, params: list("params")?, tags: list("tags")? };
            (!parts.tags.iter().any(own_tag)).then_some(parts)
        }
        _ => None,
    }
}

/// A batch that may still grow.
struct Open {
    first: Call,
    fields: Parts,
    params: BTreeMap<String, Value>,
    tags: BTreeSet<String>,
    members: Vec<Seq>,
}

impl Open {
    fn takes(&self, parts: &Parts) -> bool {
        let (metrics, params, tags) = (
            self.fields.metrics.len() + parts.metrics.len(),
            self.fields.params.len() + parts.params.len(),
            self.fields.tags.len() + parts.tags.len(),
        );
        let fits = metrics <= BATCH.metrics && params <= BATCH.params && tags <= BATCH.tags && metrics + params + tags <= BATCH.all;
        let key = |item: &Value| item["key"].as_str().unwrap_or_default().to_owned();
        // One value for each parameter and tag: the server takes no batch that says two things of one key.
        let params_agree = parts.params.iter().all(|param| self.params.get(&key(param)).is_none_or(|known| *known == param["value"]));
        let tags_agree = parts.tags.iter().all(|tag| !self.tags.contains(&key(tag)));
        fits && params_agree && tags_agree
    }

    fn add(&mut self, record: &Record, parts: &Parts) {
        let key = |item: &Value| item["key"].as_str().unwrap_or_default().to_owned();
        self.fields.metrics.extend(parts.metrics.iter().cloned());
        for param in &parts.params {
            if self.params.insert(key(param), param["value"].clone()).is_none() {
                self.fields.params.push(param.clone());
            }
        }
        for tag in &parts.tags {
            self.tags.insert(key(tag));
            self.fields.tags.push(tag.clone());
        }
        self.members.push(record.seq);
    }

    fn close(self) -> Sending {
        if self.members.len() == 1 {
            return Sending { what: What::Call(self.first), members: self.members };
        }
        let mut body = Map::new();
        body.insert("run_id".into(), self.first.run_id().into());
        for (name, items) in [("metrics", self.fields.metrics), ("params", self.fields.params), ("tags", self.fields.tags)] {
            if !items.is_empty() {
                body.insert(name.into(), items.into());
            }
        }
        let own = act(&self.first.path).unwrap_or_default();
        let path = format!("{}runs/log-batch", self.first.path.strip_suffix(own).unwrap_or_default());
        Sending { what: What::Call(Call { path, body }), members: self.members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(seq: Seq, act: &str, body: Value) -> Record {
        let Value::Object(body) = body else { unreachable!("it is written as an object") };
        Record { seq, connection: 0, at: 0, entry: Entry::Call(Call { path: format!("/api/2.0/mlflow/{act}"), body }) }
    }

    fn metric(seq: Seq, run: &str) -> Record {
        record(seq, "runs/log-metric", json!({ "run_id": run, "key": "m", "value": 0.1, "timestamp": 1, "step": seq }))
    }

    fn shape(sendings: &[Sending]) -> Vec<(String, Vec<Seq>)> {
        let name = |what: &What| match what {
            What::Call(call) => format!("{} {}", call.act(), call.run_id()),
            What::Upload(upload) => upload.target.clone(),
        };
        sendings.iter().map(|sending| (name(&sending.what), sending.members.clone())).collect()
    }

    #[test]
    fn writes_of_a_run_become_one_batch_and_keep_their_order() {
        let records = [
            metric(1, "a"),
            metric(2, "b"),
            metric(3, "a"),
            record(4, "runs/set-tag", json!({ "run_id": "a", "key": "t", "value": "1" })),
            record(5, "runs/log-parameter", json!({ "run_id": "a", "key": "p", "value": "1" })),
            record(6, "runs/update", json!({ "run_id": "a", "status": "RUNNING" })),
            metric(7, "a"),
        ];
        let sendings = plan(&records);
        assert_eq!(
            shape(&sendings),
            [
                ("runs/log-batch a".to_owned(), vec![1, 3, 4, 5]),
                ("runs/update a".to_owned(), vec![6]),
                ("runs/log-metric a".to_owned(), vec![7]),
                ("runs/log-metric b".to_owned(), vec![2]),
            ]
        );
        let What::Call(batch) = &sendings[0].what else { unreachable!("it is a call") };
        assert_eq!(batch.path, "/api/2.0/mlflow/runs/log-batch");
        assert_eq!(batch.body["metrics"][1], json!({ "key": "m", "value": 0.1, "timestamp": 1, "step": 3 }));
    }

    #[test]
    fn a_batch_stays_within_the_servers_limits() {
        let records: Vec<Record> = (1..=2500).map(|seq| metric(seq, "a")).collect();
        let sizes: Vec<usize> = plan(&records).iter().map(|sending| sending.members.len()).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }

    #[test]
    fn what_a_batch_has_no_place_for_goes_as_it_came() {
        let body = json!({ "run_id": "a", "key": "m", "value": 1, "timestamp": 1, "model_id": "x" });
        let records = [
            metric(1, "a"),
            record(2, "runs/log-metric", body),
            record(3, "runs/set-tag", json!({ "run_id": "a", "key": "mlflow.runName", "value": "n" })),
            record(4, "runs/set-tag", json!({ "run_id": "a", "key": "t", "value": "1" })),
            record(5, "runs/set-tag", json!({ "run_id": "a", "key": "t", "value": "2" })),
        ];
        let members: Vec<Vec<Seq>> = plan(&records).into_iter().map(|sending| sending.members).collect();
        assert_eq!(members, [[1], [2], [3], [4], [5]]);
    }

    #[test]
    fn the_run_of_an_artifact_is_in_its_path() {
        assert_eq!(run_of_artifact("/api/2.0/mlflow-artifacts/artifacts/1/abc/artifacts/d/f.txt"), Some("abc"));
        assert_eq!(run_of_artifact("/api/2.0/mlflow-artifacts/artifacts/1/models/m-1/artifacts/f"), None);
    }
}
