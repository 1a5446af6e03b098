//! Real trainings against the real managed MLflow server.

use sendoff::support::platform;
use sendoff::tracking::{Client, Connection};

use crate::support::{Sandbox, lines, wait_until};

/// One server serves all of it: installing and starting one costs more than every job here.
#[test]
fn trainings_are_tracked_by_a_real_server_and_every_mlflow_run_is_closed() {
    let sandbox = Sandbox::new();
    let examples = format!("{}/examples", env!("CARGO_MANIFEST_DIR"));

    sandbox.sendoff(&["submit", &format!("{examples}/digits/run.yaml"), "--job-id", "digits-job"]).expect(0);
    let metrics = sandbox.sendoff(&["metrics", "digits-job", "--require", "accuracy>=0.8", "--output", "json"]).expect(0).json();
    assert_eq!(metrics["metrics"]["accuracy"].as_array().map(Vec::len), Some(8));
    sandbox.sendoff(&["metrics", "digits-job", "--require", "accuracy>1"]).expect(1);
    sandbox.sendoff(&["download", "digits-job"]).expect(0);
    assert!(sandbox.project().join("digits-job/model/model.joblib").is_file());

    for script in ["with_experiment", "plain"] {
        sandbox.sendoff(&["submit", &format!("{examples}/azure-article/{script}.yaml"), "--job-id", &script.replace('_', "-")]).expect(0);
    }
    // The one's metrics are its child's, in an experiment that the script chose.
    sandbox.sendoff(&["metrics", "with-experiment", "--require", "mymetric==1"]).expect(0);
    sandbox.sendoff(&["submit", &format!("{examples}/pep723/train.py")]).expect(0);
    crate::examples::a_project_runs_with_the_versions_of_its_lock(&sandbox);
    crate::examples::a_notebook_comes_back_with_what_its_cells_have_shown(&sandbox);
    crate::odd_text::odd_names_reach_a_real_tracker(&sandbox);

    // A script that dies in the middle, and one that ends well in the wrong way, leave the status that is true.
    sandbox.file("bad.py", "import mlflow\nmlflow.start_run()\nraise SystemExit(3)\n");
    sandbox.file("good.py", "import mlflow, sys\nwith mlflow.start_run():\n    sys.exit(0)\n");
    sandbox.sendoff(&["submit", "bad.py", "--job-id", "bad-job", "--experiment-name", "e"]).expect(3);
    sandbox.sendoff(&["submit", "good.py", "--job-id", "good-job", "--experiment-name", "e"]).expect(0);

    let status = sandbox.sendoff(&["tracking", "status", "--output", "json"]).expect(0).json();
    let uri = status["uri"].as_str().expect("it runs").to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = Client::new(&Connection::managed(uri)).expect("a client");
    let statuses = |experiment: &str, job: &str| -> Vec<String> {
        runtime.block_on(async {
            let id = client.experiment(experiment).await.expect("it answers");
            client.runs_of_job(&id, job).await.expect("it answers").into_iter().map(|run| run.status).collect()
        })
    };
    assert_eq!(statuses("e", "bad-job"), ["FAILED"]);
    assert_eq!(statuses("e", "good-job"), ["FINISHED"]);

    // A shell tracks into the same server, through a relay of its own.
    let environment = sandbox.sendoff(&["tracking", "env", "--output", "json"]).expect(0).json();
    assert_eq!(environment["tracker"], status["uri"]);
    sandbox.sendoff(&["tracking", "env", "--stop"]).expect(0);

    // The client is killed around the creation of the MLflow run: one run, closed, and one execution.
    sandbox.file("run.yaml", "command: echo ran >> ${{inputs.witness}}\ninputs: {witness: W}\nexperiment_name: e\n");
    for point in ["mlflow-run.after-intent", "mlflow-run.after-act", "mlflow-run.after-outcome", "submit.after-act"] {
        let id = point.replace('.', "-");
        let witness = sandbox.home().join(&id);
        let set = format!("inputs.witness={}", witness.display());
        let submit = ["submit", "--job-id", &id, "--set", &set];
        let killed = sandbox.armed(point, &submit);
        assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
        sandbox.sendoff(&["status", &id]).expect(0);
        sandbox.sendoff(&submit).expect(0);
        assert_eq!(lines(&witness), 1, "{point}");
        assert_eq!(statuses("e", &id), ["FINISHED"], "{point}");
    }

    let stopped = sandbox.sendoff(&["tracking", "stop"]).expect(0);
    assert_eq!(stopped.stdout, "stopped\n");
    assert!(sandbox.sendoff(&["tracking", "status"]).expect(0).stdout.contains("stopped"));
    let away = sandbox.sendoff(&["metrics", "digits-job"]).expect(243);
    assert!(away.stderr.contains("the managed MLflow server, which tracks `digits-job`, does not run"), "{}", away.stderr);

    // Whoever starts it is killed meanwhile: the next one takes what was started, and nothing is left when it is stopped.
    let mut killed = sandbox.command(&["tracking", "start"]).spawn().expect("it starts");
    let starting = sandbox.home().join("data/tracking/starting.json");
    let started: serde_json::Value =
        wait_until(|| serde_json::from_str(&std::fs::read_to_string(&starting).unwrap_or_default()).map_err(|error| error.to_string()));
    killed.kill().expect("it lives");
    killed.wait().expect("it ends");
    let status = sandbox.sendoff(&["tracking", "start", "--output", "json"]).expect(0).json();
    assert_eq!(status["pid"], started["pid"]);
    a_server_whose_main_process_died_is_ended_before_another_one_starts(&sandbox);
    jobs_are_shown_at_the_present_address_of_the_server(&sandbox);
    sandbox.sendoff(&["tracking", "stop"]).expect(0);
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
}

