//! Resources and queues of this machine: memory, CPUs, GPUs, `max_jobs`.
//!
//! Tests that need mounts of their own are ignored by default; `tests/run` runs them where the machine allows such mounts.

use sendoff::support::platform::{self, MemoryLimit};

use crate::support::{Run, Sandbox, wait_until};

/// Takes more memory than the jobs here may have.
const GREEDY: &str = "block = bytearray(1 << 28)\nfor i in range(0, len(block), 4096):\n    block[i] = 1\nprint('survived')\n";

/// Asserts that a machine that cannot limit memory says so before anything is sent.
#[track_caller]
fn is_refused(run: &Run) {
    assert_eq!(run.code, Some(244), "{run:?}");
    assert!(run.stderr.contains("the compute target `local` cannot honour `resources.memory`: no cgroup"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: change or remove `resources.memory`, or choose another target"), "{}", run.stderr);
}

fn can_limit_memory() -> bool {
    !matches!(platform::memory_limit(), MemoryLimit::Unavailable { .. })
}

#[test]
fn a_job_that_takes_too_much_memory_is_killed_or_refused_before() {
    let sandbox = Sandbox::new();
    sandbox.file("greedy.py", GREEDY).file("run.yaml", "script: greedy.py\nresources: {memory: 64MiB}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]);
    if !can_limit_memory() {
        return is_refused(&run);
    }
    let run = run.expect(240);
    assert!(run.stderr.contains("reason: it was killed at its memory limit of 64.0 MiB"), "{}", run.stderr);
    assert!(!run.stdout.contains("survived"));
    let group = std::fs::read_to_string(sandbox.attempt("the-job", "cgroup")).expect("it had a cgroup");
    assert!(!std::path::Path::new(&group).exists(), "{group} stays behind");
}

#[test]
fn a_job_whose_child_takes_too_much_memory_ends_with_its_own_code() {
    let sandbox = Sandbox::new();
    sandbox.file("greedy.py", GREEDY).file("run.yaml", "script: train.py\nresources: {memory: 64MiB}\n");
    sandbox
        .file("train.py", "import subprocess, sys\nsys.exit(3 if subprocess.run([sys.executable, 'greedy.py']).returncode == -9 else 4)\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]);
    if !can_limit_memory() {
        return is_refused(&run);
    }
    let run = run.expect(3);
    assert!(run.stderr.contains("reason: a child process was killed for want of memory"), "{}", run.stderr);
}

#[test]
fn the_cgroup_of_a_job_whose_supervisor_died_is_emptied_and_removed() {
    let sandbox = Sandbox::new();
    // No variable and no session leads to it: only the cgroup does.
    sandbox.file("run.yaml", "command: env -i $(command -v setsid) sleep 600 & echo ready; wait\nresources: {memory: 64MiB}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]);
    if !can_limit_memory() {
        return is_refused(&run);
    }
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.contains("\nready\n") { Ok(()) } else { Err(log) }
    });
    let group = std::fs::read_to_string(sandbox.attempt("the-job", "cgroup")).expect("it has a cgroup");
    assert!(std::path::Path::new(&group).exists());
    sandbox.kill_supervisor("the-job");
    sandbox.sendoff(&["status", "the-job"]).expect(0);
    assert!(!std::path::Path::new(&group).exists(), "{group} stays behind");
}

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_a_machine_without_cgroups_refuses_a_memory_limit() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\nresources: {memory: 64MiB}\n");
    let run = sandbox.with_mounts("mount -t tmpfs tmpfs /sys/fs/cgroup", &["submit", "--no-tracking"]);
    is_refused(&run);
    assert!(!sandbox.home().join("data/jobs").exists());
}

#[test]
fn cpus_restrict_what_the_job_may_use() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "import os\nprint('cpus', len(os.sched_getaffinity(0)))\n");
    sandbox.file("run.yaml", "script: train.py\nresources: {cpus: 1}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(run.stdout.contains("cpus 1\n"), "{}", run.stdout);
}

#[test]
fn a_named_target_replaces_resources() {
    let sandbox = Sandbox::new();
    sandbox.file("sendoff.yaml", "compute_targets: {small: {type: local, resources: {cpus: 1, max_duration: 2s}}}\n");
    sandbox.file("train.py", "import os, time\nprint('cpus', len(os.sched_getaffinity(0)), flush=True)\ntime.sleep(600)\n");
    sandbox.file("run.yaml", "script: train.py\ncompute_target: small\nresources: {cpus: 100000, max_duration: 1h}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(242);
    assert!(run.stdout.contains("cpus 1\n"), "{}", run.stdout);
}

#[test]
fn a_full_queue_is_served_in_order_with_no_client_alive() {
    let sandbox = Sandbox::new();
    sandbox.file("sendoff.yaml", "compute_targets: {one: {type: local, max_jobs: 1}}\n");
    sandbox.file(
        "run.yaml",
        "command: 'while [ ! -e $SENDOFF_INPUT_GO ]; do sleep 0.02; done; echo begin $SENDOFF_JOB_ID >> $SENDOFF_INPUT_WITNESS; sleep 0.2; echo end $SENDOFF_JOB_ID >> $SENDOFF_INPUT_WITNESS'\n\
         compute_target: one\ninputs: {go: GO, witness: W}\n",
    );
    let (go, set_go) = sandbox.shared_file("go");
    let (witness, set_witness) = sandbox.shared_file("witness");
    for job in ["job-c", "job-a", "job-b"] {
        sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", job, "--set", &set_go, "--set", &set_witness]).expect(0);
    }
    let queued = wait_until(|| {
        let status = sandbox.sendoff(&["status", "job-b"]).expect(0).stdout;
        if status.contains("queued") { Ok(status) } else { Err(status) }
    });
    assert!(queued.contains("2 jobs before it on `one`, which runs 1 at once"), "{queued}");
    std::fs::write(&go, "").expect("writable");
    // Nobody asks from here on: the supervisors alone hand the turn on.
    sandbox.nothing_runs();
    let order = std::fs::read_to_string(&witness).expect("they ran");
    assert_eq!(order, "begin job-c\nend job-c\nbegin job-a\nend job-a\nbegin job-b\nend job-b\n");
}

#[test]
fn a_queued_job_that_is_cancelled_never_runs_and_lets_the_next_one_pass() {
    let sandbox = Sandbox::new();
    sandbox.file("sendoff.yaml", "compute_targets: {one: {type: local, max_jobs: 1}}\n");
    sandbox
        .file("long.yaml", "command: sleep 600\ncompute_target: one\ngrace: 1s\n")
        .file("short.yaml", "command: echo ran\ncompute_target: one\n");
    for (file, job) in [("long.yaml", "job-a"), ("short.yaml", "job-b"), ("short.yaml", "job-c")] {
        sandbox.sendoff(&["submit", file, "--no-tracking", "--detach", "--job-id", job]).expect(0);
    }
    sandbox.sendoff(&["cancel", "job-b"]).expect(0);
    let waited = sandbox.sendoff(&["wait", "job-b"]).expect(241);
    assert!(waited.stderr.contains("reason: it was still queued"), "{}", waited.stderr);
    sandbox.sendoff(&["cancel", "job-a"]).expect(0);
    sandbox.sendoff(&["wait", "job-c"]).expect(0);
    assert!(!sandbox.sendoff(&["logs", "job-b"]).stdout.contains("ran"));
}

/// Makes `/dev` hold two NVIDIA devices, which are empty files.
const TWO_GPUS: &str = "mkdir -p \"$TMPDIR/dev\"; mount -t tmpfs tmpfs \"$TMPDIR/dev\"; cd \"$TMPDIR/dev\"; touch null urandom tty nvidia0 nvidia1
    for name in null urandom tty; do mount --bind /dev/$name $name; done; ln -s /proc/self/fd fd; mkdir shm; mount --rbind \"$TMPDIR/dev\" /dev";

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_gpus_are_leased_in_order_and_hidden() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "run.yaml",
        "command: 'echo gpus=$CUDA_VISIBLE_DEVICES.; while [ ! -e $SENDOFF_INPUT_GO ]; do sleep 0.02; done'\ninputs: {go: GO}\n",
    );
    let (go, set) = sandbox.shared_file("go");
    let submit = |job: &str, gpus: &str| {
        let gpus = format!("resources.gpus={gpus}");
        sandbox.with_mounts(TWO_GPUS, &["submit", "--no-tracking", "--detach", "--job-id", job, "--set", &gpus, "--set", &set])
    };
    let shows = |job: &str, text: &str| {
        wait_until(|| {
            let log = sandbox.sendoff(&["logs", job]).stdout;
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    };
    submit("job-a", "1").expect(0);
    shows("job-a", "gpus=0.\n");
    submit("job-none", "0").expect(0);
    shows("job-none", "gpus=.\n");
    submit("job-both", "2").expect(0);
    submit("job-late", "1").expect(0);
    for (job, reason) in [("job-both", "2 GPUs to become free"), ("job-late", "1 GPU to become free")] {
        wait_until(|| {
            let status = sandbox.sendoff(&["status", job]).expect(0).stdout;
            if status.contains("queued") && status.contains(reason) { Ok(()) } else { Err(status) }
        });
    }
    let refused = submit("job-many", "3").expect(244);
    assert!(refused.stderr.contains("cannot honour `resources.gpus`: it has 2 GPUs"), "{}", refused.stderr);
    std::fs::write(&go, "").expect("writable");
    for (job, gpus) in [("job-both", "gpus=0,1.\n"), ("job-late", "gpus=0.\n")] {
        sandbox.sendoff(&["wait", job]).expect(0);
        shows(job, gpus);
    }
}

#[test]
#[ignore = "needs mounts of its own: root, or user namespaces"]
fn own_mounts_only_the_gpus_that_the_submitter_may_use_are_leased() {
    let sandbox = Sandbox::new().env("CUDA_VISIBLE_DEVICES", "1");
    sandbox.file("run.yaml", "command: echo gpus=$CUDA_VISIBLE_DEVICES.\n");
    let run = sandbox.with_mounts(TWO_GPUS, &["submit", "--no-tracking", "--set", "resources.gpus=1"]).expect(0);
    assert!(run.stdout.contains("gpus=1.\n"), "{}", run.stdout);
    sandbox.with_mounts(TWO_GPUS, &["submit", "--no-tracking", "--set", "resources.gpus=2"]).expect(244);
}
