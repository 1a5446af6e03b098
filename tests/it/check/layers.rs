//! Where a value comes from, and which of several counts.

use insta::assert_snapshot;

use super::{explained, refused, user_settings};
use crate::support::Sandbox;

#[test]
fn every_value_is_shown_with_its_origin() {
    let sandbox = Sandbox::new().env("MLFLOW_EXPERIMENT_NAME", "from-outside");
    sandbox.file("train.py", "print()\n").file("data.csv", "");
    sandbox.file(
        "run.yaml",
        "script: train.py\narguments: [--C, \"${{inputs.C}}\"]\ninputs:\n  C: 0.10\n  data: {type: uri_file, path: data.csv}\noutputs: {model: {}}\n\
         compute_target: box\nenvironment: {python: 3.10, pip_packages: [numpy], index_url: 'https://user:word@pypi.org/simple'}\n\
         resources: {cpus: 1, memory: 1GiB}\ntracking: {attach: parent}\ntags: {team: vision}\n",
    );
    sandbox.file("sendoff.yaml", "compute_targets:\n  box: {type: local, max_jobs: 2, resources: {cpus: 2}}\ngrace: 5s\n");
    user_settings(&sandbox, "grace: 1m\nmax_snapshot_size: 2GiB\n");
    let run = sandbox.sendoff(&["config", "show", "--set", "resources.max_duration=1h"]).expect(0);
    assert_snapshot!(sandbox.plain(&run.stdout), @r"
    experiment_name               from-outside  (MLFLOW_EXPERIMENT_NAME)
    display_name                  <the job id>  (default)
    description                   <which job it is, and where>  (default)
    source_directory              [SANDBOX]/project  (default)
    script                        train.py  (run.yaml:1)
    arguments[0]                  --C  (run.yaml:2)
    arguments[1]                  ${{inputs.C}}  (run.yaml:2)
    setup                         <nothing>  (default)
    inputs.C                      0.10  (run.yaml:4)
    inputs.data.type              uri_file  (run.yaml:5)
    inputs.data.path              data.csv  (run.yaml:5)
    outputs.model.type            uri_folder  (default)
    compute_target                box  (run.yaml:7)
    compute_target.type           local  (sendoff.yaml:2)
    compute_target.max_jobs       2  (sendoff.yaml:2)
    environment.python            3.10  (run.yaml:8)
    environment.pip_packages[0]   numpy  (run.yaml:8)
    environment.index_url         https://pypi.org/simple  (run.yaml:8)
    environment.extra_index_urls  <none>  (default)
    environment.find_links        <none>  (default)
    environment.install_project   false  (default)
    environment_variables         <none>  (default)
    inherit                       <none beyond PATH, HOME, USER, LANG, TZ, TMPDIR and CUDA_VISIBLE_DEVICES>  (default)
    secrets                       <none>  (default)
    secrets_in_clear              false  (default)
    resources.cpus                2  (sendoff.yaml:2)
    resources.memory              1.0 GiB  (run.yaml:9)
    resources.gpus                <what the target shows>  (default)
    resources.nodes               1  (default)
    resources.max_duration        1 h 0 m  (--set)
    distribution                  <none>  (default)
    identity                      <none>  (default)
    services                      <none>  (default)
    queue_settings.job_tier       <the target's>  (default)
    queue_settings.priority       <the service's own>  (default)
    properties                    <none>  (default)
    tracking.uri                  managed  (default)
    tracking.attach               parent  (run.yaml:10)
    tracking.relay                spool  (default)
    tracking.outage               1 d 0 h  (default)
    tracking.drain                1 m 0 s  (default)
    tracking.spool_size           4.0 GiB  (default)
    credentials                   <none for this tracker>  (default)
    tags.team                     vision  (run.yaml:11)
    include                       <nothing that a rule ignores>  (default)
    allow_files                   <nothing that looks like a secret>  (default)
    grace                         5.0 s  (sendoff.yaml:3)
    max_snapshot_size             2.0 GiB  ([SANDBOX]/sendoff/config/sendoff.yaml:2)
    ");
}

/// The keys come from the schema, so a new one cannot be forgotten here.
#[test]
fn no_key_of_the_schema_is_left_out_of_what_is_shown() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\n");
    let schema = sandbox.sendoff(&["schema"]).expect(0).json();
    let report = sandbox.sendoff(&["config", "show", "--output", "json"]).expect(0).json();
    let shown: Vec<&str> =
        report["values"].as_array().expect("a list").iter().map(|value| value["key"].as_str().expect("a text")).collect();
    // Other forms of what is shown, and what no target honours yet.
    let apart = [
        "script",
        "limits",
        "retry",
        "environment.requirements_file",
        "environment.conda_file",
        "environment.pyproject",
        "environment.system_packages",
        "environment.image",
        "environment.dockerfile",
        "environment.build_context",
        "environment.push",
        "resources.shared_memory",
    ];
    let keys = |schema: &serde_json::Value, before: &str| -> Vec<String> {
        let properties = schema["properties"].as_object().expect("it has keys").iter();
        properties.filter(|(_, property)| property["deprecated"] != true).map(|(key, _)| format!("{before}{key}")).collect()
    };
    let mut all = keys(&schema, "");
    for section in ["environment", "resources", "tracking"] {
        let name = section[..1].to_uppercase() + &section[1..];
        all.extend(keys(&schema["$defs"][name], &format!("{section}.")));
    }
    for key in all.iter().filter(|key| !apart.contains(&key.as_str())) {
        assert!(shown.iter().any(|shown| shown.starts_with(key.as_str())), "`{key}` is not among {shown:?}");
    }
}

