//! Built once, never half, and again when it has to be.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{sandbox, say, says, wheels, wrapped};
use crate::support::{Sandbox, wait_until};

/// A `uv` that writes down when each call begins and ends, and holds an installation while the file `hold` is there.
fn witnessed(sandbox: Sandbox) -> (Sandbox, PathBuf, PathBuf) {
    let [log, hold] = ["log", "hold"].map(|name| sandbox.home().with_file_name(name));
    let before = format!(
        "echo \"begin $1 $2\" >> '{log}'\nif [ \"$1 $2\" = 'pip install' ]; then while [ -e '{hold}' ]; do sleep 0.02; done; fi",
        log = log.display(),
        hold = hold.display()
    );
    let after = format!("echo \"end $1 $2\" >> '{}'", log.display());
    (wrapped(sandbox, &before, &after), log, hold)
}

fn count(log: &Path, line: &str) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().lines().filter(|found| found.starts_with(line)).count()
}

#[test]
fn ten_submissions_race_for_one_new_environment_and_build_it_once() {
    let (sandbox, log, _) = witnessed(sandbox());
    wheels(&sandbox);
    sandbox.file("train.py", "import alpha\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
    let clients: Vec<_> = (0..10)
        .map(|number| {
            let mut client = sandbox.command(&["submit", "--no-tracking", "--quiet", "--job-id", &format!("job-{number}")]);
            client.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!((count(&log, "begin venv"), count(&log, "begin pip install")), (1, 1));
    // And what is cached asks `uv` for nothing.
    let before = count(&log, "begin");
    sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert_eq!(count(&log, "begin"), before);
}

/// Every point at which a build can be interrupted.
const POINTS: [&str; 2] = ["environment.half-built", "environment.before-complete"];

#[test]
fn a_build_that_is_interrupted_is_never_taken_for_whole() {
    let source = format!("{}/src/environment", env!("CARGO_MANIFEST_DIR"));
    let text: String =
        walkdir::WalkDir::new(source).into_iter().flatten().filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    assert_eq!(text.matches("fault::point(").count(), POINTS.len(), "a point is not armed here");
    for point in POINTS {
        let sandbox = sandbox();
        wheels(&sandbox);
        sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
        sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
        let killed = sandbox.armed(point, &["submit", "--no-tracking"]);
        assert_eq!(killed.code, None, "{point} is not on the way: {killed:?}");
        let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
        assert!(plan.stdout.contains("is resolved and has to be built"), "{}", plan.stdout);
        says(&sandbox.sendoff(&["submit", "--no-tracking"]), "alpha two\n");
    }
}

#[test]
fn a_client_that_is_killed_leaves_an_installation_that_nobody_builds_beside() {
    let (sandbox, log, hold) = witnessed(sandbox());
    wheels(&sandbox);
    std::fs::write(&hold, "").expect("writable");
    sandbox.file("train.py", "import alpha\nprint(alpha.SAYS)\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {pip_packages: [alpha], find_links: [wheels]}\n");
    let submit = || {
        let mut client = sandbox.command(&["submit", "--no-tracking", "--quiet"]);
        client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    let mut first = submit();
    wait_until(|| if count(&log, "begin pip install") == 1 { Ok(()) } else { Err("it does not install".to_owned()) });
    first.kill().expect("it runs");
    first.wait().expect("it ends");
    let second = submit();
    // It waits for the lock, which the kernel shows.
    let waiting = format!("{}", second.id());
    wait_until(|| {
        let stack = std::fs::read_to_string("/proc/locks").unwrap_or_default();
        let waits = stack.lines().any(|line| line.contains("->") && line.split_whitespace().any(|word| word == waiting));
        if waits { Ok(()) } else { Err(stack) }
    });
    assert_eq!(count(&log, "begin venv"), 1, "built beside an installation that still runs");
    std::fs::remove_file(&hold).expect("it is there");
    let output = second.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let calls = std::fs::read_to_string(&log).expect("they were written down");
    let end = calls.find("end pip install").expect("the orphan ended");
    assert!(calls.rfind("begin venv").expect("it was built again") > end, "{calls}");
    sandbox.nothing_runs();
}

#[test]
fn an_environment_whose_interpreter_is_gone_is_built_again() {
    let sandbox = sandbox();
    wheels(&sandbox);
    let environment = "{pip_packages: [alpha], find_links: [wheels]}";
    says(&say(&sandbox, &["alpha"], environment), "alpha two\n");
    let folders = std::fs::read_dir(sandbox.home().join("cache/environments")).expect("it was built");
    let folder = folders.flatten().map(|entry| entry.path()).find(|path| path.is_dir()).expect("one");
    std::fs::remove_file(folder.join("bin/python")).expect("it is there");
    std::os::unix::fs::symlink("/nowhere/python3", folder.join("bin/python")).expect("writable");
    says(&say(&sandbox, &["alpha"], environment), "alpha two\n");
}

#[test]
fn prune_passes_over_the_environments_of_live_jobs() {
    let sandbox = sandbox();
    sandbox.file("run.yaml", "command: sleep 600\ngrace: 1s\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--detach", "--job-id", "the-job"]).expect(0);
    let pruned = sandbox.sendoff(&["env", "prune"]).expect(0);
    assert_eq!(pruned.stdout, "removed 0 environments\n");
    sandbox.sendoff(&["cancel", "the-job"]).expect(0);
    let pruned = sandbox.sendoff(&["env", "prune"]).expect(0);
    assert_eq!(pruned.stdout, "removed 1 environment\n");
}
