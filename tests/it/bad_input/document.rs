//! The text of a run config: its YAML, its keys and its values.

use insta::assert_snapshot;

use super::{fixture, refused, with_config};

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
      = help: the keys here are `experiment_name`, `display_name`, `description`, `source_directory`, `script`, `command`, `arguments`, `setup`, `inputs`, `outputs`, `compute_target`, `environment`, `environment_variables`, `inherit`, `secrets`, `secrets_in_clear`, `resources`, `distribution`, `identity`, `services`, `queue_settings`, `properties`, `limits`, `tracking`, `tags`, `include`, `allow_files`, `grace` and `retry`

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
      |                         ^^^^^^ expected `uri_file`, `uri_folder`, `mltable`, `custom_model`, `mlflow_model` or `triton_model`
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
