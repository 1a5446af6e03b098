//! What is known of MLflow runs: the server's last copy, overlaid with every write that was acknowledged since.
//!
//! It answers the client while the server is away, and it tells early what the server would refuse.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::record::{Call, Entry, Record, Seen};

/// Characters of a parameter and a tag that MLflow keeps; it cuts the rest without a word.
const PARAM_LENGTH: usize = 6000;
const TAG_LENGTH: usize = 8000;

/// Everything that is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct View {
    runs: BTreeMap<String, Run>,
    experiments: BTreeMap<String, Value>,
    /// The bodies of `GET` requests about the server itself, by path.
    server: BTreeMap<String, String>,
    /// The MLflow run whose final status is the supervisor's to say.
    injected: Option<String>,
    /// Runs that this relay has created, by the mark of their request.
    marks: BTreeMap<String, String>,
    /// Requests for a run of which the outcome is not known: mark and call.
    creating: Vec<(String, Call)>,
    /// Whether the supervisor's own end of the injected run stands in the spool.
    ended: bool,
}

/// One MLflow run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    info: Map<String, Value>,
    metrics: BTreeMap<String, Value>,
    params: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    /// `inputs`, `outputs` and whatever else the server shows.
    rest: Map<String, Value>,
    /// Whether a client created it through this relay.
    created_here: bool,
    /// What the client wrote as the end of the injected run; shown to it and to nobody else.
    own_end: Option<Map<String, Value>>,
}

impl Run {
    /// Returns whether writes to it are accepted.
    pub(super) fn is_active(&self) -> bool {
        self.info.get("lifecycle_stage").is_none_or(|stage| stage == "active")
    }

    /// Returns the value of a parameter.
    pub(super) fn param(&self, key: &str) -> Option<&str> {
        self.params.get(key).map(String::as_str)
    }

    /// Returns whether it has a tag.
    pub(super) fn has_tag(&self, key: &str) -> bool {
        self.tags.contains_key(key)
    }

    /// Returns its status as the server is told.
    fn status(&self) -> &str {
        self.info.get("status").and_then(Value::as_str).unwrap_or("RUNNING")
    }

    /// Returns `run_info` as the client shall see it.
    pub(super) fn shown_info(&self) -> Value {
        let mut info = self.info.clone();
        info.extend(self.own_end.clone().unwrap_or_default());
        Value::Object(info)
    }

    /// Returns the run as `runs/get` shows it.
    pub(super) fn shown(&self) -> Value {
        let pairs =
            |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>();
        let mut data = Map::new();
        if !self.metrics.is_empty() {
            data.insert("metrics".into(), self.metrics.values().cloned().collect());
        }
        if !self.params.is_empty() {
            data.insert("params".into(), pairs(&self.params).into());
        }
        if !self.tags.is_empty() {
            data.insert("tags".into(), pairs(&self.tags).into());
        }
        let mut run = Map::new();
        run.insert("info".into(), self.shown_info());
        run.insert("data".into(), data.into());
        run.extend(self.rest.clone());
        run.into()
    }

    fn from_server(run: &Value) -> Option<Self> {
        let Value::Object(fields) = run else { return None };
        let mut own = Self { info: fields.get("info")?.as_object()?.clone(), ..Self::default() };
        let data = fields.get("data");
        let list = |name: &str| data.and_then(|data| data.get(name)).and_then(Value::as_array).into_iter().flatten();
        let key = |item: &Value| item.get("key").and_then(Value::as_str).map(str::to_owned);
        let pair = |item: &Value| Some((key(item)?, item.get("value").and_then(Value::as_str).unwrap_or_default().to_owned()));
        own.metrics = list("metrics").filter_map(|item| Some((key(item)?, item.clone()))).collect();
        own.params = list("params").filter_map(pair).collect();
        own.tags = list("tags").filter_map(pair).collect();
        own.rest =
            fields.iter().filter(|(name, _)| !matches!(name.as_str(), "info" | "data")).map(|(a, b)| (a.clone(), b.clone())).collect();
        Some(own)
    }

