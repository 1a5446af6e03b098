//! The supervisor dies at each of its points, is late, is doubled, loses its child: one execution or none, nothing left running, and the
//! next command knows which.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use sendoff::support::platform::{self, Signal};

use crate::support::{Sandbox, lines, wait_until};
use crate::tracker::Tracker;

/// What is known after the supervisor died at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Nothing was started, and the client could say so.
    NotStarted,
    /// Something may have been started: it is lost, and not started again by itself.
    Lost,
    /// The outcome was on record.
    Ended,
}

/// Every point of the supervisor.
const POINTS: [(&str, After); 9] = [
    ("supervisor.before-claim", After::NotStarted),
    ("supervisor.after-claim", After::Lost),
    ("supervisor.queued", After::Lost),
    ("supervisor.before-command", After::Lost),
    ("supervisor.started", After::Lost),
    ("supervisor.running", After::Lost),
    ("supervisor.after-exit", After::Lost),
    ("supervisor.after-exit-record", After::Ended),
    ("supervisor.after-close", After::Ended),
];

/// A sandbox with a job that leaves a line in a file of its own name each time that it runs, on a target that runs one job at once.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("sendoff.yaml", "compute_targets: {one: {type: local, max_jobs: 1}}\n");
    sandbox.file(
        "run.yaml",
        "command: echo ran >> ${{inputs.witness}}; setsid sleep 0.3 & sleep 0.2\ninputs: {witness: W}\ncompute_target: one\nexperiment_name: e\n",
    );
    sandbox.file("blocker.yaml", "command: sleep 600\ncompute_target: one\ngrace: 1s\n");
    sandbox
}

#[test]
fn every_point_of_the_supervisor_is_armed_by_a_test() {
    let source = format!("{}/src", env!("CARGO_MANIFEST_DIR"));
    let files = walkdir::WalkDir::new(source).into_iter().flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"));
    let mut found = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(file.path()).expect("readable");
        found.extend(
            text.split("fault::point(\"supervisor.").skip(1).filter_map(|rest| Some(format!("supervisor.{}", rest.split_once('"')?.0))),
        );
    }
    let armed: BTreeSet<String> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, armed);
}

/// Kills the supervisor at every point, then asks `status` and submits the same again.
fn kill_everywhere(sandbox: &Sandbox, tracking: &[&str], statuses: impl Fn(&str) -> Vec<String>) {
    for (point, after) in POINTS {
        let id = point.replace('.', "-");
        let witness = sandbox.home().join(&id);
        let set = format!("inputs.witness={}", witness.display());
        let submit = [&["submit", "--quiet", "--job-id", &id, "--set", &set], tracking].concat();
        let is_queued = point == "supervisor.queued";
        if is_queued {
            sandbox.sendoff(&["submit", "blocker.yaml", "--no-tracking", "--detach", "--job-id", "blocker"]).expect(0);
        }
        let code = match after {
            After::NotStarted => 245,
            After::Lost => 240,
            After::Ended => 0,
        };
        let run = sandbox.armed(point, &submit);
        assert_eq!(run.code, Some(code), "{point}: {run:?}");
        if is_queued {
            sandbox.sendoff(&["cancel", "blocker"]).expect(0);
        }
        sandbox.nothing_runs();
        let ran = lines(&witness);
        assert!(ran <= 1, "{point}");
        if after != After::NotStarted {
            let status = sandbox.sendoff(&["status", &id, "--output", "json"]).expect(0).json();
            assert_eq!(status["state"], if after == After::Lost { "lost" } else { "succeeded" }, "{point}: {status}");
        }
        assert!(!statuses(&id).contains(&"RUNNING".to_owned()), "{point}: {:?}", statuses(&id));
        match after {
            // The same submission is as good as new.
            After::NotStarted => {
                sandbox.sendoff(&submit).expect(0);
                assert_eq!(lines(&witness), 1, "{point}");
            }
            After::Lost => {
                let again = sandbox.sendoff(&submit).expect(244);
                assert!(again.stderr.contains("was lost"), "{point}: {}", again.stderr);
                assert_eq!(lines(&witness), ran, "{point}");
                sandbox.sendoff(&[&submit[..], &["--new-attempt"]].concat()).expect(0);
                assert_eq!(lines(&witness), ran + 1, "{point}");
            }
            After::Ended => {
                sandbox.sendoff(&submit).expect(0);
                assert_eq!(lines(&witness), 1, "{point}");
            }
        }
        assert_eq!(statuses(&id).last().map_or("FINISHED", String::as_str), "FINISHED", "{point}");
        sandbox.nothing_runs();
    }
}

#[test]
fn an_untracked_supervisor_killed_anywhere_leaves_one_execution_or_none() {
    kill_everywhere(&sandbox(), &["--no-tracking"], |_| Vec::new());
}

#[test]
fn a_tracked_supervisor_killed_anywhere_leaves_one_execution_or_none_and_no_mlflow_run_open() {
    let tracker = Tracker::start();
    let sandbox = sandbox().env("MLFLOW_TRACKING_URI", &tracker.uri());
    kill_everywhere(&sandbox, &[], |id| tracker.statuses(id));
}

fn start(sandbox: &Sandbox, command: &str) {
    sandbox.file("job.yaml", &format!("command: {}\ngrace: 1s\n", serde_json::to_string(command).expect("a text")));
    sandbox.sendoff(&["submit", "job.yaml", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.contains("\nready\n") { Ok(()) } else { Err(log) }
    });
}

