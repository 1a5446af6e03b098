//! A tracker that speaks the part of MLflow's REST API that sendoff uses, and misbehaves on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

/// How requests are answered whose path contains `on`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mood {
    /// As MLflow does.
    Fine,
    /// With this status and body.
    Says(u16, &'static str),
    /// Not at all, until the mood changes.
    Hangs,
}

#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) job: String,
    pub(crate) status: String,
    body: Value,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    on: &'static str,
    wanted: Option<&'static str>,
    experiments: Vec<String>,
    runs: Vec<Run>,
    artifacts: BTreeMap<String, Vec<u8>>,
    is_over: bool,
}

/// The server; it ends with this value.
pub(crate) struct Tracker {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Tracker {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(Mutex::new(State {
            mood: Mood::Fine,
            on: "",
            wanted: None,
            experiments: Vec::new(),
            runs: Vec::new(),
            artifacts: BTreeMap::new(),
            is_over: false,
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().expect("no panic").is_over {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { port, state }
    }

    /// Wants this `Authorization` of every request.
    pub(crate) fn wants(self, authorization: &'static str) -> Self {
        self.state().wanted = Some(authorization);
        self
    }

    pub(crate) fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes the mood for requests whose path contains a text.
    pub(crate) fn mood(&self, mood: Mood, on: &'static str) {
        let mut state = self.state();
        (state.mood, state.on) = (mood, on);
    }

    /// Returns the statuses of the MLflow runs that carry a job's tag.
    pub(crate) fn statuses(&self, job: &str) -> Vec<String> {
        self.state().runs.iter().filter(|run| run.job == job).map(|run| run.status.clone()).collect()
    }

    /// Returns the names of the artifacts.
    pub(crate) fn artifacts(&self) -> Vec<String> {
        self.state().artifacts.keys().cloned().collect()
    }

    /// Returns everything that it was told, as text.
    pub(crate) fn told(&self) -> String {
        let state = self.state();
        let artifacts: String = state.artifacts.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        format!("{:?}{artifacts}", state.runs)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        let mut state = self.state();
        (state.is_over, state.mood) = (true, Mood::Fine);
        drop(state);
        // Wakes the listener.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() {
        return;
    }
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => value.trim().clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let (status, answer) = loop {
        let mut state = state.lock().expect("no panic");
        match state.mood {
            Mood::Hangs if target.contains(state.on) => {
                drop(state);
                std::thread::sleep(Duration::from_millis(20));
            }
            Mood::Says(status, text) if target.contains(state.on) => break (status, text.to_owned()),
            _ if state.wanted.is_some_and(|wanted| wanted != authorization) => break (401, "<html>no</html>".to_owned()),
            _ => break answer(&mut state, &method, &target, &body),
        }
    };
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(answer.as_bytes()));
}

fn answer(state: &mut State, method: &str, target: &str, body: &[u8]) -> (u16, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let argument = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default().to_owned();
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let missing = || (404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no" }).to_string());
    if let Some(name) = path.strip_prefix("/api/2.0/mlflow-artifacts/artifacts/") {
        if method == "PUT" {
            state.artifacts.insert(name.to_owned(), body.to_vec());
            return (200, String::new());
        }
        return state.artifacts.get(name).map_or_else(missing, |bytes| (200, String::from_utf8_lossy(bytes).into_owned()));
    }
    match path.strip_prefix("/api/2.0/mlflow/").unwrap_or(path) {
        "/version" => (200, "3.17.2".to_owned()),
        "experiments/search" => (200, "{}".to_owned()),
        "experiments/get-by-name" => match state.experiments.iter().position(|name| *name == argument("experiment_name")) {
            Some(id) => (200, json!({ "experiment": { "experiment_id": id.to_string(), "lifecycle_stage": "active" } }).to_string()),
            None => missing(),
        },
        "experiments/get" => match argument("experiment_id").parse::<usize>().ok().and_then(|id| state.experiments.get(id)) {
            Some(name) => (200, json!({ "experiment": { "experiment_id": argument("experiment_id"), "name": name } }).to_string()),
            None => missing(),
        },
        "experiments/create" => {
            state.experiments.push(sent["name"].as_str().unwrap_or_default().to_owned());
            (200, json!({ "experiment_id": (state.experiments.len() - 1).to_string() }).to_string())
        }
        "runs/create" => {
            let tags = sent["tags"].as_array().cloned().unwrap_or_default();
            let job = tags.iter().find(|tag| tag["key"] == "sendoff.job_id").map(|tag| tag["value"].as_str().unwrap_or_default());
            let run = Run { job: job.unwrap_or_default().to_owned(), status: "RUNNING".to_owned(), body: sent.clone() };
            state.runs.push(run);
            (200, json!({ "run": shown(state, state.runs.len() - 1) }).to_string())
        }
        "runs/get" => match argument("run_id").parse::<usize>().ok().filter(|id| *id < state.runs.len()) {
            Some(id) => (200, json!({ "run": shown(state, id) }).to_string()),
            None => missing(),
        },
        "runs/search" => {
            let filter = sent["filter"].as_str().unwrap_or_default().to_owned();
            let found = (0..state.runs.len()).filter(|id| filter.ends_with(&format!("= '{}'", state.runs[*id].job)));
            (200, json!({ "runs": found.map(|id| shown(state, id)).collect::<Vec<_>>() }).to_string())
        }
        "runs/update" => {
            let id: usize = sent["run_id"].as_str().and_then(|id| id.parse().ok()).expect("one of ours");
            sent["status"].as_str().expect("a status").clone_into(&mut state.runs[id].status);
            (200, "{}".to_owned())
        }
        _ => (404, "<html>no</html>".to_owned()),
    }
}

fn shown(state: &State, id: usize) -> Value {
    let run = &state.runs[id];
    json!({
        "info": {
            "run_id": id.to_string(), "experiment_id": run.body["experiment_id"], "status": run.status,
            "artifact_uri": format!("mlflow-artifacts:/0/{id}/artifacts"),
        },
        "data": {},
    })
}
