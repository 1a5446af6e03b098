//! The client is killed at each of its points, with and without a tracker: one execution or none, the next command knows which, and no MLflow
//! run stays open.

use std::collections::BTreeSet;

use crate::support::{Sandbox, lines, wait_until};
use crate::tracker::{Mood, Tracker};

/// Every point of the client, and whether it is on the way of an untracked submission too: for each step after the intent, after the act but
/// before its outcome, after the outcome.
const POINTS: [(&str, bool); 8] = [
    ("reserve.after", true),
    ("mlflow-run.after-intent", false),
    ("mlflow-run.after-act", false),
    ("mlflow-run.after-outcome", false),
    ("submit.after-intent", true),
    ("submit.handed-over", true),
    ("submit.after-act", true),
    ("submit.after-outcome", true),
];

fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ran >> ${{inputs.witness}}\ninputs: {witness: W}\nexperiment_name: e\n");
    let (_, set) = sandbox.shared_file("witness");
    (sandbox, set)
}

fn nothing_runs(sandbox: &Sandbox, point: &str) {
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{point}: {:?}", sandbox.processes())) });
}

fn forget(sandbox: &Sandbox) {
    for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(sandbox.home().join("data").join(name));
    }
}

#[test]
fn every_point_of_the_source_is_armed_by_a_test() {
    let source = format!("{}/src", env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(source).into_iter().flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"))
    {
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        // The points of supervisor, environments and relay have tables of their own.
        found.extend(
            text.split("fault::point(\"")
                .skip(1)
                .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
                .filter(|name| !["supervisor.", "environment.", "relay."].iter().any(|other| name.starts_with(other))),
        );
    }
    let armed: BTreeSet<String> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, armed);
}

#[test]
fn an_untracked_client_killed_anywhere_leaves_one_execution() {
    for point in POINTS.iter().filter(|(_, untracked)| *untracked).map(|(name, _)| name) {
        for (status_first, store_lost) in [(true, false), (false, false), (false, true)] {
            let (sandbox, set) = sandbox();
            let submit = ["submit", "--no-tracking", "--job-id", "the-job", "--set", &set];
            let killed = sandbox.armed(point, &submit);
            assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
            if store_lost {
                forget(&sandbox);
            }
            if status_first {
                sandbox.sendoff(&["status", "the-job"]).expect(0);
            }
            sandbox.sendoff(&submit).expect(0);
            assert_eq!(lines(&sandbox.home().join("witness")), 1, "{point}");
            nothing_runs(&sandbox, point);
        }
    }
}

#[test]
fn a_tracked_client_killed_anywhere_leaves_one_execution_and_one_closed_mlflow_run() {
    let tracker = Tracker::start();
    let (sandbox, _) = sandbox();
    let sandbox = sandbox.env("MLFLOW_TRACKING_URI", &tracker.uri());
    for (point, _) in POINTS {
        for (name, status_first, store_lost) in [("asked", true, false), ("again", false, false), ("lost", false, true)] {
            let id = format!("{}-{name}", point.replace('.', "-"));
            let witness = sandbox.home().join(&id);
            let set = format!("inputs.witness={}", witness.display());
            let submit = ["submit", "--job-id", &id, "--set", &set];
            let killed = sandbox.armed(point, &submit);
            assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
            if store_lost {
                forget(&sandbox);
            }
            if status_first {
                sandbox.sendoff(&["status", &id]).expect(0);
                wait_until(|| {
                    let status = sandbox.sendoff(&["status", &id, "--output", "json"]).expect(0).json();
                    // The job is not there, or it ends by itself.
                    let settled = status["ended"] == true || status["state"] == "preparing";
                    if settled { Ok(()) } else { Err(status.to_string()) }
                });
                let open = tracker.statuses(&id).into_iter().filter(|status| status == "RUNNING").count();
                assert_eq!(open, 0, "{point}: an MLflow run stays open after `status`");
            }
            sandbox.sendoff(&submit).expect(0);
            assert_eq!(lines(&witness), 1, "{point} {name}");
            assert_eq!(tracker.statuses(&id), ["FINISHED"], "{point} {name}");
        }
    }
    nothing_runs(&sandbox, "at the end");
}

#[test]
fn a_tracker_that_goes_away_in_the_middle_leaves_nothing_open_once_it_is_back() {
    let tracker = Tracker::start();
    let (sandbox, set) = sandbox();
    let sandbox = sandbox.env("MLFLOW_TRACKING_URI", &tracker.uri());
    // The MLflow run is created, and every later word is refused: the client cannot close it.
    tracker.mood(Mood::Says(503, "later"), "runs/");
    let submit = ["submit", "--job-id", "the-job", "--set", &set];
    let failed = sandbox.sendoff(&submit).expect(245);
    assert!(failed.stderr.contains("has trouble (status 503)"), "{}", failed.stderr);
    assert_eq!(lines(&sandbox.home().join("witness")), 0);
    tracker.mood(Mood::Fine, "");
    sandbox.sendoff(&submit).expect(0);
    assert_eq!(tracker.statuses("the-job"), ["FINISHED"]);
    assert_eq!(lines(&sandbox.home().join("witness")), 1);
}

#[test]
fn two_clients_with_different_requests_under_one_id_run_one_of_them() {
    let (sandbox, _) = sandbox();
    let witness = |name: &str| sandbox.home().join(name);
    let clients: Vec<_> = ["one", "two", "one", "two"]
        .map(|name| {
            let set = format!("inputs.witness={}", witness(name).display());
            sandbox
                .command(&["submit", "--no-tracking", "--job-id", "the-job", "--set", &set])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("it starts")
        })
        .into_iter()
        .map(|client| client.wait_with_output().expect("it ends"))
        .collect();
    let mut codes: Vec<_> = clients.iter().map(|output| output.status.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(0), Some(244), Some(244)], "{clients:?}");
    let refused = clients.iter().filter(|output| output.status.code() == Some(244));
    for output in refused {
        assert!(String::from_utf8_lossy(&output.stderr).contains("differs in `run config`"), "{output:?}");
    }
    assert_eq!(lines(&witness("one")) + lines(&witness("two")), 1);
}
