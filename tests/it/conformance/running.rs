//! A job on its way: its steps and states.

use super::{Place, service};
use crate::support::wait_until;

pub(super) fn many_jobs_are_told_apart_in_one_list(place: &Place) {
    let world = place.world();
    world.start("job-good", "command: exit 0\n");
    world.start("job-bad", "command: exit 1\n");
    world.start("job-long", "command: echo ready; sleep 600\ngrace: 1s\n");
    world.start("job-cancelled", "command: sleep 600\n");
    world.sandbox.sendoff(&["cancel", "job-cancelled"]).expect(0);
    let expected = [("job-bad", "failed"), ("job-cancelled", "cancelled"), ("job-good", "succeeded"), ("job-long", "running")];
    wait_until(|| {
        let list = world.sandbox.sendoff(&["list", "--output", "json"]).expect(0).json();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let mut seen: Vec<_> = list["jobs"].as_array().expect("a list").iter().map(|job| (text(&job["id"]), text(&job["state"]))).collect();
        seen.sort();
        let same = seen.iter().map(|(id, state)| (id.as_str(), state.as_str())).eq(expected);
        if same { Ok(()) } else { Err(format!("{seen:?}")) }
    });
    world.sandbox.sendoff(&["cancel", "job-long"]).expect(0);
    world.nothing_runs();
}

pub(super) fn a_setup_that_fails_ends_the_job_before_its_command(place: &Place) {
    if place.service {
        return service::a_setup_that_fails_ends_the_job_with_a_code_of_ours(place);
    }
    let endings = [("false", "status 1"), ("exit 7", "status 7"), ("set -e; (exit 9); true", "status 9"), ("exit 0", "`exit 0`")];
    for (ending, told) in endings {
        let world = place.world();
        let run = world.run(&format!("command: echo in command\nsetup: echo in setup; {ending}\n")).expect(240);
        assert!(run.stdout.contains("in setup\n") && !run.stdout.contains("in command\n"), "{}", run.stdout);
        assert_eq!(run.stdout.matches("[sendoff] job the-job ended in its step setup (status ").count(), 1, "{}", run.stdout);
        assert!(run.stderr.contains(&format!("`setup` ended with {told}")), "{}", run.stderr);
    }
    let world = place.world();
    let run = world.run("command: echo $FROM_SETUP\nsetup: |\n  FROM_SETUP=42\n  export FROM_SETUP\n").expect(0);
    assert!(run.stdout.ends_with("42\n"), "{}", run.stdout);
}

pub(super) fn steps_are_named_in_the_log(place: &Place) {
    if place.service {
        return service::the_log_is_the_jobs_alone(place);
    }
    let run = place.world().run("command: echo in command\nsetup: echo in setup\n").expect(0);
    let steps: Vec<&str> = run
        .stdout
        .lines()
        .map(|line| line.strip_prefix("[sendoff] ").map_or(line, |rest| rest.split(':').next().unwrap_or(rest)))
        .collect();
    assert_eq!(steps, ["unpack", "setup", "in setup", "command", "in command"]);
}