    fn apply(&mut self, call: &Call) {
        let body = &call.body;
        let list = |name: &str| body.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
        match call.act() {
            "runs/log-metric" => self.metric(body),
            "runs/log-parameter" => self.set_param(body),
            "runs/set-tag" => self.set_tag(body),
            "runs/delete-tag" => {
                body.get("key").and_then(Value::as_str).and_then(|key| self.tags.remove(key));
            }
            "runs/log-batch" => {
                list("metrics").for_each(|metric| self.metric(metric));
                list("params").for_each(|param| self.set_param(param));
                list("tags").for_each(|tag| self.set_tag(tag));
            }
            "runs/update" => {
                if body.get("status").and_then(Value::as_str).is_some_and(|status| !is_end(status)) {
                    // Its client goes on with it.
                    self.own_end = None;
                }
                for key in ["status", "end_time", "run_name"] {
                    if let Some(value) = body.get(key) {
                        self.info.insert(key.into(), value.clone());
                    }
                }
                if let Some(name) = body.get("run_name").and_then(Value::as_str) {
                    self.tags.insert("mlflow.runName".into(), name.to_owned());
                }
            }
            _ => {}
        }
    }

    /// Keeps the value that MLflow calls the latest: the largest of step, time and value, in this order.
    fn metric(&mut self, metric: &Map<String, Value>) {
        let Some(key) = metric.get("key").and_then(Value::as_str) else { return };
        let mut shown = Map::new();
        for field in ["key", "value", "timestamp", "step"] {
            if let Some(value) = metric.get(field) {
                shown.insert(field.into(), if matches!(field, "timestamp" | "step") { integer(value).into() } else { value.clone() });
            }
        }
        shown.entry("step").or_insert_with(|| 0.into());
        let rank =
            |value: &Value| (integer(&value["step"]), integer(&value["timestamp"]), value["value"].as_f64().unwrap_or(f64::NEG_INFINITY));
        let shown = Value::Object(shown);
        if self.metrics.get(key).is_none_or(|known| rank(known) <= rank(&shown)) {
            self.metrics.insert(key.to_owned(), shown);
        }
    }

    fn set_param(&mut self, param: &Map<String, Value>) {
        if let Some((key, value)) = pair(param) {
            self.params.insert(key.to_owned(), value.chars().take(PARAM_LENGTH).collect());
        }
    }

    fn set_tag(&mut self, tag: &Map<String, Value>) {
        let Some((key, value)) = pair(tag) else { return };
        if key == "mlflow.runName" {
            self.info.insert("run_name".into(), value.into());
        }
        self.tags.insert(key.to_owned(), value.chars().take(TAG_LENGTH).collect());
    }
}

/// Returns key and value of a parameter or a tag.
pub(super) fn pair(fields: &Map<String, Value>) -> Option<(&str, &str)> {
    Some((fields.get("key")?.as_str()?, fields.get("value")?.as_str()?))
}

/// Returns whether a parameter that has this value is given another.
pub(super) fn differs(known: &str, given: &str) -> bool {
    !known.chars().eq(given.chars().take(PARAM_LENGTH))
}

