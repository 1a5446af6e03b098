//! From files, flags and the environment to a checked run config.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{self, Given};
use super::explain::Explained;
use super::layers::Layers;
use super::settings::Settings;
use super::{Error, Origin, RunConfig, Sourced, document, inspect, pep723, set, settings, trust, workspace};
use crate::auth::Keyring;
use crate::support::yaml::{self, Context, Node, Place, Read, Source, Value};
use crate::support::{fs, suggest};
use crate::target::config::TargetSpec;
use crate::{environment, tracking};

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
    /// `--emulate`.
    pub emulate: bool,
    /// `--set key.path=value`, in order.
    pub set: Vec<String>,
}

/// What a run config is loaded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be submitted, or to learn whether it could be: its secrets have to be set.
    Submit,
    /// To be looked at.
    Look,
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
    /// What for.
    pub purpose: Purpose,
    /// The submitter's environment.
    pub environment: BTreeMap<String, String>,
    /// The folder of the user's own settings.
    pub user_settings: PathBuf,
    /// What was kept of an earlier request for the same file, which may have changed since, or be gone.
    pub stored: Option<Stored>,
}

/// A run config as it was: its environment is resolved and its source directory packed already.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The file's text.
    pub text: String,
    /// A folder with what the source directory held.
    pub source_directory: PathBuf,
}

/// A run config that passed, with where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The run config.
    pub run: RunConfig,
    /// Every value with its origin.
    pub explained: Vec<Explained>,
    /// The `--set` flags that are in it.
    pub set: Vec<String>,
}

/// Returns the run config of a folder, which the user has typed as `typed`.
fn find_run_config(folder: &Path, typed: &Path) -> Result<PathBuf, Error> {
    let usual = ["run.yaml", "run.yml"].iter().map(|name| folder.join(name)).find(|path| path.is_file());
    usual.ok_or_else(|| {
        let candidates = names(folder).into_iter().filter(|name| {
            let end = Path::new(name).extension().and_then(|end| end.to_str()).unwrap_or("");
            matches!(end, "yaml" | "yml" | "py" | "ipynb") && name != settings::FILE
        });
        Error::NoRunConfig {
            folder: folder.to_owned(),
            candidates: candidates.map(|name| typed.join(name).display().to_string()).collect(),
        }
    })
}

/// Returns the names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Reads a text file; a missing one and one that is not text have errors of their own.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned())),
        Err(error) if error.is_missing() => {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let others = path.parent().map(names).unwrap_or_default();
            let near = suggest::nearest(name, others.iter().map(String::as_str)).map(str::to_owned);
            Err(Error::Missing { file: path.to_owned(), near })
        }
        Err(error) => Err(error.into()),
    }
}

/// Loads, checks and inspects; all findings come at once, and nothing is changed or executed.
pub fn load(request: &Request) -> Result<Loaded, Error> {
    let file = match &request.file {
        Some(file) if file.file_name().is_some_and(|name| name == settings::FILE) => return Err(Error::IsSettings(file.clone())),
        Some(file) if request.cwd.join(file).is_dir() => find_run_config(&request.cwd.join(file), file)?,
        Some(file) => request.cwd.join(file),
        None => find_run_config(&request.cwd, Path::new(""))?,
    };
    if let Some(what) = foreign(&file) {
        return Err(Error::Foreign { file, what });
    }
    let text = match &request.stored {
        Some(stored) => stored.text.clone(),
        None => read(&file)?,
    };
    let context = Context::default();
    let shown = file.strip_prefix(&request.cwd).unwrap_or(&file).to_owned();
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    let is_script = matches!(extension, "py" | "ipynb");
    let root = if is_script { Some(script_root(&file, &shown, &text, &context)) } else { parse(&shown, &text, &context) };
    let Some(mut root) = root else { return Err(Error::Findings(context.finish().0)) };
    let folder = file.parent().unwrap_or(&request.cwd);
    let settings = load_settings(request, folder, &context)?;
    let mut flags = request.flags.clone();
    set::apply(&mut root, &mut flags, &settings, &context);
    trust::take_credentials(&mut root, &context);
    check::take_unbuilt(&mut root, &context);
    if let Some(schema) = root.get("$schema").filter(|schema| schema.text().is_some_and(|text| text.contains("azureml"))) {
        let fix = "write it as a run config: `sendoff init` makes one".to_owned();
        context.find(&schema.place, "this is an Azure ML job file", "reading it is not built yet", Some(fix));
        return Err(Error::Findings(context.finish().0));
    }
    let Some(mut document) = document::RunConfig::read(&root, "", &context) else { return Err(Error::Findings(context.finish().0)) };
    let source_directory = match &request.stored {
        Some(stored) => stored.source_directory.clone(),
        None => inspect::source_directory(folder, &document),
    };
    if !is_script && request.stored.is_none() {
        take_block(&mut document, &source_directory, &request.cwd, &context);
    }
    if let (Some(_), Some(section)) = (&request.stored, &mut document.environment) {
        // They were resolved then, and may be gone now.
        (section.requirements_file, section.conda_file, section.pyproject) = (None, None, None);
        if section.dockerfile.as_ref().is_some_and(|text| !folder.join(&text.text).is_file()) {
            (section.dockerfile, section.build_context) = (None, None);
        }
    }
    let layers = Layers { flags: &flags, environment: &request.environment, settings: &settings };
    let given = Given { file: &file, text: &text, root: &root, document: &document, source_directory: &source_directory, layers };
    let (mut checked, explained) = check::check(&given, &context);
    if let Some(run) = &mut checked {
        workspace::complete(run, document.compute_target.as_ref(), folder, request.environment.get("HOME").map(Path::new), &context);
    }
    if request.purpose == Purpose::Submit {
        inspect::secrets(&document, &request.environment, &context);
    }
    inspect::inspect(&root, &document, (folder, &request.cwd), &source_directory, &request.environment, &context);
    let (findings, notes) = context.finish();
    match checked {
        Some(mut run) if findings.is_empty() => {
            run.notes = notes;
            Ok(Loaded { run, explained, set: request.flags.set.clone() })
        }
        _ => Err(Error::Findings(findings)),
    }
}

