//! What shows only at the boundary itself: many attempts in one trip, and a failure that leaves nothing. Today's one target is asked.

use sendoff::job::attempt::Attempt;
use sendoff::job::{Command, JobSpec, JobState, Launch};
use sendoff::target::local::Local;
use sendoff::target::{JobRef, Presence, Target};

use crate::support::{Sandbox, wait_until};

fn reference(job: &str) -> JobRef {
    JobRef { id: job.parse().expect("a good id"), attempt: 1 }
}

fn ask(target: &Local, jobs: &[JobRef]) -> Vec<Presence> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(target.states(jobs)).expect("it answers")
}

#[test]
fn states_answers_for_many_jobs_in_their_order_and_absent_ones_stay_absent() {
    let sandbox = Sandbox::new();
    sandbox
        .file("good.yaml", "command: exit 0\n")
        .file("bad.yaml", "command: exit 9\n")
        .file("long.yaml", "command: sleep 600\ngrace: 1s\n");
    for name in ["good", "bad", "long"] {
        let file = format!("{name}.yaml");
        let job = format!("{name}-job");
        sandbox.sendoff(&["submit", &file, "--no-tracking", "--detach", "--job-id", &job]).expect(0);
    }
    let target = Local::new(&sandbox.home().join("data"));
    let jobs = ["long-job", "never-job", "bad-job", "good-job", "odd-job"].map(reference);
    // One whose files cannot be read does not hide the others.
    std::fs::create_dir_all(sandbox.attempt("odd-job", "claim")).expect("writable");
    let words = wait_until(|| {
        let words: Vec<String> = ask(&target, &jobs)
            .into_iter()
            .map(|presence| match presence {
                Presence::Absent => "absent".to_owned(),
                Presence::Present(state) => state.word().to_owned(),
                Presence::Unattended | Presence::Unstarted { .. } => "unattended".to_owned(),
            })
            .collect();
        let is_settled = words[0] == "running" && words[2] == "failed" && words[3] == "succeeded";
        if is_settled { Ok(words) } else { Err(format!("{words:?}")) }
    });
    assert_eq!((words[1].as_str(), words[4].as_str()), ("absent", "unknown"));
    // Who was told that there is no job is never contradicted: a late supervisor finds the tombstone.
    let attempt = Attempt::new(&sandbox.home().join("data"), &jobs[1].id, 1);
    assert!(!attempt.bury().expect("readable"), "the attempt can still be claimed");
    sandbox.sendoff(&["cancel", "long-job"]).expect(0);
}

#[test]
fn a_submission_that_fails_leaves_nothing_that_could_run() {
    let sandbox = Sandbox::new();
    let data = sandbox.home().join("data");
    let target = Local::new(&data);
    let job = reference("the-job");
    let spec = JobSpec {
        id: job.id.clone(),
        attempt: 1,
        digest: String::new(),
        request: sendoff::job::Request::default(),
        command: Command::Shell("true".to_owned()),
        setup: None,
        archive: sandbox.project().join("no-archive.zip"),
        snapshot: String::new(),
        leases: Vec::new(),
        python: "/usr/bin/python3".into(),
        variables: Vec::new(),
        secrets: Vec::new(),
        outputs: Vec::new(),
        cpus: None,
        memory: None,
        gpus: None,
        max_duration: None,
        grace: std::time::Duration::ZERO,
        queue: None,
        preflight: false,
        nodes: 1,
        container: None,
        hosted: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Not prepared: there is no folder to run in.
    let error = runtime.block_on(target.submit(&spec, &Launch::default())).expect_err("there is nothing to submit");
    assert!(error.to_string().starts_with("could not find "), "{error}");
    assert_eq!(ask(&target, std::slice::from_ref(&job)), [Presence::Absent]);
    // Given up by then: it cannot be submitted any more, and says so instead of returning as if it had been.
    let error = runtime.block_on(target.submit(&spec, &Launch::default())).expect_err("it was given up");
    assert_eq!(error.to_string(), "another command gave `the-job` up before it was started");
    let cancelled = runtime.block_on(target.cancel(&job, None)).expect("there is nothing to end");
    assert!(matches!(cancelled, JobState::Cancelled(_)), "{cancelled:?}");
    sandbox.nothing_runs();
}
