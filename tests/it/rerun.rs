//! `rerun`: exactly what ran runs again.

use crate::support::{Sandbox, wait_until};
use crate::tracker::Tracker;

/// A project whose script says what it was given.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "import os, sys\nprint('one', sys.argv[1:], os.environ.get('A'))\n");
    sandbox.file(
        "run.yaml",
        "script: train.py\narguments: [\"${{inputs.C}}\", x]\ninputs: {C: 0.10}\nenvironment_variables: {A: a}\nexperiment_name: e\n",
    );
    sandbox
}

fn said(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let run = sandbox.sendoff(arguments).expect(0);
    run.stdout.lines().filter(|line| !line.starts_with("[sendoff]")).map(str::to_owned).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_ran_runs_again_whatever_became_of_the_working_tree() {
    let sandbox = sandbox();
    assert_eq!(said(&sandbox, &["submit", "--no-tracking", "--job-id", "first", "--set", "inputs.C=0.20"]), "one ['0.20', 'x'] a");
    sandbox.file("train.py", "raise SystemExit('changed')\n").file("run.yaml", "command: exit 9\n");
    assert_eq!(said(&sandbox, &["rerun", "first", "--job-id", "second"]), "one ['0.20', 'x'] a");
    let overridden = ["rerun", "first", "--job-id", "third", "--set", "inputs.C=0.30", "--set", "environment_variables.A=b"];
    assert_eq!(said(&sandbox, &overridden), "one ['0.30', 'x'] b");
    // A rerun can be run again, also when the project is gone.
    std::fs::remove_dir_all(sandbox.project()).expect("writable");
    std::fs::create_dir(sandbox.project()).expect("writable");
    assert_eq!(said(&sandbox, &["rerun", "third", "--job-id", "fourth"]), "one ['0.30', 'x'] b");

    let of = |job: &str| {
        let status = sandbox.sendoff(&["status", job, "--output", "json"]).expect(0).json();
        (status["snapshot"].clone(), status["environment"].clone())
    };
    assert_eq!(of("first"), of("fourth"));
}

#[test]
fn the_environment_is_built_again_from_its_lock() {
    let sandbox = sandbox();
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "first"]).expect(0);
    sandbox.sendoff(&["env", "prune"]).expect(0);
    for entry in std::fs::read_dir(sandbox.home().join("cache/locks")).expect("it is there").flatten() {
        std::fs::remove_file(entry.path()).expect("writable");
    }
    sandbox.sendoff(&["rerun", "first"]).expect(0);
    let listed = sandbox.sendoff(&["env", "list", "--output", "json"]).expect(0).json();
    assert_eq!(listed["environments"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_snapshot_that_is_gone_is_packed_again_from_the_same_tree_or_named() {
    let sandbox = sandbox();
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "first"]).expect(0);
    let remove = || std::fs::remove_dir_all(sandbox.home().join("cache/snapshots")).expect("writable");
    remove();
    sandbox.sendoff(&["rerun", "first", "--job-id", "second"]).expect(0);
    remove();
    sandbox.file("train.py", "print('two')\n");
    let run = sandbox.sendoff(&["rerun", "first"]).expect(244);
    assert!(
        run.stderr.contains("cannot be run again: its snapshot")
            && run.stderr.contains("is no longer kept, and the working tree has changed"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_decides_snapshot_and_environment_cannot_be_overridden() {
    let sandbox = sandbox();
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "first"]).expect(0);
    for set in ["environment.python=3.12", "source_directory=.", "include=[a]"] {
        let run = sandbox.sendoff(&["rerun", "first", "--set", set]).expect(244);
        assert!(run.stderr.contains("a rerun takes `") && run.stderr.contains("use `sendoff submit`"), "{}", run.stderr);
    }
    sandbox.sendoff(&["rerun", "nobody"]).expect(244);
}

#[test]
fn a_tracked_job_is_tracked_again_and_is_found_with_its_mlflow_run() {
    let tracker = Tracker::start();
    let sandbox = sandbox();
    sandbox.sendoff(&["submit", "--job-id", "first", "--tracking-uri", &tracker.uri()]).expect(0);
    sandbox.sendoff(&["rerun", "first", "--job-id", "second"]).expect(0);
    assert_eq!(tracker.statuses("second"), ["FINISHED"]);
    wait_until(|| {
        let names = tracker.artifacts();
        if names.iter().filter(|name| name.ends_with("request.json")).count() == 2 { Ok(()) } else { Err(format!("{names:?}")) }
    });
    // What is no longer kept here comes from there.
    std::fs::remove_dir_all(sandbox.home().join("data/jobs/second/attempt-1/artifacts")).expect("writable");
    sandbox.sendoff(&["rerun", "second", "--job-id", "third"]).expect(0);
    assert_eq!(tracker.statuses("third"), ["FINISHED"]);
    sandbox.sendoff(&["rerun", "second", "--job-id", "untracked", "--no-tracking"]).expect(0);
    assert_eq!(tracker.statuses("untracked"), Vec::<String>::new());

    // Neither here nor there.
    std::fs::remove_dir_all(sandbox.home().join("data/jobs/untracked/attempt-1/artifacts")).expect("writable");
    let run = sandbox.sendoff(&["rerun", "untracked"]).expect(244);
    assert!(run.stderr.contains("the request is neither kept here nor with its MLflow run"), "{}", run.stderr);
}
