//! What a run config takes from the script that it names, and from where that lies.

use insta::assert_snapshot;

use super::{explained, refused};
use crate::support::Sandbox;

#[test]
fn a_script_alone_is_a_run_config_with_the_packages_of_its_block() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\"numpy>=1\"]\n# ///\n");
    sandbox.file("sendoff.yaml", "compute_targets: {box: {type: local}}\n");
    let show = |key| explained(&sandbox, &["train.py", "--target", "box"], key).0;
    assert_eq!(
        ["script", "environment.python", "environment.pip_packages[0]", "compute_target"].map(show),
        ["train.py", ">=3.10", "numpy>=1", "box"]
    );
    sandbox
        .file("broken.py", "# /// script\n# dependencies = [\n# ///\n")
        .file("option.py", "# /// script\n# dependencies = [\"-r x.txt\"]\n# ///\n");
    assert_snapshot!(refused(&sandbox, &["broken.py"]), @r#"
    error: the script's metadata block cannot be read
     --> broken.py:1:1
      |
    1 | # /// script
      | ^^^^^^^^^^^^ unclosed array, expected `]`
      |
      = help: write it as PEP 723 shows: `# /// script`, `# dependencies = ["numpy"]`, `# ///`

    error: found 1 problem in `broken.py`
    "#);
    assert_snapshot!(refused(&sandbox, &["option.py"]), @r#"
    error: `-r x.txt` is not a package
     --> option.py:2:20
      |
    2 | # dependencies = ["-r x.txt"]
      |                    ^^^^^^^^ an option of pip, not a package
      |
      = help: name the file with `requirements_file:` instead

    error: found 1 problem in `option.py`
    "#);
}

#[test]
fn the_metadata_block_of_a_script_counts_where_the_run_config_names_no_packages() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\"numpy>=1\"]\n# ///\n");
    sandbox.file("run.yaml", "script: train.py\nenvironment: {python: 3.11}\n");
    assert_eq!(explained(&sandbox, &[], "environment.pip_packages[0]"), ("numpy>=1".into(), "train.py:3".into()));
    assert_eq!(explained(&sandbox, &[], "environment.python"), ("3.11".into(), "run.yaml:2".into()));
    let run = sandbox.sendoff(&["check"]).expect(0);
    assert!(run.stderr.contains("the packages are those of the metadata block of `train.py`"), "{}", run.stderr);
    let set = ["--set", "environment.pip_packages=[pandas]"];
    assert_eq!(explained(&sandbox, &set, "environment.pip_packages[0]").0, "pandas");
}

#[test]
fn arguments_of_a_notebook_are_refused_and_not_ignored() {
    let sandbox = Sandbox::new();
    sandbox.file("search.ipynb", "{}").file("run.yaml", "script: search.ipynb\narguments: [--C, 1]\n");
    assert_snapshot!(refused(&sandbox, &[]), @r#"
    error: a notebook takes no `arguments`
     --> run.yaml:2:12
      |
    2 | arguments: [--C, 1]
      |            ^^^^^^^^ nobody would read them
      |
      = help: write `inputs:`; its cells find them in `os.environ["SENDOFF_INPUT_<NAME>"]`

    error: found 1 problem in `run.yaml`
    "#);
}

#[test]
fn the_source_directory_is_found_upward_within_the_repository() {
    let sandbox = Sandbox::new();
    sandbox.file("outer/src/train.py", "").file("outer/configs/deep/run.yaml", "script: src/train.py\n");
    std::fs::create_dir(sandbox.project().join(".git")).expect("writable");
    let found = explained(&sandbox, &["outer/configs/deep/run.yaml"], "source_directory").0;
    assert!(found.ends_with("/project/outer"), "{found}");
    std::fs::create_dir(sandbox.project().join("outer/configs/.git")).expect("writable");
    let said = refused(&sandbox, &["outer/configs/deep/run.yaml"]);
    assert!(said.contains("the script `src/train.py` is missing"), "{said}");
    std::fs::remove_dir(sandbox.project().join(".git")).expect("writable");

    let home = sandbox.project().parent().expect("it has one").join("home");
    std::fs::write(home.join("run.yaml"), "command: x\n").expect("writable");
    let said = refused(&sandbox, &["../home/run.yaml"]);
    assert!(said.contains("`[SANDBOX]/home` cannot be the source directory"), "{said}");
}
