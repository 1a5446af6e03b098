//! MLflow's own clients against the real MLflow server, with the relay between them and without: the same is there afterwards.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sendoff::auth::Credentials;
use sendoff::relay::{Finish, Injected, Keeper, Left, Limits, Listen, Task};
use sendoff::support::command::{capture, capture_any};
use sendoff::support::platform::{self, Signal};
use sendoff::support::secret::Secret;
use serde_json::{Value, json};

use super::chaos::Seeded;
use super::proxy::{Fault, Proxy};
use crate::support::{path, shared, wait_until};

/// Returns the Python of a venv with these packages, which is made once for all tests.
fn python(name: &str, packages: &[&str]) -> PathBuf {
    let folder = shared().join(format!("venv-{name}"));
    let _lock = sendoff::support::lock::Lock::exclusive(&shared().join(format!("venv-{name}.lock"))).expect("a lock");
    if !folder.join("complete").exists() {
        let uv = |arguments: &[&str]| {
            let mut command = Command::new("uv");
            command.args(arguments).env("PATH", path()).env("UV_CACHE_DIR", shared().join("uv-cache"));
            capture(&mut command, Duration::from_mins(10)).unwrap_or_else(|error| panic!("{error}"));
        };
        let place = folder.display().to_string();
        uv(&["venv", "--quiet", "--clear", "--python", "python3", &place]);
        let interpreter = folder.join("bin/python").display().to_string();
        uv(&[&["pip", "install", "--quiet", "--compile-bytecode", "--python", &interpreter], packages].concat());
        std::fs::write(folder.join("complete"), "").expect("writable");
    }
    folder.join("bin/python")
}

