//! Packages and Pythons that are not to be had.

use insta::assert_snapshot;

use super::{ends, fixture, refused, with_config};

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
    let sandbox = with_config("script: train.py\nenvironment: {python: 3.49}\n");
    let said = ends(&sandbox, &["--no-tracking"], 245);
    assert_snapshot!(without_uvs_words(&said, "No interpreter found for Python 3.49"), @r"
    error: could not find Python `3.49` on this machine
      caused by: `[UV] python find --no-python-downloads --no-project --system 3.49` exited with status 2:
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
fn what_no_python_and_no_package_is_is_found_without_running_anything() {
    let sandbox = with_config("script: train.py\nsecrets: [NOT_SET]\nenvironment: {python: 3.9, requirements_file: requirements.txt}\n");
    sandbox.file(
        "requirements.txt",
        "# fine\nnumpy==2.0 \\\n  --hash=sha256:00\nscikit-learn[extra]>=1 ; python_version > '3' # so is this\n--pre\n-r more.txt\n./folder\ntorch=2\n",
    );
    sandbox.file("more.txt", "two words\n-r gone.txt\n");
    let said = sandbox.plain(&sandbox.sendoff(&["check"]).expect(244).stderr);
    assert_snapshot!(said, @r#"
    error: `two words` is not a package
     --> more.txt:1:1
      |
    1 | two words
      | ^^^^^^^^^ Expected one of `@`, `(`, `<`, `=`, `>`, `~`, `!`, `;`, found `w`

    error: `gone.txt` is missing
     --> more.txt:2:1
      |
    2 | -r gone.txt
      | ^^^^^^^^^^^ `[SANDBOX]/project/gone.txt` does not exist

    error: `torch=2` is not a package
     --> requirements.txt:8:1
      |
    8 | torch=2
      | ^^^^^^^ no such comparison operator "=", must be one of ~= == != <= >= < > ===
      |
      = help: versions are compared with `==`, `>=`, `<`, `~=`: `name==1.2`

    error: the secret `NOT_SET` is not set
     --> run.yaml:2:11
      |
    2 | secrets: [NOT_SET]
      |           ^^^^^^^ no variable of this name in your environment
      |
      = help: set it where you submit: `export NOT_SET=...`

    error: `environment.python` names no Python that a job can use
     --> run.yaml:3:23
      |
    3 | environment: {python: 3.9, requirements_file: requirements.txt}
      |                       ^^^ MLflow, and so sendoff, needs Python 3.10 or newer
      |
      = help: write `python: 3.11`, say

    error: found 5 problems in `more.txt`, `requirements.txt` and `run.yaml`
    "#);
    // What is only looked at may want for its secrets.
    sandbox.file("run.yaml", "script: train.py\nsecrets: [NOT_SET]\n");
    sandbox.sendoff(&["config", "show"]).expect(0);
}
