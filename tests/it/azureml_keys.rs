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
    ("source_directory", "source_directory: .", Here),
    ("code", "code: .", Here),
    ("script", "script: train.py", Sent("exec python train.py")),
    ("command", "command: ls", Sent(r#""command": "ls""#)),
    ("arguments", "command: ls\narguments: [-l]", Sent("ls -l")),
    ("setup", "setup: ulimit -n", Sent("ulimit -n")),
    ("inputs", "inputs: {C: 0.8}", Sent(r#""value": "0.8""#)),
    ("outputs", "outputs: {model: {}}", Sent(r#""jobOutputType": "uri_folder""#)),
    ("compute", "compute: aml", Sent("computes/cpu-cluster")),
    ("target", "target: aml", Sent("computes/cpu-cluster")),
    ("environment_variables", "environment_variables: {A: one}", Sent(r#""A": "one""#)),
    ("inherit", "inherit: [DEEP]", Sent(r#""DEEP": "water""#)),
    ("secrets", "secrets: [DEEP]", Refused("Azure ML has no place for secrets")),
    ("secrets_in_clear", "secrets: [DEEP]\nsecrets_in_clear: true", Here),
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
