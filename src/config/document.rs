//! The run config and the settings as they are written: readers, and JSON Schema at once.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::document;
use crate::job::{AssetType, InputMode, OutputMode};
use crate::support::memory::Memory;
use crate::support::yaml::{Context, List, Map, Node, Parsed, Place, Read, Text};
use crate::target::config::{Resources, Target, hosted};
use crate::{auth, environment, tracking};

document! {
    /// A run config: one piece of work.
    #[schemars(title = "sendoff run config", extend("oneOf" = [{ "required": ["script"] }, { "required": ["command"] }]))]
    pub struct RunConfig {
        /// The MLflow experiment; default: the git repository's name, else the folder's.
        experiment_name: Text,
        /// The name of the MLflow run; default: a readable generated one.
        display_name: Text,
        /// What the job is about; it is the description of the MLflow run.
        description: Text,
        /// The folder that is sent, relative to this file; default: the nearest folder upward that contains the script.
        source_directory | "code": Text,
        /// The Python file or notebook that runs, relative to the source directory.
        script: Text,
        /// A line for the shell, instead of a script.
        command: Text,
        /// What the script or the command is given; `${{inputs.x}}` and `${{outputs.x}}` are replaced.
        arguments: List<Text>,
        /// A shell block that runs before the command.
        setup: Text,
        /// Values, files and folders that the job reads.
        inputs: Map<InputValue>,
        /// Files and folders that the job leaves; it finds their paths in `SENDOFF_OUTPUT_<NAME>`.
        outputs: Map<Output>,
        /// Where the job runs: a name from the settings, or a mapping with `type:`; default: `local`.
        compute_target | "compute" | "target": TargetChoice,
        /// Which Python, and which packages.
        environment: environment::Section,
        /// Variables of the job.
        environment_variables: Map<Text>,
        /// Names of variables that the job takes from the environment of the submission.
        inherit: List<Text>,
        /// Names of variables of the environment of the submission that are handed to the job in secret and never stored.
        secrets: List<Text>,
        /// Whether secrets may be handed to a target that keeps them where others can read them (Azure ML: whoever reads the workspace).
        secrets_in_clear: Parsed<bool>,
        /// What the job may use.
        resources: Resources,
        /// How the processes of a job on Azure ML are started and told of each other.
        distribution: hosted::Distribution,
        /// As whom a job on Azure ML reads and writes data; default: as the workspace lets jobs.
        identity: hosted::Identity,
        /// Programs beside a job on Azure ML that people can reach, by names of yours.
        services: Map<hosted::JobService>,
        /// The place of a job on Azure ML in the queue.
        queue_settings: hosted::QueueSettings,
        /// Properties of a job on Azure ML, which cannot be changed once they are set.
        properties: Map<Text>,
        /// Azure ML's place of a time limit.
        limits: Limits,
        /// Who tracks the job.
        tracking: tracking::Section,
        /// Tags of the MLflow run.
        tags: Map<Text>,
        /// Files that are sent although a rule ignores them (patterns as in `.gitignore`).
        include: List<Text>,
        /// Files that look like secrets and are sent all the same (patterns as in `.gitignore`).
        allow_files: List<Text>,
        /// How long after TERM a job is killed; default: 30s.
        grace: Parsed<Duration>,
        /// When a job is started again; not built yet.
        retry: Retry,
    }
}

document! {
    /// Azure ML's limits.
    pub struct Limits {
        /// Another name of `resources.max_duration`, in seconds.
        timeout: Parsed<Duration>,
    }
}

document! {
    /// When a job is started again; not built yet.
    pub struct Retry {
        /// How often it is started at most.
        max_attempts: Parsed<u32>,
        /// After what: `preempted`, `node_failed`.
        on: List<Text>,
    }
}

