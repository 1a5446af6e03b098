//! The file that a command is given, or finds by itself, is no run config.

use insta::assert_snapshot;

use super::refused;
use crate::support::Sandbox;

#[test]
fn an_empty_folder_tells_what_to_do() {
    assert_snapshot!(refused(&Sandbox::new(), &[]), @r"
    error: could not find a run config in `[SANDBOX]/project`
    hint: write one with `sendoff init`, which makes a `run.yaml`
    hint: or, if it is elsewhere, name it: `sendoff submit path/to/train.py`
    ");
}

#[test]
fn a_folder_without_a_run_config_names_the_files_that_could_be_one() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "").file("experiment.yaml", "script: train.py\n").file("sendoff.yaml", "").file("notes.ipynb", "");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: could not find a run config in `[SANDBOX]/project`
    hint: write one with `sendoff init`, which makes a `run.yaml`
    hint: or name one of `experiment.yaml`, `notes.ipynb` or `train.py`: `sendoff submit experiment.yaml`
    ");
}

#[test]
fn a_missing_file_a_folder_and_a_settings_file_are_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.file("configs/iris.yaml", "script: train.py\n").file("train.py", "").file("sendoff.yaml", "grace: 5s\n");
    assert_snapshot!(refused(&sandbox, &["iris.yaml"]), @r"
    error: could not find `[SANDBOX]/project/iris.yaml`
    hint: the path starts at the folder that you are in; without one, `run.yaml` of this folder is taken
    ");
    assert_snapshot!(refused(&sandbox, &["tarin.py"]), @r"
    error: could not find `[SANDBOX]/project/tarin.py`
    hint: did you mean `train.py`?
    ");
    std::fs::create_dir(sandbox.project().join("empty")).expect("writable");
    assert_snapshot!(refused(&sandbox, &["empty"]), @r"
    error: could not find a run config in `[SANDBOX]/project/empty`
    hint: write one with `sendoff init`, which makes a `run.yaml`
    hint: or, if it is elsewhere, name it: `sendoff submit path/to/train.py`
    ");
    assert_snapshot!(refused(&sandbox, &["configs"]), @r"
    error: could not find a run config in `[SANDBOX]/project/configs`
    hint: write one with `sendoff init`, which makes a `run.yaml`
    hint: or name the file: `sendoff submit configs/iris.yaml`
    ");
    assert_snapshot!(refused(&sandbox, &["sendoff.yaml"]), @r"
    error: `sendoff.yaml` holds settings, not a run config
    hint: settings are checked with every run config below them: `sendoff check run.yaml`
    ");
    sandbox.file("MLproject", "name: iris\n");
    assert_snapshot!(refused(&sandbox, &["MLproject"]), @r"
    error: `[SANDBOX]/project/MLproject` is an MLflow project, and reading those is not built yet
    hint: write it as a run config: `sendoff init` makes one
    ");
    std::fs::write(sandbox.project().join("latin.yaml"), b"script: tr\xe4in.py\n").expect("writable");
    assert_snapshot!(refused(&sandbox, &["latin.yaml"]), @r"
    error: could not read `[SANDBOX]/project/latin.yaml` as UTF-8 text
    hint: save it as UTF-8
    ");
}
