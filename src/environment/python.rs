//! Finds an interpreter, and remembers what it found so that a second submission starts no process for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::support::{
    command, fs,
    uv::{Uv, ambient},
};

/// A Python that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// Its program, links resolved.
    pub path: PathBuf,
    /// Its version: `3.11.7`.
    pub version: String,
    /// Its platform: `linux-x86_64`.
    pub platform: String,
    stamp: (u64, u64),
}

impl Interpreter {
    /// Names one that is in an image.
    pub(super) fn in_image(path: PathBuf, version: String, platform: String) -> Self {
        Self { path, version, platform, stamp: (0, 0) }
    }
}

/// What a job needs when nobody says: what MLflow supports.
const DEFAULT: &str = ">=3.10";

/// What `uv` says when nothing fits the request; everything else is another trouble.
const NOT_THERE: [&str; 2] = ["No interpreter found", "Invalid version request"];

/// Asks `uv` for an interpreter; none is ever downloaded.
pub(super) fn find(uv: &Uv, request: Option<&str>) -> Result<Interpreter, Error> {
    let request = request.unwrap_or(DEFAULT);
    let missing = |source: command::Error| {
        let (request, text) = (request.to_owned(), source.to_string());
        let is_missing = NOT_THERE.iter().any(|words| text.contains(words));
        if is_missing { Error::NoPython { request, source } } else { Error::LookForPython { request, source } }
    };
    let mut command = ambient(uv.command());
    // The project's own venv or pins must not decide.
    command.args(["python", "find", "--no-python-downloads", "--no-project", "--system", request]).current_dir("/");
    let output = command::capture(&mut command, Duration::from_mins(1)).map_err(missing)?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let path = path.canonicalize().unwrap_or(path);
    let question = "import sys, sysconfig; print('%d.%d.%d' % sys.version_info[:3]); print(sysconfig.get_platform())";
    let output = command::capture(Command::new(&path).args(["-I", "-c", question]), Duration::from_mins(1)).map_err(missing)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    Ok(Interpreter {
        stamp: stamp(&path).unwrap_or_default(),
        path,
        version: lines.next().unwrap_or_default().to_owned(),
        platform: lines.next().unwrap_or_default().to_owned(),
    })
}

fn stamp(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    let modified = metadata.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((metadata.len(), modified.as_secs()))
}

fn key(request: Option<&str>) -> String {
    // Another PATH may mean another interpreter.
    format!("{}|{}", request.unwrap_or(DEFAULT), std::env::var("PATH").unwrap_or_default())
}

fn file(cache: &Path) -> PathBuf {
    cache.join("interpreters.json")
}

fn all(cache: &Path) -> BTreeMap<String, Interpreter> {
    std::fs::read(file(cache)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Returns what was found for the same request before, if it is still there unchanged.
pub(super) fn cached(cache: &Path, request: Option<&str>) -> Option<Interpreter> {
    all(cache).remove(&key(request)).filter(|found| stamp(&found.path) == Some(found.stamp))
}

/// Remembers an answer; a cache that cannot be written costs time, nothing else.
pub(super) fn remember(cache: &Path, request: Option<&str>, found: &Interpreter) {
    let mut answers = all(cache);
    answers.insert(key(request), found.clone());
    let _ = fs::create_private_dir_all(cache);
    if let Ok(text) = serde_json::to_vec(&answers) {
        let _ = fs::write_atomic(file(cache), &text);
    }
}
