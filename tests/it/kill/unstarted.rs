//! A container that was never started, because its supervisor died before: whoever has the job's secrets starts it, and nobody starts it twice.

use std::process::Stdio;

use super::{Ground, World};
use crate::support::{lines, wait_until};

/// The points of a supervisor before anything of the job runs.
const POINTS: [&str; 3] = ["supervisor.after-claim", "supervisor.queued", "supervisor.before-command"];

/// Submits a job with a secret, and has its supervisor die; returns the job's id and the arguments that submit it.
fn orphan(world: &World, point: &str, name: &str) -> (String, Vec<String>) {
    world.config("secret.yaml", "secrets: [TOKEN]\nsetup: echo \"the token has ${#TOKEN} characters\"\n");
    let id = world.id(name);
    let (_, set) = world.witness(&id);
    let submit = ["submit", "secret.yaml", "--no-tracking", "--job-id", &id, "--set", &set].map(str::to_owned).to_vec();
    let blocker = world.id("blocker");
    if point == "supervisor.queued" {
        world.sandbox.sendoff(&["submit", "blocker.yaml", "--no-tracking", "--detach", "--job-id", &blocker]).expect(0);
    }
    let mut command = world.sandbox.command(&words(&submit));
    command.arg("--detach").env("TOKEN", "four").env("SENDOFF_FAULT", point);
    assert!(command.output().expect("it starts").status.success());
    world.sandbox.supervisor_is_dead(&id);
    if point == "supervisor.queued" {
        world.sandbox.sendoff(&["cancel", &blocker]).expect(0);
    }
    (id, submit)
}

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_without_its_secrets_waits_for_the_same_submission() {
    let world = Ground::Docker.world();
    for point in POINTS {
        let (id, submit) = orphan(&world, point, &point.replace("supervisor.", "w-"));
        let status = world.sandbox.sendoff(&["status", &id]).expect(0).stdout;
        assert!(
            status.contains("queued: waits for the same `submit` where `TOKEN` is set, because its supervisor died"),
            "{point}: {status}"
        );
        let waiting = world.sandbox.sendoff(&["wait", &id]).expect(245);
        assert!(
            waiting.stderr.contains(&format!("error: the job `{id}` does not run: it waits for the same `submit` where `TOKEN` is set")),
            "{}",
            waiting.stderr
        );
        assert_eq!(lines(&world.witness(&id).0), 0, "{point}");
        let mut again = world.sandbox.command(&words(&submit));
        let run = again.env("TOKEN", "four").output().expect("it starts");
        assert_eq!(run.status.code(), Some(0), "{point}: {run:?}");
        let log = world.sandbox.sendoff(&["logs", &id]).expect(0).stdout;
        assert_eq!(log.matches("the token has 4 characters\n").count(), 1, "{point}: {log}");
        assert_eq!(lines(&world.witness(&id).0), 1, "{point}");
        world.has_whole_log(&id);
        world.nothing_runs();
    }
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_that_was_never_started_is_cancelled_and_stays_so() {
    let world = Ground::Docker.world();
    for point in POINTS {
        let (id, submit) = orphan(&world, point, &point.replace("supervisor.", "c-"));
        world.sandbox.sendoff(&["cancel", &id]).expect(0);
        world.nothing_runs();
        assert_eq!(world.state(&id), "cancelled", "{point}");
        // Neither a late supervisor nor the same submission starts it.
        let folder = world.sandbox.attempt(&id, "").display().to_string();
        world.sandbox.sendoff(&["supervise", &folder, "--again"]).expect(0);
        let mut again = world.sandbox.command(&words(&submit));
        assert_eq!(again.env("TOKEN", "four").output().expect("it starts").status.code(), Some(244), "{point}");
        assert_eq!(lines(&world.witness(&id).0), 0, "{point}");
    }
    world.nothing_runs();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_client_that_waits_has_its_job_started_and_watched_over_when_supervisors_die() {
    let world = Ground::Docker.world();
    world.config(
        "secret.yaml",
        "secrets: [TOKEN]\nsetup: echo \"the token has ${#TOKEN} characters\"; while [ ! -e /witness/go ]; do sleep 0.05; done\n",
    );
    let (id, blocker) = (world.id("the-job"), world.id("blocker"));
    let (witness, set) = world.witness(&id);
    world.sandbox.sendoff(&["submit", "blocker.yaml", "--no-tracking", "--detach", "--job-id", &blocker]).expect(0);
    let mut client = world.sandbox.command(&["submit", "secret.yaml", "--no-tracking", "--job-id", &id, "--set", &set]);
    let client = client.env("TOKEN", "four").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let is = |word: &str| {
        wait_until(|| match std::fs::read_to_string(world.sandbox.attempt(&id, "status.json")) {
            Ok(text) if text.contains(word) => Ok(()),
            seen => Err(format!("{seen:?}")),
        });
    };
    is("queued");
    // Before it has begun, and once it runs.
    world.sandbox.kill_supervisor(&id);
    world.sandbox.sendoff(&["cancel", &blocker]).expect(0);
    is("running");
    world.sandbox.kill_supervisor(&id);
    std::fs::write(world.witness("go").0, "").expect("writable");
    let run = client.wait_with_output().expect("it ends");
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let shown = String::from_utf8_lossy(&run.stdout);
    assert_eq!(shown.matches("the token has 4 characters\n").count(), 1, "{shown}");
    assert_eq!(shown, world.sandbox.sendoff(&["logs", &id]).expect(0).stdout, "what was shown is the log");
    world.has_whole_log(&id);
    assert_eq!(lines(&witness), 1);
    world.nothing_runs();
}
