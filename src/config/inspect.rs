//! What only a look at local files can tell: is everything there that the run config names?

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::check::is_address;
use super::document::{InputValue, RunConfig};
use super::requirement;
use crate::job::AssetType;
use crate::support::yaml::{Context, Node, Place, Source, Text};

/// Returns the source directory: as written, else the nearest folder upward that contains the script and is not above the repository's root.
pub(super) fn source_directory(folder: &Path, document: &RunConfig) -> PathBuf {
    if let Some(written) = &document.source_directory {
        let path = folder.join(&written.text);
        return path.canonicalize().unwrap_or(path);
    }
    let start = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if let Some(script) = document.script.as_ref().filter(|script| stays_inside(&script.text)) {
        for candidate in start.ancestors() {
            if candidate.join(&script.text).exists() {
                return candidate.to_owned();
            }
            if candidate.join(".git").exists() {
                break;
            }
        }
    }
    start
}

fn stays_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Finds what is missing on disk.
pub(super) fn inspect(
    root: &Node,
    document: &RunConfig,
    (folder, cwd): (&Path, &Path),
    directory: &Path,
    environment: &BTreeMap<String, String>,
    context: &Context,
) {
    let place = document.source_directory.as_ref().map_or(&root.place, |written| &written.place);
    if !directory.is_dir() {
        let reason = format!("`{}` is not a folder", directory.display());
        context.find(place, "the source directory is missing", reason, Some("the path is relative to this file".to_owned()));
    } else if is_everything(directory, environment) {
        context.find(
            place,
            format!("`{}` cannot be the source directory", directory.display()),
            "everything in it would be sent",
            Some("put the project into a folder of its own, or name it with `source_directory:`".to_owned()),
        );
    } else if let Some(script) = document.script.as_ref().filter(|script| stays_inside(&script.text)) {
        inspect_script(script, directory, context);
    }
    for (name, value) in document.inputs.iter().flat_map(|map| &map.entries) {
        let InputValue::File(file) = value else { continue };
        if let (Some(kind), Some(path)) = (&file.r#type, &file.path)
            && !path.text.starts_with("target:")
            && !is_address(&path.text)
        {
            inspect_input(&name.text, kind.value, &path.place, &folder.join(&path.text), context);
        }
    }
    let Some(section) = &document.environment else { return };
    for package in section.pip_packages.iter().flat_map(|list| &list.items) {
        // Extras and markers may follow the path.
        let text = package.text.split(['[', ';']).next().unwrap_or_default().trim();
        let path: PathBuf = directory.join(text).components().collect();
        if requirement::is_path(text) && !path.exists() {
            context.find(
                &package.place,
                format!("the package `{text}` is missing"),
                format!("`{}` does not exist", path.display()),
                Some("the path is relative to `source_directory`".to_owned()),
            );
        }
    }
    let files = [
        ("requirements_file", &section.requirements_file),
        ("conda_file", &section.conda_file),
        ("pyproject", &section.pyproject),
        ("dockerfile", &section.dockerfile),
    ];
    for (key, file) in files {
        let Some(file) = file else { continue };
        let path: PathBuf = folder.join(&file.text).components().collect();
        if !path.is_file() {
            let found = if path.is_dir() { "is a folder" } else { "does not exist" };
            context.find(
                &file.place,
                format!("the file of `environment.{key}` is missing"),
                format!("`{}` {found}", path.display()),
                Some("the path is relative to this file".to_owned()),
            );
        } else if key == "requirements_file" {
            inspect_requirements(&path, cwd, 0, context);
        }
    }
    if let Some(text) = &section.build_context {
        let path: PathBuf = folder.join(&text.text).components().collect();
        if !path.is_dir() {
            let found = if path.exists() { "is a file" } else { "does not exist" };
            let fix = "the path is relative to this file".to_owned();
            context.find(
                &text.place,
                "the folder of `environment.build_context` is missing",
                format!("`{}` {found}", path.display()),
                Some(fix),
            );
        }
    }
}

/// Finds secrets that are not set where the job is submitted.
pub(super) fn secrets(document: &RunConfig, environment: &BTreeMap<String, String>, context: &Context) {
    // One that has a value in the run config is another mistake, which is found elsewhere.
    let is_written = |name: &str| document.environment_variables.iter().flat_map(|map| &map.entries).any(|(key, _)| key.text == name);
    for name in document.secrets.iter().flat_map(|list| &list.items) {
        let text = name.text.trim();
        if !text.is_empty() && !environment.contains_key(text) && !is_written(text) {
            let fix = format!("set it where you submit: `export {text}=...`");
            context.find(&name.place, format!("the secret `{text}` is not set"), "no variable of this name in your environment", Some(fix));
        }
    }
}

/// How deep requirements files may include one another.
const DEPTH: usize = 8;

/// Finds lines of a requirements file that are no requirements, and files that it includes and that are missing.
fn inspect_requirements(path: &Path, cwd: &Path, depth: usize, context: &Context) {
    let Some(text) = std::fs::read_to_string(path).ok().filter(|_| depth < DEPTH) else { return };
    let source = Arc::new(Source { name: path.strip_prefix(cwd).unwrap_or(path).to_owned(), text });
    let mut start = 0;
    let mut goes_on = false;
    for line in source.text.split_inclusive('\n') {
        let begin = start;
        start += line.len();
        let continued = std::mem::replace(&mut goes_on, line.trim_end_matches(['\r', '\n']).ends_with('\\'));
        // Options may follow a requirement, and variables stand for anything.
        let bare = line.trim_end().trim_end_matches('\\').split(" #").next().unwrap_or_default();
        let bare = bare.split(" --").next().unwrap_or_default().trim();
        if continued || bare.is_empty() || bare.starts_with('#') || bare.contains("${") {
            continue;
        }
        let begin = begin + (line.len() - line.trim_start().len());
        let place = Place { source: Arc::clone(&source), span: begin..begin + bare.len() };
        if bare.starts_with('-') {
            let included = ["-r", "--requirement"].iter().find_map(|option| bare.strip_prefix(option));
            let Some(name) = included.map(|name| name.trim_start_matches(['=', ' ']).trim()).filter(|name| !name.contains("://")) else {
                continue;
            };
            let file = path.with_file_name(name);
            if file.is_file() {
                inspect_requirements(&file, cwd, depth + 1, context);
            } else {
                context.find(&place, format!("`{name}` is missing"), format!("`{}` does not exist", file.display()), None);
            }
        } else if !bare.contains('/')
            && let Err(refusal) = requirement::check(bare)
        {
            context.find(&place, format!("`{bare}` is not a package"), refusal.reason, refusal.fix);
        }
    }
}

/// Returns whether a folder is `/` or the home folder.
fn is_everything(directory: &Path, environment: &BTreeMap<String, String>) -> bool {
    let home = environment.get("HOME").and_then(|home| Path::new(home).canonicalize().ok());
    directory == Path::new("/") || home.is_some_and(|home| home == directory)
}

fn inspect_script(script: &Text, directory: &Path, context: &Context) {
    let Text { text, place } = script;
    match directory.join(text).canonicalize() {
        Ok(real) if !real.starts_with(directory) => {
            let reason = format!("a link to `{}`", real.display());
            let fix = "copy it into the source directory, or set `source_directory` to a folder that contains it".to_owned();
            context.find(place, "`script` must lie inside the source directory", reason, Some(fix));
        }
        Ok(real) if !real.is_file() => context.find(place, "`script` is not a file", "this is a folder", None),
        Ok(_) => {}
        Err(_) => context.find(
            place,
            format!("the script `{text}` is missing"),
            format!("not found in `{}`", directory.display()),
            Some("the path is relative to `source_directory`".to_owned()),
        ),
    }
}

fn inspect_input(name: &str, kind: AssetType, place: &Place, path: &Path, context: &Context) {
    let right = match kind {
        AssetType::File => path.is_file(),
        AssetType::CustomModel => true,
        _ => path.is_dir(),
    };
    if !path.exists() {
        context.find(
            place,
            format!("the input `{name}` is missing"),
            format!("`{}` does not exist", path.display()),
            Some("the path is relative to this file; `target:/path` names what is on the target already".to_owned()),
        );
    } else if !right {
        context.find(
            place,
            format!("the input `{name}` has another type"),
            format!("`{}` is {}", path.display(), if path.is_dir() { "a folder" } else { "a file" }),
            Some("use `uri_file` for files and `uri_folder` for folders".to_owned()),
        );
    }
}
