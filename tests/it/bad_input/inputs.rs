//! What a job is given: inputs, references and secrets.

use insta::assert_snapshot;

use super::fixture;

#[test]
fn inputs_and_references_that_lead_nowhere_are_named() {
    assert_snapshot!(fixture("input-missing"), @r"
    error: the input `data` is missing
     --> input-missing.yaml:3:32
      |
    3 |   data: {type: uri_file, path: data.csv}
      |                                ^^^^^^^^ `[SANDBOX]/project/data.csv` does not exist
      |
      = help: the path is relative to this file; `target:/path` names what is on the target already

    error: the input `folder` has another type
     --> input-missing.yaml:4:36
      |
    4 |   folder: {type: uri_folder, path: train.py}
      |                                    ^^^^^^^^ `[SANDBOX]/project/train.py` is a file
      |
      = help: use `uri_file` for files and `uri_folder` for folders

    error: `inputs.half` has no `path`
     --> input-missing.yaml:5:9
      |
    5 |   half: {type: uri_file}
      |         ^^^^^^^^^^^^^^^^ a file or folder needs both
      |
      = help: write `half: {type: uri_file, path: data.csv}`

    error: found 3 problems in `input-missing.yaml`
    ");
    assert_snapshot!(fixture("reference-to-nothing"), @r#"
    error: `${{inputs.C}}` names nothing
     --> reference-to-nothing.yaml:2:19
      |
    2 | arguments: [--C, "${{inputs.C}}", --data, "${{ inputs.dta }}", "${{env.HOME}}", "${{open"]
      |                   ^^^^^^^^^^^^^ no input or output of this name
      |
      = help: did you mean `${{inputs.c}}`?

    error: `${{ inputs.dta }}` names nothing
     --> reference-to-nothing.yaml:2:44
      |
    2 | arguments: [--C, "${{inputs.C}}", --data, "${{ inputs.dta }}", "${{env.HOME}}", "${{open"]
      |                                            ^^^^^^^^^^^^^^^^^ no input or output of this name
      |
      = help: did you mean `${{inputs.data}}`?

    error: `${{env.HOME}}` names nothing
     --> reference-to-nothing.yaml:2:65
      |
    2 | arguments: [--C, "${{inputs.C}}", --data, "${{ inputs.dta }}", "${{env.HOME}}", "${{open"]
      |                                                                 ^^^^^^^^^^^^^ no input or output of this name
      |
      = help: declared are `inputs.c` and `inputs.data`

    error: `${{open` names nothing
     --> reference-to-nothing.yaml:2:82
      |
    2 | arguments: [--C, "${{inputs.C}}", --data, "${{ inputs.dta }}", "${{env.HOME}}", "${{open"]
      |                                                                                  ^^^^^^^ no input or output of this name
      |
      = help: declared are `inputs.c` and `inputs.data`

    error: `${{inputs.data}}` is not replaced here
     --> reference-to-nothing.yaml:4:13
      |
    4 | setup: echo ${{inputs.data}}
      |             ^^^^^^^^^^^^^^^^ only `command` and `arguments` are searched for references
      |
      = help: the job finds the value in `$SENDOFF_INPUT_DATA`

    error: found 5 problems in `reference-to-nothing.yaml`
    "#);
}

#[test]
fn secrets_that_are_not_set_are_all_named() {
    assert_snapshot!(fixture("secret-not-set"), @r"
    error: the secret `HF_TOKEN` is not set
     --> secret-not-set.yaml:2:11
      |
    2 | secrets: [HF_TOKEN, WANDB_KEY]
      |           ^^^^^^^^ no variable of this name in your environment
      |
      = help: set it where you submit: `export HF_TOKEN=...`

    error: the secret `WANDB_KEY` is not set
     --> secret-not-set.yaml:2:21
      |
    2 | secrets: [HF_TOKEN, WANDB_KEY]
      |                     ^^^^^^^^^ no variable of this name in your environment
      |
      = help: set it where you submit: `export WANDB_KEY=...`

    error: found 2 problems in `secret-not-set.yaml`
    ");
}
