//! Everything that decides what a resolution gives, each input with its own digest, so that a change can be named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::requirements::Requirements;
use super::{Error, Interpreter, Mlflow, PackageSource, Spec, resolve};
use crate::support::fs;

/// The inputs of a resolution by name; no credentials in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs(BTreeMap<String, String>);

impl Inputs {
    /// Reads and hashes what a spec names.
    pub(super) fn of(spec: &Spec, wanted: &Requirements, interpreter: &Interpreter) -> Result<Self, Error> {
        let mut inputs = BTreeMap::new();
        let mut put = |name: &str, text: String| drop(inputs.insert(name.to_owned(), text));
        put("python", interpreter.version.rsplit_once('.').map_or(interpreter.version.clone(), |(minor, _)| minor.to_owned()));
        put("platform", interpreter.platform.clone());
        let mlflow = match &spec.mlflow {
            Mlflow::None => "none".to_owned(),
            Mlflow::Client { server } => server.clone().unwrap_or_else(|| "any".to_owned()),
        };
        put("mlflow", mlflow);
        put("extra", spec.extra.join("\n"));
        put("install_project", spec.install_project.to_string());
        let index = spec.index_url.iter().chain(&spec.extra_index_urls).map(|url| bare(url)).collect::<Vec<_>>().join("\n");
        let ambient = ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"]
            .map(|name| std::env::var(name).map(|url| bare(&url)).unwrap_or_default())
            .join("\n");
        put("index", format!("{index}\n{ambient}"));
        put("find_links", spec.find_links.join("\n"));
        let lines = digest(wanted.lines.join("\n").as_bytes());
        match &spec.packages {
            PackageSource::Pip(lines) => put("pip_packages", lines.join("\n")),
            PackageSource::RequirementsFile(_) => put("requirements_file", lines),
            PackageSource::CondaFile(_) => put("conda_file", lines),
            PackageSource::Pyproject(path) => {
                put("pyproject", digest(&fs::read(path)?));
                let lock = path.with_file_name("uv.lock");
                if lock.is_file() {
                    put("uv.lock", digest(&fs::read(&lock)?));
                }
            }
        }
        if !wanted.constraints.is_empty() {
            put("constraints", digest(wanted.constraints.join("\n").as_bytes()));
        }
        for line in &wanted.lines {
            if let Some(path) = resolve::local_path(line, &wanted.folder) {
                put(line, path_digest(&path)?);
            }
        }
        if spec.install_project {
            put("project", path_digest(&spec.root)?);
        }
        Ok(Self(inputs))
    }

    /// Adds what an image has already.
    pub(super) fn with_base(mut self, packages: &[String]) -> Self {
        self.0.insert("image".to_owned(), digest(packages.join("\n").as_bytes()));
        self
    }

    /// Returns the name of the lock that these inputs lead to.
    pub(super) fn key(&self) -> String {
        digest(serde_json::to_string(&self.0).unwrap_or_default().as_bytes())
    }

    /// Returns the names of the inputs that differ from those of this root's last submission; empty when there was none.
    pub(super) fn changes_since(&self, locks: &Path, root: &Path) -> Vec<String> {
        let Some(last) = std::fs::read(last_file(locks, root)).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok()) else {
            return Vec::new();
        };
        let names: std::collections::BTreeSet<&String> = self.0.keys().chain(last.0.keys()).collect();
        names.into_iter().filter(|name| self.0.get(*name) != last.0.get(*name)).cloned().collect()
    }

    /// Remembers these inputs as the root's last; a cache that cannot be written costs an explanation, nothing else.
    pub(super) fn remember(&self, locks: &Path, root: &Path) {
        let path = last_file(locks, root);
        let text = serde_json::to_vec(self).unwrap_or_default();
        if std::fs::read(&path).ok().as_ref() != Some(&text) {
            let _ = fs::create_private_dir_all(locks).and_then(|()| fs::write_atomic(path, &text));
        }
    }
}

fn last_file(locks: &Path, root: &Path) -> PathBuf {
    locks.join(format!("last-{}", &digest(super::shown(root).as_bytes())[..16]))
}

/// Returns a URL without credentials.
fn bare(url: &str) -> String {
    url::Url::parse(url).map_or_else(|_| url.to_owned(), |url| crate::support::secret::redacted(&url).to_string())
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes a wheel, or everything in a folder.
pub(super) fn path_digest(path: &Path) -> Result<String, Error> {
    if path.is_file() {
        return Ok(digest(&fs::read(path)?));
    }
    let mut text = String::new();
    for file in files(path) {
        text.push_str(&super::shown(file.strip_prefix(path).unwrap_or(&file)));
        text.push_str(&digest(&fs::read(&file)?));
    }
    Ok(digest(text.as_bytes()))
}

/// Returns the files of a folder that is built as a package, in order; what building and running leave behind is none of it.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let skipped = |name: &std::ffi::OsStr| {
        let name = name.to_string_lossy();
        ["__pycache__", ".git", ".venv", "build", "outputs", "logs"].contains(&name.as_ref()) || name.ends_with(".egg-info")
    };
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(|entry| !skipped(entry.file_name()));
    entries.flatten().filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path).collect()
}
