//! What a run config means: layers, trust, aliases, overrides.

use insta::assert_snapshot;

use crate::support::Sandbox;

/// Returns `(value, origin)` of a key as `config show` explains it.
#[track_caller]
fn explained(sandbox: &Sandbox, arguments: &[&str], key: &str) -> (String, String) {
    let report = sandbox.sendoff(&[&["config", "show", "--output", "json"], arguments].concat()).expect(0).json();
    let values = report["values"].as_array().expect("a list");
    let value = values.iter().find(|value| value["key"] == key).unwrap_or_else(|| panic!("`{key}` is not among {values:#?}"));
    let text = value["value"].as_str().or(value["absent"].as_str()).expect("one of both");
    (text.to_owned(), sandbox.plain(value["origin"].as_str().expect("a text")))
}

/// Checks, expects that it is refused, and returns what was said.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let run = sandbox.sendoff(&[&["check"], arguments].concat()).expect(244);
    sandbox.plain(&run.stderr)
}

fn user_settings(sandbox: &Sandbox, text: &str) {
    let folder = sandbox.home().join("config");
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::write(folder.join("sendoff.yaml"), text).expect("writable");
}

#[test]
fn every_value_is_shown_with_its_origin() {
    let sandbox = Sandbox::new().env("MLFLOW_EXPERIMENT_NAME", "from-outside");
    sandbox.file("train.py", "print()\n").file("data.csv", "");
    sandbox.file(
        "run.yaml",
        "script: train.py\narguments: [--C, \"${{inputs.C}}\"]\ninputs:\n  C: 0.10\n  data: {type: uri_file, path: data.csv}\noutputs: {model: {}}\n\
         compute_target: box\nenvironment: {python: 3.10, pip_packages: [numpy], index_url: 'https://user:word@pypi.org/simple'}\n\
         resources: {cpus: 1, memory: 1GiB}\ntracking: {attach: parent}\ntags: {team: vision}\n",
    );
    sandbox.file("sendoff.yaml", "compute_targets:\n  box: {type: local, max_jobs: 2, resources: {cpus: 2}}\ngrace: 5s\n");
    user_settings(&sandbox, "grace: 1m\nmax_snapshot_size: 2GiB\n");
    let run = sandbox.sendoff(&["config", "show", "--set", "resources.max_duration=1h"]).expect(0);
    assert_snapshot!(sandbox.plain(&run.stdout), @r"
    experiment_name               from-outside  (MLFLOW_EXPERIMENT_NAME)
    display_name                  <the job id>  (default)
    source_directory              [SANDBOX]/project  (default)
    script                        train.py  (run.yaml:1)
    arguments[0]                  --C  (run.yaml:2)
    arguments[1]                  ${{inputs.C}}  (run.yaml:2)
    setup                         <nothing>  (default)
    inputs.C                      0.10  (run.yaml:4)
    inputs.data.type              uri_file  (run.yaml:5)
    inputs.data.path              data.csv  (run.yaml:5)
    outputs.model.type            uri_folder  (default)
    compute_target                box  (run.yaml:7)
    compute_target.type           local  (sendoff.yaml:2)
    compute_target.max_jobs       2  (sendoff.yaml:2)
    environment.python            3.10  (run.yaml:8)
    environment.pip_packages[0]   numpy  (run.yaml:8)
    environment.index_url         https://pypi.org/simple  (run.yaml:8)
    environment.extra_index_urls  <none>  (default)
    environment.find_links        <none>  (default)
    environment.install_project   false  (default)
    environment_variables         <none>  (default)
    inherit                       <none beyond PATH, HOME, USER, LANG, TZ, TMPDIR and CUDA_VISIBLE_DEVICES>  (default)
    secrets                       <none>  (default)
    resources.cpus                2  (sendoff.yaml:2)
    resources.memory              1.0 GiB  (run.yaml:9)
    resources.gpus                <what the target shows>  (default)
    resources.nodes               1  (default)
    resources.max_duration        1 h 0 m  (--set)
    tracking.uri                  managed  (default)
    tracking.attach               parent  (run.yaml:10)
    tracking.relay                spool  (default)
    tracking.outage               1 d 0 h  (default)
    tracking.drain                1 m 0 s  (default)
    tracking.spool_size           4.0 GiB  (default)
    credentials                   <none for this tracker>  (default)
    tags.team                     vision  (run.yaml:11)
    include                       <nothing that a rule ignores>  (default)
    allow_files                   <nothing that looks like a secret>  (default)
    grace                         5.0 s  (sendoff.yaml:3)
    max_snapshot_size             2.0 GiB  ([SANDBOX]/sendoff/config/sendoff.yaml:2)
    ");
}

/// The keys come from the schema, so a new one cannot be forgotten here.
#[test]
fn no_key_of_the_schema_is_left_out_of_what_is_shown() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\n");
    let schema = sandbox.sendoff(&["schema"]).expect(0).json();
    let report = sandbox.sendoff(&["config", "show", "--output", "json"]).expect(0).json();
    let shown: Vec<&str> =
        report["values"].as_array().expect("a list").iter().map(|value| value["key"].as_str().expect("a text")).collect();
    // Other forms of what is shown, and what no target honours yet.
    let apart = [
        "script",
        "limits",
        "retry",
        "environment.requirements_file",
        "environment.conda_file",
        "environment.pyproject",
        "environment.system_packages",
        "environment.image",
        "environment.dockerfile",
        "resources.shared_memory",
    ];
    let keys = |schema: &serde_json::Value, before: &str| -> Vec<String> {
        let properties = schema["properties"].as_object().expect("it has keys").iter();
        properties.filter(|(_, property)| property["deprecated"] != true).map(|(key, _)| format!("{before}{key}")).collect()
    };
    let mut all = keys(&schema, "");
    for section in ["environment", "resources", "tracking"] {
        let name = section[..1].to_uppercase() + &section[1..];
        all.extend(keys(&schema["$defs"][name], &format!("{section}.")));
    }
    for key in all.iter().filter(|key| !apart.contains(&key.as_str())) {
        assert!(shown.iter().any(|shown| shown.starts_with(key.as_str())), "`{key}` is not among {shown:?}");
    }
}

