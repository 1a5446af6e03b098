//! `sendoff init`: a run config for whatever folder it stands in.

use insta::assert_snapshot;

use crate::support::Sandbox;

/// Writes a run config and returns its lines that are no comments.
fn written(sandbox: &Sandbox) -> String {
    sandbox.sendoff(&["init"]).expect(0);
    let text = std::fs::read_to_string(sandbox.project().join("run.yaml")).expect("it is there");
    text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_is_written_can_be_submitted_and_nothing_is_overwritten() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print('trained')\n");
    assert_snapshot!(sandbox.sendoff(&["init"]).expect(0).stdout, @r"wrote `run.yaml` for `train.py`; look at it, then `sendoff submit`");
    assert_snapshot!(std::fs::read_to_string(sandbox.project().join("run.yaml")).expect("it is there"), @r#"
    # A run config: one piece of work.
    #
    #   sendoff check         reports everything that is wrong with it
    #   sendoff plan          shows what a submission would do
    #   sendoff submit        runs it, and ends with the job's own exit code
    #   sendoff config show   says where each value comes from; `sendoff schema` describes every key

    script: train.py
    # command: python -m package       # instead of a script: a line for the shell
    # arguments: [--C, "${{inputs.C}}", --out, "${{outputs.model}}"]
    # inputs: {C: 0.8, data: {type: uri_file, path: data.csv}}
    # outputs: {model: {type: uri_folder}}   # the job finds the path in SENDOFF_OUTPUT_MODEL, too

    environment:                       # MLflow is added by itself
      # python: 3.11
      pip_packages: []

    # compute_target: local            # or a name from sendoff.yaml
    # resources: {cpus: 2, memory: 4GiB, gpus: 1, max_duration: 30m}
    # environment_variables: {OMP_NUM_THREADS: 2}
    # secrets: [HF_TOKEN]              # read from your environment at submission, never stored
    # experiment_name: my-experiment   # default: the repository's name, else the folder's
    # tracking: {uri: managed}         # or the http(s) address of an MLflow server
    # tags: {team: vision}
    "#);
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(run.stdout.contains("trained"), "{}", run.stdout);
    assert_snapshot!(sandbox.sendoff(&["init"]).expect(244).stderr, @r"
    error: `run.yaml` is there already
    hint: change it, or move it away first: `mv run.yaml run.yaml.old`
    ");
}

#[test]
fn the_script_and_the_packages_of_the_folder_are_found() {
    let sandbox = Sandbox::new();
    sandbox.file("src/train.py", "").file("setup.py", "").file("requirements.txt", "numpy\n");
    assert_snapshot!(written(&sandbox), @r"
    script: src/train.py
    environment:                       # MLflow is added by itself
      requirements_file: requirements.txt
    ");
    let sandbox = Sandbox::new();
    sandbox.file("my notebook.ipynb", "{}").file("environment.yml", "dependencies: [python=3.11]\n");
    assert_snapshot!(written(&sandbox), @r#"
    script: "my notebook.ipynb"
    environment:                       # MLflow is added by itself
      conda_file: environment.yml
    "#);
    sandbox.sendoff(&["check"]).expect(0);
    let sandbox = Sandbox::new();
    sandbox
        .file("main.py", "# /// script\n# requires-python = \">=3.10\"\n# dependencies = [\"numpy>=1\", \"x[y]\"]\n# ///\n")
        .file("other.py", "");
    assert_snapshot!(written(&sandbox), @r#"
    script: main.py
    environment:                       # MLflow is added by itself
      python: ">=3.10"
      pip_packages: [numpy>=1, "x[y]"]
    "#);
    sandbox.sendoff(&["check"]).expect(0);
}

#[test]
fn a_folder_without_a_script_is_told_so() {
    let sandbox = Sandbox::new();
    assert_snapshot!(sandbox.sendoff(&["init"]).expect(0).stdout, @r"wrote `run.yaml`; there is no Python file or notebook here yet, so name yours behind `script:`");
    let run = sandbox.sendoff(&["check"]).expect(244);
    assert!(run.stderr.contains("the script `train.py` is missing"), "{}", run.stderr);
}

#[test]
fn every_line_that_is_offered_is_right_once_its_comment_sign_is_gone() {
    let sandbox = Sandbox::new().env("HF_TOKEN", "a secret that is offered");
    sandbox.file("train.py", "").file("data.csv", "");
    sandbox.sendoff(&["init"]).expect(0);
    let text = std::fs::read_to_string(sandbox.project().join("run.yaml")).expect("it is there");
    let offered = |line: &str| {
        let bare = line.trim_start().strip_prefix("# ")?;
        let key = bare.split(':').next().filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))?;
        (key != "command").then(|| line.replacen("# ", "", 1))
    };
    let lines: Vec<String> = text.lines().map(|line| offered(line).unwrap_or_else(|| line.to_owned())).collect();
    assert!(lines.iter().filter(|line| !line.trim_start().starts_with('#')).count() > 12, "{lines:#?}");
    sandbox.file("run.yaml", &lines.join("\n"));
    sandbox.sendoff(&["check"]).expect(0);
}
