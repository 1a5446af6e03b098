//! The store is lost, an id is used again: one execution or none, and the next command knows which.

use crate::support::{Sandbox, lines};

fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ran >> ${{inputs.witness}}; sleep 0.2\ninputs: {witness: W}\n");
    let (_, set) = sandbox.shared_file("witness");
    (sandbox, set)
}

#[test]
fn a_store_deleted_between_two_submissions_does_not_run_the_job_twice() {
    let (sandbox, set) = sandbox();
    let submit = ["submit", "--no-tracking", "--job-id", "the-job", "--set", &set];
    sandbox.sendoff(&submit).expect(0);
    for name in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(sandbox.home().join("data").join(name));
    }
    sandbox.sendoff(&submit).expect(0);
    assert_eq!(lines(&sandbox.home().join("witness")), 1);
}

#[test]
fn another_request_under_the_same_id_is_refused_with_the_differences() {
    let (sandbox, set) = sandbox();
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job", "--set", &set]).expect(0);
    let other = sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job", "--set", "inputs.witness=/dev/null"]).expect(244);
    assert!(other.stderr.contains("differs in `run config` (`inputs.witness`)"), "{}", other.stderr);
    sandbox.file("more.txt", "x");
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job", "--set", &set]).expect(244);
    assert!(run.stderr.contains("the job `the-job` exists already and differs in `snapshot`"), "{}", run.stderr);
}
