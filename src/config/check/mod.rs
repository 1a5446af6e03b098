//! The document becomes a [`RunConfig`], or all that is wrong with it is found. Pure: no files, no network, no clock.
//!
//! One file per section; each takes its part of the document and says what is true of it.

mod entry;
mod environment;
mod files;
mod hosted;
mod names;
mod references;
pub(super) mod resources;
pub(super) mod target;
pub(super) mod tracking;
mod variables;

use std::path::Path;
use std::time::Duration;

use super::explain::{self, Explained};
use super::layers::{self, Layers, strongest};
use super::{Origin, RunConfig, Sourced, document};
use crate::support::yaml::{Context, List, Map, Node, Text, Value};

pub(super) use files::is_address;
pub(super) use tracking::tracker;

/// What a check looks at.
pub(super) struct Given<'a> {
    /// The run config, absolute.
    pub(super) file: &'a Path,
    /// Its text.
    pub(super) text: &'a str,
    /// Its root, for what is missing.
    pub(super) root: &'a Node,
    /// What it says.
    pub(super) document: &'a document::RunConfig,
    /// The source directory, absolute.
    pub(super) source_directory: &'a Path,
    /// What else may set a value.
    pub(super) layers: Layers<'a>,
}

/// Finds `retry:`, and takes it out: whatever stands there, one error says that it is not built.
pub(super) fn take_unbuilt(root: &mut Node, context: &Context) {
    let Value::Map(entries) = &mut root.value else { return };
    entries.retain(|(key, value)| {
        let is_it = key.text() == Some("retry") && !value.is_null();
        if is_it {
            context.find(&value.place, "`retry` is not built yet", "no target honours it today", Some("remove `retry`".to_owned()));
        }
        !is_it
    });
}

/// Checks a document: the run config unless something is wrong, and every value with where it came from.
pub(super) fn check(given: &Given<'_>, context: &Context) -> (Option<RunConfig>, Vec<Explained>) {
    let Given { document, layers, .. } = given;
    let folder = given.file.parent().unwrap_or(Path::new("/"));
    let entry = entry::check(document, given.root, context);
    let inputs = files::inputs(document.inputs.as_ref(), folder, context);
    let outputs = files::outputs(document.outputs.as_ref(), context);
    references::check(document, context);
    let target = target::check(document.compute_target.as_ref(), *layers, context);
    let environment = environment::check(
        document.environment.as_ref(),
        folder,
        given.source_directory,
        target.as_ref().map(|target| &target.spec.value),
        context,
    );
    let environment_variables = variables::pairs(document.environment_variables.as_ref(), context);
    let inherit = variables::names(document.inherit.as_ref(), context);
    let secrets = variables::names(document.secrets.as_ref(), context);
    variables::in_clear(document, target.as_ref().map(|target| &target.spec.value), context);
    variables::once(document, context);
    names::check(document, context);
    let max_jobs = target.as_ref().and_then(|target| target.max_jobs);
    let asked = hosted::check(document, target.as_ref().map(|target| &target.spec.value), max_jobs, context);
    let resources = resources::check(document, target.as_ref(), context);
    let tracking = tracking::check(document.tracking.as_ref(), target.as_ref().map(|target| &target.spec.value), *layers, context);
    let experiment_name = experiment(document.experiment_name.as_ref(), *layers);
    let grace = grace(document, *layers);
    hosted::note_grace(&grace, target.as_ref().map(|target| &target.spec.value), context);
    let max_snapshot_size = max_snapshot_size(*layers);
    let explained = explain::explain(&explain::Values {
        document,
        source_directory: given.source_directory,
        target: target.as_ref(),
        resources: &resources,
        tracking: &tracking,
        experiment_name: experiment_name.as_ref(),
        grace: &grace,
        max_snapshot_size: &max_snapshot_size,
    });
    let run = (|| {
        Some(RunConfig {
            file: given.file.to_owned(),
            text: given.text.to_owned(),
            experiment_name,
            display_name: layers::written(document.display_name.as_ref()).map(|name| name.value),
            source_directory: given.source_directory.to_owned(),
            entry: entry?,
            arguments: texts(document.arguments.as_ref()),
            setup: layers::written(document.setup.as_ref()).map(|setup| setup.value),
            inputs,
            outputs,
            target: target?.spec,
            environment: environment?,
            environment_variables,
            inherit,
            secrets,
            asked,
            resources: resources.values(),
            tracking: tracking.spec(),
            credentials: layers.keyring(),
            tags: pairs(document.tags.as_ref()),
            include: texts(document.include.as_ref()),
            allow_files: texts(document.allow_files.as_ref()),
            max_snapshot_size: max_snapshot_size.value,
            grace: grace.value,
            notes: Vec::new(),
        })
    })();
    (run, explained)
}

fn experiment(written: Option<&Text>, layers: Layers<'_>) -> Option<Sourced<String>> {
    let flag = layers.flags.experiment_name.clone().map(|value| Sourced { value, origin: Origin::Flag("--experiment-name".to_owned()) });
    let settings = layers.settings(|settings| settings.document.experiment_name.as_ref().map(|name| (name.text.clone(), &name.place)));
    strongest([flag, layers::written(written), layers.variable("MLFLOW_EXPERIMENT_NAME")].into_iter().chain(settings))
        .filter(|name| !name.value.trim().is_empty())
}

fn grace(document: &document::RunConfig, layers: Layers<'_>) -> Sourced<Duration> {
    let settings = layers.settings(|settings| settings.document.grace.as_ref().map(|grace| (grace.value, &grace.place)));
    strongest([layers::parsed(document.grace.as_ref())].into_iter().chain(settings))
        .unwrap_or(Sourced { value: Duration::from_secs(30), origin: Origin::Default })
}

fn max_snapshot_size(layers: Layers<'_>) -> Sourced<u64> {
    let settings = layers.settings(|settings| settings.document.max_snapshot_size.as_ref().map(|size| (size.value.0, &size.place)));
    strongest(settings).unwrap_or(Sourced { value: 1 << 30, origin: Origin::Default })
}

fn texts(list: Option<&List<Text>>) -> Vec<String> {
    list.iter().flat_map(|list| &list.items).map(|text| text.text.clone()).collect()
}

fn pairs(map: Option<&Map<Text>>) -> Vec<(String, String)> {
    map.iter().flat_map(|map| &map.entries).map(|(name, value)| (name.text.clone(), value.text.clone())).collect()
}
