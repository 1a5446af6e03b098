//! Many submit under one id, and the store is lost: one execution, and whoever wants something else is refused.

use std::process::Stdio;

use super::{Ground, on_every_ground};
use crate::support::lines;

on_every_ground! {
    another_request_under_the_same_id_is_refused_with_the_differences,
    a_store_deleted_between_two_submissions_does_not_run_the_job_twice,
    two_clients_with_different_requests_under_one_id_run_one_of_them,
    clients_killed_while_ten_race_for_one_key_leave_one_execution,
}

fn a_store_deleted_between_two_submissions_does_not_run_the_job_twice(ground: Ground) {
    let world = ground.world();
    let id = world.id("the-job");
    let (witness, set) = world.witness(&id);
    let submit = world.submit(&["--no-tracking", "--job-id", &id, "--set", &set]);
    world.sandbox.sendoff(&submit).expect(0);
    world.lose_store();
    world.sandbox.sendoff(&submit).expect(0);
    assert_eq!(lines(&witness), 1);
    world.has_whole_log(&id);
    world.nothing_runs();
}

fn another_request_under_the_same_id_is_refused_with_the_differences(ground: Ground) {
    let world = ground.world();
    let id = world.id("the-job");
    let (witness, set) = world.witness(&id);
    world.sandbox.sendoff(&world.submit(&["--no-tracking", "--job-id", &id, "--set", &set])).expect(0);
    let other = world.sandbox.sendoff(&world.submit(&["--no-tracking", "--job-id", &id, "--set", "inputs.witness=/dev/null"])).expect(244);
    assert!(other.stderr.contains("differs in `run config` (`inputs.witness`)"), "{}", other.stderr);
    world.sandbox.file("more.txt", "x");
    let run = world.sandbox.sendoff(&world.submit(&["--no-tracking", "--job-id", &id, "--set", &set])).expect(244);
    assert!(run.stderr.contains(&format!("the job `{id}` exists already and differs in `snapshot`")), "{}", run.stderr);
    assert_eq!(lines(&witness), 1);
}

fn two_clients_with_different_requests_under_one_id_run_one_of_them(ground: Ground) {
    let world = ground.world();
    let id = world.id("the-job");
    let clients: Vec<_> = ["one", "two", "one", "two"]
        .map(|name| {
            let (_, set) = world.witness(name);
            let mut client = world.sandbox.command(&world.submit(&["--no-tracking", "--job-id", &id, "--set", &set]));
            client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .into_iter()
        .map(|client| client.wait_with_output().expect("it ends"))
        .collect();
    let mut codes: Vec<_> = clients.iter().map(|output| output.status.code()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(0), Some(244), Some(244)], "{clients:?}");
    let refused = clients.iter().filter(|output| output.status.code() == Some(244));
    for output in refused {
        assert!(String::from_utf8_lossy(&output.stderr).contains("differs in `run config`"), "{output:?}");
    }
    assert_eq!(lines(&world.witness("one").0) + lines(&world.witness("two").0), 1);
    world.nothing_runs();
}

fn clients_killed_while_ten_race_for_one_key_leave_one_execution(ground: Ground) {
    let world = ground.world();
    let key = world.id("pipeline");
    let (witness, set) = world.witness("witness");
    let submit = world.submit(&["--no-tracking", "--key", &key, "--set", &set]);
    let points = ["reserve.after", "submit.after-intent", "submit.handed-over", "submit.after-act", "submit.after-outcome"];
    let clients: Vec<_> = (0..10)
        .map(|number| {
            let mut client = world.sandbox.command(&submit);
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
    world.sandbox.sendoff(&submit).expect(0);
    assert_eq!(lines(&witness), 1);
    world.nothing_runs();
}
