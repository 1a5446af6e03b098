//! What no target, or not this target, can do.

use insta::assert_snapshot;

use super::{fixture, refused, with_config};

#[test]
fn what_no_target_or_not_this_target_can_do_is_refused() {
    assert_snapshot!(fixture("not-built-yet"), @r"
    error: `retry` is not built yet
     --> not-built-yet.yaml:2:8
      |
    2 | retry: {max_attempts: 3, on: [preempted]}
      |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ no target honours it today
      |
      = help: remove `retry`

    error: this is not a tracker that jobs can use
     --> not-built-yet.yaml:3:17
      |
    3 | tracking: {uri: databricks}
      |                 ^^^^^^^^^^ this kind of tracker is not built yet

    error: found 2 problems in `not-built-yet.yaml`
    ");
    assert_snapshot!(fixture("containers-on-this-machine"), @r"
    error: `environment.image` needs a target with containers
     --> containers-on-this-machine.yaml:2:22
      |
    2 | environment: {image: pytorch, system_packages: [ffmpeg]}
      |                      ^^^^^^^ the target here is this machine
      |
      = help: remove it, or choose another target

    error: `environment.system_packages` needs a target with containers
     --> containers-on-this-machine.yaml:2:48
      |
    2 | environment: {image: pytorch, system_packages: [ffmpeg]}
      |                                                ^^^^^^^^ the target here is this machine
      |
      = help: remove it, or choose another target

    error: found 2 problems in `containers-on-this-machine.yaml`
    ");
    assert_snapshot!(fixture("target-unknown"), @r"
    error: there is no compute target `locla`
     --> target-unknown.yaml:2:17
      |
    2 | compute_target: locla
      |                 ^^^^^ no target of this name
      |
      = help: did you mean `local`?

    error: found 1 problem in `target-unknown.yaml`
    ");
    assert_snapshot!(fixture("target-not-built-yet"), @r"
    error: the compute target `inline` is of the kind `ssh`, which is not built yet
    hint: `--target local` runs it on this machine
    ");
    assert_snapshot!(fixture("target-of-no-kind"), @r"
    error: `compute_target` has no `type`
     --> target-of-no-kind.yaml:2:17
      |
    2 | compute_target: {host: gpu1}
      |                 ^^^^^^^^^^^^ a compute target needs one
      |
      = help: write `type: local`

    error: found 1 problem in `target-of-no-kind.yaml`
    ");
    let said = fixture("too-many-cpus");
    let start = said.find("it has ").expect("it says how many");
    let end = said[start..].find('\n').map_or(said.len(), |length| start + length);
    assert_snapshot!(said.replace(&said[start..end], "it has [N] CPUs"), @r"
    error: the compute target `local` cannot honour `resources.cpus`: it has [N] CPUs
    hint: change or remove `resources.cpus`, or choose another target
    ");
    assert_snapshot!(fixture("azure-job"), @r"
    error: this is an Azure ML job file
     --> azure-job.yaml:1:10
      |
    1 | $schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
      |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ reading it is not built yet
      |
      = help: write it as a run config: `sendoff init` makes one

    error: found 1 problem in `azure-job.yaml`
    ");
}

#[test]
fn all_that_a_target_cannot_honour_is_named_at_once() {
    let said = refused(&with_config("script: train.py\nresources: {cpus: 4000, gpus: 4000}\n"), &["--no-tracking"]);
    assert!(
        said.contains("cannot honour what is asked\n  `resources.cpus`: it has ") && said.contains("\n  `resources.gpus`: it has "),
        "{said}"
    );
    assert!(said.contains("hint: change or remove `resources.cpus` and `resources.gpus`, or choose another target"), "{said}");
}

#[test]
fn what_is_not_built_gives_one_error_whatever_stands_there() {
    assert_snapshot!(refused(&with_config("script: train.py\nretry: 3\n"), &[]), @r"
    error: `retry` is not built yet
     --> run.yaml:2:8
      |
    2 | retry: 3
      |        ^ no target honours it today
      |
      = help: remove `retry`

    error: found 1 problem in `run.yaml`
    ");
}

#[test]
fn only_targets_that_can_be_used_are_offered() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file("sendoff.yaml", "compute_targets:\n  box: {type: local}\n  cluster: {type: slurm, host: h}\n");
    let said = refused(&sandbox, &["--target", "elsewhere"]);
    assert!(said.contains("the targets are `box`, `local` and `docker`; others"), "{said}");
}
