//! `metrics`: what MLflow calls the latest value, numbers that can be read, and MLflow runs that the script opened itself.

use crate::relay::strict::Strict;
use crate::support::Sandbox;

/// Submits a job that is tracked by `strict`, and returns the id of its MLflow run.
fn submitted(sandbox: &Sandbox, strict: &Strict, job: &str) -> String {
    sandbox.file("run.yaml", "command: echo ok\nexperiment_name: e\n");
    sandbox.sendoff(&["submit", "--job-id", job]).expect(0);
    strict.run_of(job).0
}

#[test]
fn the_latest_value_is_mlflows_and_numbers_stay_readable() {
    let strict = Strict::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &strict.uri());
    let run = submitted(&sandbox, &strict, "the-job");
    let none = sandbox.sendoff(&["metrics", "the-job"]).expect(0);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "the job `the-job` has logged no metrics\n"));

    // In the order in which they arrive; an earlier step was logged again at the end.
    for (step, value) in [(1, 0.5), (3, 0.95), (2, 0.7)] {
        strict.log(&run, "accuracy", step, value);
    }
    strict.log(&run, "learning_rate", 1, 3.2e-7);
    strict.log(&run, "loss", 1, f64::MAX);
    strict.log(&run, "loss", 2, f64::NAN);
    let shown = sandbox.sendoff(&["metrics", "the-job"]).expect(0);
    insta::assert_snapshot!(shown.stdout, @r"
    METRIC         LAST     MIN      MAX      COUNT
    accuracy       0.95     0.5      0.95     3      ▁▄█
    learning_rate  3.2e-07  3.2e-07  3.2e-07  1      ▅
    loss           nan      inf      inf      2
    ");
    sandbox.sendoff(&["metrics", "the-job", "--require", "accuracy>=0.95"]).expect(0);
    let unmet = sandbox.sendoff(&["metrics", "the-job", "--require", "accuracy>0.95", "--quiet"]).expect(1);
    assert_eq!(unmet.stderr, "`accuracy>0.95` is not met: `accuracy` is 0.95\n");
    let json = sandbox.sendoff(&["metrics", "the-job", "--output", "json"]).expect(0).json();
    assert_eq!(json["metrics"]["accuracy"][2]["value"], 0.95);
    assert_eq!((&json["metrics"]["loss"][0]["value"], &json["metrics"]["loss"][1]["value"]), (&"Infinity".into(), &"NaN".into()));
}

#[test]
fn metrics_of_mlflow_runs_that_the_script_opened_are_found() {
    let strict = Strict::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &strict.uri());
    let run = submitted(&sandbox, &strict, "the-job");
    let first = strict.child(&run, "own-experiment", "first");
    strict.log(&first, "accuracy", 1, 0.9);
    let json = sandbox.sendoff(&["metrics", "the-job", "--output", "json", "--require", "accuracy>=0.9"]).expect(0).json();
    assert_eq!((&json["mlflow_run_id"], &json["metrics"]["accuracy"][0]["value"]), (&first.as_str().into(), &0.9.into()));

    let second = strict.child(&run, "own-experiment", "second");
    strict.log(&second, "accuracy", 1, 0.4);
    strict.log(&run, "train_time", 1, 7.0);
    insta::assert_snapshot!(sandbox.sendoff(&["metrics", "the-job"]).expect(0).stdout, @r"
    MLFLOW RUN  METRIC      LAST  MIN  MAX  COUNT
    the-job     train_time  7     7    7    1      ▅
    first       accuracy    0.9   0.9  0.9  1      ▅
    second      accuracy    0.4   0.4  0.4  1      ▅
    ");
    let unclear = sandbox.sendoff(&["metrics", "the-job", "--require", "accuracy>=0.9"]).expect(1);
    insta::assert_snapshot!(unclear.stderr, @"`accuracy>=0.9` cannot be judged: the MLflow runs `first` and `second` have a metric `accuracy` each; write `first/accuracy>=0.9`");
    sandbox.sendoff(&["metrics", "the-job", "--require", "first/accuracy>=0.9", "--require", "train_time<8"]).expect(0);
}

#[test]
fn a_tracker_that_is_away_is_not_a_gate_that_is_not_met() {
    let strict = Strict::start();
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &strict.uri());
    submitted(&sandbox, &strict, "the-job");
    drop(strict);
    let away = sandbox.sendoff(&["metrics", "the-job", "--require", "accuracy>0"]).expect(243);
    assert!(away.stderr.contains("could not reach the tracker"), "{}", away.stderr);
}
