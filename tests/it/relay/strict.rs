//! A tracker that keeps everything it is told, duplicates included: the oracle of exactly once. MLflow's own database swallows an equal value.
//!
//! It speaks what MLflow's clients and the relay use of the REST API, refuses what MLflow refuses, and issues tokens that end when asked to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// One value as it was logged: key, value to the bit, time, step.
pub(crate) type Point = (String, u64, i64, i64);

#[derive(Debug, Default, Clone)]
pub(crate) struct Run {
    pub(crate) info: Map<String, Value>,
    pub(crate) history: Vec<Point>,
    pub(crate) params: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) inputs: Vec<Value>,
    /// Every status that it was given, in order.
    pub(crate) statuses: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    experiments: Vec<String>,
    runs: BTreeMap<String, Run>,
    artifacts: BTreeMap<String, Vec<u8>>,
    /// When each issued token ends.
    tokens: BTreeMap<String, Instant>,
    lifetime: Option<Duration>,
    refused: usize,
}

/// The server; it ends with this value.
pub(crate) struct Strict {
    port: u16,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Strict {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (state, over) = (Arc::new(Mutex::new(State::default())), Arc::new(AtomicBool::new(false)));
        let (shared, ends) = (state.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { port, state, over }
    }

    /// Accepts only tokens that it issued (at `/oidc/v1/token`, to `c` with the secret `s`) less than this time ago.
    pub(crate) fn with_tokens_of(self, lifetime: Duration) -> Self {
        self.state().lifetime = Some(lifetime);
        self
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the runs, by id.
    pub(crate) fn runs(&self) -> BTreeMap<String, Run> {
        self.state().runs.clone()
    }

    /// Returns the run that carries a job's tag.
    pub(crate) fn run_of(&self, job: &str) -> (String, Run) {
        let of_job = |run: &Run| run.tags.get("sendoff.job_id").is_some_and(|id| id == job) && !run.tags.contains_key("mlflow.parentRunId");
        self.runs().into_iter().find(|(_, run)| of_job(run)).unwrap_or_else(|| panic!("no run of `{job}`"))
    }

    /// Takes a value, as if the job had logged it.
    pub(crate) fn log(&self, run_id: &str, key: &str, step: i64, value: f64) {
        let point = (key.to_owned(), value.to_bits(), 1_700_000_000_000, step);
        self.state().runs.get_mut(run_id).expect("it is there").history.push(point);
    }

    /// Opens a run below another in an experiment of its own, with the tags of the other, and returns its id.
    pub(crate) fn child(&self, parent: &str, experiment: &str, name: &str) -> String {
        let mut state = self.state();
        let id = format!("{:032x}", NUMBER.fetch_add(1, Ordering::SeqCst));
        state.experiments.push(experiment.to_owned());
        let mut run = Run { tags: state.runs[parent].tags.clone(), ..Run::default() };
        run.tags.insert("mlflow.parentRunId".to_owned(), parent.to_owned());
        let info =
            json!({ "run_id": id, "run_name": name, "experiment_id": (state.experiments.len() - 1).to_string(), "status": "FINISHED" });
        run.info = info.as_object().cloned().unwrap_or_default();
        state.runs.insert(id.clone(), run);
        id
    }

    pub(crate) fn artifacts(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().artifacts.clone()
    }

    /// Returns how many tokens were issued.
    pub(crate) fn tokens(&self) -> usize {
        self.state().tokens.len()
    }

    /// Makes an experiment and a run in it, and returns `run` and `experiment` as the submitter would see them.
    pub(crate) fn run(&self) -> (Value, Value) {
        let mut state = self.state();
        let _ = answer(&mut state, "POST", "/api/2.0/mlflow/experiments/create", br#"{"name":"e"}"#);
        let (_, made) =
            answer(&mut state, "POST", "/api/2.0/mlflow/runs/create", br#"{"experiment_id":"0","start_time":1,"run_name":"r"}"#);
        let (_, experiment) = answer(&mut state, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", b"");
        (json_of(&made)["run"].take(), json_of(&experiment)["experiment"].take())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// A request as it stands on the wire.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// The head with its last empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        let find = |line: &str| line.split_once(':').is_some_and(|(name, _)| name.eq_ignore_ascii_case(wanted));
        self.head.lines().find(|line| find(line)).and_then(|line| Some(line.split_once(':')?.1.trim()))
    }
}

/// Reads a request; `None` at the end of the connection.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut head = String::new();
    loop {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head[start..].trim().is_empty() {
            break;
        }
    }
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut request = Request { method, target, head, body: Vec::new() };
    if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
    }
    Some(request)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut writer = stream;
    while let Some(request) = read_request(&mut reader) {
        let (status, body) = {
            let mut state = state.lock().expect("no panic");
            if is_allowed(&state, &request) {
                answer(&mut state, &request.method, &request.target, &request.body)
            } else {
                (401, Vec::new())
            }
        };
        let kind = if request.target == "/version" { "text/plain" } else { "application/json" };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body)).is_err() {
            return;
        }
    }
}

fn is_allowed(state: &State, request: &Request) -> bool {
    let Some(lifetime) = state.lifetime.filter(|_| !request.target.starts_with("/oidc/")) else { return true };
    let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    token.and_then(|token| state.tokens.get(token)).is_some_and(|issued| issued.elapsed() < lifetime)
}

fn ok(value: &Value) -> (u16, Vec<u8>) {
    (200, value.to_string().into_bytes())
}

fn error(status: u16, code: &str, message: &str) -> (u16, Vec<u8>) {
    (status, json!({ "error_code": code, "message": message }).to_string().into_bytes())
}

fn answer(state: &mut State, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let argument = |name: &str| query.get(name).cloned().unwrap_or_default();
    if path == "/oidc/v1/token" {
        let token = format!("token-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        state.tokens.insert(token.clone(), Instant::now());
        let seconds = state.lifetime.unwrap_or(Duration::from_hours(1)).as_secs();
        return ok(&json!({ "access_token": token, "expires_in": seconds }));
    }
    if path == "/version" {
        return (200, b"3.17.2".to_vec());
    }
    if let Some(name) = path.strip_prefix("/api/2.0/mlflow-artifacts/artifacts/") {
        return match method {
            "PUT" if name.ends_with("/boom.txt") => error(500, "INTERNAL_ERROR", "the store is broken for this one"),
            "PUT" => {
                state.artifacts.insert(name.to_owned(), body.to_vec());
                ok(&json!({}))
            }
            _ => state.artifacts.get(name).map_or_else(|| error(404, "RESOURCE_DOES_NOT_EXIST", "no"), |bytes| (200, bytes.clone())),
        };
    }
    let Some(act) = path.strip_prefix("/api/2.0/mlflow/").or_else(|| path.strip_prefix("/api/3.0/mlflow/")) else {
        return (404, b"<html>no</html>".to_vec());
    };
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let missing = || error(404, "RESOURCE_DOES_NOT_EXIST", "there is none");
    match act {
        "experiments/search" => {
            let all: Vec<Value> = (0..state.experiments.len()).map(|id| experiment(state, id)).collect();
            ok(&json!({ "experiments": all }))
        }
        "server-info" => ok(&json!({})),
        "experiments/create" => {
            state.experiments.push(sent["name"].as_str().unwrap_or_default().to_owned());
            ok(&json!({ "experiment_id": (state.experiments.len() - 1).to_string() }))
        }
        "experiments/get-by-name" => match state.experiments.iter().position(|name| *name == argument("experiment_name")) {
            Some(id) => ok(&json!({ "experiment": experiment(state, id) })),
            None => missing(),
        },
        "experiments/get" => match argument("experiment_id").parse::<usize>().ok().filter(|id| *id < state.experiments.len()) {
            Some(id) => ok(&json!({ "experiment": experiment(state, id) })),
            None => missing(),
        },
        "runs/create" => {
            let id = format!("{:032x}", NUMBER.fetch_add(1, Ordering::SeqCst));
            let mut run = Run::default();
            let name = sent["run_name"].as_str().unwrap_or("unnamed");
            let info = json!({
                "run_id": id, "run_uuid": id, "experiment_id": sent["experiment_id"], "run_name": name, "status": "RUNNING",
                "start_time": sent["start_time"], "artifact_uri": format!("mlflow-artifacts:/{}/{id}/artifacts", sent["experiment_id"].as_str().unwrap_or("0")),
                "lifecycle_stage": "active", "user_id": "",
            });
            run.info = info.as_object().cloned().unwrap_or_default();
            run.tags.insert("mlflow.runName".into(), name.to_owned());
            for tag in sent["tags"].as_array().into_iter().flatten() {
                run.tags.insert(text(tag, "key"), text(tag, "value"));
            }
            let answer = ok(&json!({ "run": shown(&run) }));
            state.runs.insert(id, run);
            answer
        }
        "runs/get" => match state.runs.get(&argument("run_id")) {
            Some(run) => ok(&json!({ "run": shown(run) })),
            None => missing(),
        },
        "runs/search" => {
            // Of the form: tags.`key` = 'value'.
            let filter = sent["filter"].as_str().unwrap_or_default();
            let mut parts = filter.split(['`', '\'']).skip(1);
            let (key, value) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
            let asked = |run: &Run| sent["experiment_ids"].as_array().is_some_and(|ids| ids.contains(&run.info["experiment_id"]));
            let tagged = |run: &Run| run.tags.get(key).is_some_and(|tag| tag == value);
            let found: Vec<Value> = state.runs.values().filter(|run| asked(run) && tagged(run)).map(shown).collect();
            ok(&json!({ "runs": found }))
        }
        "metrics/get-history" => match state.runs.get(&argument("run_id")) {
            Some(run) => {
                let key = argument("metric_key");
                let all: Vec<Value> = run.history.iter().filter(|point| point.0 == key).map(metric).collect();
                // Small pages, so that whoever reads them has to turn them.
                let start: usize = argument("page_token").parse().unwrap_or(0);
                let page: Vec<&Value> = all.iter().skip(start).take(50).collect();
                let mut answer = json!({ "metrics": page });
                if start + 50 < all.len() {
                    answer["next_page_token"] = (start + 50).to_string().into();
                }
                ok(&answer)
            }
            None => missing(),
        },
        _ => write(state, act, &sent),
    }
}

fn write(state: &mut State, act: &str, sent: &Value) -> (u16, Vec<u8>) {
    let Some(run) = state.runs.get_mut(&text(sent, "run_id")) else { return error(404, "RESOURCE_DOES_NOT_EXIST", "no such run") };
    let refused = |message: &str| error(400, "INVALID_PARAMETER_VALUE", message);
    let changed = |run: &Run, param: &Value| run.params.get(&text(param, "key")).is_some_and(|known| *known != text(param, "value"));
    let list = |name: &str| sent[name].as_array().cloned().unwrap_or_default();
    match act {
        "runs/log-metric" => run.history.push(point(sent)),
        "runs/log-parameter" if changed(run, sent) => return refused("changing a parameter"),
        "runs/log-parameter" => drop(run.params.insert(text(sent, "key"), text(sent, "value"))),
        "runs/set-tag" => drop(run.tags.insert(text(sent, "key"), text(sent, "value"))),
        "runs/delete-tag" => {
            if run.tags.remove(&text(sent, "key")).is_none() {
                return error(404, "RESOURCE_DOES_NOT_EXIST", "no such tag");
            }
        }
        "runs/log-inputs" => run.inputs.extend(list("datasets")),
        "runs/log-batch" => {
            let (metrics, params, tags) = (list("metrics"), list("params"), list("tags"));
            if metrics.len() > 1000 || params.len() > 100 || tags.len() > 100 || metrics.len() + params.len() + tags.len() > 1000 {
                state.refused += 1;
                return refused("the batch is too large");
            }
            // Something that only the server can know is wrong: it takes nothing of the batch.
            if metrics.iter().any(|metric| text(metric, "key") == "poison") || params.iter().any(|param| changed(run, param)) {
                return refused("something in the batch is wrong");
            }
            run.history.extend(metrics.iter().map(point));
            run.params.extend(params.iter().map(|param| (text(param, "key"), text(param, "value"))));
            run.tags.extend(tags.iter().map(|tag| (text(tag, "key"), text(tag, "value"))));
        }
        "runs/update" => {
            for key in ["status", "end_time", "run_name"] {
                if let Some(value) = sent.get(key) {
                    run.info.insert(key.into(), value.clone());
                }
            }
            run.statuses.extend(sent["status"].as_str().map(str::to_owned));
            return ok(&json!({ "run_info": run.info }));
        }
        _ => return (404, b"<html>no</html>".to_vec()),
    }
    if act == "runs/log-metric" && text(sent, "key") == "poison" {
        run.history.pop();
        return refused("poison");
    }
    ok(&json!({}))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn integer(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

fn point(metric: &Value) -> Point {
    let value = metric["value"].as_f64().or_else(|| metric["value"].as_str()?.parse().ok()).unwrap_or(f64::NAN);
    (text(metric, "key"), value.to_bits(), integer(&metric["timestamp"]), integer(&metric["step"]))
}

fn metric(point: &Point) -> Value {
    let value = f64::from_bits(point.1);
    let value = if value.is_nan() { json!("NaN") } else { json!(value) };
    json!({ "key": point.0, "value": value, "timestamp": point.2, "step": point.3 })
}

fn experiment(state: &State, id: usize) -> Value {
    let name = &state.experiments[id];
    json!({ "experiment_id": id.to_string(), "name": name, "artifact_location": format!("mlflow-artifacts:/{id}"), "lifecycle_stage": "active" })
}

fn shown(run: &Run) -> Value {
    let pairs = |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect::<Vec<_>>();
    let mut last: BTreeMap<&str, &Point> = BTreeMap::new();
    for point in &run.history {
        last.insert(&point.0, point);
    }
    let metrics: Vec<Value> = last.values().map(|point| metric(point)).collect();
    let inputs: Vec<Value> = run.inputs.iter().map(|input| json!({ "dataset": input["dataset"] })).collect();
    json!({
        "info": run.info, "data": { "metrics": metrics, "params": pairs(&run.params), "tags": pairs(&run.tags) },
        "inputs": { "dataset_inputs": inputs }, "outputs": {},
    })
}
