//! Every key of a run config with the target azureml: it is in what is sent, or it is refused. None is accepted and ignored.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::Sandbox;

/// What becomes of a key.
enum Fate {
    /// The plan shows this text in what is sent.
    Sent(&'static str),
    /// It is refused with these words.
    Refused(&'static str),
    /// It decides about something that happens on this machine, before anything is sent.
    Here,
}
use Fate::{Here, Refused, Sent};

const SIZED: &str = "the machine is as large as `compute` of the target says";
const NO_RELAY: &str = "no relay of ours is beside it";

/// Each key with a run config that sets it, beside `command` and `environment`, and what becomes of it.
const KEYS: &[(&str, &str, Fate)] = &[
    ("experiment_name", "experiment_name: iris", Sent(r#""experimentName": "iris""#)),
    ("display_name", "display_name: first", Sent(r#""displayName": "first""#)),
    ("description", "description: nightly", Sent(r#""description": "nightly""#)),
    ("source_directory", "source_directory: .", Here),
    ("code", "code: .", Here),
    ("script", "script: train.py", Sent("exec python train.py")),
    ("command", "command: ls", Sent(r#""command": "ls""#)),
    ("arguments", "command: ls\narguments: [-l]", Sent("ls -l")),
    ("setup", "setup: ulimit -n", Sent("ulimit -n")),
    ("inputs", "inputs: {C: 0.8}", Sent(r#""value": "0.8""#)),
    ("inputs", "inputs: {d: {type: uri_file, path: data.csv, mode: download}}", Sent(r#""mode": "Download""#)),
    ("inputs", "inputs: {d: {type: mltable, path: 'azureml:iris:3'}}", Sent("/data/iris/versions/3")),
    ("inputs", "inputs: {d: {type: mlflow_model, path: 'azureml:net@latest'}}", Sent("azureml:net@latest")),
    ("inputs", "inputs: {d: {type: uri_file, path: 'https://a.test/x.csv', mode: direct}}", Sent("https://a.test/x.csv")),
    ("inputs", "inputs: {d: {type: uri_folder, path: 'target:/scratch'}}", Refused("cannot be at `/scratch` of the target")),
    ("outputs", "outputs: {model: {type: mlflow_model, mode: upload, name: net}}", Sent(r#""assetName": "net""#)),
    ("outputs", "outputs: {model: {name: net, version: 7}}", Sent(r#""assetVersion": "7""#)),
    ("outputs", "outputs: {model: {version: 7}}", Refused("`outputs.model.version` has no name")),
    ("outputs", "outputs: {model: {path: 'azureml://datastores/d/paths/m'}}", Sent("azureml://datastores/d/paths/m")),
    ("outputs", "outputs: {model: {path: models}}", Refused("cannot go to `models`")),
    ("outputs", "outputs: {model: {}}", Sent(r#""jobOutputType": "uri_folder""#)),
    ("compute", "compute: aml", Sent("computes/cpu-cluster")),
    ("target", "target: aml", Sent("computes/cpu-cluster")),
    ("environment_variables", "environment_variables: {A: one}", Sent(r#""A": "one""#)),
    ("inherit", "inherit: [DEEP]", Sent(r#""DEEP": "water""#)),
    ("secrets", "secrets: [DEEP]", Refused("Azure ML has no place for secrets")),
    ("secrets_in_clear", "secrets: [DEEP]\nsecrets_in_clear: true", Here),
    ("distribution.type", "distribution: {type: mpi}", Sent(r#""distributionType": "Mpi""#)),
    (
        "distribution.process_count_per_instance",
        "distribution: {type: pytorch, process_count_per_instance: 4}",
        Sent(r#""processCountPerInstance": 4"#),
    ),
    ("distribution.worker_count", "distribution: {type: tensorflow, worker_count: 2}", Sent(r#""workerCount": 2"#)),
    ("distribution.worker_count", "distribution: {type: mpi, worker_count: 2}", Refused("of the type `mpi` has no `worker_count`")),
    (
        "distribution.parameter_server_count",
        "distribution: {type: TensorFlow, parameter_server_count: 1}",
        Sent(r#""parameterServerCount": 1"#),
    ),
    ("distribution.port", "distribution: {type: ray, port: 6379}", Sent(r#""port": 6379"#)),
    ("distribution.address", "distribution: {type: ray, address: head}", Sent(r#""address": "head""#)),
    ("distribution.include_dashboard", "distribution: {type: ray, include_dashboard: true}", Sent(r#""includeDashboard": true"#)),
    ("distribution.dashboard_port", "distribution: {type: ray, dashboard_port: 8265}", Sent(r#""dashboardPort": 8265"#)),
    (
        "distribution.head_node_additional_args",
        "distribution: {type: ray, head_node_additional_args: -x}",
        Sent(r#""headNodeAdditionalArgs": "-x""#),
    ),
    (
        "distribution.worker_node_additional_args",
        "distribution: {type: ray, worker_node_additional_args: -x}",
        Sent(r#""workerNodeAdditionalArgs": "-x""#),
    ),
    ("identity.type", "identity: {type: user_identity}", Sent(r#""identityType": "UserIdentity""#)),
    ("identity.type", "identity: {type: aml_token}", Sent(r#""identityType": "AMLToken""#)),
    ("identity.client_id", "identity: {type: managed, client_id: c}", Sent(r#""clientId": "c""#)),
    ("identity.client_id", "identity: {type: aml_token, client_id: c}", Refused("only a `managed` identity has an id")),
    ("identity.object_id", "identity: {type: managed_identity, object_id: o}", Sent(r#""objectId": "o""#)),
    ("identity.msi_resource_id", "identity: {type: managed, msi_resource_id: r}", Sent(r#""resourceId": "r""#)),
    ("identity.resource_id", "identity: {type: managed, resource_id: r}", Sent(r#""resourceId": "r""#)),
    ("services", "services: {lab: {type: jupyter_lab}, own: {type: custom, port: 80, nodes: all}}", Sent(r#""nodesValueType": "All""#)),
    ("services", "services: {board: {type: tensor_board, log_dir: x, properties: {a: b}}}", Sent(r#""logDir": "x""#)),
    ("services", "services: {own: {type: custom}}", Refused("has no `port`")),
    ("queue_settings.job_tier", "queue_settings: {job_tier: basic}", Sent(r#""jobTier": "Basic""#)),
    ("queue_settings.priority", "queue_settings: {priority: high}", Sent(r#""priority": 3"#)),
    ("properties", "properties: {a: b}", Sent(r#""a": "b""#)),
    ("limits.timeout", "limits: {timeout: 90}", Sent("PT90S")),
    ("tags", "tags: {team: vision}", Sent(r#""team": "vision""#)),
    ("include", "include: [x]", Here),
    ("allow_files", "allow_files: [x]", Here),
    ("grace", "grace: 10s", Refused("does not honour `grace`")),
    ("retry.max_attempts", "retry: {max_attempts: 2}", Refused("`retry` is not built yet")),
    ("retry.on", "retry: {on: [preempted]}", Refused("`retry` is not built yet")),
    ("resources.cpus", "resources: {cpus: 2}", Refused(SIZED)),
    ("resources.memory", "resources: {memory: 1GiB}", Refused(SIZED)),
    ("resources.gpus", "resources: {gpus: 1}", Refused(SIZED)),
    ("resources.gpus", "resources: {gpus: 0}", Sent(r#""CUDA_VISIBLE_DEVICES": """#)),
    ("resources.nodes", "resources: {nodes: 3}", Sent(r#""instanceCount": 3"#)),
    ("resources.instance_count", "resources: {instance_count: 3}", Sent(r#""instanceCount": 3"#)),
    ("resources.node_count", "resources: {node_count: 3}", Sent(r#""instanceCount": 3"#)),
    ("resources.shared_memory", "resources: {shared_memory: 3GiB}", Sent(r#""shmSize": "3072m""#)),
    ("resources.shm_size", "resources: {shm_size: 3g}", Sent(r#""shmSize": "3072m""#)),
    ("resources.max_duration", "resources: {max_duration: 90s}", Sent("PT90S")),
    ("environment.python", "environment: {image: 'base:1', python: 3.11}", Sent("versions/AT-SUBMISSION")),
    ("environment.pip_packages", "environment: {pip_packages: [nothing]}", Here),
    ("environment.requirements_file", "environment: {requirements_file: r.txt}", Here),
    ("environment.conda_file", "environment: {conda_file: c.yml}", Here),
    ("environment.pyproject", "environment: {pyproject: pyproject.toml}", Here),
    ("environment.index_url", "environment: {pip_packages: [a], index_url: 'https://i.test/simple'}", Here),
    ("environment.extra_index_urls", "environment: {pip_packages: [a], extra_index_urls: ['https://i.test/simple']}", Here),
    ("environment.find_links", "environment: {pip_packages: [a], find_links: ['https://i.test/links']}", Here),
    ("environment.install_project", "environment: {install_project: true}", Refused("`environment.install_project`")),
    ("environment.system_packages", "environment: {system_packages: [git]}", Refused("git")),
    ("environment.image", "environment: {image: 'base:1'}", Sent(r#""image": "base:1""#)),
    ("environment.image", "environment: {image: 'azureml:sklearn:12'}", Sent("environments/sklearn/versions/12")),
    (
        "environment.image",
        "environment: {image: 'azureml://registries/azureml/environments/sklearn/labels/latest'}",
        Sent("/labels/latest"),
    ),
    ("environment.image", "environment: {image: 'azureml:sklearn:12', pip_packages: [a]}", Refused("nothing can be added to it")),
    ("environment.dockerfile", "environment: {dockerfile: Dockerfile}", Refused("`environment.dockerfile`")),
    ("environment.build_context", "environment: {dockerfile: Dockerfile, build_context: .}", Refused("`environment.dockerfile`")),
    ("environment.push", "environment: {image: 'base:1', push: a/b}", Refused("does not honour `environment.push`")),
    ("tracking.uri", "tracking: {uri: managed}", Refused("cannot reach a server on this one")),
    ("tracking.attach", "tracking: {attach: parent}", Refused("does not honour `tracking.attach`")),
    ("tracking.relay", "tracking: {relay: through}", Refused(NO_RELAY)),
    ("tracking.outage", "tracking: {outage: 1m}", Refused(NO_RELAY)),
    ("tracking.drain", "tracking: {drain: 1m}", Refused(NO_RELAY)),
    ("tracking.spool_size", "tracking: {spool_size: 1GiB}", Refused(NO_RELAY)),
    (
        "compute_target.max_jobs",
        "compute_target: {type: azureml, compute: c, max_jobs: 2}",
        Refused("does not honour `compute_target.max_jobs`"),
    ),
    ("compute_target.resources", "compute_target: {type: azureml, compute: c, resources: {nodes: 2}}", Sent(r#""instanceCount": 2"#)),
    ("compute_target.subscription_id", WHOLE, Sent("/subscriptions/s/")),
    ("compute_target.resource_group", WHOLE, Sent("/resourceGroups/g/")),
    ("compute_target.workspace_name", WHOLE, Sent("/workspaces/w/")),
    ("compute_target.compute", WHOLE, Sent("/computes/c")),
    ("compute_target.instance_type", "compute_target: {type: azureml, instance_type: D2}", Sent(r#""instanceType": "D2""#)),
    ("compute_target.job_tier", "compute_target: {type: azureml, instance_type: D2, job_tier: spot}", Sent(r#""jobTier": "Spot""#)),
    (
        "compute_target.docker_args",
        "compute_target: {type: azureml, compute: c, docker_args: --ipc=host}",
        Sent(r#""dockerArgs": "--ipc=host""#),
    ),
    ("compute_target.cloud", "compute_target: {type: azureml, compute: c, cloud: AzureChinaCloud}", Here),
    ("compute_target.auth", "compute_target: {type: azureml, compute: c, auth: cli}", Refused("auth")),
];
const WHOLE: &str = "compute_target: {type: azureml, subscription_id: s, resource_group: g, workspace_name: w, compute: c}";

/// Returns the full names of the schema's keys, those of other kinds of target left out.
fn keys() -> BTreeSet<String> {
    let schema = Sandbox::new().sendoff(&["schema"]).expect(0).json();
    let mut found = BTreeSet::new();
    for (key, property) in schema["properties"].as_object().expect("a mapping") {
        let inner = &schema["$defs"][property["anyOf"][0]["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()];
        match inner["properties"].as_object() {
            Some(below) => found.extend(below.keys().map(|below| format!("{key}.{below}"))),
            None if key == "compute_target" => {}
            None => drop(found.insert(key.clone())),
        }
    }
    let kinds = schema["$defs"]["Target"]["oneOf"].as_array().expect("kinds");
    let azure: &Value = kinds.iter().find(|kind| kind["properties"]["type"]["const"] == "azureml").expect("it is one");
    found.extend(
        azure["properties"].as_object().expect("keys").keys().filter(|key| *key != "type").map(|key| format!("compute_target.{key}")),
    );
    found
}

#[test]
fn every_key_of_a_run_config_is_in_the_request_or_refused() {
    let asked: BTreeSet<String> = KEYS.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(keys(), asked, "left: the schema's keys; right: those that this test sets");
    let sandbox = Sandbox::new().env("DEEP", "water");
    sandbox
        .file("sendoff.yaml", "compute_targets:\n  aml: {type: azureml, compute: cpu-cluster}\n")
        .file("train.py", "")
        .file("data.csv", "1\n");
    sandbox.file("Dockerfile", "FROM base\n").file("r.txt", "nothing\n").file("c.yml", "dependencies: [python=3.11]\n");
    sandbox.file("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\n");
    for (key, text, fate) in KEYS {
        let has = |key: &str| text.lines().any(|line| line.starts_with(&format!("{key}:")));
        let mut config = format!("{text}\n");
        for (needed, line) in
            [("command", "command: x\n"), ("environment", "environment: {image: 'base:1'}\n"), ("compute_target", "compute_target: aml\n")]
        {
            let other = match needed {
                "command" => has("script"),
                "compute_target" => has("compute") || has("target"),
                _ => false,
            };
            if !has(needed) && !other {
                config.push_str(line);
            }
        }
        if !has("tracking") {
            config.push_str("tracking: {uri: none}\n");
        }
        sandbox.file("run.yaml", &config);
        let run = sandbox.sendoff(&["plan", "--emulate", "--show", "bootstrap"]);
        match fate {
            Sent(expected) => assert!(run.code == Some(0) && run.stdout.contains(expected), "{key}: {}\n{}", run.stdout, run.stderr),
            Refused(expected) => assert!(run.code == Some(244) && run.stderr.contains(expected), "{key}: {}\n{}", run.stdout, run.stderr),
            Here => assert_eq!(run.code, Some(0), "{key}: {}", run.stderr),
        }
    }
}

#[test]
fn a_place_that_the_service_takes_back_cannot_be_kept() {
    let sandbox = Sandbox::new();
    let target = "{type: azureml, subscription_id: s, resource_group: g, workspace_name: w, compute: c}";
    sandbox.file("run.yaml", &format!("command: x\ncompute_target: {target}\nenvironment: {{image: 'base:1'}}\n"));
    let refused = sandbox.sendoff(&["submit", "--keep"]).expect(244).stderr;
    assert!(refused.contains("`--keep`: the service takes the job's machines back"), "{refused}");
}

#[test]
fn what_only_the_service_does_is_refused_elsewhere() {
    let sandbox = Sandbox::new();
    for (text, expected) in [
        ("distribution: {type: pytorch}", "only Azure ML honours `distribution`"),
        ("identity: {type: aml_token}", "only Azure ML honours `identity`"),
        ("services: {a: {type: ssh}}", "only Azure ML honours `services`"),
        ("queue_settings: {priority: low}", "only Azure ML honours `queue_settings.priority`"),
        ("properties: {a: b}", "only Azure ML honours `properties`"),
        ("inputs: {d: {type: mltable, path: .}}", "only Azure ML honours `inputs.d.type: mltable`"),
        ("inputs: {d: {type: uri_folder, path: ., mode: direct}}", "only Azure ML honours `inputs.d.mode`"),
        ("inputs: {d: {type: uri_folder, path: 'azureml:iris:3'}}", "the input `d` is an address"),
        ("environment: {image: 'azureml:sklearn:12'}", "is an environment of a workspace"),
        ("outputs: {d: {name: net}}", "only Azure ML honours `outputs.d.name`"),
    ] {
        sandbox.file("run.yaml", &format!("command: x\n{text}\n"));
        let refused = sandbox.sendoff(&["check"]).expect(244).stderr;
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}