#[test]
fn a_stronger_layer_wins_for_every_value_that_has_layers() {
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", "http://variable:1").env("MLFLOW_EXPERIMENT_NAME", "variable");
    sandbox.file(
        "run.yaml",
        "command: x\ntracking: {uri: 'http://written:1'}\nexperiment_name: written\ncompute_target: written\ngrace: 1s\n",
    );
    let targets = "compute_targets: {written: {type: local}, project: {type: local}, flag: {type: local}}\n";
    sandbox.file(
        "sendoff.yaml",
        &format!(
            "{targets}tracking: {{uri: 'http://project:1', attach: run}}\nexperiment_name: project\ncompute_target: project\ngrace: 2s\n"
        ),
    );
    user_settings(
        &sandbox,
        "tracking: {uri: 'http://user:1', attach: parent}\nexperiment_name: user\ngrace: 3s\nmax_snapshot_size: 3MiB\n",
    );
    let flags = ["--tracking-uri", "http://flag:1", "--experiment-name", "flag", "--target", "flag", "--set", "grace=9s"];
    let keys = ["tracking.uri", "experiment_name", "compute_target", "grace", "tracking.attach", "max_snapshot_size"];
    let values = |arguments: &[&str]| keys.map(|key| explained(&sandbox, arguments, key).0);

    assert_eq!(values(&flags), ["http://flag:1", "flag", "flag", "9.0 s", "run", "3.0 MiB"]);
    assert_eq!(values(&[]), ["http://written:1", "written", "written", "1.0 s", "run", "3.0 MiB"]);
    sandbox.file("run.yaml", "command: x\n");
    assert_eq!(values(&[]), ["http://variable:1", "variable", "project", "2.0 s", "run", "3.0 MiB"]);
    let sandbox = sandbox.env("MLFLOW_TRACKING_URI", "").env("MLFLOW_EXPERIMENT_NAME", "");
    let values = |arguments: &[&str]| keys.map(|key| explained(&sandbox, arguments, key).0);
    assert_eq!(values(&[]), ["http://project:1", "project", "project", "2.0 s", "run", "3.0 MiB"]);
    sandbox.file("sendoff.yaml", "");
    assert_eq!(values(&[]), ["http://user:1", "user", "local", "3.0 s", "parent", "3.0 MiB"]);
    user_settings(&sandbox, "");
    let experiment = "the repository's name, else the folder's";
    assert_eq!(values(&[]), ["managed", experiment, "local", "30 s", "auto", "1.0 GiB"]);
}

