//! Turns a plan into what the target is told: the job spec, and what travels in secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Plan;
use super::closing::Task;
use crate::config::{Entry, Input, placeholders};
use crate::environment::{Definition, Environment};
use crate::job::attempt::Attempt;
use crate::job::{AssetType, Command, Container, JobSpec, Launch, Mount, Record, Request};
use crate::relay;
use crate::support::secret::Secret;
use crate::support::shell;
use crate::target::Ways;
use crate::target::config::TargetConfig;
use crate::target::docker::place;
use crate::tracking::{self, Connection, Injected, Injection, Via};

/// Where an environment is, or will be.
pub(super) struct Place {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// Its interpreter.
    pub(super) python: PathBuf,
    /// The lock file that a live job holds in shared mode.
    pub(super) lease_file: PathBuf,
    /// The id of the image that it is in, a stand-in until it is built; folder and interpreter are paths there.
    pub(super) image: Option<String>,
    /// What a service is told that builds it; it has neither folder nor interpreter of ours then.
    pub(super) definition: Option<Definition>,
}

impl From<&Environment> for Place {
    fn from(environment: &Environment) -> Self {
        Self {
            folder: environment.folder.clone(),
            python: environment.python.clone(),
            lease_file: environment.lease_file.clone(),
            image: environment.image.as_ref().map(|image| image.id.clone()),
            definition: environment.definition.clone(),
        }
    }
}

/// The parts of one submission, from which the target is told what to run.
pub(super) struct Parts<'a> {
    pub(super) plan: &'a Plan,
    /// The snapshot's archive.
    pub(super) archive: &'a Path,
    pub(super) environment: Place,
    /// How the job gets at what stays here.
    pub(super) ways: &'a Ways,
    pub(super) connection: Option<&'a Connection>,
    pub(super) record: &'a Record,
    /// The tags of the MLflow run.
    pub(super) tags: &'a [(String, String)],
    /// The data folder.
    pub(super) data: &'a Path,
    /// The submitter's environment.
    pub(super) variables: &'a BTreeMap<String, String>,
}