/// Returns what a file of another tool is, as its name tells.
fn foreign(file: &Path) -> Option<&'static str> {
    let is_runconfig = file.extension().is_some_and(|end| end == "runconfig");
    match file.file_name()?.to_str()? {
        "MLproject" => Some("an MLflow project"),
        _ if is_runconfig => Some("a run configuration of Azure ML's first version"),
        _ => None,
    }
}

/// Returns which credentials the user's own settings send to which host, for commands that have no run config.
pub fn credentials(user_settings: &Path, environment: &BTreeMap<String, String>) -> Keyring {
    Settings::own_keyring(user_settings, environment.get("HOME").map(Path::new))
}

/// Who tracks where there is no run config.
#[derive(Debug, Clone)]
pub struct Tracking {
    /// The tracker; `None` inside means that there shall be none.
    pub uri: Sourced<Option<tracking::Uri>>,
    /// The target that a flag chose.
    pub target: Option<TargetSpec>,
    /// Which credentials go to which host.
    pub credentials: Keyring,
}

/// Returns the tracker that flags, environment and settings name, for commands that have no run config.
pub fn settings_tracking(request: &Request) -> Result<Tracking, Error> {
    let context = Context::default();
    let settings = load_settings(request, &request.cwd, &context)?;
    let layers = Layers { flags: &request.flags, environment: &request.environment, settings: &settings };
    let uri = check::tracker(None, layers, &context).unwrap_or(Sourced { value: Some(tracking::Uri::Managed), origin: Origin::Default });
    let chosen = request.flags.target.as_ref().and_then(|_| check::target::check(None, layers, &context));
    let target = chosen.map(|chosen| chosen.spec.value);
    let (findings, _) = context.finish();
    if findings.is_empty() { Ok(Tracking { uri, target, credentials: layers.keyring() }) } else { Err(Error::Findings(findings)) }
}

fn parse(shown: &Path, text: &str, context: &Context) -> Option<Node> {
    let (root, findings) = yaml::parse(shown, text);
    context.extend(findings);
    root
}

fn load_settings(request: &Request, start: &Path, context: &Context) -> Result<Vec<Settings>, Error> {
    let home = request.environment.get("HOME").map(PathBuf::from);
    Settings::load_all(start, home.as_deref(), &request.user_settings, &request.cwd, context)
}

/// Makes the run config that a bare script or notebook stands for.
fn script_root(file: &Path, shown: &Path, text: &str, context: &Context) -> Node {
    let source = Arc::new(Source { name: shown.to_owned(), text: text.to_owned() });
    let node = |value: Value| Node { value, place: Place { source: Arc::clone(&source), span: 0..0 } };
    let scalar = |text: &str| node(Value::Scalar { text: text.to_owned(), plain: false });
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let environment = pep723::environment(&source, context).unwrap_or_else(|| node(Value::Map(Vec::new())));
    node(Value::Map(vec![(scalar("script"), scalar(&name)), (scalar("environment"), environment)]))
}

/// Takes the packages of the script's own metadata block where the run config names none.
fn take_block(document: &mut document::RunConfig, source_directory: &Path, cwd: &Path, context: &Context) {
    let Some(script) = document.script.as_ref().filter(|script| script.text.ends_with(".py")) else { return };
    let section = document.environment.get_or_insert_default();
    let has_packages = section.pip_packages.is_some()
        || [&section.requirements_file, &section.conda_file, &section.pyproject].into_iter().any(Option::is_some);
    let file = source_directory.join(&script.text);
    // A script that is missing is found later.
    let Some(text) = std::fs::read_to_string(&file).ok().filter(|_| !has_packages) else { return };
    let source = Arc::new(Source { name: file.strip_prefix(cwd).unwrap_or(&file).to_owned(), text });
    let block = pep723::environment(&source, context).and_then(|node| environment::Section::read(&node, "environment", context));
    if let Some(block) = block {
        context.note(format!("the packages are those of the metadata block of `{}`", script.text));
        section.pip_packages = block.pip_packages;
        section.python = section.python.take().or(block.python);
    }
}
