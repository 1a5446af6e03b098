//! The same job sent by Azure's client and by sendoff: what the two say of it, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Emulator;
use super::clients::{Script, scripts};
use super::proxy::Proxy;

const IMAGE: &str = "python:3.11-slim";

/// Fields of a job in which the two differ, and why.
const OF_JOB: &[(&str, &str)] = &[
    (
        "command",
        "ours has the values in it already, which its files of a job show, too; the service puts them in from the inputs, which are sent by both",
    ),
    (
        "environmentId",
        "an environment is compared by itself: Azure's client makes an anonymous one, ours has a name to be found under again",
    ),
    ("environmentVariables.PYTHONUNBUFFERED", "a log that is followed must not wait in a buffer"),
    ("environmentVariables.SENDOFF_ATTEMPT", "what every job of ours finds on every target"),
    ("environmentVariables.SENDOFF_INPUT_ALPHA", "what every job of ours finds on every target"),
    ("environmentVariables.SENDOFF_JOB_ID", "what every job of ours finds on every target"),
    ("environmentVariables.SENDOFF_TARGET", "what every job of ours finds on every target"),
    ("isArchived", "false is the service's default"),
    ("limits.timeout", "one duration in two forms of ISO 8601: PT10M and PT600S"),
    ("properties", "an empty one is the service's default"),
    ("properties.sendoff.digest", "unlike a tag it stays when another request of this name is sent"),
    ("resources.properties", "none is the service's default"),
    ("tags.mlflow.note.content", "the description of the MLflow run, which the job is"),
    ("tags.sendoff.attempt", "by these a client without our records finds a job and knows what it is"),
    ("tags.sendoff.config", "by these a client without our records finds a job and knows what it is"),
    ("tags.sendoff.digest", "by these a client without our records finds a job and knows what it is"),
    ("tags.sendoff.environment", "by these a client without our records finds a job and knows what it is"),
    ("tags.sendoff.job_id", "by these a client without our records finds a job and knows what it is"),
    ("tags.sendoff.snapshot", "by these a client without our records finds a job and knows what it is"),
    ("tags.sendoff.target", "by these a client without our records finds a job and knows what it is"),
];

/// Fields of its environment in which the two differ, and why.
const OF_ENVIRONMENT: &[(&str, &str)] = &[
    ("isAnonymous", "ours has a name, so that it is found again and built once"),
    ("isArchived", "false is the service's default"),
    ("osType", "Linux is the service's default, and said"),
];

/// Returns every leaf of a document by its path; an empty map or list is a leaf.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.iter().for_each(|(name, value)| leaves(value, &below(name), found)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(at, value)| leaves(value, &below(&at.to_string()), found));
        }
        leaf => drop(found.insert(path.to_owned(), leaf.clone())),
    }
}

/// Asserts that two documents differ in exactly what is explained. An explanation of a path is one of everything below it.
#[track_caller]
fn assert_explained(what: &str, official: &Value, ours: &Value, explained: &[(&str, &str)]) {
    let (mut theirs, mut own) = (BTreeMap::new(), BTreeMap::new());
    leaves(official, "", &mut theirs);
    leaves(ours, "", &mut own);
    let paths: BTreeSet<&String> = theirs.keys().chain(own.keys()).collect();
    let differing: Vec<&String> = paths.into_iter().filter(|path| theirs.get(*path) != own.get(*path)).collect();
    let fits = |path: &str, start: &str| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let unexplained: Vec<String> = differing
        .iter()
        .filter(|path| !explained.iter().any(|(start, _)| fits(path, start)))
        .map(|path| format!("{path}: official {:?}, ours {:?}", theirs.get(*path), own.get(*path)))
        .collect();
    assert!(unexplained.is_empty(), "{what} differs without a reason:\n{}", unexplained.join("\n"));
    for (start, reason) in explained {
        assert!(differing.iter().any(|path| fits(path, start)), "{what}: `{start}` does not differ any more ({reason})");
    }
}

/// Returns what was sent, as the emulator keeps it.
fn kept(emulator: &Emulator, query: &str, name: &str) -> Value {
    let state = emulator.state_file().with_file_name("state.db");
    let connection = rusqlite::Connection::open(state).expect("it is there");
    let text: String = connection.query_row(query, [name], |row| row.get(0)).expect("it was sent");
    serde_json::from_str(&text).expect("JSON")
}

fn job(emulator: &Emulator, name: &str) -> Value {
    kept(emulator, "SELECT body FROM jobs WHERE name = ?1", name)["properties"].clone()
}

/// Returns the environment that a job names.
fn environment(emulator: &Emulator, job: &Value) -> Value {
    let id: sendoff::support::azure::AssetId = job["environmentId"].as_str().expect("an id").parse().expect("an id");
    kept(emulator, "SELECT body FROM documents WHERE kind = 'environments' AND version = ?1", &id.version)
}

