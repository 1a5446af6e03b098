//! Trackers that somebody else runs: with a token, with a password, refusing, hanging, coming back.

use std::time::{Duration, Instant};

use insta::assert_snapshot;

use crate::support::{Sandbox, wait_until};
use crate::tracker::{Mood, Tracker};

/// A secret that must be nowhere.
const SECRET: &str = "hunter2-hunter2";

/// Asserts that no file of sendoff, and nothing that the tracker was told, holds the secret.
fn no_secret(sandbox: &Sandbox, tracker: &Tracker) {
    for entry in walkdir::WalkDir::new(sandbox.home()).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let bytes = std::fs::read(entry.path()).expect("readable");
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{}", entry.path().display());
    }
    assert!(!tracker.told().contains(SECRET));
}

/// A script that logs to the tracker by itself, as MLflow's client would, without its weight.
const SCRIPT: &str = r#"
import base64, json, os, urllib.request
headers = {"Content-Type": "application/json"}
if "MLFLOW_TRACKING_TOKEN" in os.environ:
    headers["Authorization"] = "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]
elif "MLFLOW_TRACKING_USERNAME" in os.environ:
    pair = os.environ["MLFLOW_TRACKING_USERNAME"] + ":" + os.environ["MLFLOW_TRACKING_PASSWORD"]
    headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/get?run_id=" + os.environ["MLFLOW_RUN_ID"]
print(json.load(urllib.request.urlopen(urllib.request.Request(url, headers=headers)))["run"]["info"]["status"])
"#;

#[test]
fn a_token_reaches_the_tracker_and_the_job_and_nothing_else() {
    let tracker = Tracker::start().wants("Bearer hunter2-hunter2");
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri()).env("MLFLOW_TRACKING_TOKEN", SECRET);
    sandbox.file("train.py", SCRIPT);
    let run = sandbox.sendoff(&["submit", "train.py", "--job-id", "the-job"]).expect(0);
    assert!(run.stdout.contains("RUNNING") && !run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{run:?}");
    assert_eq!(tracker.statuses("the-job"), ["FINISHED"]);
    no_secret(&sandbox, &tracker);
}

#[test]
fn a_password_in_the_address_is_used_and_kept_out_of_every_record() {
    let tracker = Tracker::start().wants("Basic bWU6aHVudGVyMi1odW50ZXIy");
    let sandbox = Sandbox::new();
    sandbox.file("train.py", SCRIPT);
    let uri = tracker.uri().replace("http://", &format!("http://me:{SECRET}@"));
    sandbox.file("run.yaml", &format!("script: train.py\nexperiment_name: e\ntracking: {{uri: '{uri}'}}\n"));
    let run = sandbox.sendoff(&["submit", "--job-id", "the-job"]).expect(0);
    assert!(run.stdout.contains("RUNNING") && !run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{run:?}");
    assert_eq!(tracker.statuses("the-job"), ["FINISHED"]);
    wait_until(|| {
        let names = tracker.artifacts();
        if names.iter().any(|name| name.ends_with("sendoff/run-config.yaml")) { Ok(()) } else { Err(format!("{names:?}")) }
    });
    no_secret(&sandbox, &tracker);
}

#[test]
fn credentials_of_the_environment_do_not_follow_a_run_config_to_another_host() {
    let tracker = Tracker::start().wants("Bearer hunter2-hunter2");
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", "http://ours.invalid:5000").env("MLFLOW_TRACKING_TOKEN", SECRET);
    sandbox.file("run.yaml", &format!("command: echo never\ntracking: {{uri: '{}'}}\n", tracker.uri()));
    let run = sandbox.sendoff(&["submit"]).expect(245);
    assert!(run.stderr.contains("wants credentials, and none are set for it (401)"), "{}", run.stderr);
    let wrong = sandbox.env("MLFLOW_TRACKING_URI", &tracker.uri()).env("MLFLOW_TRACKING_TOKEN", "wrong");
    let run = wrong.sendoff(&["submit"]).expect(245);
    assert!(run.stderr.contains("refuses the credentials that it got, `MLFLOW_TRACKING_TOKEN` (401)"), "{}", run.stderr);
}

/// Submits to a tracker of this mood; nothing may be left of it. Returns what was said.
fn refused(mood: Mood) -> String {
    let tracker = Tracker::start();
    tracker.mood(mood, "");
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri());
    sandbox.file("run.yaml", "command: echo never\n");
    let begun = Instant::now();
    let run = sandbox.sendoff(&["submit", "--quiet"]).expect(245);
    assert!(begun.elapsed() < Duration::from_secs(25), "it took {:?}", begun.elapsed());
    assert_eq!(run.stdout, "");
    assert!(!sandbox.home().join("data/jobs").exists(), "a job was made");
    assert!(!sandbox.home().join("cache/environments").exists(), "an environment was made");
    run.stderr.replace(&tracker.uri(), "http://TRACKER")
}