document! {
    /// Settings: named compute targets, the tracker, and defaults.
    #[schemars(title = "sendoff settings")]
    pub struct Settings {
        /// Compute targets by name.
        compute_targets: Map<Target>,
        /// The target of run configs that name none; a target that costs money cannot be chosen here.
        compute_target: Text,
        /// The MLflow experiment of run configs that name none.
        experiment_name: Text,
        /// Who tracks jobs whose run config does not say.
        tracking: tracking::Section,
        /// Which credentials go to which host (`https://mlflow.example.org`): in your own settings only, and never a secret itself.
        credentials: auth::Sections,
        /// How long after TERM a job is killed; default: 30s.
        grace: Parsed<Duration>,
        /// The size of a snapshot over which it is not sent to another machine; default: 1GiB.
        max_snapshot_size: Parsed<Memory>,
    }
}

document! {
    /// A file or folder that the job reads.
    pub struct InputFile {
        /// What it is: `uri_file` or `uri_folder`; on Azure ML also `mltable`, `custom_model`, `mlflow_model` or `triton_model`.
        r#type: Parsed<AssetType>,
        /// Where it is, relative to this file; `target:/scratch/x` names what is on the target already. On Azure ML also an address
        /// (`azureml://datastores/...`, `https://...`, `wasbs://...`, `abfss://...`) or what is registered (`azureml:NAME:VERSION`,
        /// `azureml:NAME@latest`).
        path: Text,
        /// How a job on Azure ML gets at it: `ro_mount` (the default), `rw_mount`, `download`, `direct`, `eval_mount` or `eval_download`.
        mode: Parsed<InputMode>,
    }
}

document! {
    /// A file or folder that the job leaves.
    pub struct OutputFile {
        /// What it is: `uri_file` or `uri_folder`, the default; on Azure ML also `mltable` and the kinds of models.
        r#type: Parsed<AssetType>,
        /// How an output on Azure ML gets to storage: `rw_mount` (the default), `upload` or `direct`.
        mode: Parsed<OutputMode>,
        /// Where it goes on Azure ML (`azureml://datastores/...`); default: a place of the job's own.
        path: Text,
        /// The name under which Azure ML registers it.
        name: Text,
        /// The version of that; default: the next one.
        version: Text,
    }
}

/// One of `inputs:`.
#[derive(Debug, Clone)]
pub enum InputValue {
    /// A plain value.
    Literal(Text),
    /// A file or folder.
    File(InputFile),
}

/// One of `outputs:`; nothing behind the name is a folder.
#[derive(Debug, Clone)]
pub struct Output(pub OutputFile);

/// `compute_target:`.
#[derive(Debug, Clone)]
pub enum TargetChoice {
    /// A name.
    Named(Text),
    /// A target that is written out; `None` inside when it cannot be read.
    Inline(Option<Box<Target>>, Place),
}

impl Read for InputValue {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        match node.text() {
            Some(text) => Some(Self::Literal(Text { text: text.to_owned(), place: node.place.clone() })),
            None => {
                let file = InputFile::read(node, name, context)?;
                for key in ["type", "path"] {
                    if node.get(key).is_none_or(Node::is_null) {
                        let short = name.rsplit('.').next().unwrap_or(name);
                        let fix = format!("write `{short}: {{type: uri_file, path: data.csv}}`");
                        context.find(&node.place, format!("`{name}` has no `{key}`"), "a file or folder needs both", Some(fix));
                    }
                }
                Some(Self::File(file))
            }
        }
    }
}

impl Read for Output {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        OutputFile::read(node, name, context).map(Self)
    }
}

impl Read for TargetChoice {
    fn read(node: &Node, name: &str, context: &Context) -> Option<Self> {
        Some(match node.text() {
            Some(text) => Self::Named(Text { text: text.to_owned(), place: node.place.clone() }),
            None => Self::Inline(Target::read(node, name, context).map(Box::new), node.place.clone()),
        })
    }
}

impl JsonSchema for InputValue {
    fn schema_name() -> Cow<'static, str> {
        "Input".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut file = InputFile::json_schema(generator);
        file.insert("required".to_owned(), serde_json::json!(["type", "path"]));
        json_schema!({ "anyOf": [Text::json_schema(generator), file] })
    }
}

impl JsonSchema for Output {
    fn schema_name() -> Cow<'static, str> {
        "Output".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [OutputFile::json_schema(generator), { "type": "null" }] })
    }
}

impl JsonSchema for TargetChoice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TargetChoice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<Target>()] })
    }
}