/// Reads a 64-bit integer, which clients may write as text.
pub(super) fn integer(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// Returns whether a status is an end.
pub(super) fn is_end(status: &str) -> bool {
    matches!(status, "FINISHED" | "FAILED" | "KILLED")
}

impl View {
    /// Names the run whose final status is not the client's to say, and gives the first copy of it and of its experiment.
    pub(super) fn inject(&mut self, run: &Value, experiment: &Value) {
        let id = run["info"]["run_id"].as_str().unwrap_or_default().to_owned();
        // A relay that was started again knows more than the first copy.
        if !self.runs.contains_key(&id) {
            self.see(&Seen { run: run.clone(), mark: None });
        }
        self.injected = Some(id);
        self.see_experiment(experiment);
    }

    /// Returns whether this is the injected run.
    pub(super) fn is_injected(&self, run_id: &str) -> bool {
        self.injected.as_deref() == Some(run_id)
    }

    /// Returns whether the supervisor's own end of the injected run was written; what others say of its status counts for nothing.
    pub(super) fn is_closed(&self) -> bool {
        self.ended
    }

    /// Returns the requests for a run of which the outcome is not known: mark and call.
    pub(super) fn creating(&self) -> &[(String, Call)] {
        &self.creating
    }

    /// Returns the run that was made for a request.
    pub(super) fn made_for(&self, mark: &str) -> Option<&Run> {
        self.runs.get(self.marks.get(mark)?)
    }

    /// Returns what is known of a run.
    pub(super) fn run(&self, run_id: &str) -> Option<&Run> {
        self.runs.get(run_id)
    }

    /// Takes over what a record says.
    pub(super) fn apply(&mut self, record: &Record) {
        self.apply_entry(&record.entry);
    }

    /// Takes over what an entry says.
    pub(super) fn apply_entry(&mut self, entry: &Entry) {
        match entry {
            Entry::Call(call) => {
                if let Some(run) = self.runs.get_mut(call.run_id()) {
                    run.apply(call);
                }
            }
            Entry::Kept(call) => {
                if let Some(run) = self.runs.get_mut(call.run_id()) {
                    let own = call.body.iter().filter(|(key, _)| matches!(key.as_str(), "status" | "end_time"));
                    run.own_end = Some(own.map(|(key, value)| (key.clone(), value.clone())).collect());
                }
            }
            Entry::Seen(seen) => self.see(seen),
            Entry::Creating(creating) => self.creating.push((creating.mark.clone(), creating.call.clone())),
            Entry::View(view) => *self = serde_json::from_value((**view).clone()).unwrap_or_default(),
            Entry::Ended => self.ended = true,
            Entry::Upload(_) => {}
        }
    }

    /// Takes the server's copy of a run. What a client said of its end, and who created it, is kept.
    fn see(&mut self, seen: &Seen) {
        let Some(mut run) = Run::from_server(&seen.run) else { return };
        let Some(id) = run.info.get("run_id").and_then(Value::as_str).map(str::to_owned) else { return };
        if let Some(known) = self.runs.get(&id) {
            run.created_here = known.created_here;
            run.own_end.clone_from(&known.own_end);
        }
        if let Some(mark) = &seen.mark {
            run.created_here = true;
            run.tags.remove(super::create::MARK);
            self.creating.retain(|(known, _)| known != mark);
            self.marks.insert(mark.clone(), id.clone());
        }
        self.runs.insert(id, run);
    }

    /// Takes the server's copy of an experiment.
    pub(super) fn see_experiment(&mut self, experiment: &Value) {
        if let Some(id) = experiment["experiment_id"].as_str() {
            self.experiments.insert(id.to_owned(), experiment.clone());
        }
    }

    /// Takes what the server says of itself.
    pub(super) fn see_server(&mut self, path: &str, body: &str) {
        self.server.insert(path.to_owned(), body.to_owned());
    }

    /// Returns what the server said of itself.
    pub(super) fn server(&self, path: &str) -> Option<&str> {
        self.server.get(path).map(String::as_str)
    }

    /// Returns an experiment by id or name.
    pub(super) fn experiment(&self, id: Option<&str>, name: Option<&str>) -> Option<&Value> {
        match (id, name) {
            (Some(id), _) => self.experiments.get(id),
            (None, Some(name)) => self.experiments.values().find(|experiment| experiment["name"] == name),
            (None, None) => None,
        }
    }

    /// Returns the runs that clients opened through this relay and did not end, the injected one apart.
    pub(super) fn left_open(&self) -> Vec<String> {
        let open = |(id, run): &(&String, &Run)| run.created_here && !is_end(run.status()) && run.is_active() && !self.is_injected(id);
        self.runs.iter().filter(open).map(|(id, _)| id.clone()).collect()
    }

    /// Corrects an answer of the server so that the client reads back the end that it wrote itself.
    pub(super) fn correct(&self, run: &mut Value) {
        let own = self.injected.as_ref().and_then(|id| Some((id, self.runs.get(id)?.own_end.as_ref()?)));
        let Some((id, own)) = own else { return };
        if run["info"]["run_id"] == id.as_str()
            && let Some(info) = run.get_mut("info").and_then(Value::as_object_mut)
        {
            info.extend(own.clone());
        }
    }

    /// Returns whether an answer about runs may have to be corrected.
    pub(super) fn has_own_end(&self) -> bool {
        self.injected.as_ref().and_then(|id| self.runs.get(id)).is_some_and(|run| run.own_end.is_some())
    }

    /// Returns everything, for the first record of a new file.
    pub(super) fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("plain data of ours always serialises")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(act: &str, body: Value) -> Entry {
        let Value::Object(body) = body else { unreachable!("it is written as an object") };
        Entry::Call(Call { path: format!("/api/2.0/mlflow/{act}"), body })
    }

    fn run(id: &str) -> Value {
        json!({ "info": { "run_id": id, "status": "RUNNING", "lifecycle_stage": "active", "artifact_uri": "a" },
                "data": { "tags": [{ "key": "mlflow.runName", "value": "q" }] }, "inputs": {}, "outputs": {} })
    }

    #[test]
    fn a_run_is_shown_with_every_write_since() {
        let mut view = View::default();
        view.inject(&run("r"), &json!({ "experiment_id": "1", "name": "e" }));
        for (act, body) in [
            ("runs/log-metric", json!({ "run_id": "r", "key": "m", "value": 1.5, "timestamp": 7, "step": "2" })),
            ("runs/log-metric", json!({ "run_id": "r", "key": "m", "value": 9.5, "timestamp": 8, "step": 1 })),
            ("runs/log-batch", json!({ "run_id": "r", "params": [{ "key": "p", "value": "1" }], "tags": [{ "key": "t", "value": "v" }] })),
            ("runs/update", json!({ "run_id": "r", "run_name": "new" })),
        ] {
            view.apply_entry(&call(act, body));
        }
        let shown = view.run("r").expect("it is known").shown();
        assert_eq!(shown["data"]["metrics"], json!([{ "key": "m", "value": 1.5, "timestamp": 7, "step": 2 }]));
        assert_eq!(shown["data"]["params"], json!([{ "key": "p", "value": "1" }]));
        assert_eq!(shown["info"]["run_name"], "new");
        assert_eq!(view.experiment(None, Some("e")).map(|e| e["experiment_id"].clone()), Some("1".into()));
    }

    #[test]
    fn the_client_reads_its_own_end_of_the_injected_run_and_the_server_does_not() {
        let mut view = View::default();
        view.inject(&run("r"), &Value::Null);
        let Entry::Call(own) = call("runs/update", json!({ "run_id": "r", "status": "FINISHED", "end_time": 5 })) else { return };
        view.apply_entry(&Entry::Kept(own));
        assert_eq!(view.run("r").expect("it is known").shown()["info"]["status"], "FINISHED");
        assert_eq!(view.run("r").expect("it is known").status(), "RUNNING");
        let mut answer = run("r");
        view.correct(&mut answer);
        assert_eq!((&answer["info"]["status"], &answer["info"]["end_time"]), (&json!("FINISHED"), &json!(5)));
        let again: View = serde_json::from_value(view.to_value()).expect("it is plain data");
        assert_eq!(again, view);
    }

    #[test]
    fn runs_that_a_client_opened_and_left_are_found() {
        let mut view = View::default();
        view.inject(&run("r"), &Value::Null);
        for id in ["a", "b"] {
            view.apply_entry(&Entry::Seen(Seen { run: run(id), mark: Some(format!("mark-{id}")) }));
        }
        view.apply_entry(&Entry::Seen(Seen { run: run("c"), mark: None }));
        view.apply_entry(&call("runs/update", json!({ "run_id": "a", "status": "FINISHED" })));
        assert_eq!(view.left_open(), ["b"]);
    }
}
