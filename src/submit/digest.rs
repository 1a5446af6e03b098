//! What makes two run configs the same request: a canonical form, and its hash.
//!
//! The form is JSON (UTF-8, no white space, numbers without a fraction, members in the order of [`Canonical`], mappings as lists of pairs in
//! the order written) and its hash is SHA-256 in hexadecimal digits. It is kept in records and compared by later versions of sendoff, so a
//! member is never renamed, moved or removed: what is added goes to the end, is left out where it has its default, and `version` grows only
//! when that is impossible.
//!
//! Part of it is what a job does and where: not how long it waits for its turn (`max_jobs`), who keeps its records (`tracking.uri`), or how
//! patiently it is ended (`grace`). Snapshot and environment have ids of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::config::{Entry, Input, Output, RunConfig};
use crate::job::{Asked, AssetType, InputMode, JobTier, OutputMode};
use crate::target::config::{TargetConfig, TargetSpec};
use crate::tracking::Attach;

#[derive(Serialize)]
struct Canonical<'a> {
    version: u32,
    /// `["script", text]`, `["notebook", text]` or `["command", text]`.
    entry: (&'static str, &'a str),
    arguments: &'a [String],
    setup: Option<&'a str>,
    /// Name, kind (`value`, or where it is and what) and text; local paths are relative to the run config's folder when they are below it.
    inputs: Vec<(&'a str, String, String)>,
    outputs: Vec<(&'a str, String)>,
    /// Name and kind.
    target: (&'a str, &'static str),
    environment_variables: &'a [(String, String)],
    inherit: &'a [String],
    secrets: &'a [String],
    cpus: Option<u32>,
    /// Bytes.
    memory: Option<u64>,
    gpus: Option<u32>,
    /// Milliseconds.
    max_duration: Option<u64>,
    tags: &'a [(String, String)],
    experiment: &'a str,
    display_name: Option<&'a str>,
    attach: &'static str,
    /// Bytes of `/dev/shm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    shared_memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container<'a>>,
    /// More than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Workspace<'a>>,
    /// What only a service does that runs the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'a Asked>,
}

/// What is said of a workspace of Azure Machine Learning.
#[derive(Serialize)]
struct Workspace<'a> {
    subscription_id: Option<&'a str>,
    resource_group: Option<&'a str>,
    workspace_name: Option<&'a str>,
    compute: Option<&'a str>,
    instance_type: Option<&'a str>,
    job_tier: Option<&'static str>,
    docker_args: Option<&'a str>,
    emulated: bool,
}

impl<'a> Workspace<'a> {
    fn of(target: &'a TargetSpec) -> Option<Self> {
        let TargetConfig::AzureMl(azure) = &target.config else { return None };
        Some(Self {
            subscription_id: azure.workspace.subscription_id.as_deref(),
            resource_group: azure.workspace.resource_group.as_deref(),
            workspace_name: azure.workspace.workspace_name.as_deref(),
            compute: azure.compute.as_deref(),
            instance_type: azure.instance_type.as_deref(),
            job_tier: azure.job_tier.map(JobTier::wire),
            docker_args: azure.docker_args.as_deref(),
            emulated: target.emulated,
        })
    }
}

/// What is said of the container beyond its kind; absent when nothing is.
#[derive(Default, PartialEq, Eq, Serialize)]
struct Container<'a> {
    host: Option<&'a str>,
    image: Option<&'a str>,
    network: Option<&'a str>,
    mounts: Vec<(&'a str, &'a str, bool)>,
    user: Option<(u32, u32)>,
    platform: Option<&'a str>,
    pids_limit: Option<u32>,
}

impl<'a> Container<'a> {
    fn of(config: &'a TargetConfig) -> Option<Self> {
        let TargetConfig::Docker(docker) = config else { return None };
        let options = &docker.options;
        let container = Self {
            host: docker.host.as_deref(),
            image: docker.image.as_deref(),
            network: options.network.as_deref(),
            mounts: options.mounts.iter().map(|mount| (mount.source.as_str(), mount.target.as_str(), mount.read_only)).collect(),
            user: docker.user.map(|user| (user.uid, user.gid)),
            platform: options.platform.as_ref().map(|platform| platform.0.as_str()),
            pids_limit: options.pids,
        };
        Some(container).filter(|container| *container != Self::default())
    }
}

