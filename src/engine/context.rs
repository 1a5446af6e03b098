//! Docker's contexts: engines that its own client knows by name.
//!
//! `$DOCKER_CONFIG/config.json` names the current one; each has a folder, named after the SHA-256 of its name, with `meta.json`, and
//! one with its certificates.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::endpoint::{Source, Tls};
use super::error::Error;
use crate::support::fs;

/// An engine that a context names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) host: String,
    pub(super) tls: Option<Tls>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Docker>,
}

#[derive(Deserialize)]
struct Docker {
    #[serde(rename = "Host")]
    host: Option<String>,
}

/// Returns the name of the context that `docker context use` chose.
pub(super) fn current(folder: &Path) -> Result<Option<String>, Error> {
    let configuration: Option<Configuration> = read_json(&folder.join("config.json"))?;
    Ok(configuration.and_then(|configuration| configuration.current).filter(|name| !name.is_empty()))
}

/// Reads a context.
pub(super) fn read(folder: &Path, name: &str, source: &Source) -> Result<Context, Error> {
    let unknown = || Error::Context { name: name.to_owned(), from: source.clone(), known: names(folder) };
    let id = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let meta: Meta = read_json(&folder.join("contexts/meta").join(&id).join("meta.json"))?.ok_or_else(unknown)?;
    let host = meta.endpoints.docker.and_then(|docker| docker.host).ok_or_else(unknown)?;
    let tls = folder.join("contexts/tls").join(&id).join("docker");
    Ok(Context { host, tls: tls.is_dir().then(|| Tls::in_folder(&tls)) })
}

/// Returns the names of the contexts that there are; what cannot be read has none.
fn names(folder: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(folder.join("contexts/meta")).into_iter().flatten().flatten();
    let meta = |folder: std::fs::DirEntry| read_json::<Meta>(&folder.path().join("meta.json")).ok().flatten();
    let mut names: Vec<String> = folders.filter_map(|folder| meta(folder)?.name).collect();
    names.sort();
    names
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Configuration { path: path.to_owned(), source })
}
