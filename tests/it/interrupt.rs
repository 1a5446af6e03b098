//! Interruptions of `submit`: in CI, without a terminal, at a terminal, and before anything was sent.

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Sandbox, wait_until};
use crate::terminal::at_a_terminal;

/// A job that does not listen to TERM and has 30 seconds for it.
const STUBBORN: &str = "command: \"trap '' TERM INT; echo ready; while :; do sleep 0.1; done\"\n";

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    sandbox.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("it lives");
}

fn wait_for_log(sandbox: &Sandbox, job: &str) {
    wait_until(|| {
        let seen = sandbox.sendoff(&["logs", job]);
        if seen.stdout.contains("ready") { Ok(()) } else { Err(format!("{seen:?}")) }
    });
}

fn nothing_runs(sandbox: &Sandbox) {
    wait_until(|| if sandbox.processes().is_empty() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
}

fn state(sandbox: &Sandbox, job: &str) -> String {
    sandbox.sendoff(&["status", job, "--output", "json"]).expect(0).json()["state"].as_str().unwrap_or_default().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn in_ci_both_signals_cancel_the_job_within_five_seconds() {
    for (signal, job) in [(Signal::INT, "by-int"), (Signal::TERM, "by-term")] {
        let sandbox = Sandbox::new().env("CI", "true");
        sandbox.file("run.yaml", STUBBORN);
        let client = start(&sandbox, &["submit", "--no-tracking", "--job-id", job]);
        wait_for_log(&sandbox, job);
        let begun = Instant::now();
        send(&client, signal);
        let output = client.wait_with_output().expect("it ends");
        assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?}", begun.elapsed());
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert!(said(&output).contains(&format!("interrupted; the job `{job}` was cancelled")), "{}", said(&output));
        assert_eq!(state(&sandbox, job), "cancelled");
        nothing_runs(&sandbox);
    }
}

#[test]
fn without_a_terminal_the_job_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", STUBBORN);
    let client = start(&sandbox, &["submit", "--no-tracking", "--job-id", "the-job"]);
    wait_for_log(&sandbox, "the-job");
    send(&client, Signal::TERM);
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(said(&output).contains("interrupted; the job goes on: `sendoff logs --follow the-job` shows it"), "{}", said(&output));
    assert_eq!(state(&sandbox, "the-job"), "running");

    // Whoever only waits leaves it running too, whatever the environment is.
    let waiter = sandbox.command(&["wait", "the-job"]).env("CI", "true").stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until(|| if listens(&waiter) { Ok(()) } else { Err("it does not listen yet".to_owned()) });
    send(&waiter, Signal::INT);
    let output = waiter.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(said(&output).contains("the job goes on"), "{}", said(&output));

    // The same command, with the job's own grace cut short by the run config, ends it.
    let id = ["submit", "--no-tracking", "--job-id", "other-job", "--set", "grace=1s", "--on-interrupt", "cancel"];
    let client = start(&sandbox, &id);
    wait_for_log(&sandbox, "other-job");
    send(&client, Signal::INT);
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(state(&sandbox, "other-job"), "cancelled");
    end(&sandbox, "the-job");
}

/// Returns whether a process has taken SIGINT into its own hands.
fn listens(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim).unwrap_or_default();
    u64::from_str_radix(caught, 16).is_ok_and(|mask| mask & 0b10 != 0)
}

/// Ends a stubborn job the hard way: by its supervisor's death.
fn end(sandbox: &Sandbox, job: &str) {
    let claim = std::fs::read_to_string(sandbox.home().join(format!("data/jobs/{job}/attempt-1/claim"))).expect("it runs");
    let claim: serde_json::Value = serde_json::from_str(&claim).expect("JSON");
    let pid = claim["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).expect("a process id");
    let _ = kill_process(pid, Signal::KILL);
    nothing_runs(sandbox);
}

#[test]
fn an_interruption_before_the_job_is_sent_leaves_nothing() {
    let sandbox = Sandbox::new();
    // A package whose build never ends; it needs nothing from an index.
    sandbox.file("slow/pyproject.toml", "[build-system]\nrequires = []\nbuild-backend = \"slow\"\nbackend-path = [\".\"]\n");
    let begun = sandbox.project().with_file_name("begun");
    sandbox.file("slow/slow.py", &format!("import time\nopen({:?}, 'w').close()\ntime.sleep(600)\n", begun.display().to_string()));
    sandbox.file("run.yaml", "command: echo never\nenvironment: {pip_packages: [./slow]}\n");
    let client = start(&sandbox, &["submit", "--no-tracking", "--job-id", "the-job"]);
    wait_until(|| if begun.exists() { Ok(()) } else { Err(format!("{:?}", sandbox.processes())) });
    let begun = Instant::now();
    send(&client, Signal::INT);
    let output = client.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert!(said(&output).contains("interrupted; nothing was submitted"), "{}", said(&output));
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    nothing_runs(&sandbox);
    assert!(!sandbox.home().join("data/jobs").exists());
    let left = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(sandbox.home().join(folder)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| !name.ends_with("lock")).collect()
    };
    assert_eq!(left("cache/environments"), Vec::<String>::new());
    assert!(left("cache/snapshots").iter().all(|name| !name.starts_with('.')), "{:?}", left("cache/snapshots"));
}

#[test]
fn at_a_terminal_the_first_interruption_asks_and_the_second_detaches() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", STUBBORN);
    let submit = ["submit", "--no-tracking", "--job-id", "the-job"];
    let (code, shown) = at_a_terminal(&sandbox, &submit, &[("ready", "\u{3}"), ("[d]etach", "\u{3}")]);
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("the job goes on"), "{shown}");
    assert_eq!(state(&sandbox, "the-job"), "running");
    end(&sandbox, "the-job");
}

#[test]
fn at_a_terminal_one_can_go_on_or_cancel() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: \"trap '' TERM; echo ready; while :; do sleep 0.1; echo tick; done\"\ngrace: 1s\n");
    let submit = ["submit", "--no-tracking", "--job-id", "the-job"];
    let steps = [("ready", "\u{3}"), ("[d]etach", "what\n"), ("[d]etach", "\n"), ("tick", "\u{3}"), ("[d]etach", "c\n")];
    let (code, shown) = at_a_terminal(&sandbox, &submit, &steps);
    assert_eq!(code, 130, "{shown}");
    assert_eq!(shown.matches("ready").count(), 2, "the log is shown once, beside the command: {shown}");
    assert!(shown.contains("the job `the-job` was cancelled"), "{shown}");
    assert_eq!(state(&sandbox, "the-job"), "cancelled");
    nothing_runs(&sandbox);
}
