//! `credentials:` of the user's own settings: a token that a program prints, and that nobody but the tracker sees.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Sandbox, wait_until};
use crate::tracker::Tracker;

/// A secret that must be nowhere. It is put together by the program that prints it.
const SECRET: &str = "hunter2-hunter2";

/// Writes a program that prints the token, and counts how often it does.
fn program(sandbox: &Sandbox) -> String {
    let path = sandbox.project().parent().expect("it is below the sandbox").join("get-token");
    let log = path.with_extension("log");
    std::fs::write(&path, format!("#!/bin/sh\necho asked >> {}\nprintf 'hunter2-%s\\n' hunter2\n", log.display())).expect("writable");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("writable");
    path.display().to_string()
}

fn settings(sandbox: &Sandbox, text: &str) {
    std::fs::create_dir_all(sandbox.home().join("config")).expect("writable");
    std::fs::write(sandbox.home().join("config/sendoff.yaml"), text).expect("writable");
}

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[test]
fn a_token_that_a_program_prints_reaches_the_tracker_alone() {
    let tracker = Tracker::start().wants("Bearer hunter2-hunter2");
    // A secret for another host is in the environment here, and in nothing that stays.
    let sandbox = Sandbox::new().env("OTHER_TOKEN", SECRET);
    let program = program(&sandbox);
    let other = "https://other.example: {token_env: OTHER_TOKEN}";
    settings(&sandbox, &format!("credentials:\n  {}: {{command: [{program}]}}\n  {other}\n", tracker.uri()));
    sandbox.file(
        "run.yaml",
        &format!(
            "command: 'echo started; while [ ! -e ${{{{inputs.go}}}} ]; do sleep 0.05; done'\ninputs: {{go: GO}}\nexperiment_name: e\ntracking: {{uri: '{}'}}\n",
            tracker.uri()
        ),
    );
    let (go, set) = sandbox.shared_file("go");
    let plan = sandbox.sendoff(&["plan", "--set", &set]).expect(0);
    assert!(plan.stdout.contains(&format!("the token that `{program}` prints")), "{}", plan.stdout);
    assert!(plan.stdout.contains("sendoff.yaml:2)") && !holds(plan.stdout.as_bytes()), "{}", plan.stdout);
    let submitted = sandbox.sendoff(&["submit", "--detach", "--job-id", "the-job", "--set", &set]).expect(0);
    assert!(!holds(submitted.stdout.as_bytes()) && !holds(submitted.stderr.as_bytes()));
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
        if log.lines().any(|line| line == "started") { Ok(()) } else { Err(log) }
    });
    // Supervisor, relay and the job's own, while the job runs.
    let marker = sandbox.home().display().to_string();
    let (mut seen, mut relays) = (0, 0);
    for entry in std::fs::read_dir("/proc").expect("there is one").flatten() {
        let (environment, line) = (std::fs::read(entry.path().join("environ")), std::fs::read(entry.path().join("cmdline")));
        let (Ok(environment), Ok(line)) = (environment, line) else { continue };
        if String::from_utf8_lossy(&environment).contains(&marker) || String::from_utf8_lossy(&line).contains(&marker) {
            seen += 1;
            relays += usize::from(line.ends_with(b"\0relay\0"));
            assert!(!holds(&environment) && !holds(&line), "{}", String::from_utf8_lossy(&line));
        }
    }
    assert!(seen >= 3 && relays == 1, "{seen} processes, {relays} relays");
    std::fs::write(&go, "").expect("writable");
    sandbox.sendoff(&["wait", "the-job"]).expect(0);
    // Later commands find the same credentials again.
    sandbox.sendoff(&["metrics", "the-job"]).expect(0);
    assert_eq!(tracker.statuses("the-job"), ["FINISHED"]);
    for entry in walkdir::WalkDir::new(sandbox.home().parent().expect("the sandbox")).into_iter().flatten() {
        if entry.file_type().is_file() {
            assert!(!holds(&std::fs::read(entry.path()).expect("readable")), "{}", entry.path().display());
        }
    }
    assert!(!tracker.told().contains(SECRET));
}

