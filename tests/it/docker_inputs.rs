//! How inputs of this machine get into a container.

use serde_json::Value;

use crate::support::Sandbox;

/// Makes a project with an input of more bytes than are copied without asking.
fn sandbox(mode: u32) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("data/small", "small\n").file(
        "run.yaml",
        "command: stat -c '%s %a' $SENDOFF_INPUT_LARGE $SENDOFF_INPUT_SMALL; touch $SENDOFF_INPUT_SMALL.x $SENDOFF_INPUT_LARGE.x || echo refused\n\
         compute_target: docker\ninputs: {large: {type: uri_file, path: data/large}, small: {type: uri_file, path: data/small}}\nenvironment: {python: 3.11}\n",
    );
    let large = sandbox.project().join("data/large");
    std::fs::File::create(&large).and_then(|file| file.set_len(20 << 20)).expect("writable");
    std::fs::set_permissions(&large, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("ours");
    sandbox
}

/// Returns what the plan says of an input.
fn planned(sandbox: &Sandbox, input: usize) -> String {
    let plan = sandbox.sendoff(&["plan", "--no-tracking", "--output", "json"]).expect(0).json();
    let text = |key: &str| plan["inputs"][input][key].as_str().map(str::to_owned);
    assert!(plan["inputs"].as_array().is_some_and(|inputs| inputs.len() == 2), "{}", Value::to_string(&plan["inputs"]));
    [text("brought"), text("reason")].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

#[test]
#[ignore = "needs a container engine"]
fn a_large_input_that_the_engine_sees_is_bound_and_not_copied() {
    let sandbox = sandbox(0o644);
    assert_eq!([planned(&sandbox, 0), planned(&sandbox, 1)], ["bound", "copied: it has at most 16.0 MiB"]);
    let files: Vec<_> =
        std::fs::read_dir(sandbox.project().join("data")).expect("it is there").flatten().map(|file| file.file_name()).collect();
    assert_eq!(files.len(), 2, "the probe is gone: {files:?}");
    sandbox.sendoff(&["submit", "--no-tracking", "--quiet"]).expect(0);
    let log = sandbox.sendoff(&["logs", "@last"]).expect(0).stdout;
    assert!(log.contains("20971520 644\n6 444\n") && log.contains("refused"), "{log}");
}

#[test]
#[ignore = "needs a container engine"]
fn a_large_input_that_the_jobs_user_may_not_read_is_copied() {
    let sandbox = sandbox(0o600);
    let job = sendoff::support::platform::own_user().0;
    if job != 0 {
        // Who submits may read it, and is the job's user.
        assert_eq!(planned(&sandbox, 0), "bound");
        return;
    }
    let large = sandbox.project().join("data/large");
    assert_eq!(planned(&sandbox, 0), format!("copied: the job's user 1000 may not read `{}`", large.display()));
    sandbox.sendoff(&["submit", "--no-tracking", "--quiet"]).expect(0);
    let log = sandbox.sendoff(&["logs", "@last"]).expect(0).stdout;
    assert!(log.contains("20971520 444\n"), "{log}");
}
