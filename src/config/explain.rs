//! Every value of a run config with where it came from, defaults included: `sendoff config show`.

use std::path::Path;
use std::time::Duration;

use super::check::resources::Sources as Resources;
use super::check::target::Chosen;
use super::check::tracking::Sources as Tracking;
use super::document::{InputValue, RunConfig};
use super::{Origin, Sourced, layers};
use crate::environment;
use crate::support::secret::without_credentials;
use crate::support::words::{Size, Span};
use crate::support::yaml::{List, Map, Parsed, Text};

/// A value of `sendoff config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The key's full name.
    pub key: String,
    /// The value.
    pub value: Shown,
    /// The layer that set it.
    pub origin: Origin,
}

/// What is shown for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A value, nothing secret in it.
    Value(String),
    /// Nothing is set, and what that means.
    Absent(&'static str),
}

/// What is explained: the document, and what several layers decide.
pub(super) struct Values<'a> {
    pub(super) document: &'a RunConfig,
    pub(super) source_directory: &'a Path,
    pub(super) target: Option<&'a Chosen<'a>>,
    pub(super) resources: &'a Resources,
    pub(super) tracking: &'a Tracking,
    pub(super) experiment_name: Option<&'a Sourced<String>>,
    pub(super) grace: &'a Sourced<Duration>,
    pub(super) max_snapshot_size: &'a Sourced<u64>,
}

/// Explains every key, in the order of the schema.
pub(super) fn explain(values: &Values<'_>) -> Vec<Explained> {
    let document = values.document;
    let mut rows = Rows::default();
    rows.sourced("experiment_name", values.experiment_name, String::clone, "the repository's name, else the folder's");
    rows.text("display_name", document.display_name.as_ref(), "the job id");
    rows.text("description", document.description.as_ref(), "which job it is, and where");
    let directory = document.source_directory.as_ref().map_or(Origin::Default, |text| layers::origin(&text.place));
    rows.value("source_directory", values.source_directory.display().to_string(), directory);
    if document.command.is_none() {
        rows.text("script", document.script.as_ref(), "none");
    } else {
        rows.text("command", document.command.as_ref(), "none");
    }
    rows.list("arguments", document.arguments.as_ref(), "none");
    rows.text("setup", document.setup.as_ref(), "nothing");
    rows.inputs(document);
    rows.outputs(document);
    rows.target(values.target);
    rows.environment(document.environment.as_ref());
    rows.map("environment_variables", document.environment_variables.as_ref());
    rows.list("inherit", document.inherit.as_ref(), "none beyond PATH, HOME, USER, LANG, TZ, TMPDIR and CUDA_VISIBLE_DEVICES");
    rows.list("secrets", document.secrets.as_ref(), "none");
    let in_clear = document.secrets_in_clear.as_ref();
    let is_allowed = in_clear.is_some_and(|flag| flag.value).to_string();
    rows.value("secrets_in_clear", is_allowed, in_clear.map_or(Origin::Default, |flag| layers::origin(&flag.place)));
    let resources = values.resources;
    rows.sourced("resources.cpus", resources.cpus.as_ref(), ToString::to_string, "all that the target has");
    rows.sourced("resources.memory", resources.memory.as_ref(), |bytes| Size(*bytes).to_string(), "no limit");
    rows.sourced("resources.gpus", resources.gpus.as_ref(), ToString::to_string, "what the target shows");
    let nodes = resources.nodes.as_ref().map_or((1, Origin::Default), |nodes| (nodes.value, nodes.origin.clone()));
    rows.value("resources.nodes", nodes.0.to_string(), nodes.1);
    rows.sourced("resources.max_duration", resources.max_duration.as_ref(), |limit| Span(*limit).to_string(), "no limit");
    rows.hosted(document);
    let uri = &values.tracking.uri;
    rows.value("tracking.uri", uri.value.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string), uri.origin.clone());
    let attach = &values.tracking.attach;
    rows.value("tracking.attach", format!("{:?}", attach.value).to_lowercase(), attach.origin.clone());
    let tracking = values.tracking;
    rows.value("tracking.relay", tracking.relay.value.word(), tracking.relay.origin.clone());
    rows.value("tracking.outage", Span(tracking.outage.value).to_string(), tracking.outage.origin.clone());
    rows.value("tracking.drain", Span(tracking.drain.value).to_string(), tracking.drain.origin.clone());
    rows.value("tracking.spool_size", Size(tracking.spool.value).to_string(), tracking.spool.origin.clone());
    rows.sourced("credentials", tracking.credentials.as_ref(), String::clone, "none for this tracker");
    rows.map("tags", document.tags.as_ref());
    rows.list("include", document.include.as_ref(), "nothing that a rule ignores");
    rows.list("allow_files", document.allow_files.as_ref(), "nothing that looks like a secret");
    rows.value("grace", Span(values.grace.value).to_string(), values.grace.origin.clone());
    rows.value("max_snapshot_size", Size(values.max_snapshot_size.value).to_string(), values.max_snapshot_size.origin.clone());
    rows.0
}

