//! What a project may not choose, and that nothing of it runs.

use insta::assert_snapshot;

use super::{refused, user_settings};
use crate::support::Sandbox;

#[test]
fn settings_choose_no_target_that_costs_money() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\n");
    sandbox.file("sendoff.yaml", "compute_target: azure\ncompute_targets:\n  azure: {type: azureml, compute: gpu, subscription_id: s, resource_group: g, workspace_name: w}\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: settings may not choose a target that costs money
     --> sendoff.yaml:1:17
      |
    1 | compute_target: azure
      |                 ^^^^^ `azure` is of the kind `azureml`
      |
      = help: name it in the run config, or with `--target`

    error: found 1 problem in `sendoff.yaml`
    ");
    sandbox.sendoff(&["check", "--target", "azure"]).expect(0);
    sandbox.file("run.yaml", "command: x\ncompute_target: azure\n");
    sandbox.sendoff(&["check"]).expect(0);
}

#[test]
fn a_project_names_no_credentials_and_takes_no_name_that_means_this_machine() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "run.yaml",
        "command: x\ncompute_target: {type: azureml, auth: cli, compute: c, subscription_id: s, resource_group: g, workspace_name: w}\n",
    );
    sandbox
        .file("sendoff.yaml", "compute_targets:\n  box: {type: ssh, host: h, identity_file: ~/.ssh/id}\n  local: {type: ssh, host: h}\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: `compute_target.auth` may only stand in your own settings
     --> run.yaml:2:39
      |
    2 | compute_target: {type: azureml, auth: cli, compute: c, subscription_id: s, resource_group: g, workspace_name: w}
      |                                       ^^^ a project does not choose among your credentials
      |
      = help: move the target to `sendoff.yaml` in your own configuration folder

    error: `compute_targets.box.identity_file` may only stand in your own settings
     --> sendoff.yaml:2:44
      |
    2 |   box: {type: ssh, host: h, identity_file: ~/.ssh/id}
      |                                            ^^^^^^^^^ a project does not choose among your credentials
      |
      = help: move the target to `sendoff.yaml` in your own configuration folder

    error: `local` always names a target of the kind `local`
     --> sendoff.yaml:3:3
      |
    3 |   local: {type: ssh, host: h}
      |   ^^^^^ this is of the kind `ssh`
      |
      = help: choose another name

    error: found 3 problems in `run.yaml` and `sendoff.yaml`
    ");
    sandbox.file("run.yaml", "command: x\n").file("sendoff.yaml", "");
    user_settings(&sandbox, "compute_targets:\n  box: {type: ssh, host: h, identity_file: ~/.ssh/id}\n");
    sandbox.sendoff(&["check"]).expect(0);
    sandbox.file("sendoff.yaml", "compute_targets: {box: {type: local}}\n");
    let run = sandbox.sendoff(&["check", "--target", "box"]).expect(0);
    assert!(run.stderr.contains("takes the place of the one in your own"), "{}", run.stderr);
}

#[test]
fn check_and_plan_run_nothing_of_the_project() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let trap = format!("#!/bin/sh\ntouch {}\n", sandbox.project().join("trapped").display());
    for program in ["python", "python3", "uv", "git"] {
        sandbox.file(program, &trap);
        std::fs::set_permissions(sandbox.project().join(program), std::fs::Permissions::from_mode(0o755)).expect("writable");
    }
    sandbox.file("setup.py", "open('trapped', 'w')\n").file("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n");
    sandbox.file("train.py", "open('trapped', 'w')\n");
    sandbox.file("run.yaml", "script: train.py\nsetup: touch trapped\nenvironment: {pyproject: pyproject.toml, install_project: true}\n");
    sandbox.sendoff(&["check"]).expect(0);
    sandbox.sendoff(&["plan"]).expect(0);
    assert!(!sandbox.project().join("trapped").exists());
    for python in ["./python", "--help"] {
        let said = refused(&sandbox, &["--set", &format!("environment.python={python}")]);
        assert!(said.contains("expected a version like `3.11`"), "{said}");
    }
}