#[test]
fn a_named_targets_resources_replace_the_run_configs_and_a_flag_replaces_both() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\ncompute_target: box\nresources: {cpus: 1, gpus: 0, max_duration: 1h}\n");
    sandbox.file("sendoff.yaml", "compute_targets:\n  box:\n    type: local\n    resources: {cpus: 2, max_duration: 30m}\n");
    assert_eq!(explained(&sandbox, &[], "resources.cpus"), ("2".into(), "sendoff.yaml:4".into()));
    assert_eq!(explained(&sandbox, &[], "resources.gpus"), ("0".into(), "run.yaml:3".into()));
    assert_eq!(explained(&sandbox, &[], "resources.max_duration"), ("30 m 0 s".into(), "sendoff.yaml:4".into()));
    assert_eq!(explained(&sandbox, &["--set", "resources.cpus=3"], "resources.cpus"), ("3".into(), "--set".into()));
}

#[test]
fn what_is_wrong_in_settings_is_found_where_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\n");
    sandbox.file(
        "sendoff.yaml",
        "compute_targets:\n  box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}\n  bare: {max_jobs: 1}\n  odd: {type: slrum}\ngrace: soon\n",
    );
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: `compute_targets.box.resources.cpus` cannot be read
     --> sendoff.yaml:2:40
      |
    2 |   box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}
      |                                        ^^^^ expected a whole number
      |
      = help: write it like `cpus: 2`

    error: unknown key `compute_targets.box.resources.cpu`
     --> sendoff.yaml:2:46
      |
    2 |   box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}
      |                                              ^^^ no key of this name
      |
      = help: did you mean `cpus`?

    error: unknown key `compute_targets.box.partition`
     --> sendoff.yaml:2:55
      |
    2 |   box: {type: local, resources: {cpus: lots, cpu: 1}, partition: gpu}
      |                                                       ^^^^^^^^^ no key of this name
      |
      = help: the keys here are `type`, `max_jobs` and `resources`

    error: `compute_targets.bare` has no `type`
     --> sendoff.yaml:3:9
      |
    3 |   bare: {max_jobs: 1}
      |         ^^^^^^^^^^^^^ a compute target needs one
      |
      = help: write `type: local`

    error: `compute_targets.odd.type` cannot be read
     --> sendoff.yaml:4:15
      |
    4 |   odd: {type: slrum}
      |               ^^^^^ expected `local`, `docker`, `ssh`, `slurm`, `azureml`, `databricks`, `ray` or `kubernetes`: did you mean `slurm`?
      |
      = help: write it like `type: local`

    error: `grace` cannot be read
     --> sendoff.yaml:5:8
      |
    5 | grace: soon
      |        ^^^^ expected a duration
      |
      = help: write it like `grace: 30m`

    error: found 6 problems in `sendoff.yaml`
    ");
}

