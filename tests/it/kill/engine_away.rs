//! What happens to a job's engine while it runs, and what is done to its container by hand.

use std::process::{Command, Stdio};

use super::{Ground, World};
use crate::engine::own_daemon::OwnEngine;
use crate::support::{Sandbox, engine, wait_until};

/// How many lines the job writes.
const COUNT: usize = 400;

/// Makes a project whose job takes a while, and an engine that has the images for it.
async fn world(flags: &str) -> (Sandbox, OwnEngine) {
    let sandbox = Sandbox::new();
    sandbox.file(
        "run.yaml",
        &format!(
            "command: 'i=0; while [ $i -lt {COUNT} ]; do echo line $i; i=$((i+1)); sleep 0.03; done; exit 3'\ncompute_target: docker\n"
        ),
    );
    let id = format!("for-its-image-{}-{}", std::process::id(), flags.len());
    sandbox.sendoff(&["submit", "--no-tracking", "--quiet", "--job-id", &id, "--set", "command=true"]).expect(0);
    let environments = sandbox.sendoff(&["env", "list"]).expect(0).stdout;
    let image = environments.split_whitespace().find(|word| word.starts_with("sendoff/env:")).expect("it was built").to_owned();
    let (own, _) = OwnEngine::start(flags).await;
    let copy = "docker save \"$0\" python:3.11-slim | docker -H \"$1\" load";
    let output = Command::new("sh").args(["-c", copy, &image, &own.host()]).output().expect("a shell runs");
    assert!(output.status.success(), "{output:?}");
    (sandbox, own)
}

fn submit(sandbox: &Sandbox, own: &OwnEngine) {
    let target = format!("compute_target={{type: docker, network: none, host: '{}'}}", own.host());
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job", "--set", &target]).expect(0);
    has_line(sandbox, 20);
}

fn has_line(sandbox: &Sandbox, number: usize) {
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.contains(&format!("line {number}\n")) { Ok(()) } else { Err(log) }
    });
}

/// Returns how many lines a log has, and asserts that none is missing in between or there twice.
#[track_caller]
fn in_order(log: &str) -> usize {
    let lines: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    let expected: Vec<String> = (0..lines.len()).map(|number| number.to_string()).collect();
    assert_eq!(lines, expected);
    lines.len()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built").block_on(test);
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_that_is_away_for_a_while_loses_no_line_of_a_job() {
    run(async {
        let (sandbox, mut own) = world("set -- --live-restore").await;
        submit(&sandbox, &own);
        let follow = sandbox.command(&["logs", "--follow", "the-job"]).stdout(Stdio::piped()).spawn().expect("it starts");
        own.signal("STOP");
        let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
        assert_eq!(status["state"], "running", "an engine that does not answer says nothing of its jobs");
        own.signal("CONT");
        has_line(&sandbox, 60);
        // The container runs on while the engine is not there.
        own.end("TERM");
        let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
        assert_eq!(status["state"], "running");
        own.start_again().await;
        has_line(&sandbox, 120);
        // And while neither engine nor supervisor is.
        own.end("TERM");
        sandbox.kill_supervisor("the-job");
        let status = sandbox.sendoff(&["wait", "the-job"]).expect(243);
        assert!(status.stderr.contains("could not reach the container engine"), "{}", status.stderr);
        own.start_again().await;
        sandbox.sendoff(&["wait", "the-job"]).expect(3);
        assert_eq!(in_order(&sandbox.sendoff(&["logs", "the-job"]).expect(0).stdout), COUNT);
        // Whoever followed saw the same, as far as there was contact.
        let followed = follow.wait_with_output().expect("it ends");
        in_order(&String::from_utf8_lossy(&followed.stdout));
        sandbox.nothing_runs();
    });
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_that_stops_ends_its_jobs_and_that_is_said() {
    run(async {
        let (sandbox, mut own) = world("").await;
        submit(&sandbox, &own);
        own.end("TERM");
        own.start_again().await;
        let run = sandbox.sendoff(&["wait", "the-job"]).expect(143);
        assert!(run.stderr.contains("reason: its container engine was away meanwhile, and may have ended it"), "{}", run.stderr);
        assert!(in_order(&sandbox.sendoff(&["logs", "the-job"]).expect(0).stdout) >= 20);
        sandbox.nothing_runs();
    });
}

/// Starts a job on the engine that all tests share; returns its id.
fn running(world: &World, name: &str) -> String {
    world.sandbox.file("long.yaml", "command: echo ready; sleep 600\ncompute_target: one\ngrace: 1s\n");
    let id = world.id(name);
    world.sandbox.sendoff(&["submit", "long.yaml", "--no-tracking", "--detach", "--job-id", &id]).expect(0);
    wait_until(|| {
        let log = world.sandbox.sendoff(&["logs", &id]).stdout;
        if log.contains("\nready\n") { Ok(()) } else { Err(log) }
    });
    id
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_whose_container_is_removed_by_hand_is_lost_and_says_why() {
    let world = Ground::Docker.world();
    for supervised in [true, false] {
        let id = running(&world, if supervised { "removed" } else { "orphaned" });
        if !supervised {
            world.sandbox.kill_supervisor(&id);
        }
        engine(async |engine| engine.remove(&id, sendoff::engine::Removal::Forced).await.expect("it is removed"));
        world.sandbox.sendoff(&["wait", &id]).expect(240);
        assert_eq!(world.state(&id), "lost");
        world.nothing_runs();
    }
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_whose_container_is_paused_is_cancelled_all_the_same() {
    let world = Ground::Docker.world();
    let id = running(&world, "paused");
    assert!(Command::new("docker").args(["pause", &id]).output().expect("docker runs").status.success());
    assert_eq!(world.state(&id), "running");
    world.sandbox.sendoff(&["cancel", &id]).expect(0);
    world.sandbox.sendoff(&["wait", &id]).expect(241);
    world.nothing_runs();
}