impl Parts<'_> {
    /// Returns the attempt's folder.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt::new(self.data, &self.record.id, self.record.attempt)
    }

    /// Returns everything that the target needs, secrets apart.
    pub(super) fn spec(&self) -> JobSpec {
        let (run, record) = (&self.plan.run, self.record);
        JobSpec {
            id: record.id.clone(),
            attempt: record.attempt,
            digest: record.digest.clone(),
            request: Request { config: record.config_digest.clone(), environment: record.environment.clone() },
            command: self.command(),
            setup: run.setup.clone(),
            archive: self.archive.to_owned(),
            snapshot: record.snapshot.clone(),
            leases: vec![self.environment.lease_file.clone()],
            python: self.environment.python.clone(),
            variables: self.plain(),
            secrets: run.secrets.clone(),
            outputs: run.outputs.iter().map(|(name, output)| (name.clone(), output.kind != AssetType::File)).collect(),
            cpus: run.resources.cpus,
            memory: run.resources.memory,
            gpus: run.resources.gpus,
            max_duration: run.resources.max_duration,
            grace: run.grace,
            queue: run.target.value.max_jobs.map(|limit| (run.target.value.name.clone(), limit)),
            preflight: self.connection.is_some(),
            nodes: run.resources.nodes.unwrap_or(1),
            container: self.container(),
            hosted: self.hosted(),
        }
    }

    /// Returns what travels in secret: secrets of the job, credentials for the tracker, and what the supervisor tells the tracker.
    pub(super) fn launch(&self, injected: Option<relay::Injected>) -> Launch {
        let run = &self.plan.run;
        let mut launch = Launch { withheld: run.credentials.variables().map(str::to_owned).collect(), ..Launch::default() };
        launch.secrets.extend(run.secrets.iter().filter_map(|name| Some((name.clone(), Secret::new(self.variables.get(name)?)))));
        launch.secrets.extend(self.injected().secret);
        if let (Some(connection), Some(tracked), Some(injected)) = (self.connection, &self.record.tracking, injected) {
            let relaying = run.tracking.value.relay;
            let task = Task { connection: connection.clone(), run_id: tracked.run_id.clone(), injected: Some(injected), relaying };
            launch.closing = Some(Secret::new(serde_json::to_string(&task).expect("a task is plain data")));
        }
        launch
    }

    fn container(&self) -> Option<Container> {
        let (Some(image), TargetConfig::Docker(docker)) = (&self.environment.image, &self.plan.run.target.value.config) else {
            return None;
        };
        Some(Container {
            image: image.clone(),
            user: place::user(docker),
            bound: self.bound().collect(),
            copied: self.copied(),
            shared_memory: self.plan.run.resources.shared_memory,
            options: docker.options.clone(),
        })
    }

    /// Returns the inputs of this machine that are copied, and where a container has them.
    fn copied(&self) -> Vec<(PathBuf, String)> {
        self.inputs().filter(|(path, _)| !self.ways.is_bound(path)).collect()
    }

    /// Returns the inputs of this machine that the container sees as they are.
    fn bound(&self) -> impl Iterator<Item = Mount> {
        let bound = self.inputs().filter(|(path, _)| self.ways.is_bound(path));
        bound.map(|(path, target)| {
            let source = path.canonicalize().unwrap_or(path).display().to_string();
            Mount { source, target, read_only: true }
        })
    }

    /// Returns the inputs of this machine, and where a container has them.
    fn inputs(&self) -> impl Iterator<Item = (PathBuf, String)> {
        self.plan.run.inputs.iter().filter_map(|(name, input)| match input {
            Input::Local { path, .. } => Some((path.clone(), inside(name, path))),
            Input::Literal(_) | Input::OnTarget { .. } => None,
        })
    }

    /// Returns the folder in which the job finds its own folders.
    fn home(&self) -> PathBuf {
        if self.environment.image.is_some() { PathBuf::from(place::HOME) } else { self.attempt().folder().to_owned() }
    }

    fn injected(&self) -> Injected {
        let (Some(_), Some(tracked)) = (self.connection, &self.record.tracking) else { return Injected::default() };
        tracking::inject(&Injection {
            via: Via::Relay { outage: self.plan.run.tracking.value.relay.outage },
            run_id: &tracked.run_id,
            experiment_id: &tracked.experiment_id,
            attach: self.plan.attach,
            context: self.tags,
        })
    }

    /// Returns the values of inputs and outputs, by what stands in `${{...}}`; in the order written.
    fn values(&self) -> Vec<(String, String)> {
        let run = &self.plan.run;
        let inputs = run.inputs.iter().map(|(name, input)| {
            let value = match input {
                Input::Literal(text) => text.clone(),
                _ if self.is_hosted() => format!("${{{{inputs.{name}}}}}"),
                Input::Local { path, .. } if self.environment.image.is_some() => inside(name, path),
                Input::Local { path, .. } => path.display().to_string(),
                Input::OnTarget { path, .. } => path.clone(),
            };
            (format!("inputs.{name}"), value)
        });
        let collected = self.home().join("collected");
        let outputs = run.outputs.iter().map(|(name, _)| {
            let value = if self.is_hosted() { format!("${{{{outputs.{name}}}}}") } else { collected.join(name).display().to_string() };
            (format!("outputs.{name}"), value)
        });
        inputs.chain(outputs).collect()
    }

    /// Returns the variables of the job that may be seen, in order.
    fn plain(&self) -> Vec<(String, String)> {
        let (run, record) = (&self.plan.run, self.record);
        let bin = self.environment.folder.join("bin").display().to_string();
        let path = self.variables.get("PATH").map_or("/usr/bin:/bin", String::as_str);
        let mut plain: Vec<(String, String)> = [
            ("PATH", format!("{bin}:{path}")),
            ("VIRTUAL_ENV", self.environment.folder.display().to_string()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("SENDOFF_JOB_ID", record.id.to_string()),
            ("SENDOFF_TARGET", record.target.clone()),
            ("SENDOFF_ATTEMPT", record.attempt.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        if self.environment.image.is_some() {
            // The image has the environment on its own PATH.
            plain.retain(|(name, _)| name != "PATH");
            let own = [("HOME", format!("{}/home", place::HOME)), ("USER", "sendoff".to_owned())];
            plain.extend(own.map(|(name, value)| (name.to_owned(), value)));
        }
        if self.is_hosted() {
            // The service's own environment is on PATH there.
            plain.retain(|(name, _)| !matches!(name.as_str(), "PATH" | "VIRTUAL_ENV"));
            if run.resources.gpus == Some(0) {
                plain.push(("CUDA_VISIBLE_DEVICES".to_owned(), String::new()));
            }
        }
        plain.extend(self.values().into_iter().map(|(name, value)| {
            let name = name.replacen("inputs.", "SENDOFF_INPUT_", 1).replacen("outputs.", "SENDOFF_OUTPUT_", 1);
            (name.to_uppercase(), value)
        }));
        plain.extend(run.inherit.iter().filter_map(|name| Some((name.clone(), self.variables.get(name)?.clone()))));
        plain.extend(run.environment_variables.iter().cloned());
        plain.extend(self.injected().plain);
        plain
    }

    fn command(&self) -> Command {
        let run = &self.plan.run;
        let values: BTreeMap<String, String> = self.values().into_iter().collect();
        let arguments = run.arguments.iter().map(|text| placeholders::substitute(text, |name| values.get(name).cloned()));
        let python = self.environment.python.display().to_string();
        match &run.entry {
            Entry::Script(script) => Command::Program([python, script.clone()].into_iter().chain(arguments).collect()),
            Entry::Notebook(notebook) => {
                let folder = if self.is_hosted() { "outputs".to_owned() } else { self.home().join("collected").display().to_string() };
                let words = [&python, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--output-dir", &folder, notebook];
                Command::Program(words.map(str::to_owned).to_vec())
            }
            Entry::Command(line) => {
                let line = placeholders::substitute(line, |name| values.get(name).map(|value| shell::quote(value)));
                let rest = shell::join(arguments);
                Command::Shell(if rest.is_empty() { line } else { format!("{line} {rest}") })
            }
        }
    }
}

/// Returns where a container has an input of this machine, under its own name: what reads it may look at the ending.
fn inside(name: &str, path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/inputs/{name}/{file}", place::HOME)
}
