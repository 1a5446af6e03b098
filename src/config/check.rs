//! The document becomes a [`RunConfig`], or all that is wrong with it is found. Pure: no files, no network, no clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{Explained, strongest};
use super::load::{Flags, origin};
use super::settings::{self, Settings};
use super::{Entry, Input, Origin, Output, PathKind, Resources, RunConfig, Sourced, placeholders, requirement, values};
use crate::environment::{Mlflow, PackageSource, Spec as EnvironmentSpec};
use crate::support::words;
use crate::support::yaml::{Context, Fields, Node, Value};
use crate::target::config::{TargetConfig, TargetSpec};
use crate::tracking::{self, Attach, Uri};

/// What a check looks at.
pub(super) struct Given<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
    pub(super) root: &'a Node,
    pub(super) flags: &'a Flags,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) settings: &'a [Settings],
}

/// One check.
pub(super) struct Checker<'a> {
    given: Given<'a>,
    context: &'a Context,
    explained: Vec<Explained>,
}

/// Variables that sendoff itself sets.
fn is_reserved(name: &str) -> bool {
    name.starts_with("SENDOFF_")
        || matches!(
            name,
            "MLFLOW_TRACKING_URI" | "MLFLOW_RUN_ID" | "MLFLOW_EXPERIMENT_ID" | "MLFLOW_EXPERIMENT_NAME" | "MLFLOW_RUN_CONTEXT"
        )
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl<'a> Checker<'a> {
    pub(super) fn new(given: Given<'a>, context: &'a Context) -> Self {
        Self { given, context, explained: Vec::new() }
    }

    fn explain(&mut self, key: &str, value: impl Into<String>, origin: Origin) {
        self.explained.push(Explained { key: key.to_owned(), value: value.into(), origin });
    }

    fn origin(&self, node: Option<&Node>) -> Origin {
        node.map_or(Origin::Default, |node| origin(node, self.given.file))
    }

    fn settings_origin(settings: &Settings, node: &Node) -> Origin {
        let (file, line) = (settings.file.clone(), node.line());
        if settings.own { Origin::UserSettings { file, line } } else { Origin::ProjectSettings { file, line } }
    }

    pub(super) fn check(mut self) -> (Option<RunConfig>, Vec<Explained>) {
        let mut fields = Fields::of(self.given.root, "", self.context);
        if let Some(schema) = fields.get("$schema") {
            self.context.find(
                schema,
                "this is an Azure ML job file",
                "reading it is not built yet",
                Some("write it as a run config: `sendoff init`".to_owned()),
            );
        }
        let folder = self.given.file.parent().unwrap_or(Path::new("/")).to_owned();
        let directory_node = fields.get_or_alias("source_directory", &["code"]);
        let directory = directory_node.and_then(|node| fields.scalar(node, "source_directory"));
        let entry = self.entry(&mut fields);
        let arguments_nodes = fields.texts("arguments");
        let inputs = self.inputs(&mut fields, &folder);
        let outputs = self.outputs(&mut fields);
        self.placeholders(&mut fields, &arguments_nodes, &inputs, &outputs);
        let experiment_name = self.experiment(&mut fields);
        let display_name = fields.text("display_name");
        let setup = fields.text("setup");
        let target = self.target(&mut fields);
        let source_directory = super::inspect::source_directory(&folder, directory.as_deref(), entry.as_ref());
        let environment = self.environment(&mut fields, &folder, &source_directory, target.as_ref().map(|target| &target.value));
        let environment_variables = self.variables(&mut fields);
        let inherit = self.names(&mut fields, "inherit");
        let secrets = self.names(&mut fields, "secrets");
        let resources = self.resources(&mut fields, target.as_ref().map(|target| &target.value));
        let tracking = self.tracking(&mut fields);
        let tags = fields.pairs("tags").into_iter().map(|(name, value, _)| (name, value)).collect();
        let include = fields.texts("include").into_iter().map(|(text, _)| text).collect();
        let allow_files = fields.texts("allow_files").into_iter().map(|(text, _)| text).collect();
        let grace = fields.parsed("grace", values::duration, "grace: 30s").unwrap_or(Duration::from_secs(30));
        if let Some(node) = fields.get("retry") {
            self.context.find(node, "`retry` is not built yet", "for the target `local`", Some("remove it".to_owned()));
        }
        fields.finish();
        self.explain_document();
        self.explain("source_directory", source_directory.display().to_string(), self.origin(directory_node));
        self.explain(
            "experiment_name",
            experiment_name.as_ref().map_or("(the repository's or folder's name)", |name| &name.value),
            experiment_name.as_ref().map_or(Origin::Default, |name| name.origin.clone()),
        );
        if let Some(target) = &target {
            self.explain("compute_target", target.value.name.clone(), target.origin.clone());
        }
        let uri = tracking.value.uri.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        self.explain("tracking.uri", uri, tracking.origin.clone());
        let run = (|| {
            Some(RunConfig {
                file: self.given.file.to_owned(),
                text: self.given.text.to_owned(),
                experiment_name,
                display_name,
                source_directory,
                entry: entry?,
                arguments: arguments_nodes.into_iter().map(|(text, _)| text).collect(),
                setup,
                inputs,
                outputs,
                target: target?,
                environment: environment?,
                environment_variables,
                inherit,
                secrets,
                resources,
                tracking,
                tags,
                include,
                allow_files,
                max_snapshot_size: 1 << 30,
                grace,
                notes: Vec::new(),
            })
        })();
        (run, self.explained)
    }

    /// Explains every scalar that the run config or `--set` wrote; keys with layers are explained apart.
    fn explain_document(&mut self) {
        fn walk(node: &Node, path: &str, file: &Path, into: &mut Vec<Explained>) {
            match &node.value {
                Value::Map(entries) => {
                    for (key, value) in entries {
                        let name = key.text().unwrap_or("?");
                        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                        walk(value, &path, file, into);
                    }
                }
                Value::List(items) => {
                    for (index, item) in items.iter().enumerate() {
                        walk(item, &format!("{path}[{index}]"), file, into);
                    }
                }
                Value::Scalar { text, .. } => {
                    let layered = ["source_directory", "code", "experiment_name", "compute_target", "compute", "target", "tracking.uri"];
                    if !layered.contains(&path) && !path.starts_with("compute_target.") {
                        let value =
                            url::Url::parse(text).map_or_else(|_| text.clone(), |url| crate::support::secret::redacted(&url).to_string());
                        into.push(Explained { key: path.to_owned(), value, origin: origin(node, file) });
                    }
                }
            }
        }
        walk(self.given.root, "", self.given.file, &mut self.explained);
    }

    fn entry(&self, fields: &mut Fields<'a>) -> Option<Entry> {
        let (script, command) = (fields.get("script"), fields.get("command"));
        match (script, command) {
            (Some(_), Some(command)) => {
                self.context.find(command, "`script` and `command` exclude each other", "the second of them", Some("keep one".to_owned()));
                None
            }
            (None, None) => {
                self.context.find(
                    self.given.root,
                    "there is nothing to run",
                    "neither `script` nor `command`",
                    Some("write `script: train.py`".to_owned()),
                );
                None
            }
            (None, Some(node)) => Some(Entry::Command(fields.scalar(node, "command")?)),
            (Some(node), None) => {
                let text = fields.scalar(node, "script")?;
                let path = text.trim_start_matches("./").to_owned();
                let extension = Path::new(&path).extension().and_then(|extension| extension.to_str());
                if Path::new(&path).is_absolute() || path.split('/').any(|part| part == "..") {
                    self.context.find(
                        node,
                        "`script` must lie inside the source directory",
                        "this leaves it",
                        Some("write it relative to `source_directory`".to_owned()),
                    );
                    return None;
                }
                match extension {
                    Some("ipynb") => Some(Entry::Notebook(path)),
                    Some("py") => Some(Entry::Script(path)),
                    _ => {
                        self.context.find(
                            node,
                            "`script` takes a Python file or a notebook",
                            "neither `.py` nor `.ipynb`",
                            Some("use `command:` for other programs".to_owned()),
                        );
                        None
                    }
                }
            }
        }
    }

    fn inputs(&self, fields: &mut Fields<'a>, folder: &Path) -> Vec<(String, Input)> {
        let mut inputs = Vec::new();
        for (name, key, node) in fields.entries("inputs") {
            if !is_variable(&name) {
                self.context.find(key, format!("`{name}` cannot name an input"), "letters, digits and `_` only", None);
            }
            if let Some(text) = node.text() {
                inputs.push((name, Input::Literal(text.to_owned())));
                continue;
            }
            let mut input = Fields::of(node, &format!("inputs.{name}"), self.context);
            let kind = input.parsed("type", path_kind, "type: uri_file");
            let path = input.text("path");
            input.finish();
            if let (Some(path), Some(kind)) = (&path, kind) {
                let input = match path.strip_prefix("target:") {
                    Some(path) => Input::OnTarget { kind, path: path.to_owned() },
                    None => Input::Local { kind, path: folder.join(path) },
                };
                inputs.push((name, input));
            } else if path.is_none() {
                self.context.find(key, format!("`inputs.{name}` has no `path`"), "an input of this type needs one", None);
            } else if node.get("type").is_none() {
                self.context.find(key, format!("`inputs.{name}` has no `type`"), "expected `uri_file` or `uri_folder`", None);
            }
        }
        inputs
    }

    fn outputs(&self, fields: &mut Fields<'a>) -> Vec<(String, Output)> {
        let mut outputs = Vec::new();
        for (name, key, node) in fields.entries("outputs") {
            if !is_variable(&name) {
                self.context.find(key, format!("`{name}` cannot name an output"), "letters, digits and `_` only", None);
            }
            let mut output = Fields::of(node, &format!("outputs.{name}"), self.context);
            let kind = output.parsed("type", path_kind, "type: uri_folder").unwrap_or(PathKind::Folder);
            output.finish();
            outputs.push((name, Output { kind }));
        }
        outputs
    }

    fn placeholders(
        &self,
        fields: &mut Fields<'a>,
        arguments: &[(String, &'a Node)],
        inputs: &[(String, Input)],
        outputs: &[(String, Output)],
    ) {
        let known: Vec<String> = inputs
            .iter()
            .map(|(name, _)| format!("inputs.{name}"))
            .chain(outputs.iter().map(|(name, _)| format!("outputs.{name}")))
            .collect();
        let command = fields.get("command").and_then(|node| Some((node.text()?.to_owned(), node)));
        for (text, node) in arguments.iter().cloned().chain(command) {
            for placeholder in placeholders::find(&text) {
                if known.contains(&placeholder.name) {
                    continue;
                }
                let source = &node.source.text[node.span.start.min(node.source.text.len())..];
                let shown = &text[placeholder.range.clone()];
                let start = node.span.start + source.find(shown).unwrap_or(0);
                let fix = crate::support::suggest::nearest(&placeholder.name, known.iter().map(String::as_str)).map_or_else(
                    || {
                        if known.is_empty() {
                            "declare it below `inputs:` or `outputs:`".to_owned()
                        } else {
                            format!("there are {}", words::all_of(&known))
                        }
                    },
                    |near| format!("did you mean `${{{{{near}}}}}`?"),
                );
                self.context.find_at(
                    &node.source,
                    start..start + shown.len(),
                    format!("`{shown}` names nothing"),
                    "no input or output of this name",
                    Some(fix),
                );
            }
        }
    }

    fn experiment(&self, fields: &mut Fields<'a>) -> Option<Sourced<String>> {
        let written = fields
            .get("experiment_name")
            .and_then(|node| Some(Sourced { value: node.text()?.to_owned(), origin: self.origin(Some(node)) }));
        let flag =
            self.given.flags.experiment_name.clone().map(|value| Sourced { value, origin: Origin::Flag("--experiment-name".to_owned()) });
        let variable = self.variable("MLFLOW_EXPERIMENT_NAME");
        let layers = self.given.settings.iter().map(|settings| {
            let node = settings.get(&["experiment_name"])?;
            Some(Sourced { value: node.text()?.to_owned(), origin: Self::settings_origin(settings, node) })
        });
        strongest([flag, written, variable].into_iter().chain(layers)).filter(|name| !name.value.trim().is_empty())
    }

    fn variable(&self, name: &str) -> Option<Sourced<String>> {
        let value = self.given.environment.get(name).filter(|value| !value.is_empty())?.clone();
        Some(Sourced { value, origin: Origin::Environment(name.to_owned()) })
    }

    fn target(&self, fields: &mut Fields<'a>) -> Option<Sourced<TargetSpec>> {
        let node = fields.get_or_alias("compute_target", &["compute", "target"]);
        if let Some(name) = &self.given.flags.target {
            return self.named(name, Origin::Flag("--target".to_owned()), None);
        }
        if let Some(node) = node {
            let origin = self.origin(Some(node));
            return match node.text() {
                Some(name) => self.named(name, origin, Some(node)),
                None => settings::target("inline", node, "compute_target", self.context).map(|value| Sourced { value, origin }),
            };
        }
        for settings in self.given.settings {
            let Some(node) = settings.get(&["compute_target"]) else { continue };
            let chosen = self.named(node.text()?, Self::settings_origin(settings, node), Some(node))?;
            if chosen.value.config.kind().is_paid() {
                self.context.find(
                    node,
                    "settings may not choose a target that costs money",
                    format!("`{}` is one", chosen.value.name),
                    Some("name it in the run config, or with `--target`".to_owned()),
                );
                return None;
            }
            return Some(chosen);
        }
        self.named("local", Origin::Default, None)
    }

    fn named(&self, name: &str, origin: Origin, node: Option<&Node>) -> Option<Sourced<TargetSpec>> {
        if let Some(value) = self.given.settings.iter().find_map(|settings| settings.target(name)) {
            return Some(Sourced { value, origin });
        }
        let built_in = |config| TargetSpec { name: name.to_owned(), config, max_jobs: None, resources: BTreeMap::new() };
        match name {
            "local" => return Some(Sourced { value: built_in(TargetConfig::Local), origin }),
            "docker" => {
                let config = TargetConfig::NotBuilt { kind: crate::target::config::Kind::Docker, keys: BTreeMap::new() };
                return Some(Sourced { value: built_in(config), origin });
            }
            _ => {}
        }
        let mut names: Vec<String> = self.given.settings.iter().flat_map(Settings::target_names).collect();
        names.extend(["local".to_owned(), "docker".to_owned()]);
        let fix = crate::support::suggest::nearest(name, names.iter().map(String::as_str)).map_or_else(
            || format!("the targets are {}; others are named in `sendoff.yaml`", words::all_of(&names)),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("there is no compute target `{name}`");
        match node {
            Some(node) => self.context.find(node, message, "no target of this name", Some(fix)),
            None => {
                let source = std::sync::Arc::new(crate::support::yaml::Source { name: "--target".into(), text: name.to_owned() });
                self.context.find_at(&source, 0..name.len(), message, "no target of this name", Some(fix));
            }
        }
        None
    }

    fn environment(&self, fields: &mut Fields<'a>, folder: &Path, root: &Path, target: Option<&TargetSpec>) -> Option<EnvironmentSpec> {
        let mut spec = EnvironmentSpec {
            python: None,
            packages: PackageSource::Pip(Vec::new()),
            index_url: None,
            extra_index_urls: Vec::new(),
            find_links: Vec::new(),
            install_project: false,
            system_packages: Vec::new(),
            root: root.to_owned(),
            mlflow: Mlflow::Client { server: None },
            extra: Vec::new(),
        };
        let Some(mut section) = fields.section("environment") else { return Some(spec) };
        spec.python = section.text("python");
        let pip = section.get("pip_packages").map(|node| (node, section.text_list(node, "pip_packages")));
        let files: Vec<(&str, Option<&Node>)> =
            ["requirements_file", "conda_file", "pyproject"].map(|key| (key, section.get(key))).into_iter().collect();
        let mut forms: Vec<&str> = files.iter().filter(|(_, node)| node.is_some()).map(|(key, _)| *key).collect();
        if let Some((node, list)) = &pip {
            for (text, entry) in list {
                if let Err(refusal) = requirement::check(text) {
                    self.context.find(entry, format!("`{text}` is not a package"), refusal.reason, refusal.fix);
                }
            }
            if let Some(other) = forms.first() {
                self.context.find(
                    node,
                    format!("`pip_packages` and `{other}` exclude each other"),
                    "the packages come from one place",
                    Some("keep one of them".to_owned()),
                );
            }
            spec.packages = PackageSource::Pip(list.iter().map(|(text, _)| text.trim().to_owned()).collect());
            forms.clear();
        }
        if let [first, second, ..] = forms.as_slice() {
            let node = files.iter().find(|(key, _)| key == second).and_then(|(_, node)| *node).unwrap_or(section.node());
            self.context.find(
                node,
                format!("`{first}` and `{second}` exclude each other"),
                "the packages come from one place",
                Some("keep one of them".to_owned()),
            );
        } else if let [form] = forms.as_slice() {
            let node = files.iter().find(|(key, _)| key == form).and_then(|(_, node)| *node)?;
            let path = folder.join(section.scalar(node, form)?);
            spec.packages = match *form {
                "requirements_file" => PackageSource::RequirementsFile(path),
                "conda_file" => PackageSource::CondaFile(path),
                _ => PackageSource::Pyproject(path),
            };
        }
        spec.index_url = section.text("index_url");
        spec.extra_index_urls = section.texts("extra_index_urls").into_iter().map(|(text, _)| text).collect();
        let link = |text: String| if text.contains("://") { text } else { folder.join(text).display().to_string() };
        spec.find_links = section.texts("find_links").into_iter().map(|(text, _)| link(text)).collect();
        spec.install_project = section.flag("install_project").unwrap_or(false);
        let is_local = target.is_none_or(|target| target.config == TargetConfig::Local);
        for key in ["image", "dockerfile", "system_packages"] {
            if let Some(node) = section.get(key).filter(|_| is_local) {
                self.context.find(
                    node,
                    format!("`environment.{key}` needs a target with containers"),
                    "the target here is `local`",
                    Some("remove it, or choose another target".to_owned()),
                );
            }
        }
        section.finish();
        Some(spec)
    }

    fn variables(&self, fields: &mut Fields<'a>) -> Vec<(String, String)> {
        let pairs = fields.pairs("environment_variables");
        for (name, _, key) in &pairs {
            self.check_name(name, key);
        }
        pairs.into_iter().map(|(name, value, _)| (name, value)).collect()
    }

    fn names(&self, fields: &mut Fields<'a>, key: &'static str) -> Vec<String> {
        let list = fields.texts(key);
        for (name, node) in &list {
            self.check_name(name, node);
        }
        list.into_iter().map(|(name, _)| name).collect()
    }

    fn check_name(&self, name: &str, node: &Node) {
        if !is_variable(name) {
            self.context.find(node, format!("`{name}` cannot name a variable"), "letters, digits and `_` only, no digit first", None);
        } else if is_reserved(name) {
            self.context.find(
                node,
                format!("`{name}` is set by sendoff"),
                "it cannot be set here",
                Some("use `tracking:` and `experiment_name:`".to_owned()),
            );
        }
    }

    fn resources(&self, fields: &mut Fields<'a>, target: Option<&TargetSpec>) -> Resources {
        let mut resources = Resources::default();
        if let Some(mut section) = fields.section("resources") {
            resources.cpus = section.parsed("cpus", positive, "cpus: 2");
            resources.memory = section.parsed("memory", values::memory, "memory: 4GiB");
            resources.gpus = section.parsed("gpus", values::count, "gpus: 1");
            resources.max_duration = section.parsed("max_duration", values::duration, "max_duration: 30m");
            if let Some(node) = section.get_or_alias("nodes", &["instance_count", "node_count"])
                && section.parse_node(node, "nodes", positive, "nodes: 1").is_some_and(|nodes| nodes > 1)
            {
                self.context.find(node, "more than one node is not built yet", "for the target `local`", Some("remove `nodes`".to_owned()));
            }
            if let Some(node) = section.get_or_alias("shared_memory", &["shm_size"]) {
                self.context.find(
                    node,
                    "`resources.shared_memory` is not built yet",
                    "for the target `local`",
                    Some("remove it".to_owned()),
                );
            }
            section.finish();
        }
        if let Some(mut limits) = fields.section("limits") {
            if let Some(node) = limits.get("timeout") {
                self.context.note("`limits.timeout` was read as `resources.max_duration`");
                resources.max_duration = limits.parse_node(node, "timeout", values::duration, "timeout: 1800");
            }
            limits.finish();
        }
        // What the named target says replaces what the run config says.
        if let Some(target) = target {
            let take = |key: &str| target.resources.get(key).map(String::as_str);
            resources.cpus = take("cpus").and_then(|text| positive(text).ok()).or(resources.cpus);
            resources.memory = take("memory").and_then(|text| values::memory(text).ok()).or(resources.memory);
            resources.gpus = take("gpus").and_then(|text| values::count(text).ok()).or(resources.gpus);
            resources.max_duration = take("max_duration").and_then(|text| values::duration(text).ok()).or(resources.max_duration);
        }
        resources
    }

    fn tracking(&self, fields: &mut Fields<'a>) -> Sourced<tracking::Spec> {
        let mut attach = Attach::Auto;
        if let Some(mut section) = fields.section("tracking") {
            section.get("uri");
            let parse = |text: &str| match text {
                "auto" => Ok(Attach::Auto),
                "run" => Ok(Attach::Run),
                "parent" => Ok(Attach::Parent),
                _ => Err("expected `auto`, `run` or `parent`"),
            };
            attach = section.parsed("attach", parse, "attach: auto").unwrap_or_default();
            section.finish();
        }
        let tracker = self.tracker().unwrap_or(Sourced { value: Some(Uri::Managed), origin: Origin::Default });
        Sourced { value: tracking::Spec { uri: tracker.value, attach }, origin: tracker.origin }
    }

    /// Returns the tracker of the strongest layer; `None` inside means that there shall be none.
    pub(super) fn tracker(&self) -> Option<Sourced<Option<Uri>>> {
        if self.given.flags.no_tracking {
            return Some(Sourced { value: None, origin: Origin::Flag("--no-tracking".to_owned()) });
        }
        let flag = self.given.flags.tracking_uri.clone().map(|value| (value, Origin::Flag("--tracking-uri".to_owned()), None));
        let node = self.given.root.get("tracking").and_then(|node| node.get("uri"));
        let written = node.and_then(|node| Some((node.text()?.to_owned(), self.origin(Some(node)), Some(node))));
        let variable = self.variable("MLFLOW_TRACKING_URI").map(|sourced| (sourced.value, sourced.origin, None));
        let settings = self.given.settings.iter().find_map(|settings| {
            let node = settings.get(&["tracking", "uri"])?;
            Some((node.text()?.to_owned(), Self::settings_origin(settings, node), Some(node)))
        });
        let (text, origin, node) = flag.or(written).or(variable).or(settings)?;
        if text == "none" {
            return Some(Sourced { value: None, origin });
        }
        match text.parse::<Uri>() {
            Ok(Uri::AzureMl(_) | Uri::Databricks(_)) => {
                self.find_uri(&text, &origin, node, "this kind of tracker is not built yet");
                None
            }
            Ok(uri) => Some(Sourced { value: Some(uri), origin }),
            Err(error) => {
                self.find_uri(&text, &origin, node, &error.reason);
                None
            }
        }
    }

    fn find_uri(&self, text: &str, origin: &Origin, node: Option<&Node>, reason: &str) {
        let message = "the tracker cannot be used";
        match node {
            Some(node) => self.context.find(node, message, reason, None),
            None => {
                let name: PathBuf = origin.to_string().into();
                let source = std::sync::Arc::new(crate::support::yaml::Source { name, text: text.to_owned() });
                self.context.find_at(&source, 0..text.len(), message, reason, None);
            }
        }
    }
}

fn path_kind(text: &str) -> Result<PathKind, &'static str> {
    match text {
        "uri_file" => Ok(PathKind::File),
        "uri_folder" => Ok(PathKind::Folder),
        _ => Err("expected `uri_file` or `uri_folder`"),
    }
}

fn positive(text: &str) -> Result<u32, String> {
    values::count(text).and_then(|count| if count == 0 { Err("expected at least 1".to_owned()) } else { Ok(count) })
}
