//! From requirements to a lock, by `uv`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::requirements::Requirements;
use super::{Error, Inputs, Interpreter, Mlflow, PackageSource, Spec, conda, inputs};
use crate::support::command;
use crate::support::fs::{self, Context};
use crate::support::uv::{Uv, ambient};

const LIMIT: Duration = Duration::from_mins(15);

/// Adds the indexes to a command that has its subcommand already. URLs go by variables, because they may hold credentials.
pub(super) fn add_indexes(command: &mut Command, spec: &Spec) {
    if let Some(url) = &spec.index_url {
        command.env("UV_DEFAULT_INDEX", url);
    }
    if !spec.extra_index_urls.is_empty() {
        command.env("UV_INDEX", spec.extra_index_urls.join(" "));
    }
    for link in &spec.find_links {
        command.args(["--find-links", link]);
    }
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

/// Returns the local wheel or folder that a requirement names.
pub(super) fn local_path(line: &str, folder: &Path) -> Option<PathBuf> {
    let bare = line.split(" #").next().unwrap_or(line).trim();
    let bare = bare.rsplit_once("@ file://").map_or(bare, |(_, path)| path);
    let is_path =
        bare == "." || ["./", "../", "/"].iter().any(|start| bare.starts_with(start)) || (bare.ends_with(".whl") && !bare.contains("://"));
    is_path.then(|| folder.join(bare)).filter(|path| path.exists())
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

/// What requirements are resolved for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal<'a> {
    /// An interpreter of this machine.
    Here(&'a Interpreter),
    /// One that is elsewhere.
    There {
        /// Its version.
        version: &'a str,
        /// Its platform, as `uv` calls it.
        platform: &'a str,
        /// Packages that are there, whose versions are kept wherever they fit: `name==version` lines.
        packages: &'a [String],
    },
}

/// Resolves requirements for an interpreter.
pub(super) fn resolve(uv: &Uv, spec: &Spec, wanted: Requirements, goal: Goal<'_>, upgrade: bool) -> Result<String, Error> {
    let Requirements { mut lines, constraints, folder, .. } = wanted;
    if let PackageSource::Pyproject(path) = &spec.packages {
        lines.extend(if path.with_file_name("uv.lock").is_file() { exported(uv, spec, &folder)? } else { declared(path)? });
    }
    if spec.install_project {
        lines.push(spec.root.display().to_string());
    }
    lines.extend(mlflow(spec, &lines));
    lines.extend(spec.extra.iter().cloned());
    if lines.is_empty() {
        return Ok(String::new());
    }
    let packages = if let Goal::There { packages, .. } = goal { packages } else { &[] };
    let kept = temporary("lock-", packages)?;
    let input = temporary("requirements-", &lines)?;
    let bounds = temporary("constraints-", &constraints)?;
    let mut command = ambient(uv.command());
    command.args(["pip", "compile", "--quiet", "--no-header", "--no-annotate"]);
    match goal {
        Goal::Here(interpreter) => command.arg("--python").arg(&interpreter.path),
        Goal::There { version, platform, .. } => {
            // What is written over is read first, as the versions to keep.
            command.args(["--python-version", version, "--python-platform", platform, "--output-file"]).arg(kept.path())
        }
    };
    add_indexes(&mut command, spec);
    match goal {
        Goal::Here(_) if upgrade => command.arg("--upgrade"),
        Goal::There { .. } if upgrade => command.arg("--refresh"),
        _ => &mut command,
    };
    if !constraints.is_empty() {
        command.arg("--constraints").arg(bounds.path());
    }
    // Relative paths of the requirements start at the folder they were written for: standard input is read relative to the working directory.
    let text = std::fs::File::open(input.path()).context("read", input.path())?;
    command.arg("-").current_dir(&folder);
    let output = command::capture_with(&mut command, LIMIT, Some(text)).map_err(|error| Error::Resolve(quoting(error, &lines)))?;
    match goal {
        Goal::Here(_) => located(&String::from_utf8_lossy(&output.stdout), &folder),
        Goal::There { .. } => located(&fs::read_to_string(kept.path())?, &folder),
    }
}

/// Puts the requirement itself where `uv` names a line of what it was given, which is put together from several files.
fn quoting(error: command::Error, lines: &[String]) -> command::Error {
    match error {
        command::Error::Failed { line, status, stderr } => command::Error::Failed { line, status, stderr: quoted(&stderr, lines) },
        other => other,
    }
}

fn quoted(said: &str, lines: &[String]) -> String {
    let word = |word: &str| {
        let place = word.trim_end().strip_prefix("-:")?;
        let number: usize = place.split(':').next()?.parse().ok()?;
        Some(format!("`{}`{}", lines.get(number.checked_sub(1)?)?, &word[word.trim_end().len()..]))
    };
    said.split_inclusive([' ', '\n']).map(|text| word(text).unwrap_or_else(|| text.to_owned())).collect()
}

fn temporary(prefix: &str, lines: &[String]) -> Result<tempfile::NamedTempFile, Error> {
    let mut file = tempfile::Builder::new().prefix(prefix).suffix(".txt").tempfile().context("write", std::env::temp_dir())?;
    file.write_all(lines.join("\n").as_bytes()).context("write", file.path())?;
    Ok(file)
}

/// Writes local wheels and folders of a lock with their whole path, since it is installed from elsewhere, and with a hash of their
/// content, since another content is another environment.
fn located(lock: &str, folder: &Path) -> Result<String, Error> {
    let mut text = String::new();
    for line in lock.lines() {
        match local_path(line, folder) {
            Some(path) => {
                let path_is_bare = !line.contains("@ file://");
                let shown = if path_is_bare { path.display().to_string() } else { line.to_owned() };
                text.push_str(&format!("{shown}  # {}", &inputs::path_digest(&path)?[..12]));
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_uv_counts_is_quoted() {
        let lines = ["six".to_owned(), "-x foo".to_owned()];
        assert_eq!(quoted("error: Unexpected '-': -:2:1\n", &lines), "error: Unexpected '-': `-x foo`\n");
        assert_eq!(quoted("error: no such thing -:9:1 - at -:all", &lines), "error: no such thing -:9:1 - at -:all");
    }
}
