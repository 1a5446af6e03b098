//! The supervisor dies at each of its points: one execution or none, nothing left running, and the next command knows which.

use std::collections::BTreeSet;

use super::{Ground, World, on_every_ground_of_ours};
use crate::support::lines;
use crate::tracker::Tracker;

on_every_ground_of_ours! {
    an_untracked_supervisor_killed_anywhere_leaves_one_execution_or_none,
    a_tracked_supervisor_killed_anywhere_leaves_one_execution_or_none_and_no_mlflow_run_open,
}

/// What is known after the supervisor died at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Nothing was started, and the client could say so.
    NotStarted,
    /// Something may have been started: it is lost, and not started again by itself.
    Lost,
    /// The next command has it go on to its end: from its start when nothing of it has run, else from where it is.
    GoesOn,
    /// The outcome was on record.
    Ended,
}

/// Every point of the supervisor, with what is known of a job that dies with its supervisor, and of one that outlives it.
const POINTS: [(&str, After, After); 9] = [
    ("supervisor.before-claim", After::NotStarted, After::NotStarted),
    ("supervisor.after-claim", After::Lost, After::GoesOn),
    ("supervisor.queued", After::Lost, After::GoesOn),
    ("supervisor.before-command", After::Lost, After::GoesOn),
    ("supervisor.started", After::Lost, After::GoesOn),
    ("supervisor.running", After::Lost, After::GoesOn),
    ("supervisor.after-exit", After::Lost, After::GoesOn),
    ("supervisor.after-exit-record", After::Ended, After::Ended),
    ("supervisor.after-close", After::Ended, After::Ended),
];

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
    let armed: BTreeSet<String> = POINTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(found, armed);
}

/// Kills the supervisor at every point, then asks `status` and submits the same again.
fn kill_everywhere(world: &World, tracking: &[&str], statuses: impl Fn(&str) -> Vec<String>) {
    let sandbox = &world.sandbox;
    for (point, of_process, of_container) in POINTS {
        let after = if world.ground == Ground::Local { of_process } else { of_container };
        let id = world.id(&point.replace("supervisor.", "s-"));
        let (witness, set) = world.witness(&id);
        let submit = [&["submit", "--quiet", "--job-id", &id, "--set", &set], tracking].concat();
        let is_queued = point == "supervisor.queued";
        let blocker = world.id("blocker");
        if is_queued {
            sandbox.sendoff(&["submit", "blocker.yaml", "--no-tracking", "--detach", "--job-id", &blocker]).expect(0);
        }
        // A client that waits has a job watched over again, by supervisors that die as the first one did: this one does not wait.
        let detached = [&submit[..], &["--detach"]].concat();
        let code = if after == After::NotStarted { 245 } else { 0 };
        let run = sandbox.armed(point, &detached);
        assert_eq!(run.code, Some(code), "{point}: {run:?}");
        if code == 0 {
            sandbox.supervisor_is_dead(&id);
        }
        if is_queued {
            sandbox.sendoff(&["cancel", &blocker]).expect(0);
        }
        let ran = lines(&witness);
        assert!(ran <= 1, "{point}");
        if after != After::NotStarted {
            let state = world.state(&id);
            match after {
                After::Lost => assert_eq!(state, "lost", "{point}"),
                After::Ended => assert_eq!(state, "succeeded", "{point}"),
                _ => assert!(["submitted", "queued", "running", "succeeded"].contains(&state.as_str()), "{point}: {state}"),
            }
        }
        match after {
            // The same submission is as good as new.
            After::NotStarted => {
                sandbox.sendoff(&submit).expect(0);
                assert_eq!(lines(&witness), 1, "{point}");
            }
            After::Lost => {
                sandbox.nothing_runs();
                assert!(!statuses(&id).contains(&"RUNNING".to_owned()), "{point}: {:?}", statuses(&id));
                let again = sandbox.sendoff(&submit).expect(244);
                assert!(again.stderr.contains("was lost"), "{point}: {}", again.stderr);
                assert_eq!(lines(&witness), ran, "{point}");
                sandbox.sendoff(&[&submit[..], &["--new-attempt"]].concat()).expect(0);
                assert_eq!(lines(&witness), ran + 1, "{point}");
            }
            After::GoesOn | After::Ended => {
                sandbox.sendoff(&["wait", &id]).expect(0);
                assert!(!statuses(&id).contains(&"RUNNING".to_owned()), "{point}: {:?}", statuses(&id));
                world.has_whole_log(&id);
                sandbox.sendoff(&submit).expect(0);
                assert_eq!(lines(&witness), 1, "{point}");
            }
        }
        assert_eq!(statuses(&id).last().map_or("FINISHED", String::as_str), "FINISHED", "{point}");
        world.nothing_runs();
    }
}

fn an_untracked_supervisor_killed_anywhere_leaves_one_execution_or_none(ground: Ground) {
    kill_everywhere(&ground.world(), &["--no-tracking"], |_| Vec::new());
}

fn a_tracked_supervisor_killed_anywhere_leaves_one_execution_or_none_and_no_mlflow_run_open(ground: Ground) {
    let tracker = Tracker::start();
    let mut world = ground.world();
    world.sandbox.set("MLFLOW_TRACKING_URI", &tracker.uri());
    kill_everywhere(&world, &[], |id| tracker.statuses(id));
}
