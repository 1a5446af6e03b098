//! The `environment:` section of a run config.

use crate::document;
use crate::support::yaml::{List, Parsed, Text};

document! {
    /// Which Python, and which packages. `pip_packages`, `requirements_file`, `conda_file` and `pyproject` exclude each other.
    #[schemars(rename = "Environment")]
    pub struct Section {
        /// The Python version (`3.11`, `3.11.7`, `>=3.10`); default: what the packages' own files say, else the first Python 3.10 or newer found.
        python: Text,
        /// PEP 508 requirements, git and URL forms, wheels and folders of the source directory.
        pip_packages: List<Text>,
        /// A requirements file, relative to this file.
        requirements_file: Text,
        /// A conda environment file, relative to this file; its pip part and Python version are used.
        conda_file: Text,
        /// A `pyproject.toml`, relative to this file; a `uv.lock` beside it is used as it is.
        pyproject: Text,
        /// The package index; default: the one that uv is configured for.
        index_url: Text,
        /// More package indexes.
        extra_index_urls: List<Text>,
        /// Folders or pages that hold packages.
        find_links: List<Text>,
        /// Whether the project of the source directory itself is installed.
        install_project: Parsed<bool>,
        /// Debian packages, on targets with containers.
        system_packages: List<Text>,
        /// The image that the job runs in, on targets with containers.
        image: Text,
        /// The Dockerfile of that image, on targets with containers.
        dockerfile: Text,
    }
}
