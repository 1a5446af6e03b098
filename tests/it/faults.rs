//! File systems that fail: a full disk, a read-only home, records that are damaged. The job's own outcome stands, and messages have a way out.
//!
//! Tests that need mounts of their own are ignored by default; `tests/run` runs them where the machine allows such mounts.

use insta::assert_snapshot;

use crate::support::{Sandbox, wait_until};

/// Puts sendoff's folders on a file system of six mebibytes.
const SMALL: &str = "mkdir -p \"$SENDOFF_HOME\"; mount -t tmpfs -o size=6m tmpfs \"$SENDOFF_HOME\"; cd \"$0\"\n";

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_a_disk_that_is_full_while_packing_stops_the_submission_and_keeps_nothing_half_made() {
    let sandbox = Sandbox::new();
    // Nothing that deflates.
    let mut state = 1_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).expect("eight bits")
    })
    .take(20 << 20)
    .collect();
    std::fs::write(sandbox.project().join("noise.bin"), noise).expect("writable");
    sandbox.file("run.yaml", "command: echo ok\n");
    // The environment is there when the disk fills: both are made side by side, and the first to fail is named.
    let script = format!(
        "{SMALL}left() {{ find \"$SENDOFF_HOME\" -name '*.zip*' -o -name '*tmp*' -o -path '*/data/jobs*' | sort; }}\n\
         mv noise.bin ..; \"$@\" >&2; mv ../noise.bin .; left >../before\n\
         code=0; \"$@\" || code=$?; left | comm -13 ../before -; exit $code"
    );
    let run = sandbox.script_with_mounts(&script, &["submit", "--no-tracking", "--quiet"]).expect(245);
    assert_eq!(run.stdout, "", "something half-made stays");
    let errors: String = run.stderr.lines().skip_while(|line| !line.starts_with("error:")).map(|line| format!("{line}\n")).collect();
    assert_snapshot!(sandbox.plain(&errors), @r"
    error: could not write the snapshot
      caused by: i/o error: No space left on device (os error 28)
      caused by: No space left on device (os error 28)
    hint: free some space (`sendoff delete` and `sendoff env prune` remove what is no longer needed), or set `SENDOFF_HOME` to a folder elsewhere
    ");
    assert!(!run.stderr.contains("ZipWriter"), "{}", run.stderr);
}

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_a_disk_that_a_jobs_log_fills_does_not_hide_its_outcome() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "import sys\ntry:\n    while True:\n        print('x' * 1000)\nexcept OSError:\n    sys.exit(7)\n");
    sandbox.file("run.yaml", "script: train.py\n");
    let script = format!(
        "{SMALL}\"$@\" > /dev/null || echo submit $?\n\"$1\" wait the-job || echo wait $?\n\
         \"$1\" submit --no-tracking --quiet --job-id other-job || echo other $?\n\"$1\" delete the-job\n\
         \"$1\" submit --no-tracking --job-id other-job --set 'command=echo there is room again' --set script="
    );
    let run = sandbox.script_with_mounts(&script, &["submit", "--no-tracking", "--quiet", "--job-id", "the-job"]);
    let said = sandbox.plain(&run.stderr);
    assert!(run.stdout.contains("submit 7\nwait 7\nother 245\n"), "{run:?}");
    assert!(said.contains("reason: the file system of its log is full"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.contains("hint: free some space"), "{said}");
}

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_a_read_only_home_is_named_with_a_way_out() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    let read_only = "mkdir -p \"$SENDOFF_HOME\"; mount -t tmpfs -o ro tmpfs \"$SENDOFF_HOME\"";
    let run = sandbox.with_mounts(read_only, &["submit", "--no-tracking", "--quiet"]).expect(245);
    let errors: String = run.stderr.lines().skip_while(|line| !line.starts_with("error:")).map(|line| format!("{line}\n")).collect();
    // Packing and the environment begin side by side: which is first to fail is open.
    let errors = errors.replace("/cache/snapshots`", "/cache`").replace("/cache/locks`", "/cache`");
    assert_snapshot!(sandbox.plain(&errors), @r"
    error: could not create `[SANDBOX]/sendoff/cache`
      caused by: Read-only file system (os error 30)
    hint: set `SENDOFF_HOME` to a folder that you can write to
    ");
    // What changes nothing needs no room.
    sandbox.with_mounts(read_only, &["check"]).expect(0);
    sandbox.with_mounts(read_only, &["plan", "--no-tracking"]).expect(0);
    let list = sandbox.with_mounts(read_only, &["list"]);
    assert!(list.stderr.contains("hint: set `SENDOFF_HOME` to a folder that you can write to"), "{}", list.stderr);
    let doctor = sandbox.with_mounts(read_only, &["doctor"]);
    assert!(doctor.stdout.contains("MISSING  data folder: ") && doctor.stdout.contains("Read-only file system"), "{}", doctor.stdout);
}

