//! Builds venvs at their final path, and never takes a half one for whole.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::inputs::digest;
use super::{EnvironmentId, Error, Interpreter, Progress, Spec, Step, resolve};
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use crate::support::{
    clock, command, fault, stop,
    uv::{Uv, ambient},
};

/// What `.complete` holds, written last: an environment that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its name.
    pub id: EnvironmentId,
    /// Its Python's version.
    pub python: String,
    /// The packages, as the lock names them.
    pub packages: Vec<String>,
    /// When it was built.
    pub created_at: jiff::Timestamp,
    /// The image that it is in; none for a venv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Names an environment after its lock and its interpreter.
pub(super) fn id(lock: &str, interpreter: &Interpreter) -> EnvironmentId {
    EnvironmentId::new(digest(
        format!("{}\n{}\n{}\n{lock}", interpreter.version, interpreter.platform, interpreter.path.display()).as_bytes(),
    ))
}

pub(super) fn folder(base: &Path, id: &EnvironmentId) -> PathBuf {
    base.join(id.short())
}

pub(super) fn python(base: &Path, id: &EnvironmentId) -> PathBuf {
    folder(base, id).join("bin").join("python")
}

pub(super) fn lease_file(base: &Path, id: &EnvironmentId) -> PathBuf {
    base.join(format!("{}.lock", id.short()))
}

/// Returns whether the environment is there, with its interpreter.
pub(super) fn is_whole(base: &Path, id: &EnvironmentId) -> bool {
    folder(base, id).join(".complete").is_file() && python(base, id).exists()
}

/// What a venv is built from.
pub(super) struct Order<'a> {
    pub(super) lock: &'a str,
    /// Says which indexes have the packages.
    pub(super) spec: &'a Spec,
    pub(super) interpreter: &'a Interpreter,
}

/// Builds it, holding its exclusive lock. A failure leaves nothing.
pub(super) fn build(
    uv: &Uv,
    base: &Path,
    held: &Lock,
    id: &EnvironmentId,
    order: &Order<'_>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let goal = folder(base, id);
    fs::remove_dir_all(&goal)?;
    let made = fill(uv, &goal, held, order, progress).and_then(|()| {
        let built = Built {
            id: id.clone(),
            python: order.interpreter.version.clone(),
            packages: order.lock.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect(),
            created_at: clock::now(),
            image: None,
        };
        let text = serde_json::to_vec_pretty(&built).expect("plain data of ours always serialises");
        fault::point("environment.before-complete");
        Ok(fs::write_atomic(goal.join(".complete"), &text)?)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&goal);
    }
    made
}

fn fill(uv: &Uv, goal: &Path, held: &Lock, order: &Order<'_>, progress: &dyn Progress) -> Result<(), Error> {
    let &Order { lock, spec, interpreter } = order;
    let limit = Duration::from_hours(1);
    // A `uv` that outlives us still writes: it holds the lock too, so that nobody builds beside it.
    let capture = |command: &mut Command| command::capture_with(command, limit, Some(held.share()?)).map_err(Error::Build);
    let mut make = ambient(uv.command());
    make.args(["venv", "--quiet", "--no-project", "--python"]).arg(&interpreter.path).arg(goal).current_dir("/");
    capture(&mut make)?;
    fault::point("environment.half-built");
    if lock.trim().is_empty() {
        return Ok(());
    }
    let mut list = tempfile::Builder::new().prefix("lock-").suffix(".txt").tempfile().context("write", std::env::temp_dir())?;
    list.write_all(lock.as_bytes()).context("write", list.path())?;
    let install = |source: Source| {
        let mut install = ambient(uv.command());
        install
            .args(["pip", "install", "--quiet", "--compile-bytecode", "--no-deps", "--python"])
            .arg(goal.join("bin").join("python"))
            .arg("-r")
            .arg(list.path())
            .current_dir("/");
        resolve::add_indexes(&mut install, spec);
        if matches!(source, Source::Cache) {
            install.arg("--offline");
        }
        capture(&mut install)
    };
    // What the resolution has read stands in uv's cache, and often every wheel: then no index is asked a second time.
    let mut installed = install(Source::Cache).or_else(|_| install(Source::Index));
    for pause in PAUSES {
        if !installed.as_ref().is_err_and(Error::denies_lock) {
            break;
        }
        progress.step(Step::AskingAgain);
        stop::pause(pause);
        installed = install(Source::Index);
    }
    installed.map(drop)
}

/// How long an index that contradicts itself is given before each further question: several servers stand behind one name, and a new
/// release reaches one later than another.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

/// Where `uv` takes packages from.
enum Source {
    /// Its cache alone.
    Cache,
    /// The index, for what the cache does not have.
    Index,
}

/// Returns the whole environments, newest first.
pub(super) fn list(base: &Path) -> Vec<Built> {
    let Ok(entries) = std::fs::read_dir(base) else { return Vec::new() };
    let mut found: Vec<Built> =
        entries.flatten().filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path().join(".complete")).ok()?).ok()).collect();
    found.sort_by_key(|built| std::cmp::Reverse(built.created_at));
    found
}

/// Removes what no live job holds, and what an interrupted build has left.
pub(super) fn prune(base: &Path, only: Option<&EnvironmentId>) -> Result<Vec<Built>, Error> {
    if only.is_none() {
        remove_half_built(base)?;
    }
    let mut removed = Vec::new();
    for built in list(base).into_iter().filter(|built| only.is_none_or(|only| *only == built.id)) {
        match Lock::try_exclusive(&lease_file(base, &built.id))? {
            Some(_lock) => {
                fs::remove_dir_all(folder(base, &built.id))?;
                removed.push(built);
            }
            None if only.is_some() => return Err(Error::InUse(built.id.short().to_owned())),
            None => {}
        }
    }
    Ok(removed)
}

fn remove_half_built(base: &Path) -> Result<(), Error> {
    let Ok(entries) = std::fs::read_dir(base) else { return Ok(()) };
    for folder in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir() && !path.join(".complete").is_file()) {
        if let Some(_lock) = Lock::try_exclusive(&folder.with_extension("lock"))?
            && !folder.join(".complete").is_file()
        {
            fs::remove_dir_all(&folder)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_its_last_file_is_not_whole() {
        let base = tempfile::tempdir().expect("a temporary folder");
        let id = EnvironmentId::new("0123456789abcdef");
        std::fs::create_dir_all(folder(base.path(), &id).join("bin")).expect("writable");
        std::fs::write(python(base.path(), &id), "").expect("writable");
        assert!(!is_whole(base.path(), &id));
        std::fs::write(folder(base.path(), &id).join(".complete"), "{}").expect("writable");
        assert!(is_whole(base.path(), &id));
    }
}
