//! What a service does in its own way: nothing of ours is there, so there is no supervisor, no step of ours in the log, no shell, and no
//! place for secrets.

use std::process::Stdio;

use super::{Place, World};
use crate::support::{Run, wait_until};

/// When somebody asks for a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum While {
    Running,
    Ended,
}

/// In place of a supervisor that dies: whoever waits is killed, and the job goes on.
pub(super) fn a_job_goes_on_with_nothing_of_ours_alive(place: &Place) {
    let world = place.world();
    world.config("command: echo ready; sleep 3; echo done; exit 5\n");
    let mut client = world.submission(&["--job-id", "the-job"]);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    wait_until(|| {
        let log = world.sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.contains("ready\n") { Ok(()) } else { Err(log) }
    });
    client.kill().expect("it lives");
    client.wait().expect("it is dead");
    // On this machine there is nothing that a job could lose.
    world.sandbox.nothing_runs();
    assert!(!world.sandbox.attempt("the-job", "claim").exists(), "there is a supervisor");
    assert_eq!(world.state("the-job"), "running");
    world.nothing_runs();
    world.sandbox.sendoff(&["wait", "the-job"]).expect(5);
    assert_eq!(world.sandbox.sendoff(&["logs", "the-job"]).expect(0).stdout, "ready\ndone\n");
}

/// The image's variables, and those that the service has of its own, are there too; none of the submitter's.
pub(super) fn has_its_own_variables_and_these(got: &serde_json::Value, ours: &[&str]) {
    let got: Vec<&str> = got.as_array().expect("a list").iter().filter_map(serde_json::Value::as_str).collect();
    for name in ours {
        assert!(got.contains(name), "{name} is missing: {got:?}");
    }
    let is_theirs = |name: &str| {
        let starts = ["AZ", "MLFLOW_", "MSI_", "PIP_", "PYTHON_", "OMPI_", "DATASET_", "HF_"];
        let others = ["CURL_CA_BUNDLE", "GPG_KEY", "HOME", "HOSTNAME", "LANG", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "OLDPWD", "PATH"];
        let more = ["LOCAL_RANK", "RANK", "REQUESTS_CA_BUNDLE", "SHLVL", "SSL_CERT_FILE", "TINI_KILL_PROCESS_GROUP", "WORLD_SIZE", "_"];
        starts.iter().any(|start| name.starts_with(start)) || others.contains(&name) || more.contains(&name)
    };
    let odd: Vec<&&str> = got.iter().filter(|name| !ours.contains(*name) && !is_theirs(name)).collect();
    assert!(odd.is_empty(), "{odd:?} come from nowhere");
}

/// Secrets are refused until they are accepted to be readable; returns the line that accepts it.
pub(super) fn accepts_secrets_only_in_clear(world: &World<'_>) -> &'static str {
    let refused = world.run("script: train.py\nsecrets: [API_KEY]\n").expect(244);
    assert!(refused.stderr.contains("Azure ML has no place for secrets of a job"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`secrets_in_clear: true`"), "{}", refused.stderr);
    "secrets_in_clear: true\n"
}

/// The service knows one process, whose code tells of the block too: one that is ours.
pub(super) fn a_setup_that_fails_ends_the_job_with_a_code_of_ours(place: &Place) {
    let world = place.world();
    for (number, ending, status) in [(1, "exit 7", 7), (2, "set -e; (exit 9); true", 9), (3, "exit 0", 0)] {
        world.config(&format!("command: echo in command\nsetup: echo in setup; {ending}\n"));
        let run = world.submit(&["--job-id", &format!("the-job-{number}")]).expect(240);
        assert_eq!(run.stdout, format!("in setup\n[sendoff] the job ended in its step setup (status {status})\n"));
    }
    world.config("command: echo $FROM_SETUP\nsetup: |\n  FROM_SETUP=42\n  export FROM_SETUP\n");
    assert_eq!(world.submit(&["--job-id", "the-job-4"]).expect(0).stdout, "42\n");
}

/// Nothing of ours runs there, and so nothing of ours is written there.
pub(super) fn the_log_is_the_jobs_alone(place: &Place) {
    let run = place.world().run("command: echo in command\nsetup: echo in setup\n").expect(0);
    assert_eq!(run.stdout, "in setup\nin command\n");
}

/// A shell is refused, in words, and the job is as it was.
pub(super) fn has_no_shell(place: &Place, when: While) {
    let world = place.world();
    let refused = |run: Run| {
        let run = run.expect(245);
        assert_eq!(run.stderr, "error: a shell where a job runs is not built yet for Azure ML\n");
        assert_eq!(run.stdout, "");
    };
    if when == While::Running {
        world.start("the-job", "command: echo up; sleep 600\n");
        world.wait_for("the-job", "up\n");
    } else {
        world.run("command: 'true'\n").expect(0);
    }
    refused(world.sandbox.sendoff(&["shell", "the-job"]));
    refused(world.sandbox.sendoff(&["shell", "the-job", "--", "cat"]));
    if when == While::Running {
        assert_eq!(world.state("the-job"), "running");
        world.sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    }
    world.nothing_runs();
}
