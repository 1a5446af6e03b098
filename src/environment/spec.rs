//! What the run config says about the environment, and its name.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What environment a job asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// `python:` as written (`3.11`, `3.11.7`, `>=3.10`); `None` takes what the packages' own files say, else the first Python 3.10+ found.
    pub python: Option<String>,
    /// Where the packages come from.
    pub packages: PackageSource,
    /// `index_url`, credentials included if the user wrote them; `None` leaves it to uv's own configuration and `UV_DEFAULT_INDEX`.
    pub index_url: Option<String>,
    /// `extra_index_urls`.
    pub extra_index_urls: Vec<String>,
    /// `find_links`: URLs, or folders (absolute here).
    pub find_links: Vec<String>,
    /// `install_project`: whether the project of the source directory itself is installed (editable never: the snapshot decides).
    pub install_project: bool,
    /// `system_packages`: Debian packages; refused for the venv form.
    pub system_packages: Vec<String>,
    /// `push`: the repository that the image is sent to.
    pub push: Option<String>,
    /// `image`, `dockerfile`: what the image form starts from.
    pub base: Base,
    /// The root of the source directory, absolute: relative paths in requirements (`./wheels/x.whl`) start here.
    pub root: PathBuf,
    /// Which MLflow has to be part of it.
    pub mlflow: Mlflow,
    /// Requirements that sendoff itself adds (the executor of a notebook).
    pub extra: Vec<String>,
}

/// What an image starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Base {
    /// `python:<version>-slim`.
    #[default]
    Python,
    /// `image:`: an image that is there, or that a registry has.
    Image(String),
    /// `dockerfile:`, absolute: an image that is built first.
    Dockerfile {
        /// The file.
        path: PathBuf,
        /// The folder that it copies from.
        context: PathBuf,
    },
}

/// Where the list of packages comes from. The forms exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackageSource {
    /// `pip_packages:` (also the list of a PEP 723 block): PEP 508 strings, git and URL forms, wheels and folders of the snapshot.
    Pip(Vec<String>),
    /// `requirements_file:`, absolute.
    RequirementsFile(PathBuf),
    /// `conda_file:`, absolute: its pip part and its Python version.
    CondaFile(PathBuf),
    /// `pyproject:`, the absolute path of a `pyproject.toml`; a `uv.lock` beside it is used as it is.
    Pyproject(PathBuf),
}

/// Which MLflow the environment must hold beside the user's packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mlflow {
    /// None: `--no-tracking`.
    None,
    /// `mlflow-skinny` (or the user's own `mlflow`), compatible with a server of this version (`3.17.2`); `None` when the server was not asked.
    Client {
        /// The server's version.
        server: Option<String>,
    },
}

/// The name of an environment: SHA-256 of its lock and interpreter, 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvironmentId(String);

impl EnvironmentId {
    /// Takes 64 hexadecimal digits.
    pub fn new(digits: impl Into<String>) -> Self {
        Self(digits.into())
    }

    /// Returns the 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first 12 digits, for people and folder names.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for EnvironmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