/// Returns a sandbox with a job that has ended with code 3 and of which no client has heard since it was submitted.
fn unheard() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: exit 3\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    wait_until(|| if sandbox.attempt("the-job", "exit.json").exists() { Ok(()) } else { Err("it runs".to_owned()) });
    sandbox.nothing_runs();
    sandbox
}

fn damage(sandbox: &Sandbox, name: &str) {
    std::fs::write(sandbox.attempt("the-job", name), "{\"ending\": \"exi").expect("writable");
}

#[test]
fn a_damaged_outcome_is_not_guessed() {
    let sandbox = unheard();
    damage(&sandbox, "exit.json");
    let run = sandbox.sendoff(&["wait", "the-job"]).expect(240);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    job `the-job` was lost
    reason: its record `[SANDBOX]/sendoff/data/jobs/the-job/attempt-1/exit.json` cannot be read, so how it ended is not known (its log may tell); nothing of it is left running
    ");
    let status = sandbox.sendoff(&["status", "the-job"]).expect(0).stdout;
    assert!(status.contains("\nran          at most "), "{status}");
    // It is looked at by a person, perhaps.
    assert!(sandbox.attempt("the-job", "exit.json.damaged").exists());
    // The job can be started again, and forgotten.
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job", "--new-attempt"]).expect(3);
    sandbox.sendoff(&["delete", "the-job"]).expect(0);
}

#[test]
fn a_damaged_claim_does_not_hide_the_outcome_nor_start_the_job_again() {
    let sandbox = unheard();
    damage(&sandbox, "claim");
    sandbox.sendoff(&["wait", "the-job"]).expect(3);

    let sandbox = unheard();
    damage(&sandbox, "claim");
    std::fs::remove_file(sandbox.attempt("the-job", "exit.json")).expect("it is there");
    let run = sandbox.sendoff(&["wait", "the-job"]).expect(240);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    job `the-job` was lost
    reason: its record `[SANDBOX]/sendoff/data/jobs/the-job/attempt-1/claim` cannot be read, so how it ended is not known (its log may tell); nothing of it is left running
    ");
    let again = sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(244);
    assert!(again.stderr.contains("was lost"), "{}", again.stderr);
}

#[test]
fn a_damaged_claim_of_a_living_job_changes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: sleep 600\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    damage(&sandbox, "claim");
    for name in ["status.json", "spec.json"] {
        wait_until(|| if sandbox.attempt("the-job", name).exists() { Ok(()) } else { Err(format!("there is no {name}")) });
        damage(&sandbox, name);
    }
    let status = sandbox.sendoff(&["status", "the-job", "--output", "json"]).expect(0).json();
    assert!(["submitted", "running"].contains(&status["state"].as_str().unwrap_or_default()), "{status}");
    sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    sandbox.sendoff(&["wait", "the-job"]).expect(241);
    sandbox.nothing_runs();
}

#[test]
fn a_damaged_description_ends_the_job_before_it_starts() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo in command\n");
    sandbox.armed("submit.after-intent", &["submit", "--no-tracking", "--job-id", "the-job"]);
    damage(&sandbox, "spec.json");
    let folder = sandbox.attempt("the-job", "").display().to_string();
    sandbox.sendoff(&["supervise", &folder]).expect(0);
    let run = sandbox.sendoff(&["wait", "the-job"]).expect(240);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    job `the-job` failed
    reason: could not read the record `[SANDBOX]/sendoff/data/jobs/the-job/attempt-1/spec.json`: EOF while parsing a string at line 1 column 15
    ");
}

#[test]
fn a_record_that_cannot_be_read_names_its_file() {
    let sandbox = unheard();
    let claim = sandbox.attempt("the-job", "claim");
    std::fs::remove_file(&claim).expect("it is there");
    std::fs::create_dir(&claim).expect("writable");
    let run = sandbox.sendoff(&["wait", "the-job"]);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    error: could not read `[SANDBOX]/sendoff/data/jobs/the-job/attempt-1/claim`
      caused by: Is a directory (os error 21)
    ");
}
