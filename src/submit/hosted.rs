//! What a service is told of a submission that runs and tracks its jobs itself.

use super::describe::Parts;
use crate::config::{Input, Output};
use crate::environment::Base;
use crate::job::{Hosted, HostedInput, HostedOutput, InputMode, OutputMode};
use crate::target::azureml::BASE_IMAGE;
use crate::target::config::{AzureMlSpec, TargetConfig, TargetSpec};

/// Stands for an environment that is not resolved yet.
const UNRESOLVED: &str = "AT-SUBMISSION";
/// Tags that the service sets itself.
const SET_THERE: [&str; 3] = ["mlflow.user", "mlflow.source.name", "mlflow.source.type"];

/// Returns the keys of a target of that sort.
pub(super) fn of(target: &TargetSpec) -> Option<&AzureMlSpec> {
    match &target.config {
        TargetConfig::AzureMl(spec) => Some(spec),
        TargetConfig::Local | TargetConfig::Docker(_) | TargetConfig::NotBuilt(_) => None,
    }
}

impl Parts<'_> {
    /// Returns what the service is told beside the job spec; `None` for other targets.
    pub(super) fn hosted(&self) -> Option<Hosted> {
        let run = &self.plan.run;
        of(&run.target.value)?;
        let (mut tags, mut properties) = (Vec::new(), run.asked.properties.clone());
        for (name, value) in self.tags {
            match name.as_str() {
                // Git's facts are properties there, by these names.
                _ if name.starts_with("mlflow.source.git.") => properties.push((name.clone(), value.clone())),
                "sendoff.git_dirty" => {
                    let word = if value == "true" { "True" } else { "False" };
                    properties.push(("azureml.git.dirty".to_owned(), word.to_owned()));
                }
                name if SET_THERE.contains(&name) => {}
                _ => tags.push((name.clone(), value.clone())),
            }
        }
        tags.push(("sendoff.config".to_owned(), self.record.config_digest.clone()));
        let definition = self.environment.definition.as_ref();
        Some(Hosted {
            experiment: self.plan.experiment.clone(),
            name: self.record.name.clone(),
            tags,
            properties,
            inputs: run.inputs.iter().map(|(name, value)| (name.clone(), input(value))).collect(),
            outputs: run.outputs.iter().map(|(name, value)| (name.clone(), output(value))).collect(),
            environment: definition.map_or_else(|| UNRESOLVED.to_owned(), |definition| definition.id().to_string()),
            image: definition.map_or_else(|| self.image(), |definition| definition.image.clone()),
            conda_file: definition.and_then(|definition| definition.conda_file.clone()),
            shared_memory: run.resources.shared_memory,
            asked: run.asked.clone(),
        })
    }

    /// Returns the image that an environment starts from which is not resolved yet.
    fn image(&self) -> String {
        match &self.plan.environment.base {
            Base::Image(image) => image.clone(),
            Base::Python | Base::Dockerfile { .. } => BASE_IMAGE.to_owned(),
        }
    }

    /// Returns whether a service runs the job: what only that knows stands as `${{...}}` until then.
    pub(super) fn is_hosted(&self) -> bool {
        of(&self.plan.run.target.value).is_some()
    }
}

fn input(input: &Input) -> HostedInput {
    let mode = |mode: Option<InputMode>| mode.unwrap_or(InputMode::ReadOnlyMount);
    match input {
        Input::Literal(text) => HostedInput::Value(text.clone()),
        Input::Local { kind, path, mode: asked } => HostedInput::Here { path: path.clone(), kind: *kind, mode: mode(*asked) },
        Input::OnTarget { kind, path, mode: asked } => HostedInput::There { uri: path.clone(), kind: *kind, mode: mode(*asked) },
    }
}

fn output(output: &Output) -> HostedOutput {
    HostedOutput {
        kind: output.kind,
        mode: output.mode.unwrap_or(OutputMode::ReadWriteMount),
        uri: output.uri.clone(),
        name: output.name.clone(),
        version: output.version.clone(),
    }
}
