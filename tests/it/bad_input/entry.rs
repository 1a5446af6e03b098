//! What is to be run.

use insta::assert_snapshot;

use super::{fixture, refused, with_config};

#[test]
fn an_entry_that_cannot_run_is_refused() {
    assert_snapshot!(fixture("nothing-to-run"), @r"
    error: there is nothing to run
     --> nothing-to-run.yaml:1:1
      |
    1 | experiment_name: iris
      | ^^^^^^^^^^^^^^^^^^^^^ neither `script` nor `command`
      |
      = help: write `script: train.py`

    error: found 1 problem in `nothing-to-run.yaml`
    ");
    assert_snapshot!(fixture("script-and-command"), @r"
    error: `script` and `command` exclude each other
     --> script-and-command.yaml:2:10
      |
    2 | command: python train.py
      |          ^^^^^^^^^^^^^^^ the second of them
      |
      = help: keep one of them

    error: found 1 problem in `script-and-command.yaml`
    ");
    assert_snapshot!(fixture("script-outside"), @r"
    error: `script` must lie inside the source directory
     --> script-outside.yaml:1:9
      |
    1 | script: ../train.py
      |         ^^^^^^^^^^^ this leaves it
      |
      = help: write it relative to `source_directory`, or set `source_directory` to a folder that contains it

    error: found 1 problem in `script-outside.yaml`
    ");
    assert_snapshot!(fixture("script-missing"), @r"
    error: the script `trian.py` is missing
     --> script-missing.yaml:1:9
      |
    1 | script: trian.py
      |         ^^^^^^^^ not found in `[SANDBOX]/project`
      |
      = help: the path is relative to `source_directory`

    error: found 1 problem in `script-missing.yaml`
    ");
    assert_snapshot!(fixture("script-of-another-kind"), @r"
    error: `script` takes a Python file or a notebook
     --> script-of-another-kind.yaml:1:9
      |
    1 | script: train.sh
      |         ^^^^^^^^ neither `.py` nor `.ipynb`
      |
      = help: use `command:` for other programs

    error: the script `train.sh` is missing
     --> script-of-another-kind.yaml:1:9
      |
    1 | script: train.sh
      |         ^^^^^^^^ not found in `[SANDBOX]/project`
      |
      = help: the path is relative to `source_directory`

    error: found 2 problems in `script-of-another-kind.yaml`
    ");
    assert_snapshot!(fixture("source-directory-missing"), @r"
    error: the source directory is missing
     --> source-directory-missing.yaml:1:19
      |
    1 | source_directory: source
      |                   ^^^^^^ `[SANDBOX]/project/source` is not a folder
      |
      = help: the path is relative to this file

    error: found 1 problem in `source-directory-missing.yaml`
    ");
}

#[test]
fn a_script_that_is_a_link_to_the_outside_is_refused() {
    let sandbox = with_config("script: linked.py\n");
    std::fs::write(sandbox.project().join("../outside.py"), "").expect("writable");
    std::os::unix::fs::symlink("../outside.py", sandbox.project().join("linked.py")).expect("writable");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: `script` must lie inside the source directory
     --> run.yaml:1:9
      |
    1 | script: linked.py
      |         ^^^^^^^^^ a link to `[SANDBOX]/outside.py`
      |
      = help: copy it into the source directory, or set `source_directory` to a folder that contains it

    error: found 1 problem in `run.yaml`
    ");
}

#[test]
fn a_script_that_is_ignored_is_named() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file(".sendoffignore", "train.py\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: the script `train.py` is not part of the snapshot
    hint: `sendoff snapshot list --why` names the rule; `include:` overrides it
    ");
}