#[test]
fn a_bootstrap_that_is_killed_takes_the_job_with_it() {
    let sandbox = Sandbox::new();
    start(&sandbox, "setsid sh -c 'sleep 600; sleep 600' & echo ready; wait");
    let supervisor = sandbox.supervisor("the-job");
    let children = platform::descendants(supervisor, |process| process.parent != supervisor);
    let [bootstrap] = &children[..] else { panic!("a supervisor has one child: {children:?}") };
    platform::signal_process(bootstrap.pid, Signal::Kill);
    let run = sandbox.sendoff(&["wait", "the-job"]).expect(240);
    assert!(run.stderr.contains("reason: its bootstrap was killed by signal 9 in the step `command`"), "{}", run.stderr);
    sandbox.nothing_runs();
}

#[test]
fn a_command_may_kill_its_parent_shell() {
    let sandbox = Sandbox::new();
    sandbox.file("kill.yaml", "command: kill -KILL $PPID; sleep 600\n").file("term.yaml", "command: kill -TERM $PPID; exit 5\n");
    let run = sandbox.sendoff(&["submit", "kill.yaml", "--no-tracking"]).expect(240);
    assert!(run.stderr.contains("its bootstrap was killed by signal 9"), "{}", run.stderr);
    // The shell waits for the command all the same.
    sandbox.sendoff(&["submit", "term.yaml", "--no-tracking"]).expect(5);
    sandbox.nothing_runs();
}

#[test]
fn a_late_supervisor_meets_a_tombstone() {
    let sandbox = sandbox();
    let (witness, set) = sandbox.shared_file("witness");
    let submit = ["submit", "--no-tracking", "--job-id", "the-job", "--set", &set];
    sandbox.armed("submit.after-intent", &submit);
    // It concludes that there is no job, and makes sure of it.
    sandbox.sendoff(&["status", "the-job"]).expect(0);
    let folder = sandbox.attempt("the-job", "").display().to_string();
    sandbox.sendoff(&["supervise", &folder]).expect(0);
    assert_eq!(lines(&witness), 0);
    sandbox.sendoff(&submit).expect(0);
    assert_eq!(lines(&witness), 1);
}

#[test]
fn a_second_supervisor_leaves_a_living_job_alone() {
    let sandbox = Sandbox::new();
    start(&sandbox, "echo ready; sleep 600");
    let folder = sandbox.attempt("the-job", "").display().to_string();
    sandbox.sendoff(&["supervise", &folder]).expect(0);
    let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
    assert_eq!(status["state"], "running");
    sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    sandbox.nothing_runs();
}

#[test]
fn a_supervisor_that_is_a_zombie_is_dead() {
    let sandbox = sandbox();
    let (_, set) = sandbox.shared_file("witness");
    sandbox.armed("submit.after-intent", &["submit", "--no-tracking", "--job-id", "the-job", "--set", &set]);
    let folder = sandbox.attempt("the-job", "").display().to_string();
    // Started by hand, and not reaped before the end: its parent is as late as the first process of some containers.
    let mut supervisor = sandbox.command(&["supervise", &folder]);
    let mut supervisor = supervisor.env("SENDOFF_FAULT", "supervisor.running").stderr(Stdio::null()).spawn().expect("it starts");
    // Whoever asked before it has claimed the job would give the job up.
    let claim = sandbox.attempt("the-job", "claim");
    wait_until(|| if claim.exists() { Ok(()) } else { Err("there is no claim".to_owned()) });
    wait_until(|| {
        let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
        if status["state"] == "lost" { Ok(()) } else { Err(status.to_string()) }
    });
    sandbox.nothing_runs();
    supervisor.wait().expect("it is a child of this process");
}

#[test]
fn what_another_boot_left_is_not_looked_for_among_todays_processes() {
    let sandbox = Sandbox::new();
    start(&sandbox, "echo ready; sleep 600");
    let mut bystander = Command::new("setsid").args(["sleep", "600"]).spawn().expect("`setsid` exists");
    sandbox.kill_supervisor("the-job");
    // After a start of the machine the same number may be anybody's.
    let claim = format!(r#"{{"by": "supervisor", "pid": {}, "started": 1, "boot": "another"}}"#, bystander.id());
    std::fs::write(sandbox.attempt("the-job", "claim"), claim).expect("writable");
    let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
    assert_eq!(status["state"], "lost");
    assert_eq!(bystander.try_wait().expect("it is a child of this process"), None, "a bystander was killed");
    bystander.kill().expect("it runs");
    bystander.wait().expect("it ends");
    sandbox.nothing_runs();
}

#[test]
fn clients_killed_while_ten_race_for_one_key_leave_one_execution() {
    let sandbox = sandbox();
    let (witness, set) = sandbox.shared_file("witness");
    let submit = ["submit", "--no-tracking", "--key", "pipeline 4711", "--set", &set];
    let points = ["reserve.after", "submit.after-intent", "submit.handed-over", "submit.after-act", "submit.after-outcome"];
    let clients: Vec<_> = (0..10)
        .map(|number| {
            let mut client = sandbox.command(&submit);
            if let Some(point) = points.get(number) {
                client.env("SENDOFF_FAULT", point);
            }
            client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("it ends");
        assert!(matches!(output.status.code(), None | Some(0)), "{output:?}");
    }
    sandbox.sendoff(&submit).expect(0);
    assert_eq!(lines(&witness), 1);
    sandbox.nothing_runs();
}
