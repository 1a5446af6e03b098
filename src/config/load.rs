//! From files, flags and the environment to a checked run config.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{Checker, Given};
use super::layers::Explained;
use super::settings::{Settings, project_files};
use super::{Error, Origin, RunConfig, Sourced, inspect, pep723};
use crate::support::fs;
use crate::support::yaml::{self, Context, Node, Source, Value};
use crate::tracking;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--target`.
    pub target: Option<String>,
    /// `--tracking-uri`.
    pub tracking_uri: Option<String>,
    /// `--experiment-name`.
    pub experiment_name: Option<String>,
    /// `--no-tracking`.
    pub no_tracking: bool,
    /// `--set key.path=value`, in order.
    pub set: Vec<String>,
}

/// Everything that a run config depends on.
#[derive(Debug, Clone)]
pub struct Request {
    /// The run config, a `.py` or a `.ipynb`; `None` looks for `run.yaml` in `cwd`.
    pub file: Option<PathBuf>,
    /// The working directory, absolute.
    pub cwd: PathBuf,
    /// The flags.
    pub flags: Flags,
    /// The submitter's environment.
    pub environment: BTreeMap<String, String>,
    /// The folder of the user's own settings.
    pub user_settings: PathBuf,
}

/// A run config that passed, with where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The run config.
    pub run: RunConfig,
    /// Every value with its origin.
    pub explained: Vec<Explained>,
}

/// Returns the run config of a folder.
pub fn find_run_config(folder: &Path) -> Result<PathBuf, Error> {
    ["run.yaml", "run.yml"]
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::NoRunConfig(folder.to_owned()))
}

/// Reads a text file; a missing one and one that is not text have errors of their own.
fn read(path: &Path) -> Result<String, Error> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned())),
        Err(error) if error.is_missing() => Err(Error::Missing(path.to_owned())),
        Err(error) => Err(error.into()),
    }
}

/// Loads, checks and inspects; all findings come at once, and nothing is changed or executed.
pub fn load(request: &Request) -> Result<Loaded, Error> {
    let file = match &request.file {
        Some(file) => request.cwd.join(file),
        None => find_run_config(&request.cwd)?,
    };
    let text = read(&file)?;
    let context = Context::default();
    let shown = file.strip_prefix(&request.cwd).unwrap_or(&file).to_owned();
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let is_script = matches!(extension, "py" | "ipynb");
    let root = if is_script { Some(script_root(&file, &shown, &text, &context)) } else { document(&shown, &text, &context) };
    let Some(mut root) = root else { return Err(Error::Findings(context.finish().0)) };
    apply_sets(&mut root, &request.flags.set, &context);
    let settings = load_settings(request, file.parent().unwrap_or(&request.cwd), &context)?;
    let checker = Checker::new(
        Given { file: &file, text: &text, root: &root, flags: &request.flags, environment: &request.environment, settings: &settings },
        &context,
    );
    let (checked, explained) = checker.check();
    inspect::inspect(&root, checked.as_ref(), &file, &request.environment, &context);
    let (findings, notes) = context.finish();
    match checked {
        Some(mut run) if findings.is_empty() => {
            run.notes = notes;
            Ok(Loaded { run, explained })
        }
        _ => Err(Error::Findings(findings)),
    }
}

/// Returns the tracker that settings and environment name, for commands that have no run config.
pub fn settings_tracking(request: &Request) -> Result<Option<Sourced<tracking::Uri>>, Error> {
    let context = Context::default();
    let settings = load_settings(request, &request.cwd, &context)?;
    let empty =
        Node { value: Value::Map(Vec::new()), span: 0..0, source: Arc::new(Source { name: "settings".into(), text: String::new() }) };
    let given =
        Given { file: &request.cwd, text: "", root: &empty, flags: &request.flags, environment: &request.environment, settings: &settings };
    let uri = Checker::new(given, &context).tracker();
    let (findings, _) = context.finish();
    if !findings.is_empty() {
        return Err(Error::Findings(findings));
    }
    Ok(uri.and_then(|sourced| sourced.value.map(|value| Sourced { value, origin: sourced.origin })))
}

fn document(shown: &Path, text: &str, context: &Context) -> Option<Node> {
    let (root, findings) = yaml::parse(shown, text);
    context.extend(findings);
    root
}

fn load_settings(request: &Request, start: &Path, context: &Context) -> Result<Vec<Settings>, Error> {
    let home = request.environment.get("HOME").map(PathBuf::from);
    let mut files: Vec<(PathBuf, bool)> = project_files(start, home.as_deref(), context).into_iter().map(|file| (file, false)).collect();
    let own = request.user_settings.join("sendoff.yaml");
    if own.is_file() {
        files.push((own, true));
    }
    let mut settings = Vec::new();
    for (file, own) in files {
        let text = read(&file)?;
        let shown = file.strip_prefix(&request.cwd).unwrap_or(&file).to_owned();
        settings.extend(document(&shown, &text, context).map(|root| Settings::new(file, own, root, context)));
    }
    Ok(settings)
}

/// Makes the run config that a bare script or notebook stands for.
fn script_root(file: &Path, shown: &Path, text: &str, context: &Context) -> Node {
    let source = Arc::new(Source { name: shown.to_owned(), text: text.to_owned() });
    let scalar =
        |text: &str| Node { value: Value::Scalar { text: text.to_owned(), plain: false }, span: 0..0, source: Arc::clone(&source) };
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut entries = vec![(scalar("script"), scalar(&name))];
    let block = match pep723::read(text) {
        Ok(block) => block.unwrap_or_default(),
        Err((line, reason)) => {
            let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
            context.find_at(
                &source,
                start..start + 12,
                "the script's metadata block cannot be read",
                reason,
                Some("see PEP 723 for its form".to_owned()),
            );
            pep723::Block::default()
        }
    };
    let packages = block.dependencies.iter().map(|line| scalar(line)).collect();
    let mut environment = vec![(scalar("pip_packages"), Node { value: Value::List(packages), ..scalar("") })];
    environment.extend(block.python.map(|python| (scalar("python"), scalar(&python))));
    entries.push((scalar("environment"), Node { value: Value::Map(environment), ..scalar("") }));
    Node { value: Value::Map(entries), ..scalar("") }
}

/// Applies `--set key.path=value` on the tree.
fn apply_sets(root: &mut Node, sets: &[String], context: &Context) {
    for set in sets {
        let name = Path::new("--set");
        let source = Arc::new(Source { name: name.to_owned(), text: set.clone() });
        let Some((path, value)) = set.split_once('=').filter(|(path, _)| !path.trim().is_empty()) else {
            context.find_at(
                &source,
                0..set.len(),
                "`--set` takes `key.path=value`",
                "no `=` here",
                Some("like `--set resources.cpus=4`".to_owned()),
            );
            continue;
        };
        let (node, findings) = yaml::parse(name, value);
        context.extend(findings);
        let Some(mut node) = node else { continue };
        if node.text().is_some() {
            // The place of a scalar is shown in the whole flag.
            node.span = path.len() + 1..set.len();
            node.source = Arc::clone(&source);
        }
        let keys: Vec<&str> = path.trim().split('.').collect();
        if let Err(key) = root.set(&keys, node) {
            context.find_at(&source, 0..path.len(), format!("`{key}` cannot be set"), "what holds it is not a mapping", None);
        }
    }
}

/// Returns the origin of a node of the run config.
pub(super) fn origin(node: &Node, file: &Path) -> Origin {
    if node.source.name == Path::new("--set") {
        Origin::Flag("--set".to_owned())
    } else {
        Origin::RunConfig { file: file.to_owned(), line: node.line() }
    }
}
