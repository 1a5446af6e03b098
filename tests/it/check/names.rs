//! Names of variables, inputs and outputs, each of which means one thing only.

use insta::assert_snapshot;

use super::refused;
use crate::support::Sandbox;

#[test]
fn a_variable_is_set_by_one_key_and_a_name_makes_one_variable() {
    let sandbox = Sandbox::new();
    sandbox.file(
        "run.yaml",
        "command: x\nenvironment_variables: {KEY: 1, MLFLOW_RUN_ID: x}\nsecrets: [KEY]\ninputs: {c: 1, C: 2}\noutputs: {logs: {}, 'a b': {}}\n",
    );
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: `MLFLOW_RUN_ID` is set by sendoff
     --> run.yaml:2:33
      |
    2 | environment_variables: {KEY: 1, MLFLOW_RUN_ID: x}
      |                                 ^^^^^^^^^^^^^ it cannot be set here
      |
      = help: choose another name

    error: the variable `KEY` is set twice
     --> run.yaml:3:11
      |
    3 | secrets: [KEY]
      |           ^^^ `environment_variables` sets it too
      |
      = help: keep it in `environment_variables` or in `secrets`

    error: the inputs `c` and `C` differ in case only
     --> run.yaml:4:16
      |
    4 | inputs: {c: 1, C: 2}
      |                ^ both are `SENDOFF_INPUT_C` in the job
      |
      = help: choose another name

    error: `logs` cannot name an output
     --> run.yaml:5:11
      |
    5 | outputs: {logs: {}, 'a b': {}}
      |           ^^^^ what the job leaves in `./logs` is kept under this name
      |
      = help: choose another name; `./outputs` and `./logs` are always kept

    error: `a b` cannot name an output
     --> run.yaml:5:21
      |
    5 | outputs: {logs: {}, 'a b': {}}
      |                     ^^^^^ letters, digits and `_` only, no digit first

    error: found 5 problems in `run.yaml`
    ");
}