/// A real MLflow server with a database of its own.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let child = Self::spawn(folder.path(), port);
        let mut server = Self { folder, port, child };
        server.wait();
        server
    }

    fn spawn(folder: &Path, port: u16) -> Child {
        let program = python("mlflow-server", &["mlflow==3.17.2"]).with_file_name("mlflow");
        let log = || std::fs::OpenOptions::new().append(true).create(true).open(folder.join("log")).expect("writable");
        let mut command = Command::new(program);
        command
            .args(["server", "--workers", "1", "--port", &port.to_string()])
            .arg("--backend-store-uri")
            .arg(format!("sqlite:///{}", folder.join("mlflow.db").display()))
            .arg("--artifacts-destination")
            .arg(folder.join("artifacts"))
            .current_dir(folder)
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .env_remove("MLFLOW_TRACKING_URI")
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log());
        platform::own_group(&mut command).spawn().expect("it starts")
    }

    fn wait(&mut self) {
        let uri = self.uri();
        let health = format!("{uri}/health");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        sendoff::support::http::install_tls();
        wait_until(|| {
            let answer = runtime.block_on(async { reqwest::get(&health).await.map(|answer| answer.status().as_u16()) });
            if matches!(answer, Ok(200)) {
                Ok(())
            } else {
                Err(std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())
            }
        });
    }

    fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        platform::signal_group(i32::try_from(self.child.id()).expect("it is small"), Signal::Kill);
        let _ = self.child.wait();
    }

    fn restart(&mut self) {
        self.child = Self::spawn(self.folder.path(), self.port);
        self.wait();
    }

    fn call(&self, act: &str, body: &Value) -> Value {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = format!("{}/api/2.0/mlflow/{act}", self.uri());
        runtime.block_on(async {
            let request = if body.is_null() { reqwest::Client::new().get(&url) } else { reqwest::Client::new().post(&url).json(body) };
            request.send().await.expect("an answer").json().await.expect("JSON")
        })
    }

    /// Makes an experiment with a run in it, as the submitter does.
    fn prepare(&self, name: &str) -> (String, Injected) {
        let experiment = self.call("experiments/create", &json!({ "name": name }))["experiment_id"].as_str().expect("an id").to_owned();
        let run = self.call("runs/create", &json!({ "experiment_id": experiment, "start_time": 1, "run_name": "the-job" }))["run"].take();
        let experiment = self.call(&format!("experiments/get?experiment_id={experiment}"), &Value::Null)["experiment"].take();
        (run["info"]["run_id"].as_str().expect("an id").to_owned(), Injected { run, experiment })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn script(name: &str) -> String {
    format!("{}/tests/fixtures/tracking/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script with a client in an environment of its own.
fn client(python: &Path, script: &str, arguments: &[&str], uri: &str, token: Option<&str>, run_id: &str, experiment: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(script).args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").env("USER", "tester");
    command.env("MLFLOW_TRACKING_URI", uri).env("MLFLOW_RUN_ID", run_id).env("MLFLOW_EXPERIMENT_ID", experiment);
    command.env("MLFLOW_RUN_CONTEXT", json!({ "mlflow.parentRunId": run_id }).to_string());
    command.env("GIT_PYTHON_REFRESH", "quiet").env("MLFLOW_DISABLE_TELEMETRY", "true").env("MLFLOW_HTTP_REQUEST_TIMEOUT", "600");
    command.env("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").env("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2");
    command.env("TMPDIR", std::env::temp_dir()).envs(std::env::vars().filter(|(name, _)| name.starts_with("OPENBLAS")));
    if let Some(token) = token {
        command.env("MLFLOW_TRACKING_TOKEN", token);
    }
    command
}

/// Returns everything that the database has of an experiment, ids and times of the wall clock replaced.
fn content(server: &Server, experiment: &str) -> String {
    let program = script("content.py");
    let mut command = Command::new("python3");
    command.arg(program).arg(server.folder.path().join("mlflow.db")).arg(server.folder.path().join("artifacts")).arg(experiment);
    let output = capture(command.env("PATH", path()), Duration::from_mins(2)).unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn keeper(folder: &Path, uri: &str, injected: Injected) -> Keeper {
    let task = Task {
        folder: folder.to_owned(),
        uri: Some(uri.to_owned()),
        credentials: Credentials::None,
        token: Secret::new(super::TOKEN),
        injected: Some(injected),
        spools: true,
        limits: Limits { drain: Duration::from_mins(1), stall: Duration::from_secs(5), ..Limits::default() },
    };
    Keeper::start(env!("CARGO_BIN_EXE_sendoff").into(), Listen::At(std::net::Ipv4Addr::LOCALHOST), task).expect("it starts")
}

fn finish(keeper: Keeper, run_id: &str) {
    let left = keeper.finish(Finish { run_id: run_id.to_owned(), status: "FINISHED".to_owned(), end_time: 99 });
    assert!(matches!(left, Left::Known(pending) if pending.records == 0 && pending.refused == 0), "{left:?}");
}

#[test]
fn a_script_leaves_the_same_with_the_relay_and_without() {
    let server = Server::start();
    let skinny: &[&str] = &["mlflow-skinny", "psutil"];
    let two: &[&str] = &["mlflow-skinny<3", "psutil", "setuptools<81"];
    for (name, packages, kind) in [("skinny", skinny, "skinny"), ("two", two, "skinny"), ("full", &["mlflow==3.17.2", "psutil"], "full")] {
        let python = python(name, packages);
        let run = |experiment: &str, relayed: bool| {
            let (run_id, injected) = server.prepare(experiment);
            let id = injected.experiment["experiment_id"].as_str().expect("an id").to_owned();
            let folder = tempfile::tempdir().expect("a temporary folder");
            let keeper = relayed.then(|| keeper(folder.path(), &server.uri(), injected));
            let uri = keeper.as_ref().map_or_else(|| server.uri(), Keeper::uri);
            let mut command = client(&python, &script("everything.py"), &[kind], &uri, relayed.then_some(super::TOKEN), &run_id, &id);
            capture(&mut command, Duration::from_mins(5)).unwrap_or_else(|error| panic!("{name}, relay: {relayed}: {error}"));
            if let Some(keeper) = keeper {
                finish(keeper, &run_id);
            }
            content(&server, &id)
        };
        let (direct, relayed) = (run(&format!("{name}-direct"), false), run(&format!("{name}-relayed"), true));
        assert!(direct.lines().count() > 10_000, "{name}: {}", direct.lines().count());
        if direct != relayed {
            let (have, want): (Vec<&str>, Vec<&str>) = (relayed.lines().collect(), direct.lines().collect());
            let missing: Vec<_> = want.iter().filter(|line| !have.contains(line)).take(20).collect();
            let more: Vec<_> = have.iter().filter(|line| !want.contains(line)).take(20).collect();
            panic!("{name}: only without the relay: {missing:#?}, only with it: {more:#?}");
        }
    }
}

#[test]
fn the_real_server_has_everything_after_faults_and_its_own_death() {
    let mut server = Server::start();
    let python = python("skinny", &["mlflow-skinny", "psutil"]);
    for seed in 0..3 {
        let mut seeded = Seeded::new(seed);
        let (run_id, injected) = server.prepare(&format!("chaos-{seed}"));
        let id = injected.experiment["experiment_id"].as_str().expect("an id").to_owned();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let proxy = Proxy::start(server.port);
        let keeper = keeper(folder.path(), &proxy.uri(), injected);
        let witness = folder.path().join("acknowledged");
        let mut command =
            client(&python, &script("chaos.py"), &[&witness.display().to_string(), "150"], &keeper.uri(), Some(super::TOKEN), &run_id, &id);
        std::thread::scope(|scope| {
            let job = scope.spawn(move || capture_any(&mut command, Duration::from_mins(3)).expect("it ends"));
            wait_until(|| if witness.exists() { Ok(()) } else { Err("nothing logged yet".to_owned()) });
            for round in 0..5 {
                match seeded.below(5) {
                    _ if round == 2 => {
                        server.kill();
                        std::thread::sleep(Duration::from_millis(300));
                        server.restart();
                    }
                    0 => platform::signal_process(keeper.pid().unwrap_or(0), Signal::Kill),
                    which => {
                        proxy.set(
                            [Fault::Reset, Fault::Stall, Fault::Truncate, Fault::Status(503)][usize::try_from(which - 1).expect("small")],
                        );
                        std::thread::sleep(Duration::from_millis(300));
                        proxy.set(Fault::None);
                    }
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            let output = job.join().expect("no panic");
            assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stderr));
        });
        finish(keeper, &run_id);
        let history = server.call(&format!("metrics/get-history?run_id={run_id}&metric_key=m&max_results=1000"), &Value::Null);
        let mut steps: Vec<i64> =
            history["metrics"].as_array().expect("a list").iter().map(|point| point["step"].as_i64().unwrap_or(-1)).collect();
        steps.sort_unstable();
        assert_eq!(steps, (0..150).collect::<Vec<i64>>(), "seed {seed}");
        let run = server.call(&format!("runs/get?run_id={run_id}"), &Value::Null);
        assert_eq!(run["run"]["info"]["status"], "FINISHED", "seed {seed}");
    }
}
