//! The client is killed at each of its points, with and without a tracker: one execution or none, the next command knows which, and no MLflow
//! run stays open.

use std::collections::BTreeSet;

use super::{Ground, on_every_ground, service};
use crate::support::{lines, wait_until};
use crate::tracker::{Mood, Tracker};

/// Every point of the client, and whether it is on the way of an untracked submission too: for each step after the intent, after the act but
/// before its outcome, after the outcome.
const POINTS: [(&str, bool); 8] = [
    ("reserve.after", true),
    ("mlflow-run.after-intent", false),
    ("mlflow-run.after-act", false),
    ("mlflow-run.after-outcome", false),
    ("submit.after-intent", true),
    ("submit.handed-over", true),
    ("submit.after-act", true),
    ("submit.after-outcome", true),
];

#[test]
fn every_point_of_the_source_is_armed_by_a_test() {
    let source = format!("{}/src", env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for entry in walkdir::WalkDir::new(source).into_iter().flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"))
    {
        let text = std::fs::read_to_string(entry.path()).expect("readable");
        // The points of supervisor, environments and relay have tables of their own.
        found.extend(
            text.split("fault::point(\"")
                .skip(1)
                .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
                .filter(|name| !["supervisor.", "environment.", "relay."].iter().any(|other| name.starts_with(other))),
        );
    }
    let armed: BTreeSet<String> = POINTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, armed);
}

on_every_ground! {
    an_untracked_client_killed_anywhere_leaves_one_execution,
    a_tracked_client_killed_anywhere_leaves_one_execution_and_one_closed_mlflow_run,
    a_tracker_that_goes_away_in_the_middle_leaves_nothing_open_once_it_is_back,
}

/// What comes after the client is dead: whether somebody asks before the same is submitted again, and whether the store is lost.
const AFTER: [(&str, bool, bool); 3] = [("asked", true, false), ("again", false, false), ("lost", false, true)];

fn an_untracked_client_killed_anywhere_leaves_one_execution(ground: Ground) {
    let world = ground.world();
    for (point, _) in POINTS.iter().filter(|(_, untracked)| *untracked) {
        for (name, status_first, store_lost) in AFTER {
            let id = world.id(&format!("{}-{name}", point.replace(".after", "").replace('.', "-")));
            let (witness, set) = world.witness(&id);
            let submit = world.submit(&["--no-tracking", "--job-id", &id, "--set", &set]);
            let killed = world.sandbox.armed(point, &submit);
            assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
            if store_lost {
                world.lose_store();
            }
            if status_first {
                world.sandbox.sendoff(&["status", &id]).expect(0);
            }
            world.sandbox.sendoff(&submit).expect(0);
            assert_eq!(lines(&witness), 1, "{point} {name}");
            world.has_whole_log(&id);
        }
    }
    world.nothing_runs();
}

fn a_tracked_client_killed_anywhere_leaves_one_execution_and_one_closed_mlflow_run(ground: Ground) {
    if ground == Ground::AzureMl {
        return service::a_client_that_is_killed_leaves_one_job_which_is_its_own_mlflow_run();
    }
    let tracker = Tracker::start();
    let mut world = ground.world();
    world.sandbox.set("MLFLOW_TRACKING_URI", &tracker.uri());
    for (point, _) in POINTS {
        for (name, status_first, store_lost) in AFTER {
            let id = world.id(&format!("{}-{name}", point.replace(".after", "").replace('.', "-")));
            let (witness, set) = world.witness(&id);
            let submit = world.submit(&["--job-id", &id, "--set", &set]);
            let killed = world.sandbox.armed(point, &submit);
            assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
            if store_lost {
                world.lose_store();
            }
            if status_first {
                world.sandbox.sendoff(&["status", &id]).expect(0);
                wait_until(|| {
                    let status = world.sandbox.sendoff(&["status", &id, "--output", "json"]).expect(0).json();
                    // The job is not there, or it ends by itself.
                    let settled = status["ended"] == true || status["state"] == "preparing";
                    if settled { Ok(()) } else { Err(status.to_string()) }
                });
                let open = tracker.statuses(&id).into_iter().filter(|status| status == "RUNNING").count();
                assert_eq!(open, 0, "{point}: an MLflow run stays open after `status`");
            }
            world.sandbox.sendoff(&submit).expect(0);
            assert_eq!(lines(&witness), 1, "{point} {name}");
            assert_eq!(tracker.statuses(&id), ["FINISHED"], "{point} {name}");
            world.has_whole_log(&id);
        }
    }
    world.nothing_runs();
}

fn a_tracker_that_goes_away_in_the_middle_leaves_nothing_open_once_it_is_back(ground: Ground) {
    if ground == Ground::AzureMl {
        return service::a_workspace_that_takes_no_job_for_a_while_has_none_of_it();
    }
    let tracker = Tracker::start();
    let mut world = ground.world();
    world.sandbox.set("MLFLOW_TRACKING_URI", &tracker.uri());
    let id = world.id("the-job");
    let (witness, set) = world.witness(&id);
    // The MLflow run is created, and every later word is refused: the client cannot close it.
    tracker.mood(Mood::Says(503, "later"), "runs/");
    let submit = world.submit(&["--job-id", &id, "--set", &set]);
    let failed = world.sandbox.sendoff(&submit).expect(245);
    assert!(failed.stderr.contains("has trouble (status 503)"), "{}", failed.stderr);
    assert_eq!(lines(&witness), 0);
    tracker.mood(Mood::Fine, "");
    world.sandbox.sendoff(&submit).expect(0);
    assert_eq!(tracker.statuses(&id), ["FINISHED"]);
    assert_eq!(lines(&witness), 1);
    world.nothing_runs();
}