#[derive(Default)]
struct Rows(Vec<Explained>);

impl Rows {
    fn value(&mut self, key: &str, text: impl Into<String>, origin: Origin) {
        let value = Shown::Value(without_credentials(&text.into()));
        self.0.push(Explained { key: key.to_owned(), value, origin });
    }

    fn absent(&mut self, key: &str, meaning: &'static str) {
        self.0.push(Explained { key: key.to_owned(), value: Shown::Absent(meaning), origin: Origin::Default });
    }

    fn sourced<T>(&mut self, key: &str, value: Option<&Sourced<T>>, show: impl Fn(&T) -> String, absent: &'static str) {
        match value {
            Some(sourced) => self.value(key, show(&sourced.value), sourced.origin.clone()),
            None => self.absent(key, absent),
        }
    }

    fn text(&mut self, key: &str, text: Option<&Text>, absent: &'static str) {
        match text {
            Some(text) => self.value(key, text.text.clone(), layers::origin(&text.place)),
            None => self.absent(key, absent),
        }
    }

    fn parsed<T>(&mut self, key: &str, value: Option<&Parsed<T>>, absent: &'static str) {
        match value {
            Some(value) => self.value(key, value.text.clone(), layers::origin(&value.place)),
            None => self.absent(key, absent),
        }
    }

    fn list(&mut self, key: &str, list: Option<&List<Text>>, absent: &'static str) {
        match list {
            Some(list) if !list.items.is_empty() => {
                for (index, text) in list.items.iter().enumerate() {
                    self.value(&format!("{key}[{index}]"), text.text.clone(), layers::origin(&text.place));
                }
            }
            _ => self.absent(key, absent),
        }
    }

    fn map(&mut self, key: &str, map: Option<&Map<Text>>) {
        let Some(map) = map.filter(|map| !map.entries.is_empty()) else { return self.absent(key, "none") };
        for (name, text) in &map.entries {
            self.value(&format!("{key}.{}", name.text), text.text.clone(), layers::origin(&text.place));
        }
    }

    fn inputs(&mut self, document: &RunConfig) {
        let Some(map) = document.inputs.as_ref().filter(|map| !map.entries.is_empty()) else {
            return self.absent("inputs", "none");
        };
        for (name, value) in &map.entries {
            match value {
                InputValue::Literal(text) => self.text(&format!("inputs.{}", name.text), Some(text), ""),
                InputValue::File(file) => {
                    self.parsed(&format!("inputs.{}.type", name.text), file.r#type.as_ref(), "");
                    self.text(&format!("inputs.{}.path", name.text), file.path.as_ref(), "");
                    if file.mode.is_some() {
                        self.parsed(&format!("inputs.{}.mode", name.text), file.mode.as_ref(), "");
                    }
                }
            }
        }
    }

    fn outputs(&mut self, document: &RunConfig) {
        let Some(map) = document.outputs.as_ref().filter(|map| !map.entries.is_empty()) else {
            return self.absent("outputs", "none by name; `./outputs` and `./logs` are always collected");
        };
        for (name, output) in &map.entries {
            let key = format!("outputs.{}.type", name.text);
            match &output.0.r#type {
                Some(kind) => self.parsed(&key, Some(kind), ""),
                None => self.value(&key, "uri_folder".to_owned(), Origin::Default),
            }
            if output.0.mode.is_some() {
                self.parsed(&format!("outputs.{}.mode", name.text), output.0.mode.as_ref(), "");
            }
            for (key, text) in [("path", &output.0.path), ("name", &output.0.name), ("version", &output.0.version)] {
                if text.is_some() {
                    self.text(&format!("outputs.{}.{key}", name.text), text.as_ref(), "");
                }
            }
        }
    }

