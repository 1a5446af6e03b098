//! The supervisor of a local job is late, is doubled, loses its child: one execution or none, nothing left running, and the next command
//! knows which. How it dies at each of its points is asked in `kill`.

use std::process::{Command, Stdio};

use sendoff::support::platform::{self, Signal};

use crate::support::{Sandbox, lines, wait_until};

/// A sandbox with a job that leaves a line each time that it runs.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ran >> ${{inputs.witness}}\ninputs: {witness: W}\n");
    sandbox
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