#[test]
fn only_the_users_own_settings_say_where_credentials_go() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo never\ncredentials:\n  https://evil.example: {command: [rm], token: hunter2-hunter2}\n");
    let refused = sandbox.sendoff(&["check"]).expect(244);
    assert!(refused.stderr.contains("run.yaml:2:1") && refused.stderr.contains("only stand in your own settings"), "{}", refused.stderr);
    assert!(!holds(refused.stderr.as_bytes()), "{}", refused.stderr);
    sandbox.file("run.yaml", "command: echo never\n");
    sandbox.file("sendoff.yaml", "grace: 5s\ncredentials:\n  https://evil.example: {token_env: HOME}\n");
    let refused = sandbox.sendoff(&["config", "show"]).expect(244);
    insta::assert_snapshot!(refused.stderr, @r"
    error: `credentials` may only stand in your own settings
     --> sendoff.yaml:2:1
      |
    2 | credentials:
      | ^^^^^^^^^^^ a project does not say where your credentials go
      |
      = help: move it to `sendoff.yaml` in your own configuration folder

    error: found 1 problem in `sendoff.yaml`
    ");
    // What stands there may be a secret.
    sandbox
        .file("sendoff.yaml", "")
        .file("run.yaml", "{command: echo, credentials: {https://a.example: {token: hunter2}}, tags: {a: b}}\n");
    let refused = sandbox.sendoff(&["config", "show"]).expect(244);
    insta::assert_snapshot!(refused.stderr, @r"
    error: `credentials` may only stand in your own settings
     --> run.yaml:1:17
      |
    1 | {command: echo, credentials: {https://a.example: {token: *******}}, tags: {a: b}}
      |                 ^^^^^^^^^^^ a project does not say where your credentials go
      |
      = help: move it to `sendoff.yaml` in your own configuration folder

    error: found 1 problem in `run.yaml`
    ");
}

#[test]
fn a_variable_that_is_not_set_is_named_before_anything_is_sent() {
    let tracker = Tracker::start().wants("Bearer hunter2-hunter2");
    let sandbox = Sandbox::new();
    settings(&sandbox, &format!("credentials: {{'{}': {{token_env: MY_TOKEN}}}}\n", tracker.uri()));
    sandbox.file("run.yaml", &format!("command: echo never\ntracking: {{uri: '{}'}}\n", tracker.uri()));
    let refused = sandbox.sendoff(&["submit"]).expect(245);
    assert!(refused.stderr.contains("`MY_TOKEN` is not set"), "{}", refused.stderr);
    let shown = sandbox.sendoff(&["config", "show"]).expect(0).stdout;
    assert!(shown.lines().any(|line| line.starts_with("credentials ") && line.contains("the token in `MY_TOKEN`")), "{shown}");
}

#[test]
fn the_settings_of_the_readme_are_right() {
    let readme = include_str!("../../README.md");
    let text = readme.split("```yaml\n").nth(2).and_then(|text| text.split("```").next()).expect("it shows settings");
    assert!(text.contains("credentials:"), "{text}");
    let sandbox = Sandbox::new();
    settings(&sandbox, text);
    sandbox.file("run.yaml", "command: echo never\ntracking: {uri: 'https://mlflow.example.org/path'}\n");
    let shown = sandbox.sendoff(&["config", "show"]).expect(0).stdout;
    assert!(shown.lines().any(|line| line.starts_with("credentials ") && line.contains("the token that `get-token` prints")), "{shown}");
    let schema = sandbox.sendoff(&["schema", "settings"]).expect(0).json();
    let validator = jsonschema::validator_for(&schema).expect("it is a schema");
    let valid = |text: &str| validator.is_valid(&serde_yaml::from_str(text).expect("it is YAML"));
    assert!(valid(text));
    assert!(!valid("credentials: {'https://a': {token: x}}") && !valid("credentials: {'https://a': {token_env: A, command: b}}"));
}
