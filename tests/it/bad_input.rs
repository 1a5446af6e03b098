//! Bad input gets a clear error, and nothing is made of it.
//!
//! The bad run configs are `tests/fixtures/run-configs`, each named after its fault. Each message is here in full: one that you would not show a
//! user is a bug.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::support::Sandbox;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/run-configs");

/// Submits, expects 244 and that nothing was made, and returns what was said.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    ends(sandbox, arguments, 244)
}

/// Submits, expects an exit code and that nothing was made, and returns what was said.
#[track_caller]
fn ends(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let run = sandbox.sendoff(&[&["submit", "--quiet"], arguments].concat()).expect(code);
    assert_eq!(run.stdout, "");
    assert!(!sandbox.home().join("data/jobs").exists(), "a job was made");
    assert!(!sandbox.home().join("cache/environments").exists(), "an environment was made");
    without_programs(&sandbox.plain(&run.stderr))
}

/// Returns the text with the paths of the programs that the tests found on this machine replaced.
fn without_programs(text: &str) -> String {
    let shown = |word: &str| match word.trim_start_matches('`').rsplit('/').next() {
        Some("uv") if word.contains('/') => word.split('/').next().unwrap_or_default().to_owned() + "[UV]",
        Some(name) if word.contains('/') && name.starts_with("python3") => "[PYTHON]".to_owned(),
        _ => word.to_owned(),
    };
    text.split_inclusive([' ', '\n'])
        .map(|word| {
            let bare = word.trim_end();
            shown(bare) + &word[bare.len()..]
        })
        .collect()
}

/// Submits one of the bad run configs beside a script.
#[track_caller]
fn fixture(name: &str) -> String {
    let sandbox = Sandbox::new();
    let file = format!("{name}.yaml");
    sandbox.file("train.py", "print()\n").file(&file, &std::fs::read_to_string(format!("{FIXTURES}/{file}")).expect("it is there"));
    refused(&sandbox, &[&file])
}

fn with_config(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print()\n").file("run.yaml", text);
    sandbox
}

/// Returns the bad run configs.
pub(crate) fn fixtures() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = std::fs::read_dir(FIXTURES).expect("it is there").flatten().map(|entry| entry.path()).collect();
    assert!(files.len() > 20, "{files:?}");
    files
}

#[test]
fn every_fixture_has_a_test_here() {
    let tests = include_str!("bad_input.rs");
    for file in fixtures() {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(tests.contains(&format!("fixture(\"{name}\")")), "{name}");
    }
}

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

