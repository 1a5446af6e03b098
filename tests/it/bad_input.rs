//! Bad input gets a clear error, and nothing is made of it.

use insta::assert_snapshot;

use crate::support::Sandbox;

/// Submits, expects 244 and that nothing was made, and returns what was said.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let run = sandbox.sendoff(&[&["submit", "--no-tracking", "--quiet"], arguments].concat()).expect(244);
    assert!(!sandbox.home().join("data/jobs").exists(), "a job was made");
    assert_eq!(run.stdout, "");
    sandbox.plain(&run.stderr)
}

fn with_config(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print()\n").file("run.yaml", text);
    sandbox
}

#[test]
fn an_empty_folder_tells_what_to_do() {
    let said = refused(&Sandbox::new(), &[]);
    assert_snapshot!(said, @r"
    error: could not find a run config in `[SANDBOX]/project`
    hint: write one with `sendoff init`
    hint: or submit a Python file as it stands: `sendoff submit train.py`
    ");
}

#[test]
fn a_missing_file_is_named() {
    assert!(refused(&Sandbox::new(), &["other.yaml"]).starts_with("error: could not find the run config `[SANDBOX]/project/other.yaml`"));
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let sandbox = with_config(
        "scirpt: train.py\nscript: train.py\nresources: {cpus: lots, cpuss: 1}\nenvironment: {pip_packages: [numpy=1.0, -r x.txt]}\narguments: [\"${{inputs.C}}\"]\n",
    );
    let said = refused(&sandbox, &[]);
    for part in [
        "run.yaml:1:1",
        "did you mean `script`?",
        "run.yaml:3:19",
        "expected a whole number",
        "did you mean `cpus`?",
        "`numpy=1.0` is not a package",
        "requirements_file",
        "`${{inputs.C}}` names nothing",
        "found 6 problems in `run.yaml`",
    ] {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}

#[test]
fn broken_yaml_is_shown_where_it_breaks() {
    for (text, part) in [
        ("script: [a\nb: 1\n", "this is not YAML"),
        ("resources:\n\tcpus: 1\n", "a tab indents a line"),
        ("script: train.py\nscript: b.py\n", "the key `script` is there twice"),
        ("- a\n", "the document must be a mapping"),
        ("script: {a: 1}\n", "`script` must be a single value"),
    ] {
        let said = refused(&with_config(text), &[]);
        assert!(said.contains(part) && said.contains("--> run.yaml:"), "`{part}` is missing in:\n{said}");
    }
}

#[test]
fn what_is_missing_on_disk_is_named() {
    for (text, part) in [
        ("script: other.py\n", "the script `other.py` is missing"),
        ("script: ../x.py\n", "`script` must lie inside the source directory"),
        ("script: train.py\ninputs: {d: {type: uri_file, path: no.csv}}\n", "the input `d` is missing"),
        ("script: train.py\nenvironment: {requirements_file: r.txt}\n", "the file of `environment.requirements_file` is missing"),
        ("script: train.py\nsource_directory: nowhere\n", "the source directory is missing"),
        ("script: train.py\nsecrets: [NOT_SET_HERE]\n", "the secrets `NOT_SET_HERE` are not set"),
        ("script: train.py\nretry: {max_attempts: 2}\n", "`retry` is not built yet"),
        ("script: train.py\nresources: {nodes: 2}\n", "more than one node is not built yet"),
        ("script: train.py\ncompute_target: docker\n", "is of the kind `docker`, which is not built yet"),
        ("script: train.py\ncompute_target: locla\n", "did you mean `local`?"),
        ("script: train.py\nresources: {cpus: 5000}\n", "cannot honour `resources.cpus`"),
    ] {
        let said = refused(&with_config(text), &[]);
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}

#[test]
fn trees_that_cannot_be_packed_are_refused_by_name() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = with_config("script: train.py\n");
    std::os::unix::fs::symlink("/etc", sandbox.project().join("out")).expect("writable");
    std::fs::write(sandbox.project().join(std::ffi::OsStr::from_bytes(b"b\xff")), "").expect("writable");
    let said = refused(&sandbox, &[]);
    assert!(said.contains("`out`: the link leaves the source directory") && said.contains(r"`b\xff`: its name is not UTF-8"), "{said}");
}

#[test]
fn a_secret_in_the_tree_stops_the_submission() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file(".env", "X=1\n");
    let said = refused(&sandbox, &[]);
    assert!(said.contains("`.env`: environment files hold passwords") && said.contains("allow_files: [.env]"), "{said}");
}

#[test]
fn an_ignored_script_is_named() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file(".sendoffignore", "train.py\n");
    assert!(refused(&sandbox, &[]).contains("the script `train.py` is not part of the snapshot"));
}

#[test]
fn a_conda_package_is_refused_on_this_target() {
    let sandbox = with_config("script: train.py\nenvironment: {conda_file: c.yaml}\n");
    sandbox.file("c.yaml", "dependencies: [python=3.11, cudatoolkit]\n");
    assert!(refused(&sandbox, &[]).contains("the conda packages `cudatoolkit` cannot be installed on this target"));
}

#[test]
fn a_python_that_is_not_there_is_named() {
    let sandbox = with_config("script: train.py\nenvironment: {python: 3.99}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(245);
    assert!(run.stderr.contains("could not find Python `3.99` on this machine"), "{}", run.stderr);
}

#[test]
fn a_package_that_does_not_exist_fails_with_the_resolvers_reason_and_leaves_nothing() {
    let sandbox = with_config("script: train.py\nenvironment: {pip_packages: [./no-such-wheel-1-py3-none-any.whl]}\n");
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(245);
    assert!(run.stderr.contains("could not resolve the packages") && run.stderr.contains("no-such-wheel"), "{}", run.stderr);
    assert!(!sandbox.home().join("data/jobs").exists());
    assert!(!sandbox.home().join("cache/environments").exists());
}

#[test]
fn ci_must_name_its_tracker() {
    let sandbox = with_config("script: train.py\n").env("CI", "true");
    let run = sandbox.sendoff(&["submit"]).expect(244);
    assert!(run.stderr.contains("no tracker is named, and `CI` is set"), "{}", run.stderr);
}

#[test]
fn a_tracker_that_is_down_stops_the_submission() {
    let sandbox = with_config("script: train.py\ntracking: {uri: 'http://127.0.0.1:9'}\n");
    let run = sandbox.sendoff(&["submit"]).expect(245);
    assert!(run.stderr.contains("could not reach the tracker `http://127.0.0.1:9`"), "{}", run.stderr);
    assert!(!sandbox.home().join("data/jobs").exists());
}

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

#[test]
fn a_bad_command_line_ends_with_244() {
    let sandbox = Sandbox::new();
    for arguments in [&["submit", "--nonsense"][..], &["no-such-command"], &["submit", "--job-id", "Not An Id"], &["status", "nobody"]] {
        sandbox.sendoff(arguments).expect(244);
    }
    sandbox.sendoff(&["--version"]).expect(0);
}