#[test]
fn words_of_azure_are_accepted_with_a_note() {
    let sandbox = Sandbox::new();
    sandbox.file("src/train.py", "print()\n");
    sandbox.file("run.yaml", "code: src\nscript: train.py\ncompute: local\nlimits: {timeout: 60}\nresources: {instance_count: 1}\n");
    let run = sandbox.sendoff(&["validate"]).expect(0);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    note: `code` was read as `source_directory`
    note: `compute` was read as `compute_target`
    note: `resources.instance_count` was read as `resources.nodes`
    note: `limits.timeout` was read as `resources.max_duration`
    ");
    assert_eq!(explained(&sandbox, &[], "resources.max_duration").0, "1 m 0 s");
    for (text, part) in [
        ("command: x\ntarget: local\ncompute_target: local\n", "`target` and `compute_target` are the same key"),
        ("command: x\nresources: {node_count: 2}\n", "more than one node is not built yet"),
        ("command: x\nresources: {shm_size: 2g}\n", "`resources.shared_memory` is not built yet"),
        ("command: x\nresources: {max_duration: 1h}\nlimits: {timeout: 60}\n", "are the same key"),
    ] {
        sandbox.file("run.yaml", text);
        let said = refused(&sandbox, &[]);
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn set_reaches_nested_values_lists_and_whole_mappings() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\narguments: [a, b]\ntags: {one: 1, two: 2}\n");
    let set =
        ["--set", "arguments.1=c", "--set", "arguments.2=d", "--set", "tags.one=9", "--set", "environment.pip_packages=[numpy, pandas]"];
    for (key, value) in [
        ("arguments[0]", "a"),
        ("arguments[1]", "c"),
        ("arguments[2]", "d"),
        ("tags.one", "9"),
        ("tags.two", "2"),
        ("environment.pip_packages[1]", "pandas"),
    ] {
        assert_eq!(explained(&sandbox, &set, key).0, value, "{key}");
    }
    assert_eq!(explained(&sandbox, &["--set", "tags={three: 3}"], "tags.three").0, "3");
    assert_eq!(explained(&sandbox, &["--set", "tags="], "tags").0, "none");
    assert_snapshot!(
        refused(&sandbox, &["--set", "arguments.7=x", "--set", "command.x=1", "--set", "resources.cpus=[1, two", "--set", "tags: 1", "--set", "inputs={a: {type: file}}"]),
        @r"
    error: `arguments.7` cannot be set
     --> --set:1:1
      |
    1 | arguments.7=x
      | ^^^^^^^^^^^ there is no place for `7`
      |
      = help: a mapping takes keys, and a list takes the numbers of its entries

    error: `command.x` cannot be set
     --> --set:1:1
      |
    1 | command.x=1
      | ^^^^^^^^^ there is no place for `x`
      |
      = help: a mapping takes keys, and a list takes the numbers of its entries

    error: `--set` takes `key.path=value`
     --> --set:1:1
      |
    1 | tags: 1
      | ^^^^^^^ no key and `=` here
      |
      = help: like `--set resources.cpus=4`

    error: `inputs.a` has no `path`
     --> --set:1:12
      |
    1 | inputs={a: {type: file}}
      |            ^^^^^^^^^^^^ a file or folder needs both
      |
      = help: write `a: {type: uri_file, path: data.csv}`

    error: this is not YAML
     --> --set:1:16
      |
    1 | resources.cpus=[1, two
      |                ^ unclosed bracket '['

    error: `inputs.a.type` cannot be read
     --> --set:1:19
      |
    1 | inputs={a: {type: file}}
      |                   ^^^^ expected `uri_file` or `uri_folder`
      |
      = help: write it like `type: uri_folder`

    error: found 6 problems in `--set`
    "
    );
}

#[test]
fn settings_choose_no_target_that_costs_money() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: x\n");
    sandbox.file("sendoff.yaml", "compute_target: azure\ncompute_targets:\n  azure: {type: azureml, compute: gpu}\n");
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
    sandbox.file("run.yaml", "command: x\ncompute_target: {type: azureml, auth: cli}\n");
    sandbox
        .file("sendoff.yaml", "compute_targets:\n  box: {type: ssh, host: h, identity_file: ~/.ssh/id}\n  local: {type: ssh, host: h}\n");
    assert_snapshot!(refused(&sandbox, &[]), @r"
    error: `compute_target.auth` may only stand in your own settings
     --> run.yaml:2:39
      |
    2 | compute_target: {type: azureml, auth: cli}
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
