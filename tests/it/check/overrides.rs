//! Values that `--set` changes.

use insta::assert_snapshot;

use super::{explained, refused};
use crate::support::Sandbox;

#[test]
fn set_reaches_nested_values_lists_and_whole_mappings() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\narguments: [a, b]\ntags: {one: 1, two: 2}\n");
    let set =
        ["--set", "arguments.1=c", "--set", "arguments.2=d", "--set", "tags.one=9", "--set", "environment.pip_packages=[numpy, pandas]"];
    for (key, value) in [
        ("arguments[0]", "a"),
        ("arguments[1]", "c"),
        ("arguments[2]", "d"),
        ("tags.one", "9"),
        ("tags.two", "2"),
        ("environment.pip_packages[1]", "pandas"),
    ] {
        assert_eq!(explained(&sandbox, &set, key).0, value, "{key}");
    }
    assert_eq!(explained(&sandbox, &["--set", "tags={three: 3}"], "tags.three").0, "3");
    assert_eq!(explained(&sandbox, &["--set", "tags="], "tags").0, "none");
    assert_snapshot!(
        refused(&sandbox, &["--set", "arguments.7=x", "--set", "command.x=1", "--set", "resources.cpus=[1, two", "--set", "tags: 1", "--set", "inputs={a: {type: file}}"]),
        @r"
    error: `arguments.7` cannot be set
     --> --set:1:1
      |
    1 | arguments.7=x
      | ^^^^^^^^^^^ there is no place for `7`
      |
      = help: a mapping takes keys, and a list takes the numbers of its entries

    error: `command.x` cannot be set
     --> --set:1:1
      |
    1 | command.x=1
      | ^^^^^^^^^ there is no place for `x`
      |
      = help: `command` is a single value, which `--set command=...` replaces

    error: `--set` takes `key.path=value`
     --> --set:1:1
      |
    1 | tags: 1
      | ^^^^^^^ no key and `=` here
      |
      = help: like `--set resources.cpus=4`

    error: `inputs.a` has no `path`
     --> --set:1:12
      |
    1 | inputs={a: {type: file}}
      |            ^^^^^^^^^^^^ a file or folder needs both
      |
      = help: write `a: {type: uri_file, path: data.csv}`

    error: this is not YAML
     --> --set:1:16
      |
    1 | resources.cpus=[1, two
      |                ^ unclosed bracket '['

    error: `inputs.a.type` cannot be read
     --> --set:1:19
      |
    1 | inputs={a: {type: file}}
      |                   ^^^^ expected `uri_file`, `uri_folder`, `mltable`, `custom_model`, `mlflow_model` or `triton_model`
      |
      = help: write it like `type: uri_folder`

    error: found 6 problems in `--set`
    "
    );
}

#[test]
fn an_unknown_key_is_marked_where_it_is_written() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\nresources: {cpus: 1}\n");
    assert_snapshot!(refused(&sandbox, &["--set", "resources.cpu=4", "--set", "comand=y"]), @r"
    error: unknown key `comand`
     --> --set:1:1
      |
    1 | comand=y
      | ^^^^^^ no key of this name
      |
      = help: did you mean `command`?

    error: unknown key `resources.cpu`
     --> --set:1:11
      |
    1 | resources.cpu=4
      |           ^^^ no key of this name
      |
      = help: did you mean `cpus`?

    error: found 2 problems in `--set`
    ");
}

#[test]
fn a_key_of_a_target_that_is_named_makes_a_mapping_of_the_name() {
    let sandbox = Sandbox::new();
    let keys = ["--set", "compute_target.network=mine", "--set", "compute_target.max_jobs=2"];
    let both = |arguments: &[&str]| {
        ["type", "max_jobs"].map(|key| explained(&sandbox, &[&keys, arguments].concat(), &format!("compute_target.{key}")).0)
    };
    sandbox.file("run.yaml", "command: x\ncompute_target: docker\n");
    assert_eq!(both(&[]), ["docker", "2"]);
    // A flag and the settings choose a name, too.
    sandbox.file("run.yaml", "command: x\ncompute_target: {type: local, max_jobs: 7}\n");
    assert_eq!(both(&["--target", "docker"]), ["docker", "2"]);
    sandbox.file("run.yaml", "command: x\n").file("sendoff.yaml", "compute_target: docker\ncompute_targets: {box: {type: docker}}\n");
    assert_eq!(both(&[]), ["docker", "2"]);
    assert_snapshot!(refused(&sandbox, &["--target", "box", "--set", "compute_target.network=mine"]), @r"
    error: `compute_target.network` cannot be set
     --> --set:1:1
      |
    1 | compute_target.network=mine
      | ^^^^^^^^^^^^^^^^^^^^^^ the keys of the target `box` stand in the settings
      |
      = help: change it there, or write a target out: `--set 'compute_target={type: docker, network: ...}'`

    error: found 1 problem in `--set`
    ");
}