/// Returns the canonical form of what a run config means, once the plan has found its experiment and its way to attach.
fn canonical(run: &RunConfig, experiment: &str, attach: Attach) -> String {
    let folder = run.file.parent();
    let input = |input: &Input| match input {
        Input::Literal(text) => ("value".to_owned(), text.clone()),
        Input::Local { kind, path, mode } => {
            let path = folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path);
            (form("local", *kind, *mode), path.display().to_string())
        }
        Input::OnTarget { kind, path, mode } => (form("target", *kind, *mode), path.clone()),
    };
    let canonical = Canonical {
        version: 1,
        entry: match &run.entry {
            Entry::Script(text) => ("script", text),
            Entry::Notebook(text) => ("notebook", text),
            Entry::Command(text) => ("command", text),
        },
        arguments: &run.arguments,
        setup: run.setup.as_deref(),
        inputs: run
            .inputs
            .iter()
            .map(|(name, value)| {
                let (kind, text) = input(value);
                (name.as_str(), kind, text)
            })
            .collect(),
        outputs: run.outputs.iter().map(|(name, output)| (name.as_str(), output_form(output))).collect(),
        target: (&run.target.value.name, run.target.value.config.kind().word()),
        environment_variables: &run.environment_variables,
        inherit: &run.inherit,
        secrets: &run.secrets,
        cpus: run.resources.cpus,
        memory: run.resources.memory,
        gpus: run.resources.gpus,
        max_duration: run.resources.max_duration.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
        tags: &run.tags,
        experiment,
        display_name: run.display_name.as_deref(),
        attach: match attach {
            Attach::Auto => "auto",
            Attach::Run => "run",
            Attach::Parent => "parent",
        },
        shared_memory: run.resources.shared_memory,
        container: Container::of(&run.target.value.config),
        nodes: run.resources.nodes.filter(|count| *count > 1),
        workspace: Workspace::of(&run.target.value),
        asked: Some(&run.asked).filter(|asked| **asked != Asked::default()),
    };
    serde_json::to_string(&canonical).expect("the canonical form is plain JSON")
}

/// Returns where an input is, what it is, and how the job gets at it when that is said.
fn form(place: &str, kind: AssetType, mode: Option<InputMode>) -> String {
    let kind = match kind {
        AssetType::File => "file",
        AssetType::Folder => "folder",
        other => other.word(),
    };
    let mode = mode.map(|mode| format!(":{}", mode.word())).unwrap_or_default();
    format!("{place}_{kind}{mode}")
}

/// Returns what an output is, and what is said of it beyond that.
fn output_form(output: &Output) -> String {
    let more = [
        ("mode", output.mode.map(OutputMode::word)),
        ("path", output.uri.as_deref()),
        ("name", output.name.as_deref()),
        ("version", output.version.as_deref()),
    ];
    let more = more.into_iter().filter_map(|(key, value)| Some(format!(" {key}={}", value?)));
    std::iter::once(output.kind.word().to_owned()).chain(more).collect()
}

