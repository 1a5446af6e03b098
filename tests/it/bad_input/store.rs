//! A job store that is not one.

use crate::support::Sandbox;

#[test]
fn a_broken_store_is_moved_aside_and_rebuilt() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "kept-job"]).expect(0);
    let data = sandbox.home().join("data");
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    std::fs::write(data.join("jobs.db"), "nonsense ".repeat(1000)).expect("writable");
    let run = sandbox.sendoff(&["list"]).expect(0);
    assert!(run.stderr.contains("the job store was broken; it was moved to") && run.stdout.contains("kept-job"), "{run:?}");
}
