//! A shell in a job's working directory, or in a copy of it as it was at the start.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::child::PASSED_ON;
use crate::job::JobSpec;
use crate::job::attempt::{Attempt, Finding};
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use crate::support::{causes, command};
use crate::target::Error;
use crate::target::shell::{Door, Here, Room, Shell, Visit};
use crate::target::supervised::{self, UNPACK};

/// How long the snapshot may take to be unpacked.
const UNPACKING: Duration = Duration::from_mins(30);

/// Opens a shell beside an attempt.
pub(super) fn open(attempt: &Attempt, spec: &JobSpec, visit: &Visit) -> Result<Shell, Error> {
    let leases: Vec<Lock> = spec.leases.iter().filter_map(|file| Lock::shared(file).ok()).collect();
    if !spec.python.exists() {
        return Err(Error::EnvironmentGone { id: spec.id.to_string(), what: spec.python.display().to_string() });
    }
    let work = attempt.path("work");
    let runs = matches!(attempt.find()?, Finding::Alive(_));
    let room = match work.is_dir() {
        true if runs => Room::TheJobs,
        true if attempt.is_kept() => Room::AsLeft,
        _ => Room::Fresh,
    };
    let folder = if room == Room::Fresh { Some(copy(attempt, spec)?) } else { None };
    let words = visit.words();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear();
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(visit.variables(&spec.variables));
    match &folder {
        Some(folder) => command.current_dir(folder.path().join("work")).envs(outputs(attempt, spec, folder.path())),
        None => command.current_dir(work),
    };
    let limits = [("resources.cpus", spec.cpus.is_some()), ("resources.memory", spec.memory.is_some())];
    Ok(Shell {
        room,
        missing: limits.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| format!("the limit of `{key}`")).collect(),
        door: Door::Here(Box::new(Here { command, _folder: folder, _leases: leases })),
    })
}

/// Returns a folder with the job's snapshot and room for its outputs, which goes with the value.
fn copy(attempt: &Attempt, spec: &JobSpec) -> Result<TempDir, Error> {
    let archive = supervised::archive(attempt, spec)?;
    let folder = tempfile::Builder::new().prefix("sendoff-shell-").tempdir();
    let folder = folder.context("create a folder in", std::env::temp_dir())?;
    let work = folder.path().join("work");
    fs::create_dir_all(&work)?;
    fs::create_dir_all(folder.path().join("collected"))?;
    for (name, _) in spec.outputs.iter().filter(|(_, is_folder)| *is_folder) {
        fs::create_dir_all(folder.path().join("collected").join(name))?;
    }
    let mut python = Command::new(&spec.python);
    python.args(["-I", "-S", "-c", UNPACK]).arg(archive).arg(&spec.snapshot).arg(work);
    let unpacked = command::capture(&mut python, UNPACKING);
    unpacked.map_err(|error| Error::Unpack { id: spec.id.to_string(), reason: causes::in_one_line(&error) })?;
    Ok(folder)
}

/// Returns the variables that name the job's outputs, leading into the copy: what the job has left stays as it is.
fn outputs(attempt: &Attempt, spec: &JobSpec, folder: &Path) -> Vec<(String, PathBuf)> {
    let collected = attempt.path("collected");
    let moved = |value: &String| Some(folder.join("collected").join(Path::new(value).strip_prefix(&collected).ok()?));
    spec.variables.iter().filter_map(|(name, value)| Some((name.clone(), moved(value)?))).collect()
}
