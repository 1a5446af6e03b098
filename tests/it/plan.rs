//! `plan`: everything that a submission would do, nothing changed and nothing of the project run.

use insta::assert_snapshot;

use crate::support::Sandbox;
use crate::tracker::{Mood, Tracker};

/// Returns a project with something of everything, whose code must never run.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new().env("HF_TOKEN", "hunter2-hunter2").env("DEEP_SECRET", "hunter2-hunter2");
    sandbox.file("train.py", "raise SystemExit('it ran')\n").file("data.csv", "a,b\n1,2\n");
    sandbox.file(
        "run.yaml",
        "script: train.py\narguments: [--C, \"${{inputs.C}}\", --out, \"${{outputs.model}}\"]\ninputs: {C: 0.8}\noutputs: {model: {}}\n\
         environment_variables: {OMP_NUM_THREADS: 2}\ninherit: [DEEP_SECRET]\nsecrets: [HF_TOKEN]\nexperiment_name: iris\n\
         resources: {cpus: 1, max_duration: 30m}\n",
    );
    sandbox
}

/// Replaces what differs from machine to machine.
fn plain(sandbox: &Sandbox, text: &str) -> String {
    let text = sandbox.plain(text);
    let mut shown = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("environment  ") {
            shown.push_str(&format!("environment  {}\n", rest.split(';').next().unwrap_or_default()));
        } else {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    shown
}

#[test]
fn the_overview_fits_a_screen_and_nothing_is_changed() {
    let sandbox = sandbox();
    let run = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert_snapshot!(plain(&sandbox, &run.stdout), @r"
    job          named at submission (`new-job` stands for it here)
    target       local (default), at most 30 m 0 s
    tracker      none (--no-tracking)
    snapshot     0bed021e8bdb, 3 files, 302 B
                      267 B  run.yaml
                       27 B  train.py
                        8 B  data.csv
    environment  miss: not resolved yet
    command      [SANDBOX]/sendoff/cache/environments/unresolved/bin/python train.py --C 0.8 --out [SANDBOX]/sendoff/data/jobs/new-job/attempt-1/collected/model
    limits       resources.cpus 1, resources.max_duration 30 m 0 s
    secrets      HF_TOKEN: in a file of mode 0600 that the bootstrap reads and removes before the command starts
    more         --show files|packages|variables|capabilities|request|bootstrap
    ");
    let run = sandbox.sendoff(&["plan"]).expect(0);
    assert!(run.stdout.contains("tracker      managed (default), would be installed and started, MLflow 3."), "{}", run.stdout);
    assert!(run.stdout.contains("experiment   iris, attached as `run`"), "{}", run.stdout);
    assert!(!sandbox.home().exists(), "a plan changed something");
}

#[test]
fn each_part_can_be_seen_in_full_and_secrets_in_none() {
    let sandbox = sandbox();
    let show = |part: &str| {
        let run = sandbox.sendoff(&["plan", "--no-tracking", "--show", part]).expect(0);
        assert!(!run.stdout.contains("hunter2"), "{part}: {}", run.stdout);
        run.stdout
    };
    assert_eq!(
        show("files").lines().map(|line| line.split_whitespace().last()).collect::<Vec<_>>(),
        [Some("data.csv"), Some("run.yaml"), Some("train.py")]
    );
    let variables = show("variables");
    for line in ["OMP_NUM_THREADS=2", "SENDOFF_INPUT_C=0.8", "SENDOFF_TARGET=local", "DEEP_SECRET=[hidden]", "HF_TOKEN=[hidden]"] {
        assert!(variables.lines().any(|seen| seen == line), "`{line}` is missing in:\n{variables}");
    }
    assert!(show("capabilities").starts_with("resources.cpus           1; the target has "), "{}", show("capabilities"));
    let bootstrap = show("bootstrap");
    assert!(bootstrap.starts_with("#!/bin/sh") && bootstrap.contains("train.py --C 0.8 --out"), "{bootstrap}");
    let request: serde_json::Value = serde_json::from_str(&show("request")).expect("JSON");
    assert_eq!((request["cpus"].as_i64(), request["max_duration_seconds"].as_f64()), (Some(1), Some(1800.0)));
    assert!(!sandbox.home().exists(), "a plan changed something");
}

#[test]
fn json_has_all_of_it() {
    let sandbox = sandbox();
    let run = sandbox.sendoff(&["plan", "--no-tracking", "--output", "json"]).expect(0);
    assert!(!run.stdout.contains("hunter2"), "{}", run.stdout);
    let plan = run.json();
    assert_eq!((plan["kind"].as_str(), plan["version"].as_i64()), (Some("plan"), Some(1)));
    assert_eq!(plan["snapshot"]["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(plan["secrets"][0]["name"], "HF_TOKEN");
    assert_eq!(plan["job"]["outcome"], "new");
    assert!(plan["bootstrap"].as_str().is_some_and(|text| text.contains("unpack")));
}

#[test]
fn a_plan_says_whether_a_chosen_id_would_be_adopted() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    let plan = |arguments: &[&str]| {
        let run = sandbox.sendoff(&[&["plan", "--no-tracking", "--output", "json"], arguments].concat());
        (run.code, run.json()["job"]["outcome"].as_str().unwrap_or_default().to_owned(), run.stderr)
    };
    assert_eq!(plan(&["--job-id", "the-job"]).1, "new");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(0);
    let adopted = plan(&["--job-id", "the-job"]);
    assert_eq!((adopted.0, adopted.1.as_str()), (Some(0), "adopted"));
    let other = plan(&["--job-id", "the-job", "--set", "command=exit 3"]);
    assert_eq!((other.0, other.1.as_str()), (Some(244), "refused"));
    assert!(other.2.contains("differs in `run config` (`command`)"), "{}", other.2);
    sandbox.sendoff(&["submit", "--no-tracking", "--key", "k", "--set", "command=exit 3"]).expect(3);
    let failed = ["--key", "k", "--set", "command=exit 3"];
    assert!(plan(&failed).2.contains("exists already: it failed"), "{:?}", plan(&failed));
    assert_eq!(plan(&[&failed[..], &["--new-attempt"]].concat()).1, "next_attempt");

    // The environment is there now.
    let run = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert!(run.stdout.contains("environment  hit: "), "{}", run.stdout);
}

#[test]
fn the_tracker_is_asked_and_what_is_wrong_with_it_is_said() {
    let tracker = Tracker::start();
    let sandbox = sandbox().env("MLFLOW_TRACKING_URI", &tracker.uri());
    let run = sandbox.sendoff(&["plan"]).expect(0);
    assert!(run.stdout.contains("(MLFLOW_TRACKING_URI), MLflow 3.17.2"), "{}", run.stdout);
    assert_eq!(tracker.told(), "[]", "a plan wrote to the tracker");
    let newer = sandbox.sendoff(&["plan", "--set", "environment.pip_packages=[mlflow==3.99.0]"]).expect(0);
    assert!(newer.stderr.contains("the environment's MLflow 3.99.0 is newer than the tracker's 3.17.2"), "{}", newer.stderr);

    for (mood, part) in [
        (Mood::Says(401, ""), "wants credentials, and none are set for it (401)"),
        (Mood::Says(403, "Invalid Host header - possible DNS rebinding attack detected"), "does not accept the host name"),
        (Mood::Says(403, ""), "refuses access (403)"),
        (Mood::Says(404, "<html>"), "is not an MLflow server: it answered 404 with a web page"),
        (Mood::Says(200, "<html>"), "is not an MLflow server: it answered 200 with a web page"),
        (Mood::Says(500, ""), "has trouble (status 500)"),
        (Mood::Hangs, "could not reach the tracker"),
    ] {
        tracker.mood(mood, "");
        let run = sandbox.sendoff(&["plan"]).expect(245);
        assert!(run.stdout.contains("cannot be used: ") && run.stdout.contains(part), "{}", run.stdout);
        assert!(run.stderr.contains(part) && (run.stderr.contains("hint: ")), "{}", run.stderr);
    }
    let run = sandbox.sendoff(&["plan", "--output", "json", "--set", "tracking.uri=http://127.0.0.1:9"]).expect(245);
    assert!(run.json()["tracker"]["problem"]["message"].as_str().is_some_and(|text| text.contains("could not reach")), "{}", run.stdout);
}
