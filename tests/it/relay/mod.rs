//! The tracking relay: its promises, asked of the real process against a tracker that keeps everything it is told, and against the real
//! MLflow with its own clients.

mod chaos;
mod disk;
mod held;
mod odd;
mod personal;
mod proxy;
mod spooled;
pub(crate) mod strict;
mod tokens;
mod transparent;

use std::time::Duration;

use sendoff::auth::Credentials;
use sendoff::relay::{Finish, Injected, Keeper, Left, Limits, Listen, Task};
use sendoff::support::secret::Secret;
use serde_json::{Value, json};

use strict::{Point, Strict};

const TOKEN: &str = "the-jobs-own-token";

/// A relay of its own for one test, in front of a strict tracker.
struct Relayed {
    keeper: Keeper,
    folder: tempfile::TempDir,
    run_id: String,
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
}

/// Short limits, so that a tracker that hangs is found out soon.
fn limits() -> Limits {
    Limits { outage: Duration::from_mins(1), drain: Duration::from_secs(20), stall: Duration::from_secs(1), spool: 1 << 30 }
}

impl Relayed {
    fn new(strict: &Strict, uri: &str) -> Self {
        Self::with(strict, Some(uri), |_| {})
    }

    fn with(strict: &Strict, uri: Option<&str>, change: impl FnOnce(&mut Task)) -> Self {
        let folder = tempfile::Builder::new()
            .tempdir_in(std::env::var_os(disk::SMALL).unwrap_or_else(|| std::env::temp_dir().into()))
            .expect("a temporary folder");
        let (run, experiment) = strict.run();
        let run_id = run["info"]["run_id"].as_str().expect("an id").to_owned();
        let mut task = Task {
            folder: folder.path().join("relay"),
            uri: uri.map(str::to_owned),
            credentials: Credentials::None,
            token: Secret::new(TOKEN),
            injected: Some(Injected { run, experiment }),
            spools: true,
            limits: limits(),
        };
        change(&mut task);
        let listen = Listen::At(std::net::Ipv4Addr::LOCALHOST);
        let keeper = Keeper::start(env!("CARGO_BIN_EXE_sendoff").into(), listen, task).expect("it starts");
        sendoff::support::http::install_tls();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { keeper, folder, run_id, runtime, http: reqwest::Client::builder().no_proxy().build().expect("a client") }
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.keeper.uri())).bearer_auth(TOKEN)
    }

    /// Sends a request as MLflow's client does: what breaks on the way is sent again.
    fn send(&self, build: impl Fn() -> reqwest::RequestBuilder) -> (u16, Value) {
        self.runtime.block_on(async {
            for _ in 0..7 {
                let Ok(response) = build().send().await else { continue };
                let status = response.status().as_u16();
                let Ok(body) = response.bytes().await else { continue };
                return (status, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into()));
            }
            panic!("no answer")
        })
    }

    fn post(&self, act: &str, body: &Value) -> (u16, Value) {
        self.send(|| self.request(reqwest::Method::POST, &format!("/api/2.0/mlflow/{act}")).json(body))
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.send(|| self.request(reqwest::Method::GET, path))
    }

    /// Logs a value that is like no other, and returns it.
    fn log(&self, key: &str, step: i64) -> Point {
        #[expect(clippy::cast_precision_loss, reason = "steps of tests are small")]
        let value = step as f64 / 7.0;
        let body = json!({ "run_id": self.run_id, "key": key, "value": value, "timestamp": 1_700_000_000_000_i64 + step, "step": step });
        assert_eq!(self.post("runs/log-metric", &body), (200, json!({})));
        (key.to_owned(), value.to_bits(), 1_700_000_000_000 + step, step)
    }

    fn read(&self) -> (u16, Value) {
        self.get(&format!("/api/2.0/mlflow/runs/get?run_id={}", self.run_id))
    }

    /// Ends the job with success, and expects that nothing is left.
    fn finish(self) -> tempfile::TempDir {
        let left = self.keeper.finish(Finish { run_id: self.run_id, status: "FINISHED".to_owned(), end_time: 99 });
        let Left::Known(pending) = left else { panic!("the relay said nothing; its log: {}", log(&self.folder)) };
        assert_eq!(pending.records, 0, "{pending:?}; its log: {}", log(&self.folder));
        self.folder
    }
}

fn log(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("relay/relay.log")).unwrap_or_default()
}

/// Asserts that a run has exactly these values, each as often as it was logged.
#[track_caller]
fn same(history: &[Point], logged: &[Point]) {
    let sorted = |points: &[Point]| {
        let mut points = points.to_vec();
        points.sort();
        points
    };
    let (have, want) = (sorted(history), sorted(logged));
    let missing: Vec<&Point> = want.iter().filter(|point| !have.contains(point)).collect();
    assert!(have == want, "{} logged, {} there, missing: {missing:?}", want.len(), have.len());
}
