//! `tracking env`: a person's own relay, with the real client in a shell, over the death of everything, and into the managed server.

use std::process::Stdio;

use sendoff::support::command::capture_any;
use sendoff::support::platform::{self, Signal};
use serde_json::{Value, json};

use super::proxy::{Fault, Proxy};
use super::strict::Strict;
use crate::support::{Run, Sandbox, wait_until};

/// What a notebook would do.
const NOTEBOOK: &str = r#"
import mlflow
mlflow.set_experiment("notebook")
with mlflow.start_run() as run:
    mlflow.log_param("lr", 0.1)
    for step in range(50):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    assert mlflow.get_run(run.info.run_id).data.params["lr"] == "0.1"
print(run.info.run_id)
"#;

/// Runs a line of a shell where `sendoff` is the program.
fn shell(sandbox: &Sandbox, line: &str) -> Run {
    let sendoff = sandbox.command(&[]);
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-euc", line]).current_dir(sandbox.project()).env_clear().stdin(Stdio::null());
    command.envs(sendoff.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("SENDOFF", sendoff.get_program());
    Run::from(capture_any(&mut command, std::time::Duration::from_mins(5)).expect("it ends in time"))
}

fn settings(sandbox: &Sandbox, text: &str) {
    std::fs::create_dir_all(sandbox.home().join("config")).expect("writable");
    std::fs::write(sandbox.home().join("config/sendoff.yaml"), text).expect("writable");
}

fn env(sandbox: &Sandbox) -> Value {
    sandbox.sendoff(&["tracking", "env", "--output", "json"]).expect(0).json()
}

/// Sends a call of MLflow's API as a client with the variables would.
fn post(environment: &Value, act: &str, body: &Value) -> (u16, Value) {
    sendoff::support::http::install_tls();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let variable = |name: &str| environment["variables"][name].as_str().expect("it is set").to_owned();
    runtime.block_on(async {
        let url = format!("{}/api/2.0/mlflow/{act}", variable("MLFLOW_TRACKING_URI"));
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let answer = http.post(url).bearer_auth(variable("MLFLOW_TRACKING_TOKEN")).json(body).send().await.expect("it answers");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default())
    })
}

#[test]
fn a_notebook_logs_through_a_relay_that_lasts_until_it_is_told_to_end() {
    let strict = Strict::start().with_tokens_of(std::time::Duration::from_secs(5));
    let sandbox = Sandbox::new().env("CLIENT_SECRET", "s");
    let uri = strict.uri();
    settings(
        &sandbox,
        &format!(
            "tracking: {{uri: '{uri}'}}\ncredentials:\n  {uri}: {{databricks: oauth, client_id: c, client_secret_env: CLIENT_SECRET}}\n"
        ),
    );
    sandbox.file("notebook.py", NOTEBOOK).file("train.py", "");
    // Twice, as in a shell whose profile does it.
    let line = r#"eval "$("$SENDOFF" tracking env)"; eval "$("$SENDOFF" tracking env)"
        uv run --quiet --no-project --with mlflow-skinny python notebook.py; "$SENDOFF" config show train.py; echo "NO_PROXY=$NO_PROXY""#;
    let run = shell(&sandbox, line).expect(0);
    let id = run.stdout.lines().next().expect("the notebook prints it").to_owned();
    // What is submitted from such a shell goes to the tracker itself.
    let shown = run.stdout.lines().any(|line| line.starts_with("tracking.uri ") && line.contains(&format!(" {uri} ")));
    assert!(shown && run.stdout.lines().any(|line| line == "NO_PROXY=127.0.0.1"), "{run:?}");

    let first = env(&sandbox);
    assert_eq!((&first["reused"], &first["tracker"]), (&json!(true), &json!(uri)));
    let status = sandbox.sendoff(&["tracking", "status"]).expect(0).stdout;
    assert!(status.contains(&format!("relay     {} for {uri}", first["relay"].as_str().expect("an address"))), "{status}");
    let kept: Vec<String> = sandbox.processes();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let pid = first["pid"].as_i64().expect("a process");
    let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
    assert!(!String::from_utf8_lossy(&environment).contains("CLIENT_SECRET="));

    sandbox.sendoff(&["tracking", "env", "--stop"]).expect(0);
    sandbox.nothing_runs();
    let logged = strict.runs()[&id].clone();
    assert_eq!((logged.history.len(), logged.params["lr"].as_str()), (50, "0.1"));
    assert_eq!(logged.statuses.last().map(String::as_str), Some("FINISHED"));
    let stopped = sandbox.sendoff(&["tracking", "env", "--stop", "--output", "json"]).expect(0).json();
    assert_eq!((&stopped["stopped"], &stopped["waiting"]), (&json!(false), &json!(0)));
    let garbage = sandbox.sendoff(&["gc", "--yes"]).expect(0).stdout;
    assert!(garbage.lines().any(|line| line.starts_with("relay ") && line.ends_with(&uri)), "{garbage}");
}

#[test]
fn what_a_relay_could_not_deliver_before_a_reboot_is_delivered_by_the_next_one() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &proxy.uri());
    let before = env(&sandbox);
    assert_eq!(post(&before, "experiments/create", &json!({ "name": "e" })).0, 200);
    let (status, made) = post(&before, "runs/create", &json!({ "experiment_id": "0", "start_time": 1 }));
    let id = made["run"]["info"]["run_id"].as_str().unwrap_or_else(|| panic!("{status}: {made}")).to_owned();
    proxy.set(Fault::Refuse);
    for step in 0..10 {
        let body = json!({ "run_id": id, "key": "loss", "value": 0.5, "timestamp": 1_700_000_000_000_i64 + step, "step": step });
        assert_eq!(post(&before, "runs/log-metric", &body).0, 200);
    }
    let pid = before["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process");
    platform::signal_process(pid, Signal::Kill);
    sandbox.nothing_runs();

    let status = sandbox.sendoff(&["tracking", "status"]).expect(0).stdout;
    assert!(status.contains(&format!("relay     stopped, for {}, 1", proxy.uri())) && status.contains(" writes wait: "), "{status}");
    assert!(!sandbox.sendoff(&["gc", "--yes"]).expect(0).stdout.lines().any(|line| line.starts_with("relay ")));
    // It starts with the tracker away too, and programs that have the old address and token go on.
    let warned = sandbox.sendoff(&["tracking", "env", "--output", "json"]).expect(0);
    assert!(warned.stderr.contains("waits until it answers"), "{}", warned.stderr);
    let after = warned.json();
    assert_eq!((&after["relay"], &after["variables"], &after["reused"]), (&before["relay"], &before["variables"], &json!(false)));
    proxy.set(Fault::None);
    wait_until(|| match strict.runs()[&id].history.len() {
        10 => Ok(()),
        count => Err(format!("{count} values")),
    });
    // Other credentials: another relay in its place.
    let uri = proxy.uri().replace("//", "//u:p@");
    let other = sandbox.sendoff(&["tracking", "env", "--output", "json", "--tracking-uri", &uri]).expect(0).json();
    assert_eq!((&other["relay"], &other["reused"]), (&before["relay"], &json!(false)));
    assert_ne!(other["pid"], after["pid"]);
    sandbox.sendoff(&["tracking", "env", "--stop"]).expect(0);
    sandbox.nothing_runs();
}