#[test]
fn a_stronger_layer_wins_for_every_value_that_has_layers() {
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", "http://variable:1").env("MLFLOW_EXPERIMENT_NAME", "variable");
    sandbox.file(
        "run.yaml",
        "command: x\ntracking: {uri: 'http://written:1'}\nexperiment_name: written\ncompute_target: written\ngrace: 1s\n",
    );
    let targets = "compute_targets: {written: {type: local}, project: {type: local}, flag: {type: local}}\n";
    sandbox.file(
        "sendoff.yaml",
        &format!(
            "{targets}tracking: {{uri: 'http://project:1', attach: run}}\nexperiment_name: project\ncompute_target: project\ngrace: 2s\n"
        ),
    );
    user_settings(
        &sandbox,
        "tracking: {uri: 'http://user:1', attach: parent}\nexperiment_name: user\ngrace: 3s\nmax_snapshot_size: 3MiB\n",
    );
    let flags = ["--tracking-uri", "http://flag:1", "--experiment-name", "flag", "--target", "flag", "--set", "grace=9s"];
    let keys = ["tracking.uri", "experiment_name", "compute_target", "grace", "tracking.attach", "max_snapshot_size"];
    let values = |arguments: &[&str]| keys.map(|key| explained(&sandbox, arguments, key).0);

    assert_eq!(values(&flags), ["http://flag:1", "flag", "flag", "9.0 s", "run", "3.0 MiB"]);
    assert_eq!(values(&[]), ["http://written:1", "written", "written", "1.0 s", "run", "3.0 MiB"]);
    sandbox.file("run.yaml", "command: x\n");
    assert_eq!(values(&[]), ["http://variable:1", "variable", "project", "2.0 s", "run", "3.0 MiB"]);
    let sandbox = sandbox.env("MLFLOW_TRACKING_URI", "").env("MLFLOW_EXPERIMENT_NAME", "");
    let values = |arguments: &[&str]| keys.map(|key| explained(&sandbox, arguments, key).0);
    assert_eq!(values(&[]), ["http://project:1", "project", "project", "2.0 s", "run", "3.0 MiB"]);
    sandbox.file("sendoff.yaml", "");
    assert_eq!(values(&[]), ["http://user:1", "user", "local", "3.0 s", "parent", "3.0 MiB"]);
    user_settings(&sandbox, "");
    let experiment = "the repository's name, else the folder's";
    assert_eq!(values(&[]), ["managed", experiment, "local", "30 s", "auto", "1.0 GiB"]);
}

#[test]
fn a_named_targets_resources_replace_the_run_configs_and_a_flag_replaces_both() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\ncompute_target: box\nresources: {cpus: 1, gpus: 0, max_duration: 1h}\n");
    sandbox.file("sendoff.yaml", "compute_targets:\n  box:\n    type: local\n    resources: {cpus: 2, max_duration: 30m}\n");
    assert_eq!(explained(&sandbox, &[], "resources.cpus"), ("2".into(), "sendoff.yaml:4".into()));
    assert_eq!(explained(&sandbox, &[], "resources.gpus"), ("0".into(), "run.yaml:3".into()));
    assert_eq!(explained(&sandbox, &[], "resources.max_duration"), ("30 m 0 s".into(), "sendoff.yaml:4".into()));
    assert_eq!(explained(&sandbox, &["--set", "resources.cpus=3"], "resources.cpus"), ("3".into(), "--set".into()));
}

#[test]
fn what_is_wrong_in_settings_is_found_where_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\n");
    sandbox.file(
        "sendoff.yaml",
        "compute_targets:\n  box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}\n  bare: {max_jobs: 1}\n  odd: {type: slrum}\ngrace: soon\n",
    );
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: `compute_targets.box.resources.cpus` cannot be read
     --> sendoff.yaml:2:40
      |
    2 |   box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}
      |                                        ^^^^ expected a whole number
      |
      = help: write it like `cpus: 2`

    error: unknown key `compute_targets.box.resources.cpu`
     --> sendoff.yaml:2:46
      |
    2 |   box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}
      |                                              ^^^ no key of this name
      |
      = help: did you mean `cpus`?

    error: unknown key `compute_targets.box.partition`
     --> sendoff.yaml:2:55
      |
    2 |   box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}
      |                                                       ^^^^^^^^^ no key of this name
      |
      = help: the keys here are `type`, `max_jobs` and `resources`

    error: `compute_targets.bare` has no `type`
     --> sendoff.yaml:3:9
      |
    3 |   bare: {max_jobs: 1}
      |         ^^^^^^^^^^^^^ a compute target needs one
      |
      = help: write `type: local`

    error: `compute_targets.odd.type` cannot be read
     --> sendoff.yaml:4:15
      |
    4 |   odd: {type: slrum}
      |               ^^^^^ expected `local`, `docker`, `ssh`, `slurm`, `azureml`, `databricks`, `ray` or `kubernetes`: did you mean `slurm`?
      |
      = help: write it like `type: local`

    error: `grace` cannot be read
     --> sendoff.yaml:5:8
      |
    5 | grace: soon
      |        ^^^^ expected a duration
      |
      = help: write it like `grace: 30m`

    error: found 6 problems in `sendoff.yaml`
    ");
}
