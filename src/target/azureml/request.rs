//! The bodies of requests: a job and an environment as the control plane takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::Error;
use super::parse::Job;
use super::wire::{self, Registered};
use crate::job::{Command, Hosted, JobSpec};
use crate::support::azure::Scope;
use crate::support::{shell, template};
use crate::target::config::AzureMlSpec;

/// The name of the environments that we make; their versions are their ids.
pub(super) const ENVIRONMENT: &str = "sendoff";
/// The tag that says which request a job is.
pub(super) const DIGEST: &str = "sendoff.digest";
const COMMAND: &str = include_str!("../../../templates/azureml/command.sh");

/// What the service names, which a rehearsal has stand-ins for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// The workspace.
    pub(super) scope: &'a Scope,
    /// The code asset's id.
    pub(super) code: &'a str,
    /// The files that may be executed.
    pub(super) executables: &'a [String],
    /// The id of an environment of the workspace's own, where it had to be asked.
    pub(super) environment: Option<&'a str>,
    /// The addresses of inputs that are known only once the workspace was asked.
    pub(super) found: &'a BTreeMap<String, String>,
}

/// A command job; what is `None` is left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CommandJob<'a> {
    job_type: &'static str,
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    experiment_name: &'a str,
    command: String,
    code_id: &'a str,
    environment_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_id: Option<String>,
    environment_variables: BTreeMap<&'a str, &'a str>,
    inputs: BTreeMap<&'a str, Value>,
    outputs: BTreeMap<&'a str, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distribution: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    services: BTreeMap<&'a str, Value>,
    resources: Resources<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue_settings: Option<Value>,
    tags: BTreeMap<&'a str, &'a str>,
    properties: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resources<'a> {
    instance_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shm_size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    docker_args: Option<&'a str>,
}

/// What stands in the command's template.
#[derive(Serialize)]
struct Wrapper<'a> {
    variables: Vec<(&'a str, &'a str)>,
    executables: &'a [String],
    setup: Option<&'a str>,
    command: String,
}

/// Returns the body of an environment's version.
pub(super) fn environment(hosted: &Hosted) -> Value {
    let mut properties = json!({ "image": hosted.image, "osType": "Linux", "isAnonymous": false });
    if let Some(conda) = &hosted.conda_file {
        properties["condaFile"] = conda.clone().into();
    }
    json!({ "properties": properties })
}

/// Returns the digest of the request that a job was made by; `None` for a job of others.
pub(super) fn digest(job: &Job) -> Option<&str> {
    job.property(DIGEST).or_else(|| job.tag(DIGEST))
}

/// Returns the environment that a job takes as the workspace has it; `None` for one that we make.
pub(super) fn workspaces_own(hosted: &Hosted) -> Option<&str> {
    hosted.image.starts_with("azureml:").then_some(hosted.image.as_str())
}

fn environment_id(scope: &Scope, hosted: &Hosted) -> String {
    match workspaces_own(hosted) {
        None => scope.asset("environments", ENVIRONMENT, &hosted.environment).to_string(),
        Some(name) => match Registered::parse(name) {
            Some(Registered { name, version: Some(version) }) => scope.asset("environments", name, version).to_string(),
            _ => name.to_owned(),
        },
    }
}