/// Returns the hash of the canonical form.
pub(super) fn of(run: &RunConfig, experiment: &str, attach: Attach) -> String {
    hash(&canonical(run, experiment, attach))
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What each key of a run config means, hashed: enough to say later which of them differ, and nothing of what stands there.
pub(super) type Keys = BTreeMap<String, String>;

/// Returns the keys that say something, by their full names.
pub(super) fn keys(run: &RunConfig, experiment: &str, attach: Attach) -> Keys {
    let form: Value = serde_json::from_str(&canonical(run, experiment, attach)).expect("it was just written");
    let mut keys = Keys::new();
    for (member, value) in form.as_object().into_iter().flatten() {
        match (member.as_str(), value) {
            ("version", _) | (_, Value::Null) => {}
            ("inputs" | "outputs" | "environment_variables" | "tags", Value::Array(entries)) => {
                for entry in entries {
                    let name = entry[0].as_str().unwrap_or_default();
                    keys.insert(format!("{member}.{name}"), hash(&entry.to_string()));
                }
            }
            (_, Value::Array(entries)) if entries.is_empty() => {}
            ("asked", Value::Object(asked)) => {
                for (name, value) in asked {
                    keys.insert(named(name).to_owned(), hash(&value.to_string()));
                }
            }
            ("entry", entry) => {
                let key = if entry[0] == "command" { "command" } else { "script" };
                keys.insert(key.to_owned(), hash(&entry.to_string()));
            }
            (member, value) => {
                keys.insert(named(member).to_owned(), hash(&value.to_string()));
            }
        }
    }
    keys
}

/// Returns the key of the run config that a member stands for.
fn named(member: &str) -> &str {
    match member {
        "target" => "compute_target",
        "cpus" => "resources.cpus",
        "memory" => "resources.memory",
        "gpus" => "resources.gpus",
        "max_duration" => "resources.max_duration",
        "shared_memory" => "resources.shared_memory",
        "container" | "workspace" => "compute_target.*",
        "nodes" => "resources.nodes",
        "experiment" => "experiment_name",
        "attach" => "tracking.attach",
        "tier" => "queue_settings.job_tier",
        "priority" => "queue_settings.priority",
        same => same,
    }
}

/// Returns the keys that differ, sorted.
pub(super) fn differing(before: &Keys, now: &Keys) -> Vec<String> {
    let all: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    all.into_iter().filter(|key| before.get(*key) != now.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, Purpose, Request, load};

    fn loaded(folder: &std::path::Path, text: &str) -> RunConfig {
        std::fs::write(folder.join("run.yaml"), text).expect("writable");
        let request = Request {
            file: Some("run.yaml".into()),
            cwd: folder.to_owned(),
            flags: Flags::default(),
            purpose: Purpose::Look,
            environment: BTreeMap::new(),
            user_settings: folder.join("none"),
            stored: None,
        };
        load(&request).expect("it is right").run
    }

    #[test]
    fn the_canonical_form_and_its_hash_never_change() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("data.csv"), "").expect("writable");
        let run = loaded(
            folder.path(),
            "command: train ${{inputs.C}}\narguments: [\"é \\\"\"]\ninputs: {C: 0.10, d: {type: uri_file, path: data.csv}, s: {type: uri_folder, path: 'target:/s'}}\n\
             outputs: {m: {}}\nresources: {cpus: 2, memory: 1GiB, max_duration: 1h}\ntags: {b: 1, a: 2}\ndisplay_name: n\nsecrets: [KEY]\n",
        );
        let expected = concat!(
            r#"{"version":1,"entry":["command","train ${{inputs.C}}"],"arguments":["é \""],"setup":null,"#,
            r#""inputs":[["C","value","0.10"],["d","local_file","data.csv"],["s","target_folder","/s"]],"outputs":[["m","uri_folder"]],"#,
            r#""target":["local","local"],"environment_variables":[],"inherit":[],"secrets":["KEY"],"cpus":2,"memory":1073741824,"gpus":null,"#,
            r#""max_duration":3600000,"tags":[["b","1"],["a","2"]],"experiment":"e","display_name":"n","attach":"run"}"#,
        );
        assert_eq!(canonical(&run, "e", Attach::Run), expected);
        assert_eq!(of(&run, "e", Attach::Run), "089501cc71818d1fa0d258e62a011acc3c2612f55edce522ee539d172fe0f108");
    }

    #[test]
    fn how_it_is_written_does_not_count_and_what_it_means_does() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let digest = |text: &str| of(&loaded(folder.path(), text), "e", Attach::Run);
        let first = digest("command: train\nresources: {memory: 1GiB, max_duration: 1h}\n");
        assert_eq!(first, digest("# later\nresources: {max_duration: 60m, memory: 1024MiB}\ncommand: 'train'\ngrace: 1s\n"));
        assert_ne!(first, digest("command: train\nresources: {memory: 2GiB, max_duration: 1h}\n"));
    }

    #[test]
    fn keys_that_differ_are_named_as_the_run_config_names_them() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = |text: &str| keys(&loaded(folder.path(), text), "e", Attach::Run);
        let before = keys("command: x\narguments: [a]\ninputs: {C: 1, D: 2}\nresources: {cpus: 1}\ntags: {a: b}\n");
        let now = keys("command: x\narguments: [b]\ninputs: {C: 2, D: 2}\nresources: {memory: 1GiB}\ntags: {a: b}\n");
        assert_eq!(differing(&before, &now), ["arguments", "inputs.C", "resources.cpus", "resources.memory"]);
        assert_eq!(differing(&before, &before), [""; 0]);
    }
}