#[test]
fn text_that_is_not_yaml_is_shown_where_it_breaks() {
    assert_snapshot!(fixture("not-yaml"), @r"
    error: this is not YAML
     --> not-yaml.yaml:2:5
      |
    2 | tags: {team: vision}
      |     ^ illegal placement of ':' indicator

    error: found 1 problem in `not-yaml.yaml`
    ");
    assert_snapshot!(fixture("indented-with-a-tab"), @r"
    error: this is not YAML: a tab indents a line
     --> indented-with-a-tab.yaml:3:1
      |
    3 |     cpus: 1
      | ^^^^ a tab
      |
      = help: indent with spaces

    error: found 1 problem in `indented-with-a-tab.yaml`
    ");
    assert_snapshot!(fixture("two-documents"), @r"
    error: there is more than one document
     --> two-documents.yaml:2:1
      |
    2 | ---
      | ^^^ a second document starts here
      |
      = help: keep one run config per file

    error: found 1 problem in `two-documents.yaml`
    ");
    assert_snapshot!(fixture("not-a-mapping"), @r"
    error: the document must be a mapping
     --> not-a-mapping.yaml:1:1
      |
    1 | - script: train.py
      | ^^^^^^^^^^^^^^^^^^ this is a list
      |
      = help: write `key: value` lines

    error: found 1 problem in `not-a-mapping.yaml`
    ");
}

#[test]
fn a_document_that_grows_too_large_is_refused() {
    assert_snapshot!(fixture("alias-bomb"), @r"
    error: the document grows too large
     --> alias-bomb.yaml:5:36
      |
    5 | e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
      |                                    ^^ here, its aliases followed
      |
      = help: write values out instead of nesting aliases

    error: found 1 problem in `alias-bomb.yaml`
    ");
    assert_snapshot!(fixture("alias-of-itself"), @r"
    error: an alias refers to itself
     --> alias-of-itself.yaml:2:20
      |
    2 | tags: &tags {self: *tags}
      |                    ^^^^^ here

    error: found 1 problem in `alias-of-itself.yaml`
    ");
    let sandbox = with_config(&format!("script: train.py\ntags: {}{}\n", "[".repeat(200), "]".repeat(200)));
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: the document nests too deep
     --> run.yaml:2:71
      |
    2 | tags: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[...
      |                                                                       ^ here

    error: found 1 problem in `run.yaml`
    ");
    let sandbox = with_config(&format!("script: train.py\n{}", "# padding padding padding\n".repeat(10 * 1024 * 1024 / 26)));
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: the file has 10.0 MiB, more than a run config may have
     --> run.yaml:1:1
      |
    1 |
      | ^ at most 1 MiB is read
      |
      = help: data belongs into the source directory or an input

    error: found 1 problem in `run.yaml`
    ");
}

#[test]
fn keys_that_are_wrong_are_all_named() {
    assert_snapshot!(fixture("duplicate-key"), @r"
    error: the key `script` is there twice
     --> duplicate-key.yaml:3:1
      |
    3 | script: other.py
      | ^^^^^^ first on line 1
      |
      = help: keep one of them

    error: found 1 problem in `duplicate-key.yaml`
    ");
    assert_snapshot!(fixture("unknown-key"), @r"
    error: unknown key `scirpt`
     --> unknown-key.yaml:1:1
      |
    1 | scirpt: train.py
      | ^^^^^^ no key of this name
      |
      = help: did you mean `script`?

    error: unknown key `resources.cpu`
     --> unknown-key.yaml:3:13
      |
    3 | resources: {cpu: 1, colour: red}
      |             ^^^ no key of this name
      |
      = help: did you mean `cpus`?

    error: unknown key `resources.colour`
     --> unknown-key.yaml:3:21
      |
    3 | resources: {cpu: 1, colour: red}
      |                     ^^^^^^ no key of this name
      |
      = help: the keys here are `cpus`, `memory`, `gpus`, `nodes`, `shared_memory` and `max_duration`

    error: unknown key `environment.packages`
     --> unknown-key.yaml:4:15
      |
    4 | environment: {packages: [numpy]}
      |               ^^^^^^^^ no key of this name
      |
      = help: did you mean `pip_packages`?

    error: unknown key `nonsense`
     --> unknown-key.yaml:5:1
      |
    5 | nonsense: 1
      | ^^^^^^^^ no key of this name
      |
      = help: the keys here are `experiment_name`, `display_name`, `source_directory`, `script`, `command`, `arguments`, `setup`, `inputs`, `outputs`, `compute_target`, `environment`, `environment_variables`, `inherit`, `secrets`, `resources`, `limits`, `tracking`, `tags`, `include`, `allow_files`, `grace` and `retry`

    error: found 5 problems in `unknown-key.yaml`
    ");
}

#[test]
fn every_value_of_the_wrong_type_is_found_at_once() {
    assert_snapshot!(fixture("wrong-type"), @r"
    error: `script` must be a single value
     --> wrong-type.yaml:1:9
      |
    1 | script: {file: train.py}
      |         ^^^^^^^^^^^^^^^^ this is a mapping

    error: `arguments` must be a list
     --> wrong-type.yaml:2:12
      |
    2 | arguments: {C: 1}
      |            ^^^^^^ this is a mapping
      |
      = help: write `arguments: [a, b]`, or a line `- a` for each

    error: `inputs` must be a mapping
     --> wrong-type.yaml:3:9
      |
    3 | inputs: [C]
      |         ^^^ this is a list
      |
      = help: write `inputs: {NAME: value}`

    error: `environment_variables` must be a mapping
     --> wrong-type.yaml:4:24
      |
    4 | environment_variables: OMP_NUM_THREADS
      |                        ^^^^^^^^^^^^^^^ this is a single value
      |
      = help: write `environment_variables: {NAME: value}`

    error: `environment.pip_packages` must be a list
     --> wrong-type.yaml:5:29
      |
    5 | environment: {pip_packages: {numpy: 1.26}}
      |                             ^^^^^^^^^^^^^ this is a mapping
      |
      = help: write `pip_packages: [a, b]`, or a line `- a` for each

    error: `tags` must be a mapping
     --> wrong-type.yaml:6:7
      |
    6 | tags: [vision]
      |       ^^^^^^^^ this is a list
      |
      = help: write `tags: {NAME: value}`

    error: `grace` must be a single value
     --> wrong-type.yaml:7:8
      |
    7 | grace: [30]
      |        ^^^^ this is a list

    error: `tracking` must be a mapping
     --> wrong-type.yaml:8:11
      |
    8 | tracking: managed
      |           ^^^^^^^ this is a single value
      |
      = help: write `key: value` lines

    error: found 8 problems in `wrong-type.yaml`
    ");
}

#[test]
fn every_value_that_cannot_be_read_is_found_at_once() {
    assert_snapshot!(fixture("wrong-value"), @r"
    error: `outputs.model.type` cannot be read
     --> wrong-value.yaml:2:25
      |
    2 | outputs: {model: {type: folder}}
      |                         ^^^^^^ expected `uri_file` or `uri_folder`
      |
      = help: write it like `type: uri_folder`

    error: `environment.python` cannot be read
     --> wrong-value.yaml:3:23
      |
    3 | environment: {python: three, install_project: maybe, index_url: pypi}
      |                       ^^^^^ expected a version like `3.11` or a range like `>=3.10,<3.13`
      |
      = help: write it like `python: 3.11`

    error: `environment.install_project` cannot be read
     --> wrong-value.yaml:3:47
      |
    3 | environment: {python: three, install_project: maybe, index_url: pypi}
      |                                               ^^^^^ expected `true` or `false`
      |
      = help: write it like `install_project: true`

    error: this is not the address of a package index
     --> wrong-value.yaml:3:65
      |
    3 | environment: {python: three, install_project: maybe, index_url: pypi}
      |                                                                 ^^^^ not a URL
      |
      = help: write it like `https://pypi.org/simple`

    error: `resources.cpus` cannot be read
     --> wrong-value.yaml:4:19
      |
    4 | resources: {cpus: 0, memory: plenty, gpus: -1, max_duration: soon}
      |                   ^ expected at least 1
      |
      = help: write it like `cpus: 2`

    error: `resources.memory` cannot be read
     --> wrong-value.yaml:4:30
      |
    4 | resources: {cpus: 0, memory: plenty, gpus: -1, max_duration: soon}
      |                              ^^^^^^ expected a number and a unit
      |
      = help: write it like `memory: 4GiB`

    error: `resources.gpus` cannot be read
     --> wrong-value.yaml:4:44
      |
    4 | resources: {cpus: 0, memory: plenty, gpus: -1, max_duration: soon}
      |                                            ^^ expected a whole number
      |
      = help: write it like `gpus: 1`

    error: `resources.max_duration` cannot be read
     --> wrong-value.yaml:4:62
      |
    4 | resources: {cpus: 0, memory: plenty, gpus: -1, max_duration: soon}
      |                                                              ^^^^ expected a duration
      |
      = help: write it like `max_duration: 30m`

    error: this is not a tracker that jobs can use
     --> wrong-value.yaml:5:17
      |
    5 | tracking: {uri: sqlite:///mlflow.db, attach: sometimes}
      |                 ^^^^^^^^^^^^^^^^^^^ a file or database on this disk has no address that a job could reach; use `managed`, or an `http(s)://` address

    error: `tracking.attach` cannot be read
     --> wrong-value.yaml:5:46
      |
    5 | tracking: {uri: sqlite:///mlflow.db, attach: sometimes}
      |                                              ^^^^^^^^^ expected `auto`, `run` or `parent`
      |
      = help: write it like `attach: auto`

    error: found 10 problems in `wrong-value.yaml`
    ");
}

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

#[test]
fn packages_that_cannot_be_read_are_all_named() {
    assert_snapshot!(fixture("bad-requirements"), @r#"
    error: `numpy=1.26` is not a package
     --> bad-requirements.yaml:4:5
      |
    4 |   - numpy=1.26
      |     ^^^^^^^^^^ no such comparison operator "=", must be one of ~= == != <= >= < > ===
      |
      = help: versions are compared with `==`, `>=`, `<`, `~=`: `name==1.2`

    error: `scikit-learn ==` is not a package
     --> bad-requirements.yaml:5:5
      |
    5 |   - scikit-learn ==
      |     ^^^^^^^^^^^^^^^ Unexpected end of version specifier, expected version
      |
      = help: versions are compared with `==`, `>=`, `<`, `~=`: `name==1.2`

    error: `two words` is not a package
     --> bad-requirements.yaml:6:5
      |
    6 |   - two words
      |     ^^^^^^^^^ Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `w`

    error: `-r requirements.txt` is not a package
     --> bad-requirements.yaml:7:5
      |
    7 |   - -r requirements.txt
      |     ^^^^^^^^^^^^^^^^^^^ an option of pip, not a package
      |
      = help: name the file with `requirements_file:` instead

    error: `--index-url https://example.org/simple` is not a package
     --> bad-requirements.yaml:8:5
      |
    8 |   - --index-url https://example.org/simple
      |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ an option of pip, not a package
      |
      = help: write `index_url:` beside `pip_packages:`

    error: `-e .` is not a package
     --> bad-requirements.yaml:9:5
      |
    9 |   - -e .
      |     ^^^^ an option of pip, not a package
      |
      = help: write the folder alone (`./package`); `install_project: true` installs the project itself

    error: an entry of `pip_packages` is empty
      --> bad-requirements.yaml:10:5
       |
    10 |   - ""
       |     ^^ nothing here
       |
       = help: remove it

    error: found 7 problems in `bad-requirements.yaml`
    "#);
    assert_snapshot!(fixture("two-lists-of-packages"), @r"
    error: `pip_packages` and `conda_file` exclude each other
     --> two-lists-of-packages.yaml:2:50
      |
    2 | environment: {pip_packages: [numpy], conda_file: conda.yaml}
      |                                                  ^^^^^^^^^^ the packages come from one place
      |
      = help: keep one of them

    error: the file of `environment.conda_file` is missing
     --> two-lists-of-packages.yaml:2:50
      |
    2 | environment: {pip_packages: [numpy], conda_file: conda.yaml}
      |                                                  ^^^^^^^^^^ `[SANDBOX]/project/conda.yaml` does not exist
      |
      = help: the path is relative to this file

    error: found 2 problems in `two-lists-of-packages.yaml`
    ");
    assert_snapshot!(fixture("requirements-file-missing"), @r"
    error: the file of `environment.requirements_file` is missing
     --> requirements-file-missing.yaml:2:34
      |
    2 | environment: {requirements_file: requirements.txt}
      |                                  ^^^^^^^^^^^^^^^^ `[SANDBOX]/project/requirements.txt` does not exist
      |
      = help: the path is relative to this file

    error: found 1 problem in `requirements-file-missing.yaml`
    ");
}

/// Returns the text with what `uv` itself says, which changes with its version, cut out; it must hold a part.
#[track_caller]
fn without_uvs_words(said: &str, part: &str) -> String {
    let start = said.find("exited with status").expect("uv has failed");
    let start = start + said[start..].find('\n').expect("it says why");
    let end = said.find("\nhint:").unwrap_or(said.len());
    let words = said[start..end].split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(part), "`{part}` is missing in:\n{words}");
    format!("{}\n[why]{}", &said[..start], &said[end..])
}

#[test]
fn a_package_that_does_not_exist_fails_with_the_resolvers_reason() {
    let sandbox = with_config("script: train.py\nenvironment: {pip_packages: [sendoff-has-no-such-package==1.0]}\n");
    let said = ends(&sandbox, &["--no-tracking"], 245);
    assert_snapshot!(without_uvs_words(&said, "sendoff-has-no-such-package was not found in the package registry"), @r"
    error: could not resolve the packages of the environment
      caused by: `[UV] pip compile --quiet --no-header --no-annotate --python [PYTHON] -` exited with status 1:
    [why]
    hint: correct the package or its version in `environment:`
    ");
}

#[test]
fn a_package_of_the_project_that_is_missing_is_named() {
    let sandbox = with_config("script: train.py\nenvironment: {pip_packages: [./gone-1-py3-none-any.whl, './folder[extra]']}\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: the package `./gone-1-py3-none-any.whl` is missing
     --> run.yaml:2:30
      |
    2 | environment: {pip_packages: [./gone-1-py3-none-any.whl, './folder[extra]']}
      |                              ^^^^^^^^^^^^^^^^^^^^^^^^^ `[SANDBOX]/project/gone-1-py3-none-any.whl` does not exist
      |
      = help: the path is relative to `source_directory`

    error: the package `./folder` is missing
     --> run.yaml:2:57
      |
    2 | environment: {pip_packages: [./gone-1-py3-none-any.whl, './folder[extra]']}
      |                                                         ^^^^^^^^^^^^^^^^^ `[SANDBOX]/project/folder` does not exist
      |
      = help: the path is relative to `source_directory`

    error: found 2 problems in `run.yaml`
    ");
}

#[test]
fn a_python_that_is_not_there_is_named() {
    let sandbox = with_config("script: train.py\nenvironment: {python: 3.99}\n");
    let said = ends(&sandbox, &["--no-tracking"], 245);
    assert_snapshot!(without_uvs_words(&said, "No interpreter found for Python 3.99"), @r"
    error: could not find Python `3.99` on this machine
      caused by: `[UV] python find --no-python-downloads --no-project --system 3.99` exited with status 2:
    [why]
    hint: install it, or name another in `environment.python` (`uv python list` shows what is there)
    ");
}

#[test]
fn a_conda_file_that_a_venv_cannot_hold_is_refused() {
    let sandbox = with_config("script: train.py\nenvironment: {conda_file: conda.yaml}\n");
    sandbox.file("conda.yaml", "dependencies: [python=3.11, cudatoolkit=11, conda-forge::gdal, pip: [numpy]]\n");
    assert_snapshot!(refused(&sandbox, &["--no-tracking"]), @r"
    error: the conda packages `cudatoolkit=11` and `conda-forge::gdal` cannot be installed on this target
    hint: move them to the `pip:` part if they exist there, or choose a target with containers
    ");
    sandbox.file("conda.yaml", "name: nothing else\n");
    assert_snapshot!(refused(&sandbox, &["--no-tracking"]), @r"error: could not read the conda file `[SANDBOX]/project/conda.yaml`: it has no list `dependencies`");
}

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
    error: the secrets `HF_TOKEN` and `WANDB_KEY` are not set
    hint: set them where you submit: `export HF_TOKEN=...`
    ");
}

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

    error: more than one node is not built yet
     --> not-built-yet.yaml:3:20
      |
    3 | resources: {nodes: 2, shared_memory: 1GiB}
      |                    ^ no target honours it today
      |
      = help: remove `nodes`

    error: `resources.shared_memory` is not built yet
     --> not-built-yet.yaml:3:38
      |
    3 | resources: {nodes: 2, shared_memory: 1GiB}
      |                                      ^^^^ no target honours it today
      |
      = help: remove it

    error: this is not a tracker that jobs can use
     --> not-built-yet.yaml:4:17
      |
    4 | tracking: {uri: databricks}
      |                 ^^^^^^^^^^ this kind of tracker is not built yet

    error: found 4 problems in `not-built-yet.yaml`
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
    error: the compute target `docker` is of the kind `docker`, which is not built yet
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
    hint: remove `resources.cpus`, or choose another target
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
fn a_file_that_looks_like_a_secret_stops_the_submission() {
    let sandbox = with_config("script: train.py\n");
    sandbox.file(".env", "X=1\n").file("deep/id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    assert_snapshot!(refused(&sandbox, &["--no-tracking"]), @r"
    error: 2 files in the source directory look like secrets
      `.env`: environment files hold passwords
      `deep/id_rsa`: a private key
    hint: keep `.env` and `deep/id_rsa` out with a line in `.sendoffignore`
    hint: or, if sending is meant, write `allow_files: [.env, deep/id_rsa]` in the run config
    ");
}

#[test]
fn trees_that_cannot_be_packed_are_refused_by_name() {
    let sandbox = with_config("script: train.py\n");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, sandbox.project().join(name)).expect("writable");
    link("/etc", "absolute");
    link("../home", "upward");
    std::fs::write(sandbox.project().join(std::ffi::OsStr::from_bytes(b"b\xff.csv")), "").expect("writable");
    assert_snapshot!(refused(&sandbox, &["--no-tracking"]), @r"
    error: could not pack the source directory: 3 entries
      `absolute`: the link leaves the source directory (it points to `/etc`)
      `b\xff.csv`: its name is not UTF-8
      `upward`: the link leaves the source directory (it points to `../home`)
    hint: remove them, or keep them out with a line in `.sendoffignore`
    ");
}

#[test]
fn links_that_go_in_circles_or_nowhere_are_packed_as_they_are() {
    let sandbox = with_config("command: readlink loop dangling folder/around\n");
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, sandbox.project().join(name)).expect("writable");
    std::fs::create_dir(sandbox.project().join("folder")).expect("writable");
    link("loop", "loop");
    link("nowhere", "dangling");
    link("..", "folder/around");
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--quiet"]).expect(0);
    assert!(sandbox.sendoff(&["logs", "@last"]).expect(0).stdout.contains("loop\nnowhere\n..\n"), "{run:?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = with_config("script: train.py\n");
    sandbox.file("closed.csv", "1\n");
    std::fs::set_permissions(sandbox.project().join("closed.csv"), std::fs::Permissions::from_mode(0o000)).expect("writable");
    let mut command = sandbox.command(&["submit", "--quiet", "--no-tracking"]);
    if std::fs::read(sandbox.project().join("closed.csv")).is_ok() {
        // Root reads everything, unless it gives up the capability to.
        let mut without = std::process::Command::new("setpriv");
        without.args(["--bounding-set=-dac_override,-dac_read_search", "--"]).arg(command.get_program()).args(command.get_args());
        without.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        without.current_dir(sandbox.project()).stdin(std::process::Stdio::null());
        command = without;
    }
    let run = crate::support::Run::from(command.output().expect("it starts")).expect(244);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    error: could not pack the source directory: 1 entry
      `closed.csv`: Permission denied (os error 13)
    hint: remove them, or keep them out with a line in `.sendoffignore`
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}

#[test]
fn a_file_that_does_not_stop_changing_is_named() {
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicBool, Ordering};
    let sandbox = with_config("script: train.py\n");
    sandbox.file("growing.csv", &"0".repeat(32 << 20));
    let file = std::fs::File::options().write(true).open(sandbox.project().join("growing.csv")).expect("writable");
    let stop = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            for count in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                file.write_at(&count.to_le_bytes(), 0).expect("writable");
            }
        });
        let run = sandbox.sendoff(&["submit", "--quiet", "--no-tracking"]);
        stop.store(true, Ordering::Relaxed);
        run.expect(245).stderr
    });
    assert_snapshot!(sandbox.plain(&said), @r"
    error: `[SANDBOX]/project/growing.csv` changes while it is packed
    hint: wait until nothing writes to it, or keep it out with a line in `.sendoffignore`
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}

#[test]
fn ci_must_name_its_tracker() {
    assert_snapshot!(refused(&with_config("script: train.py\n").env("CI", "true"), &[]), @r"
    error: no tracker is named, and `CI` is set
    hint: set `MLFLOW_TRACKING_URI` to the tracker that keeps the records
    hint: or say `--tracking-uri managed` for a server that goes away with this machine, or `--no-tracking`
    ");
}

#[test]
fn a_tracker_that_is_down_or_is_none_stops_the_submission() {
    let sandbox = with_config("script: train.py\ntracking: {uri: 'http://127.0.0.1:9'}\n");
    assert_snapshot!(ends(&sandbox, &[], 245), @r"
    error: could not reach the tracker `http://127.0.0.1:9`
      caused by: error sending request
      caused by: client error (Connect)
      caused by: tcp connect error
      caused by: Connection refused (os error 111)
    hint: start the tracker, or correct `tracking.uri`; `tracking: {uri: managed}` uses a server on this machine
    hint: `--no-tracking` submits without one
    ");
    let sandbox = with_config("script: train.py\n").env("MLFLOW_TRACKING_URI", "ftp://user:word@example.org/mlflow");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: this is not a tracker that jobs can use
     --> MLFLOW_TRACKING_URI:1:1
      |
    1 | ftp://example.org/mlflow
      | ^^^^^^^^^^^^^^^^^^^^^^^^ expected `managed`, `http(s)://...`, `azureml://...`, `databricks` or `none`

    error: found 1 problem in `MLFLOW_TRACKING_URI`
    ");
}

#[test]
fn names_that_cannot_be_job_ids_are_refused() {
    let sandbox = with_config("script: train.py\n");
    let mut said = String::new();
    for id in ["two words", "-x", "$(id)", "it's", "é", "\u{1f600}", "a\nb", "", "Upper", "ends-", &"a".repeat(50)] {
        let run = sandbox.sendoff(&["submit", "--no-tracking", &format!("--job-id={id}")]).expect(244);
        said.push_str(run.stderr.split("\n\n").next().unwrap_or_default());
        said.push('\n');
    }
    assert_snapshot!(said, @r"
    error: invalid value 'two words' for '--job-id <ID>': `two words` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '-x' for '--job-id <ID>': `-x` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '$(id)' for '--job-id <ID>': `$(id)` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'it's' for '--job-id <ID>': `it's` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'é' for '--job-id <ID>': `é` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '😀' for '--job-id <ID>': `😀` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'a
    b' for '--job-id <ID>': `a
    b` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value '' for '--job-id <ID>': `` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'Upper' for '--job-id <ID>': `Upper` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'ends-' for '--job-id <ID>': `ends-` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    error: invalid value 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' for '--job-id <ID>': `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is not a job id: expected 2 to 36 lower-case letters, digits and hyphens, a letter first and no hyphen last
    ");
    assert!(!sandbox.home().join("data/jobs").exists());
}

#[test]
fn a_broken_store_is_moved_aside_and_rebuilt() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: echo ok\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "kept-job"]).expect(0);
    let data = sandbox.home().join("data");
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    std::fs::write(data.join("jobs.db"), "nonsense ".repeat(1000)).expect("writable");
    let run = sandbox.sendoff(&["list"]).expect(0);
    assert!(run.stderr.contains("the job store was broken; it was moved to") && run.stdout.contains("kept-job"), "{run:?}");
}

#[test]
fn a_bad_command_line_ends_with_244() {
    let sandbox = Sandbox::new();
    for arguments in [&["submit", "--nonsense"][..], &["no-such-command"], &["submit", "--job-id", "Not An Id"], &["status", "nobody"]] {
        sandbox.sendoff(arguments).expect(244);
    }
    sandbox.sendoff(&["--version"]).expect(0);
}