    /// Explains what only Azure ML honours.
    fn hosted(&mut self, document: &RunConfig) {
        const NONE: &str = "none";
        self.parsed_below("distribution", document.distribution.as_ref().and_then(|section| section.r#type.as_ref()));
        self.parsed_below("identity", document.identity.as_ref().and_then(|section| section.r#type.as_ref()));
        if document.services.as_ref().is_none_or(|map| map.entries.is_empty()) {
            self.absent("services", NONE);
        }
        for (name, service) in document.services.iter().flat_map(|map| &map.entries) {
            self.parsed(&format!("services.{}.type", name.text), service.r#type.as_ref(), NONE);
        }
        let queue = document.queue_settings.as_ref();
        self.parsed("queue_settings.job_tier", queue.and_then(|queue| queue.job_tier.as_ref()), "the target's");
        self.parsed("queue_settings.priority", queue.and_then(|queue| queue.priority.as_ref()), "the service's own");
        self.map("properties", document.properties.as_ref());
    }

    /// Explains a section by its kind.
    fn parsed_below<T>(&mut self, section: &str, kind: Option<&Parsed<T>>) {
        match kind {
            Some(_) => self.parsed(&format!("{section}.type"), kind, ""),
            None => self.absent(section, "none"),
        }
    }

    fn target(&mut self, target: Option<&Chosen<'_>>) {
        let Some(target) = target else { return };
        let Sourced { value: spec, origin } = &target.spec;
        self.value("compute_target", spec.name.clone(), origin.clone());
        let defined = target.place.map_or(Origin::Default, |place| target.origin(place));
        self.value("compute_target.type", spec.config.kind().word().to_owned(), defined);
        match (spec.max_jobs, target.max_jobs) {
            (Some(count), Some(place)) => self.value("compute_target.max_jobs", count.to_string(), target.origin(place)),
            _ => self.absent("compute_target.max_jobs", "no limit"),
        }
    }

    fn environment(&mut self, section: Option<&environment::Section>) {
        let empty = environment::Section::default();
        let section = section.unwrap_or(&empty);
        self.parsed("environment.python", section.python.as_ref(), "what the packages ask for, else the first Python 3.10 or newer");
        let files = [
            ("environment.requirements_file", &section.requirements_file),
            ("environment.conda_file", &section.conda_file),
            ("environment.pyproject", &section.pyproject),
        ];
        match files.iter().find(|(_, file)| file.is_some()) {
            Some((key, file)) => self.text(key, file.as_ref(), ""),
            None => self.list("environment.pip_packages", section.pip_packages.as_ref(), "none beside MLflow's"),
        }
        if section.dockerfile.is_some() {
            self.text("environment.dockerfile", section.dockerfile.as_ref(), "");
            self.text("environment.build_context", section.build_context.as_ref(), "the folder of the Dockerfile");
        } else if section.image.is_some() {
            self.text("environment.image", section.image.as_ref(), "");
        }
        if section.system_packages.is_some() {
            self.list("environment.system_packages", section.system_packages.as_ref(), "");
        }
        if section.push.is_some() {
            self.parsed("environment.push", section.push.as_ref(), "");
        }
        self.text("environment.index_url", section.index_url.as_ref(), "the one that uv is configured for");
        self.list("environment.extra_index_urls", section.extra_index_urls.as_ref(), "none");
        self.list("environment.find_links", section.find_links.as_ref(), "none");
        match &section.install_project {
            Some(flag) => self.value("environment.install_project", flag.value.to_string(), layers::origin(&flag.place)),
            None => self.value("environment.install_project", "false".to_owned(), Origin::Default),
        }
    }
}