/// A job with every field that a job can have.
const EVERYTHING: &str = "\
experiment_name: official
display_name: everything
description: nightly
source_directory: code
command: python train.py --alpha 0.25
inputs:
  table: {type: mltable, path: 'azureml:iris:3', mode: eval_mount}
  net: {type: mlflow_model, path: 'azureml:net:2', mode: download}
  page: {type: uri_file, path: 'https://example.test/x.csv', mode: direct}
  whole: {type: uri_folder, path: 'azureml://datastores/workspaceblobstore/paths/x/', mode: ro_mount}
outputs:
  model: {type: mlflow_model, mode: upload, name: net, version: 7}
  rest: {type: uri_folder, mode: rw_mount, path: 'azureml://datastores/workspaceblobstore/paths/y/'}
environment: {image: 'python:3.11-slim'}
compute_target: {type: azureml, compute: cpu-cluster, docker_args: --ipc=host}
distribution: {type: pytorch, process_count_per_instance: 2}
resources: {nodes: 2, shared_memory: 3GiB}
identity: {type: managed, client_id: c}
services:
  lab: {type: jupyter_lab}
  shell: {type: ssh, ssh_public_keys: ssh-ed25519 AAAA, nodes: all}
  board: {type: tensor_board, log_dir: logs, port: 6006}
queue_settings: {job_tier: standard, priority: high}
properties: {origin: both}
";

/// Fields of that job in which the two differ, and why.
const OF_EVERYTHING: &[(&str, &str)] = &[
    ("command", "what only the service can replace is exported in ours, so that the job finds it by the names of every target"),
    ("environmentId", "as in the other job"),
    ("environmentVariables", "what every job of ours finds on every target"),
    ("isArchived", "false is the service's default"),
    ("properties.sendoff.digest", "unlike a tag it stays when another request of this name is sent"),
    ("resources.properties", "none is the service's default"),
    ("tags", "by these a client without our records finds a job and knows what it is"),
];

/// Compares a job with every field; neither emulation nor storage has what it reads, and what counts is what was sent.
fn everything(emulator: &Emulator, proxy: &Proxy) {
    let (_, answer) = Script::new(emulator, "full.py").through(proxy).run();
    emulator.sandbox.file("everything.yaml", EVERYTHING);
    let submitted = emulator.sandbox.sendoff(&["submit", "everything.yaml", "--emulate", "--detach", "--output", "json"]).expect(0);
    let name = submitted.json()["id"].as_str().expect("an id").to_owned();
    let (official, ours) = (job(emulator, answer["name"].as_str().expect("a name")), job(emulator, &name));
    assert_explained("the job with everything", &official, &ours, OF_EVERYTHING);
    let refused = emulator.sandbox.sendoff(&["wait", &name]).expect(240).stderr;
    // Whichever of its inputs is looked at first.
    assert!(refused.contains("the data asset 'iris:3' was not found") || refused.contains("keeps data assets, and no models"), "{refused}");
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_a_job_of_ours_is_that_of_azures_client_but_for_what_is_explained() {
    let emulator = Emulator::up();
    let proxy = Proxy::to(emulator.port());
    let (_, answer) = Script::new(&emulator, "submit.py").env("IMAGE", IMAGE).through(&proxy).run();
    let sandbox = &emulator.sandbox;
    let code = std::fs::read_to_string(scripts().join("project/train.py")).expect("readable");
    sandbox.file("code/train.py", &code);
    sandbox.file(
        "run.yaml",
        &format!(
            "experiment_name: official\ndisplay_name: alpha by the official client\nsource_directory: code\n\
             command: python train.py --alpha ${{{{inputs.alpha}}}}\ninputs: {{alpha: 0.25}}\nenvironment: {{image: {IMAGE}}}\n\
             environment_variables: {{OMP_NUM_THREADS: 2}}\ntags: {{team: vision}}\nresources: {{max_duration: 10m}}\n\
             compute_target: {{type: azureml, compute: cpu-cluster}}\n"
        ),
    );
    let submitted = sandbox.sendoff(&["submit", "run.yaml", "--emulate", "--detach", "--output", "json"]).expect(0);
    let name = submitted.json()["id"].as_str().expect("an id").to_owned();
    let (official, ours) = (job(&emulator, answer["name"].as_str().expect("a name")), job(&emulator, &name));
    assert_eq!(official["codeId"], ours["codeId"], "one hash: the code that one has sent, the other sends not again");
    assert_eq!(
        (&ours["command"], &official["command"]),
        (&json!("python train.py --alpha 0.25"), &json!("python train.py --alpha ${{inputs.alpha}}"))
    );
    assert_explained("the job", &official, &ours, OF_JOB);
    assert_explained("the environment", &environment(&emulator, &official), &environment(&emulator, &ours), OF_ENVIRONMENT);
    sandbox.sendoff(&["wait", &name]).expect(0);
    everything(&emulator, &proxy);
    emulator.down();
}