/// Returns the body of a job.
pub(super) fn job(spec: &JobSpec, hosted: &Hosted, azure: &AzureMlSpec, named: Named<'_>) -> Result<Value, Error> {
    let scope = named.scope;
    let mut tags: BTreeMap<&str, &str> = hosted.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let attempt = spec.attempt.to_string();
    tags.extend([(DIGEST, spec.digest.as_str()), ("sendoff.attempt", attempt.as_str())]);
    let asked = &hosted.asked;
    let body = CommandJob {
        job_type: "Command",
        display_name: &hosted.name,
        description: asked.description.as_deref(),
        experiment_name: &hosted.experiment,
        command: command(spec, named.executables)?,
        code_id: named.code,
        environment_id: named.environment.map_or_else(|| environment_id(scope, hosted), str::to_owned),
        compute_id: azure.compute.as_deref().map(|name| scope.compute(name)),
        environment_variables: spec
            .variables
            .iter()
            .filter(|(_, value)| !is_late(value))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        inputs: hosted.inputs.iter().map(|(name, input)| (name.as_str(), wire::input(scope, name, input, named.found))).collect(),
        outputs: hosted.outputs.iter().map(|(name, output)| (name.as_str(), wire::output(output))).collect(),
        distribution: asked.distribution.as_ref().map(wire::distribution),
        identity: asked.identity.as_ref().map(wire::identity),
        services: asked.services.iter().map(|(name, service)| (name.as_str(), wire::service(service))).collect(),
        resources: Resources {
            instance_count: spec.nodes,
            instance_type: azure.instance_type.as_deref(),
            shm_size: hosted.shared_memory.map(|bytes| format!("{}m", bytes.div_ceil(1 << 20))),
            docker_args: azure.docker_args.as_deref(),
        },
        limits: spec.max_duration.map(|limit| json!({ "jobLimitsType": "Command", "timeout": iso(limit) })),
        queue_settings: wire::queue(asked.tier.or(azure.job_tier), asked.priority),
        tags,
        // Tags are replaced by whoever sends a job of the same name; a property stays what it was at first.
        properties: hosted
            .properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .chain([(DIGEST, spec.digest.as_str())])
            .collect(),
    };
    Ok(json!({ "properties": body }))
}

/// Returns the shell text that the service runs: what only it can replace is exported there, then the command.
pub(super) fn command(spec: &JobSpec, executables: &[String]) -> Result<String, Error> {
    let command = match &spec.command {
        Command::Program(words) => format!("exec {}", shell::join(words)),
        Command::Shell(line) => line.clone(),
    };
    let wrapper = Wrapper {
        variables: spec.variables.iter().filter(|(_, value)| is_late(value)).map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        executables,
        setup: spec.setup.as_deref(),
        command,
    };
    Ok(template::render("azureml/command.sh", COMMAND, &wrapper)?.trim_end().to_owned())
}

/// Returns whether a value is known only where the job runs: the service replaces it in the command, and nowhere else.
fn is_late(value: &str) -> bool {
    value.contains("${{inputs.") || value.contains("${{outputs.")
}

