//! From requirements to a lock, by `uv`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Error, Inputs, Interpreter, Mlflow, PackageSource, Spec, conda};
use crate::support::command;
use crate::support::fs::{self, Context};
use crate::support::uv::{Uv, ambient};

const LIMIT: Duration = Duration::from_mins(15);

/// Adds the run config's indexes; as variables, because they may hold credentials.
pub(super) fn with_indexes(mut command: Command, spec: &Spec) -> Command {
    if let Some(url) = &spec.index_url {
        command.env("UV_DEFAULT_INDEX", url);
    }
    if !spec.extra_index_urls.is_empty() {
        command.env("UV_INDEX", spec.extra_index_urls.join(" "));
    }
    for link in &spec.find_links {
        command.args(["--find-links", link]);
    }
    command
}

/// Returns the Python that the spec or the packages' own files ask for.
pub(super) fn python_request(spec: &Spec) -> Result<Option<String>, Error> {
    if let Some(python) = &spec.python {
        return Ok(Some(python.clone()));
    }
    match &spec.packages {
        PackageSource::CondaFile(path) => Ok(conda::read(path, &fs::read_to_string(path)?)?.python),
        PackageSource::Pyproject(path) => {
            let text = fs::read_to_string(path)?;
            let requires = text
                .parse::<toml::Table>()
                .ok()
                .and_then(|table| table.get("project")?.get("requires-python")?.as_str().map(str::to_owned));
            Ok(requires)
        }
        PackageSource::Pip(_) | PackageSource::RequirementsFile(_) => Ok(None),
    }
}

/// Returns the lines of a requirements file, those of the files that it includes in their place.
pub(super) fn flatten(path: &Path, depth: usize) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for line in fs::read_to_string(path)?.lines() {
        let bare = line.trim();
        let included = ["-r ", "--requirement ", "-c ", "--constraint "].iter().find_map(|option| bare.strip_prefix(option));
        match included {
            Some(name) if depth < 8 => lines.extend(flatten(&path.with_file_name(name.trim()), depth + 1)?),
            _ => lines.push(line.to_owned()),
        }
    }
    Ok(lines)
}

/// Returns the local wheel or folder that a requirement names.
pub(super) fn local_path(line: &str, root: &Path) -> Option<PathBuf> {
    let bare = line.trim();
    let is_path =
        bare.starts_with("./") || bare.starts_with("../") || bare.starts_with('/') || (bare.ends_with(".whl") && !bare.contains("://"));
    is_path.then(|| root.join(bare)).filter(|path| path.exists())
}

fn file(locks: &Path, inputs: &Inputs) -> PathBuf {
    locks.join(format!("{}.txt", inputs.key()))
}

/// Returns the lock of these inputs, if they were resolved before.
pub(super) fn stored(locks: &Path, inputs: &Inputs) -> Option<String> {
    std::fs::read_to_string(file(locks, inputs)).ok()
}

/// Keeps a lock for these inputs.
pub(super) fn store(locks: &Path, inputs: &Inputs, lock: &str) -> Result<(), Error> {
    fs::create_private_dir_all(locks)?;
    Ok(fs::write_atomic(file(locks, inputs), lock.as_bytes())?)
}

fn name_of(line: &str) -> String {
    let name = line.trim().split(['=', '<', '>', '!', '~', ' ', '[', ';', '@']).next().unwrap_or("");
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Returns the requirement that brings MLflow in, unless the user's own list has it.
fn mlflow(spec: &Spec, lines: &[String]) -> Option<String> {
    let Mlflow::Client { server } = &spec.mlflow else { return None };
    if lines.iter().any(|line| matches!(name_of(line).as_str(), "mlflow" | "mlflow-skinny")) {
        return None;
    }
    // An older client speaks to a newer server; the other way round is not promised.
    Some(match server {
        Some(version) => format!("mlflow-skinny>=2.9,<={version}"),
        None => "mlflow-skinny>=2.9,<4".to_owned(),
    })
}

/// Resolves the requirements of a spec for an interpreter.
pub(super) fn resolve(uv: &Uv, spec: &Spec, interpreter: &Interpreter, upgrade: bool) -> Result<String, Error> {
    let mut folder = spec.root.clone();
    let mut lines = match &spec.packages {
        PackageSource::Pip(lines) => lines.clone(),
        PackageSource::RequirementsFile(path) => {
            path.parent().unwrap_or(&spec.root).clone_into(&mut folder);
            flatten(path, 0)?
        }
        PackageSource::CondaFile(path) => conda::read(path, &fs::read_to_string(path)?)?.pip,
        PackageSource::Pyproject(path) => {
            path.parent().unwrap_or(&spec.root).clone_into(&mut folder);
            if path.with_file_name("uv.lock").is_file() { exported(uv, spec, &folder)? } else { declared(path)? }
        }
    };
    if spec.install_project {
        lines.push(".".to_owned());
    }
    lines.extend(mlflow(spec, &lines));
    lines.extend(spec.extra.iter().cloned());
    if lines.iter().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(String::new());
    }
    let mut input = tempfile::Builder::new().prefix("requirements-").suffix(".in").tempfile().context("write", std::env::temp_dir())?;
    input.write_all(lines.join("\n").as_bytes()).context("write", input.path())?;
    // Relative paths of the requirements start at the folder they were written for.
    let mut command = with_indexes(ambient(uv.command()), spec);
    command.args(["pip", "compile", "--quiet", "--no-header", "--no-annotate", "--python"]).arg(&interpreter.path);
    if upgrade {
        command.arg("--upgrade");
    }
    // Standard input would be read relative to the working directory, and so are the paths in it.
    let text = std::fs::File::open(input.path()).context("read", input.path())?;
    command.arg("-").current_dir(&folder);
    let output = command::capture_with(&mut command, LIMIT, Some(text)).map_err(Error::Resolve)?;
    let output = absolute(&String::from_utf8_lossy(&output.stdout), &folder);
    Ok(output)
}

/// Makes relative paths in a lock absolute: it is installed from elsewhere.
fn absolute(lock: &str, folder: &Path) -> String {
    let mut text = String::new();
    for line in lock.lines() {
        if line.starts_with("./") || line.starts_with("../") || line == "." {
            text.push_str(&folder.join(line).display().to_string());
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// Returns what a `uv.lock` holds, as it is.
fn exported(uv: &Uv, spec: &Spec, folder: &Path) -> Result<Vec<String>, Error> {
    let mut command = ambient(uv.command());
    command
        .args(["export", "--quiet", "--frozen", "--no-dev", "--no-hashes", "--no-header", "--no-annotate", "--no-editable"])
        .current_dir(folder);
    if !spec.install_project {
        command.arg("--no-emit-project");
    }
    let output = command::capture(&mut command, LIMIT).map_err(Error::Resolve)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter(|line| *line != ".").map(str::to_owned).collect())
}

/// Returns the dependencies that a `pyproject.toml` declares.
fn declared(path: &Path) -> Result<Vec<String>, Error> {
    let text = fs::read_to_string(path)?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| Error::Conda { path: path.to_owned(), reason: error.message().to_owned() })?;
    let list = table.get("project").and_then(|project| project.get("dependencies")).and_then(toml::Value::as_array);
    Ok(list.into_iter().flatten().filter_map(|line| line.as_str().map(str::to_owned)).collect())
}
