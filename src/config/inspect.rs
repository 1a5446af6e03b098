//! What only a look at local files can tell: is everything there that the run config names?

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Entry, Input, PathKind, RunConfig, document};
use crate::environment::PackageSource;
use crate::support::yaml::{Context, Node};

/// Returns the source directory: as written, else the nearest folder upward that contains the script and is not above the repository's root.
pub(super) fn source_directory(folder: &Path, document: &document::RunConfig) -> PathBuf {
    if let Some(written) = &document.source_directory {
        let path = folder.join(&written.text);
        return path.canonicalize().unwrap_or(path);
    }
    let start = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if let Some(script) = document.script.as_ref().map(|script| &script.text).filter(|script| Path::new(script).is_relative()) {
        for candidate in start.ancestors() {
            if candidate.join(script).exists() {
                return candidate.to_owned();
            }
            if candidate.join(".git").exists() {
                break;
            }
        }
    }
    start
}

/// Finds what is missing on disk.
pub(super) fn inspect(root: &Node, run: Option<&RunConfig>, environment: &BTreeMap<String, String>, context: &Context) {
    let Some(run) = run else { return };
    let at = |path: &[&str]| path.iter().try_fold(root, |node, key| node.get(key)).map_or(&root.place, |node| &node.place);
    let directory = &run.source_directory;
    let home = environment.get("HOME").map(PathBuf::from);
    if !directory.is_dir() {
        context.find(
            at(&["source_directory"]),
            "the source directory is missing",
            format!("`{}` is not a folder", directory.display()),
            None,
        );
        return;
    }
    if directory == Path::new("/") || home.is_some_and(|home| home.canonicalize().is_ok_and(|home| &home == directory)) {
        context.find(
            at(&["source_directory"]),
            format!("`{}` cannot be the source directory", directory.display()),
            "everything in it would be sent",
            Some("put the project into a folder of its own".to_owned()),
        );
    }
    if let Entry::Script(script) | Entry::Notebook(script) = &run.entry {
        let path = directory.join(script);
        match path.canonicalize() {
            Ok(real) if !real.starts_with(directory) => {
                context.find(at(&["script"]), "`script` must lie inside the source directory", format!("it is `{}`", real.display()), None);
            }
            Ok(real) if !real.is_file() => context.find(at(&["script"]), "`script` is not a file", "a folder", None),
            Ok(_) => {}
            Err(_) => context.find(
                at(&["script"]),
                format!("the script `{script}` is missing"),
                format!("looked in `{}`", directory.display()),
                Some("the path is relative to `source_directory`".to_owned()),
            ),
        }
    }
    for (name, input) in &run.inputs {
        if let Input::Local { kind, path } = input {
            let place = at(&["inputs", name, "path"]);
            let right = if *kind == PathKind::File { path.is_file() } else { path.is_dir() };
            if !path.exists() {
                context.find(
                    place,
                    format!("the input `{name}` is missing"),
                    format!("`{}` does not exist", path.display()),
                    Some("`target:/path` names what is on the target already".to_owned()),
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
    }
    let (key, file) = match &run.environment.packages {
        PackageSource::Pip(_) => return,
        PackageSource::RequirementsFile(file) => ("requirements_file", file),
        PackageSource::CondaFile(file) => ("conda_file", file),
        PackageSource::Pyproject(file) => ("pyproject", file),
    };
    if !file.is_file() {
        context.find(
            at(&["environment", key]),
            format!("the file of `{key}` is missing"),
            format!("`{}` is not a file", file.display()),
            None,
        );
    }
}
