//! What sendoff made and no longer needs: found by going through all of its folders and the engines that it used, removed
//! only when nobody holds it.
//!
//! A submission makes snapshot and environment before there is a job that names them. It holds a shared lock meanwhile ([`in_use`]), and
//! nothing is removed while somebody does.

mod engine;
mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::engines::{self, Away};
use super::{Error, Jobs};
use crate::engine::Engine;
use crate::environment::{self, Images};
use crate::job;
use crate::support::dirs::Dirs;
use crate::support::fs;
use crate::support::lock::Lock;
use engine::Left;

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An archive with its manifest that no job names.
    Snapshot,
    /// An environment that no job names.
    Environment,
    /// The lock of requirements that no environment was made from.
    RequirementsLock,
    /// What is known of a source directory that no job was made from.
    StatCache,
    /// A part of something that was interrupted.
    Leftover,
    /// A folder of a job that is not known, or empty.
    JobFolder,
    /// A lock file that belongs to nothing.
    LockFile,
    /// A place in a queue whose job is gone.
    Ticket,
    /// A relay of `tracking env` that has ended and delivered everything.
    Relay,
    /// A job store that was broken and moved aside.
    BrokenStore,
    /// A container of a job that has ended, or of a shell.
    Container,
    /// A network of such a job.
    Network,
    /// A volume of such a job.
    Volume,
    /// An image that no job names, or a part of one.
    Image,
}

/// One thing that is not needed.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// What people know it by.
    pub name: String,
    /// How much it takes.
    pub bytes: u64,
    thing: Thing,
}

/// What it is.
#[derive(Debug, Clone)]
enum Thing {
    /// Files and folders, and the lock that a live job, or whoever builds it, would hold.
    Files { paths: Vec<PathBuf>, guard: Option<PathBuf> },
    /// Something on a container engine.
    OnEngine(Box<Engine>, Left),
}

/// All that is not needed, as far as it could be looked for.
#[derive(Debug)]
pub struct Found {
    /// In order of its kind.
    pub items: Vec<Item>,
    /// The engines that could not be asked.
    pub away: Vec<Away>,
}

/// Takes the lock that keeps what is being made from being taken for garbage.
pub(super) fn in_use(dirs: &Dirs) -> Result<Lock, fs::Error> {
    Lock::shared(&lock_file(dirs))
}

fn lock_file(dirs: &Dirs) -> PathBuf {
    dirs.cache.join("use.lock")
}

/// Returns everything that is not needed, here and on the engines that were used; changes nothing.
pub async fn garbage(jobs: &Jobs, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Found, Error> {
    let records = jobs.store.newest(usize::MAX)?;
    let mut items = files::find(dirs, &records);
    let named: BTreeSet<String> = records.iter().map(|record| record.environment.chars().take(12).collect()).collect();
    let (engines, mut away) = engines::engines(dirs, variables).await;
    for engine in engines {
        let images = Images::new(dirs, &engine, None, variables);
        match engine::find(&engine, images, &dirs.data, &named).await {
            Ok(found) => items.extend(found),
            // One that goes away meanwhile is like one that is away.
            Err(environment::Error::Engine(error)) => away.push(Away { endpoint: engine.endpoint().clone(), error }),
            Err(error) => return Err(error.into()),
        }
    }
    items.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(Found { items, away })
}

/// Removes what [`garbage`] found; returns what could be, since a live job may hold a part of it by now.
pub async fn remove_garbage(items: Vec<Item>, dirs: &Dirs) -> Result<Vec<Item>, Error> {
    let alone = Lock::try_exclusive(&lock_file(dirs)).map_err(job::Error::File)?;
    if alone.is_none() {
        return Err(Error::Busy);
    }
    let mut removed = Vec::new();
    for item in items {
        let is_gone = match &item.thing {
            Thing::Files { paths, guard } => remove_files(paths, guard.as_deref())?,
            Thing::OnEngine(engine, left) => match engine::remove(engine, left).await {
                Ok(()) => true,
                Err(engine::Kept::InUse) => false,
                Err(engine::Kept::Failed(error)) => return Err(error.into()),
            },
        };
        if is_gone {
            removed.push(item);
        }
    }
    Ok(removed)
}

/// Removes files and folders, unless somebody holds them.
fn remove_files(paths: &[PathBuf], guard: Option<&Path>) -> Result<bool, job::Error> {
    let _guard = match guard {
        Some(guard) => match Lock::try_exclusive(guard)? {
            Some(lock) => Some(lock),
            None => return Ok(false),
        },
        None => None,
    };
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(true)
}