#[test]
fn every_kind_of_refusal_says_what_to_do() {
    assert_snapshot!(refused(Mood::Says(401, "")), @r"
    error: the tracker `http://TRACKER` wants credentials, and none are set for it (401)
    hint: set `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, where you submit
    hint: `credentials:` of your own settings names them for good, and those that renew themselves
    ");
    assert_snapshot!(refused(Mood::Says(403, "Invalid Host header - possible DNS rebinding attack detected")), @r#"
    error: the tracker `http://TRACKER` does not accept the host name in its address (403)
    hint: start the server with `--allowed-hosts "127.0.0.1:*,localhost:*"`, or use its IP address
    "#);
    assert_snapshot!(refused(Mood::Says(403, r#"{"error_code":"PERMISSION_DENIED","message":"Permission denied"}"#)), @r#"
    error: the tracker `http://TRACKER` refuses access (403): Permission denied
    hint: ask whoever runs the tracker for access, or set the credentials of somebody who has it
    "#);
    assert_snapshot!(refused(Mood::Says(404, "<html>no</html>")), @r#"
    error: `http://TRACKER` is not an MLflow server: it answered 404 with a web page
    hint: `tracking.uri` is the address of the server itself, without `/api` or `/#/experiments`
    "#);
    assert_snapshot!(refused(Mood::Says(200, "<html>a portal</html>")), @r#"
    error: `http://TRACKER` is not an MLflow server: it answered 200 with a web page
    hint: `tracking.uri` is the address of the server itself, without `/api` or `/#/experiments`
    "#);
    assert_snapshot!(refused(Mood::Says(503, "")), @r#"
    error: the tracker `http://TRACKER` has trouble (status 503)
    hint: try again later; `--no-tracking` submits without a tracker
    "#);
    assert_snapshot!(refused(Mood::Hangs), @r#"
    error: could not reach the tracker `http://TRACKER`
      caused by: error sending request
      caused by: operation timed out
    hint: start the tracker, or correct `tracking.uri`; `tracking: {uri: managed}` uses a server on this machine
    hint: `--no-tracking` submits without one
    "#);
}

#[test]
fn a_tracker_that_hangs_does_not_hold_up_whoever_cancels_and_a_new_attempt_comes_after_the_old_one() {
    let tracker = Tracker::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri());
    sandbox.file("run.yaml", "command: 'echo started; test -e ${{inputs.go}} || sleep 600'\ninputs: {go: GO}\nexperiment_name: e\n");
    let (go, set) = sandbox.shared_file("go");
    sandbox.sendoff(&["submit", "--detach", "--job-id", "the-job", "--set", &set]).expect(0);
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.lines().any(|line| line == "started") { Ok(()) } else { Err(log) }
    });
    tracker.mood(Mood::Hangs, "");
    let begun = Instant::now();
    let cancelled = sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    assert!(cancelled.stdout.contains("cancelled"), "{}", cancelled.stdout);
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    tracker.mood(Mood::Fine, "");
    std::fs::write(go, "").expect("writable");
    sandbox.sendoff(&["submit", "--job-id", "the-job", "--set", &set, "--new-attempt"]).expect(0);
    // The end of the first attempt was told before the second began.
    assert_eq!(tracker.statuses("the-job"), ["FINISHED"]);
    sandbox.nothing_runs();
}

#[test]
fn a_tracker_that_hangs_does_not_hold_up_the_outcome() {
    let tracker = Tracker::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri());
    sandbox.file(
        "run.yaml",
        "command: 'echo started; while [ ! -e ${{inputs.go}} ]; do sleep 0.05; done; exit 3'\ninputs: {go: GO}\nexperiment_name: e\ntracking: {drain: 1s}\n",
    );
    let (go, set) = sandbox.shared_file("go");
    // The artifacts of the start hang, and later everything does.
    tracker.mood(Mood::Hangs, "mlflow-artifacts");
    sandbox.sendoff(&["submit", "--detach", "--job-id", "the-job", "--set", &set]).expect(0);
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.lines().any(|line| line == "started") { Ok(()) } else { Err(log) }
    });
    let exit = sandbox.home().join("data/jobs/the-job/attempt-1/exit.json");
    tracker.mood(Mood::Hangs, "");
    let begun = Instant::now();
    std::fs::write(go, "").expect("writable");
    wait_until(|| if exit.exists() { Ok(()) } else { Err("no outcome yet".to_owned()) });
    assert!(begun.elapsed() < Duration::from_secs(5), "the outcome took {:?}", begun.elapsed());
    sandbox.sendoff(&["wait", "the-job"]).expect(3);
    assert_eq!(tracker.statuses("the-job"), ["RUNNING"]);
    assert_eq!(tracker.artifacts(), Vec::<String>::new());

    // Once it answers again, the next command tells it everything.
    tracker.mood(Mood::Fine, "");
    sandbox.sendoff(&["status", "the-job"]).expect(0);
    assert_eq!(tracker.statuses("the-job"), ["FAILED"]);
    let names = tracker.artifacts();
    for name in ["run-config.yaml", "requirements.lock"] {
        assert!(names.iter().any(|path| path.ends_with(&format!("sendoff/{name}"))), "`{name}` is missing in {names:?}");
    }
}
