//! Trackers that are not named, down or none.

use insta::assert_snapshot;

use super::{ends, refused, with_config};

#[test]
fn ci_must_name_its_tracker() {
    assert_snapshot!(refused(&with_config("script: train.py\n").env("CI", "true"), &[]), @r"
    error: no tracker is named, and `CI` is set
    hint: set `MLFLOW_TRACKING_URI` to the tracker that keeps the records
    hint: or say `--tracking-uri managed` for a server that goes away with this machine, or `--no-tracking`
    ");
}

#[test]
fn a_tracker_that_is_down_or_is_none_stops_the_submission() {
    let sandbox = with_config("script: train.py\ntracking: {uri: 'http://127.0.0.1:9'}\n");
    assert_snapshot!(ends(&sandbox, &[], 245), @r"
    error: could not reach the tracker `http://127.0.0.1:9`
      caused by: error sending request
      caused by: client error (Connect)
      caused by: tcp connect error
      caused by: Connection refused (os error 111)
    hint: start the tracker, or correct `tracking.uri`; `tracking: {uri: managed}` uses a server on this machine
    hint: `--no-tracking` submits without one
    ");
    let sandbox = with_config("script: train.py\n").env("MLFLOW_TRACKING_URI", "ftp://user:word@example.org/mlflow");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: this is not a tracker that jobs can use
     --> MLFLOW_TRACKING_URI:1:1
      |
    1 | ftp://example.org/mlflow
      | ^^^^^^^^^^^^^^^^^^^^^^^^ expected `managed`, `workspace`, `http(s)://...`, `azureml://...`, `databricks` or `none`

    error: found 1 problem in `MLFLOW_TRACKING_URI`
    ");
    let sandbox = with_config("script: train.py\n");
    assert_snapshot!(refused(&sandbox, &["--tracking-uri", "localhost:5000"]), @r"
    error: this is not a tracker that jobs can use
     --> --tracking-uri:1:1
      |
    1 | localhost:5000
      | ^^^^^^^^^^^^^^ expected `managed`, `workspace`, `http(s)://...`, `azureml://...`, `databricks` or `none`
      |
      = help: did you mean `http://localhost:5000`?

    error: found 1 problem in `--tracking-uri`
    ");
}

#[test]
fn a_script_that_imports_mlflow_without_a_tracker_is_told_so() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file("train.py", "import mlflow\n");
    let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    assert!(plan.stderr.contains("note: `train.py:1` imports MLflow, which is not added to the environment"), "{}", plan.stderr);
}