/// Returns a duration as ISO 8601 writes it, in whole seconds, rounded up.
fn iso(limit: Duration) -> String {
    let seconds = limit.as_secs() + u64::from(limit.subsec_nanos() > 0);
    format!("PT{seconds}S")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::job::{Asked, AssetType, HostedInput, HostedOutput, InputMode, OutputMode};

    fn spec() -> JobSpec {
        JobSpec {
            id: "ab".parse().expect("an id"),
            attempt: 1,
            digest: "d".into(),
            request: crate::job::Request::default(),
            command: Command::Program(
                ["python", "train.py", "--name", "two words", "--out", "${{outputs.model}}"].map(str::to_owned).to_vec(),
            ),
            setup: None,
            archive: PathBuf::new(),
            snapshot: "s".into(),
            leases: Vec::new(),
            python: "python".into(),
            secrets: Vec::new(),
            variables: vec![("A".into(), "1".into()), ("SENDOFF_OUTPUT_MODEL".into(), "${{outputs.model}}".into())],
            outputs: vec![("model".into(), true)],
            cpus: None,
            memory: None,
            gpus: None,
            nodes: 2,
            max_duration: Some(Duration::from_millis(90_500)),
            grace: Duration::from_secs(30),
            queue: None,
            preflight: false,
            container: None,
            hosted: None,
        }
    }

    fn hosted() -> Hosted {
        Hosted {
            experiment: "e".into(),
            name: "n".into(),
            tags: vec![("team".into(), "vision".into())],
            properties: vec![("azureml.git.dirty".into(), "True".into())],
            inputs: vec![
                ("alpha".into(), HostedInput::Value("0.03".into())),
                (
                    "data".into(),
                    HostedInput::There {
                        uri: "azureml://datastores/d/paths/x/".into(),
                        kind: AssetType::Folder,
                        mode: InputMode::ReadOnlyMount,
                    },
                ),
            ],
            outputs: vec![(
                "model".into(),
                HostedOutput { kind: AssetType::Folder, mode: OutputMode::ReadWriteMount, uri: None, name: None, version: None },
            )],
            asked: Asked { description: Some("nightly".into()), ..Asked::default() },
            environment: "env".into(),
            image: "base:1".into(),
            conda_file: Some("name: x\n".into()),
            shared_memory: Some(3 << 30),
        }
    }

    #[test]
    fn the_digest_of_a_job_is_the_first_one_whatever_its_tags_say_by_now() {
        let job = |properties: Value| serde_json::from_value::<Job>(json!({ "properties": properties })).expect("a job");
        let tags = json!({ "sendoff.digest": "second" });
        let sent_twice = job(json!({ "tags": tags, "properties": { "sendoff.digest": "first" } }));
        assert_eq!(digest(&sent_twice), Some("first"));
        assert_eq!(digest(&job(json!({ "tags": tags, "properties": { "origin": "elsewhere" } }))), Some("second"));
        assert_eq!(digest(&job(json!({ "tags": {}, "properties": null }))), None);
    }

    #[test]
    fn a_job_has_every_field_where_the_service_looks_for_it() {
        let scope = Scope { subscription_id: "s".into(), resource_group: "rg".into(), workspace_name: "ws".into() };
        let azure = AzureMlSpec {
            compute: Some("cluster".into()),
            job_tier: Some(crate::job::JobTier::Spot),
            docker_args: Some("--ipc=host".into()),
            ..AzureMlSpec::default()
        };
        let none = BTreeMap::new();
        let named = Named { scope: &scope, code: "CODE", executables: &[], environment: None, found: &none };
        let body = job(&spec(), &hosted(), &azure, named).expect("it renders");
        let properties = &body["properties"];
        assert_eq!((&properties["jobType"], &properties["description"]), (&json!("Command"), &json!("nightly")));
        assert_eq!(properties["computeId"], format!("{scope}/computes/cluster"));
        assert_eq!(properties["environmentId"], format!("{scope}/environments/sendoff/versions/env"));
        assert_eq!(properties["environmentVariables"], json!({ "A": "1" }));
        assert_eq!(properties["inputs"]["alpha"], json!({ "jobInputType": "literal", "value": "0.03" }));
        assert_eq!(properties["inputs"]["data"]["uri"], "azureml://datastores/d/paths/x/");
        assert_eq!(properties["outputs"]["model"], json!({ "jobOutputType": "uri_folder", "mode": "ReadWriteMount" }));
        assert_eq!(properties["resources"], json!({ "instanceCount": 2, "shmSize": "3072m", "dockerArgs": "--ipc=host" }));
        assert_eq!(properties["limits"], json!({ "jobLimitsType": "Command", "timeout": "PT91S" }));
        assert_eq!(properties["queueSettings"], json!({ "jobTier": "Spot" }));
        assert_eq!(properties["tags"], json!({ "sendoff.attempt": "1", "sendoff.digest": "d", "team": "vision" }));
        assert_eq!(environment(&hosted())["properties"]["condaFile"], "name: x\n");
    }

    #[test]
    fn what_only_the_service_knows_is_exported_in_the_command() {
        let text = command(&spec(), &["run me.sh".to_owned()]).expect("it renders");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(
            lines,
            [
                "export SENDOFF_OUTPUT_MODEL='${{outputs.model}}'",
                "chmod +x -- 'run me.sh'",
                "exec python train.py --name 'two words' --out '${{outputs.model}}'",
            ]
        );
    }

    #[test]
    fn a_setup_that_ends_the_job_does_not_pass_for_its_command() {
        let run = |setup: &str, line: &str| {
            let mut spec = spec();
            (spec.setup, spec.command) = (Some(setup.into()), Command::Shell(line.into()));
            let text = command(&spec, &[]).expect("it renders");
            let output = std::process::Command::new("sh").arg("-c").arg(text).output().expect("sh exists");
            (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
        };
        for (setup, status) in [("export X=1\nfalse || (exit 9)", 9), ("exit 0", 0), ("set -e; (exit 7); true", 7)] {
            let said = format!("[sendoff] the job ended in its step setup (status {status})\n");
            assert_eq!(run(setup, "echo never"), (Some(240), said), "{setup}");
        }
        assert_eq!(run("X=1", "echo $X; exit 3"), (Some(3), "1\n".to_owned()));
    }
}
