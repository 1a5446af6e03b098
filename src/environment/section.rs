//! The `environment:` section of a run config.

use std::str::FromStr;

use pep508_rs::pep440_rs::{Version, VersionSpecifiers};
use schemars::{Schema, json_schema};
use serde_json::json;

use crate::document;
use crate::support::yaml::{Grammar, List, Parsed, Text};

document! {
    /// Which Python, and which packages. `pip_packages`, `requirements_file`, `conda_file` and `pyproject` exclude each other.
    #[schemars(rename = "Environment", transform = one_list)]
    pub struct Section {
        /// The Python version (`3.11`, `3.11.7`, `>=3.10`); default: what the packages' own files say, else the first Python 3.10 or newer found.
        python: Parsed<PythonRequest>,
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
        /// The image that the job runs in, on targets with containers; on Azure ML also an environment of the workspace
        /// (`azureml:NAME:VERSION`, `azureml:NAME@latest`) or of a registry (`azureml://registries/...`), which is taken as it is.
        image: Text,
        /// The Dockerfile of that image, relative to this file, on targets with containers.
        dockerfile: Text,
        /// The folder that the Dockerfile copies from, relative to this file; default: its own.
        build_context: Text,
        /// The repository that the environment's image is sent to once it is built (`registry.example.org/team/images`), on targets with containers.
        push: Parsed<Repository>,
    }
}

/// Says in the schema that the packages come from one place.
fn one_list(schema: &mut Schema) {
    let forms = ["pip_packages", "requirements_file", "conda_file", "pyproject"];
    let pairs: Vec<serde_json::Value> =
        (0..forms.len()).flat_map(|second| (0..second).map(move |first| json!({ "required": [forms[first], forms[second]] }))).collect();
    schema.insert("not".to_owned(), json!({ "anyOf": pairs }));
}

/// A Python version or a range of them. Never a path: a run config does not name a program for `plan` to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonRequest(pub String);

/// The minor versions of Python 3 that there may ever be, as far as anybody can say.
const MINORS: std::ops::Range<u64> = 0..50;

impl PythonRequest {
    /// Returns why no Python can be what is asked, as far as that is known without looking for one.
    pub fn refusal(&self) -> Option<&'static str> {
        // A version names all that begin with it.
        let range = if self.0.starts_with(|c: char| c.is_ascii_digit()) { format!("=={}.*", self.0) } else { self.0.clone() };
        let range = VersionSpecifiers::from_str(&range).ok()?;
        let is_met = |minors: std::ops::Range<u64>| {
            minors.into_iter().any(|minor| (0..50).any(|patch| range.contains(&Version::new([3, minor, patch]))))
        };
        if is_met(10..MINORS.end) {
            None
        } else if is_met(MINORS) {
            Some("MLflow, and so sendoff, needs Python 3.10 or newer")
        } else {
            Some("there is no such version")
        }
    }
}

impl Grammar for PythonRequest {
    const EXAMPLE: &'static str = "3.11";

    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('.').collect();
        let is_version = parts.len() <= 3 && parts.iter().all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()));
        if is_version {
            return Ok(Self(text.to_owned()));
        }
        let reason = "expected a version like `3.11` or a range like `>=3.10,<3.13`";
        // No specifier at all is a list of none to the parser.
        let range = VersionSpecifiers::from_str(text).ok().filter(|range| !range.is_empty());
        range.map(|_| Self(text.to_owned())).ok_or_else(|| reason.to_owned())
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "number"], "pattern": "^\\s*([0-9]+(\\.[0-9]+){0,2}|[<>=!~].*)\\s*$" })
    }
}

/// A repository of a registry: where images go. Their tags are sendoff's, one per environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository(pub String);

impl Grammar for Repository {
    const EXAMPLE: &'static str = "registry.example.org/team/images";

    fn parse(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
        };
        let (host, path) = match text.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("", text),
        };
        let is_host = host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-[]".contains(c));
        if path.contains(['@', ':']) {
            return Err("a tag or digest has no place here: each environment gets its own tag".to_owned());
        }
        if is_host && path.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a repository in lower case, `registry/team/images`".to_owned())
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "examples": [Self::EXAMPLE] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_that_are_read_and_refused() {
        for text in ["team/images", "registry.example.org/team/images", "localhost/x", "127.0.0.1:5000/a/b-c_d", "images"] {
            assert_eq!(Repository::parse(text), Ok(Repository(text.to_owned())), "{text}");
        }
        for text in
            ["", "Team/images", "registry.example.org/", "a//b", "team/images:1", "team/images@sha256:01", "https://a.test/x", "a b"]
        {
            assert!(Repository::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pythons_that_cannot_be_are_refused() {
        for text in ["3", "3.10", "3.12.4", ">=3.8", "~=3.11", "==3.11.*", ">=3.10,<3.13"] {
            assert_eq!(PythonRequest(text.to_owned()).refusal(), None, "{text}");
        }
        for (text, reason) in
            [("3.9", "3.10 or newer"), ("<3.10", "3.10 or newer"), ("2.7", "no such"), ("4", "no such"), ("3.99", "no such")]
        {
            assert!(PythonRequest(text.to_owned()).refusal().is_some_and(|why| why.contains(reason)), "{text}");
        }
    }

    #[test]
    fn python_versions_that_are_read_and_refused() {
        for text in ["3", "3.11", "3.10.12", ">=3.10", ">=3.10,<3.13", "~=3.11", "==3.11.*"] {
            assert_eq!(PythonRequest::parse(text), Ok(PythonRequest(text.to_owned())), "{text}");
        }
        for text in ["", "three", "3.11.1.1", "3.", "./bin/python", "/usr/bin/python3", "--help", "python3.11", "3.11 "] {
            assert!(PythonRequest::parse(text).is_err(), "{text}");
        }
    }
}
