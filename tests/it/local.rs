//! Jobs on this machine, untracked.

use crate::support::{Sandbox, lines, wait_until};

#[test]
fn a_script_gets_its_arguments_as_written_and_its_code_is_ours() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "import sys\nprint(sys.argv[1:])\nsys.exit(7)\n");
    sandbox.file("run.yaml", "script: train.py\ninputs: {C: 0.10, n: no}\narguments: [\"${{inputs.C}}\", \"${{inputs.n}}\", \"a b\", \"$(id)\", \"it's\", \"-x\", \"\u{1f600}\", \"l\\nm\"]\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(7);
    assert!(run.stdout.contains("['0.10', 'no', 'a b', '$(id)', \"it's\", '-x', '\u{1f600}', 'l\\nm']"), "{}", run.stdout);
    let status = sandbox.sendoff(&["status", "@last", "--output", "json"]).expect(0).json();
    assert_eq!((status["state"].as_str(), status["job_exit_code"].as_i64()), (Some("failed"), Some(7)));
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
}

#[test]
fn init_writes_a_run_config_that_can_be_submitted_and_overwrites_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print('trained')\n");
    sandbox.sendoff(&["init"]).expect(0);
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(run.stdout.contains("trained"), "{}", run.stdout);
    let again = sandbox.sendoff(&["init"]).expect(244);
    assert!(again.stderr.contains("could not create"), "{}", again.stderr);
}

#[test]
fn every_example_is_checked_and_planned() {
    let sandbox = Sandbox::new();
    let examples = format!("{}/examples", env!("CARGO_MANIFEST_DIR"));
    for name in
        ["digits/run.yaml", "pep723/train.py", "azure-article/plain.yaml", "azure-article/with_experiment.yaml", "settings/run.yaml"]
    {
        let file = format!("{examples}/{name}");
        sandbox.sendoff(&["check", &file]).expect(0);
        sandbox.sendoff(&["plan", &file]).expect(0);
        sandbox.sendoff(&["config", "show", &file]).expect(0);
    }
    assert!(!sandbox.home().exists(), "a plan changed something");
}

#[test]
fn outputs_are_collected_and_downloaded_and_nothing_is_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "run.yaml",
        "command: mkdir outputs && echo a > outputs/a && echo m > ${{outputs.model}}/m && exit 3\noutputs: {model: {}}\n",
    );
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(3);
    sandbox.sendoff(&["download", "the-job"]).expect(0);
    for name in ["outputs/a", "model/m", "log.txt"] {
        assert!(sandbox.project().join("the-job").join(name).is_file(), "{name}");
    }
    let again = sandbox.sendoff(&["download", "the-job"]);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
}

#[test]
fn a_job_outlives_its_client_and_cancel_ends_all_of_it() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: \"echo first; trap '' TERM; sleep 600 & sleep 600\"\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "long-one"]).expect(0);
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "long-one"]).stdout;
        if log.contains("first") { Ok(()) } else { Err(log) }
    });
    let cancelled = sandbox.sendoff(&["cancel", "long-one"]).expect(0);
    assert!(cancelled.stdout.contains("cancelled"), "{}", cancelled.stdout);
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
    sandbox.sendoff(&["wait", "long-one"]).expect(241);
    sandbox.sendoff(&["cancel", "long-one"]).expect(0);
}

#[test]
fn the_time_limit_is_kept_by_the_machine_that_runs_the_job() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: sleep 600\nresources: {max_duration: 1s}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(242);
    assert!(run.stderr.contains("max_duration"), "{}", run.stderr);
}

#[test]
fn a_full_queue_holds_jobs_back_in_order() {
    let sandbox = Sandbox::new();
    sandbox.file("sendoff.yaml", "compute_targets: {one: {type: local, max_jobs: 1}}\n");
    sandbox.file("run.yaml", "command: 'while [ ! -e ${{inputs.go}} ]; do sleep 0.05; done'\ncompute_target: one\ninputs: {go: GO}\n");
    let go = sandbox.home().join("go");
    let set = format!("inputs.go={}", go.display());
    for id in ["job-a", "job-b"] {
        sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", id, "--set", &set]).expect(0);
        let word = if id == "job-a" { "running" } else { "queued" };
        wait_until(|| {
            let seen = sandbox.sendoff(&["status", id]).stdout;
            if seen.contains(word) { Ok(()) } else { Err(seen) }
        });
    }
    std::fs::write(go, "").expect("writable");
    for id in ["job-a", "job-b"] {
        sandbox.sendoff(&["wait", id]).expect(0);
    }
}

#[test]
fn secrets_reach_the_job_and_stay_out_of_every_file() {
    let sandbox = Sandbox::new().env("API_KEY", "hunter2-hunter2");
    sandbox.file("run.yaml", "command: 'test \"$API_KEY\" = \"hunter2-\"hunter2'\nsecrets: [API_KEY]\n");
    sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    for entry in walkdir::WalkDir::new(sandbox.home()).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
        let bytes = std::fs::read(entry.path()).expect("readable");
        assert!(!bytes.windows(15).any(|window| window == b"hunter2-hunter2"), "{}", entry.path().display());
    }
}

#[test]
fn gc_removes_what_no_job_names_and_nothing_else() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    for id in ["job-one", "job-two"] {
        sandbox.file("changing.txt", id);
        sandbox.sendoff(&["submit", "--no-tracking", "--job-id", id]).expect(0);
    }
    sandbox.sendoff(&["delete", "job-one"]).expect(0);
    let found = sandbox.sendoff(&["gc", "--output", "json"]).expect(0).json();
    assert_eq!((found["snapshots"].as_array().map(Vec::len), found["environments"].as_array().map(Vec::len)), (Some(1), Some(0)));
    sandbox.sendoff(&["gc", "--yes"]).expect(0);
    let found = sandbox.sendoff(&["gc", "--output", "json"]).expect(0).json();
    assert_eq!(found["snapshots"].as_array().map(Vec::len), Some(0));
    assert_eq!(
        std::fs::read_dir(sandbox.home().join("cache/snapshots"))
            .map(|entries| entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "zip")).count())
            .ok(),
        Some(1)
    );
}

#[test]
fn doctor_finds_this_machine_fit() {
    let run = Sandbox::new().sendoff(&["doctor"]).expect(0);
    assert!(run.stdout.contains("ok       Python 3.10 or newer: Python 3."), "{}", run.stdout);
}

#[test]
fn ten_racing_submissions_of_one_key_run_once() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ran >> ${{inputs.witness}}\ninputs: {witness: W}\n");
    let witness = sandbox.home().join("witness");
    let set = format!("inputs.witness={}", witness.display());
    let arguments = ["submit", "--no-tracking", "--key", "pipeline 4711", "--set", &set];
    let children: Vec<_> = (0..10)
        .map(|_| {
            sandbox.command(&arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    assert_eq!(lines(&witness), 1);
    assert_eq!(sandbox.sendoff(&["env", "list", "--output", "json"]).json()["environments"].as_array().map(Vec::len), Some(1));
}