fn tracking(sandbox: &Sandbox, act: &str) -> serde_json::Value {
    sandbox.sendoff(&["tracking", act, "--output", "json"]).expect(0).json()
}

/// Kills the main process of the server that runs, and returns what is left of it.
fn orphaned_worker(sandbox: &Sandbox) -> i64 {
    let main = tracking(sandbox, "status")["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("it runs");
    platform::signal_process(main, platform::Signal::Kill);
    wait_until(|| {
        let status = tracking(sandbox, "status");
        status["remains"][0].as_i64().filter(|_| status["running"] == false).ok_or(status.to_string())
    })
}

fn a_server_whose_main_process_died_is_ended_before_another_one_starts(sandbox: &Sandbox) {
    let before = tracking(sandbox, "status");
    let worker = orphaned_worker(sandbox);
    let told = format!("its main process died, and `{worker}` ");
    assert!(sandbox.sendoff(&["tracking", "status"]).expect(0).stdout.contains(&told));
    assert!(sandbox.sendoff(&["doctor"]).expect(0).stdout.contains(&told));
    let after = tracking(sandbox, "start");
    assert_eq!((&after["uri"], &after["remains"]), (&before["uri"], &serde_json::json!([])));
    let worker = i32::try_from(worker).expect("process ids are small");
    assert_eq!(platform::start_time(worker), None, "the worker {worker} still writes to the database");
    orphaned_worker(sandbox);
    assert_eq!(sandbox.sendoff(&["tracking", "stop"]).expect(0).stdout, "stopped\n");
    sandbox.nothing_runs();
}

fn jobs_are_shown_at_the_present_address_of_the_server(sandbox: &Sandbox) {
    let url = |line: &[&str]| {
        let answer = sandbox.sendoff(&[line, &["--output", "json"]].concat()).expect(0).json();
        let job = answer["jobs"].as_array().map_or(&answer, |jobs| jobs.iter().find(|job| job["id"] == "good-job").expect("it is listed"));
        job["mlflow_run_url"].as_str().expect("it is tracked").to_owned()
    };
    let old = url(&["status", "good-job"]);
    let port = url::Url::parse(&old).ok().and_then(|url| url.port()).expect("a port");
    let squatter = std::net::TcpListener::bind(("127.0.0.1", port)).expect("the server was stopped");
    let uri = tracking(sandbox, "start")["uri"].as_str().expect("it runs").to_owned();
    drop(squatter);
    assert!(!old.starts_with(&uri));
    for line in [&["list", "--limit", "100"][..], &["status", "good-job"]] {
        assert!(url(line).starts_with(&uri), "{line:?}: {}", url(line));
    }
}
