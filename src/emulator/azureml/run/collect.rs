//! What a node leaves: its log while it runs, its outputs when it has ended.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::super::blobs::{Place, Properties};
use super::super::job::Job;
use super::super::routes::arm::{ARTIFACTS, container};
use super::super::service::{Service, account};
use super::container::OWN;
use super::data::{Data, Location};
use super::distribution::{log_name, processes};
use super::nodes::Nodes;
use super::variables::working_directory;
use crate::engine::{self, Follow};
use crate::support::causes;

/// Returns the file that a node's log, which is that of its first process, grows in.
pub(super) fn log_file(service: &Service, job: &Job, node: u32) -> Result<PathBuf, String> {
    growing(service, job, &log_name(job, node * processes(job)))
}

/// Returns the file that an artifact of the run grows in.
pub(super) fn growing(service: &Service, job: &Job, path: &str) -> Result<PathBuf, String> {
    service.blobs.growing(&artifact(job, path)).map_err(|error| causes::in_one_line(&error))
}

fn artifact(job: &Job, path: &str) -> Place {
    Place::new(&account(&job.scope), &container(&job.scope, ARTIFACTS).unwrap_or_default(), &format!("{}/{path}", job.folder()))
}

/// Appends to a log what its container has written since; the log has that container's from `begin` on.
pub(super) async fn copy_log(nodes: &Nodes, id: &str, log: &Path, begin: u64, follow: Follow) -> Result<(), String> {
    let said = |error: engine::Error| causes::in_one_line(&error);
    let mut file = tokio::fs::OpenOptions::new().append(true).create(true).open(log).await.map_err(|error| error.to_string())?;
    let skip = file.metadata().await.map_err(|error| error.to_string())?.len().saturating_sub(begin);
    let mut pieces = std::pin::pin!(nodes.engine.logs(id, skip, follow).map_err(said)?);
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece.map_err(said)?).await.map_err(|error| error.to_string())?;
        file.flush().await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Brings the outputs of a node that has ended into storage; returns what could not be brought.
pub(super) async fn outputs(service: &Service, nodes: &Nodes, job: &Job, id: &str, data: &Data) -> Vec<String> {
    let automatic = (format!("{}/outputs", working_directory(job)), artifacts(job, "outputs"));
    let named = data.outputs.iter().map(|output| (output.folder.clone(), output.goal.clone()));
    let mut missing = Vec::new();
    for (folder, goal) in std::iter::once(automatic).chain(named).chain(logs(job)) {
        if let Err(reason) = bring(service, nodes, job, id, (&folder, &goal), &mut Seen::new()).await {
            missing.push(format!("{folder}: {reason}"));
        }
    }
    missing
}

fn artifacts(job: &Job, folder: &str) -> Location {
    Location { container: container(&job.scope, ARTIFACTS).unwrap_or_default(), path: format!("{}/{folder}", job.folder()) }
}

/// Returns the folders of a node whose files are logs, each with where it is in storage; the log of the first process is not among them.
pub(super) fn logs(job: &Job) -> impl Iterator<Item = (String, Location)> {
    let own = (format!("{}/logs", working_directory(job)), artifacts(job, "logs"));
    let others = (processes(job) > 1).then(|| (format!("{OWN}/logs"), artifacts(job, "user_logs")));
    std::iter::once(own).chain(others)
}

/// Files that are in storage as they are on the node: path there, with size and time of the last change.
pub(super) type Seen = BTreeMap<String, (u64, u64)>;

/// Brings the files of a node's folder into storage, but those that it has brought before and that are the same still.
pub(super) async fn bring(
    service: &Service,
    nodes: &Nodes,
    job: &Job,
    id: &str,
    (folder, goal): (&str, &Location),
    seen: &mut Seen,
) -> Result<(), String> {
    let said = |error: engine::Error| causes::in_one_line(&error);
    let mut archive = tempfile::tempfile_in(&service.folder).map_err(|error| error.to_string())?;
    let mut pieces = std::pin::pin!(nodes.engine.get(id, folder).map_err(said)?);
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => archive.write_all(&piece).map_err(|error| error.to_string())?,
            // A job need not write any.
            Err(engine::Error::Missing { .. }) => return Ok(()),
            Err(error) => return Err(said(error)),
        }
    }
    archive.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(std::io::BufReader::new(archive));
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(|error| error.to_string())?.to_string_lossy().into_owned();
        // Entries begin with the folder's own name.
        let Some((_, inside)) = path.split_once('/') else { continue };
        let now = (entry.header().size().unwrap_or_default(), entry.header().mtime().unwrap_or_default());
        if seen.insert(path.clone(), now) == Some(now) {
            continue;
        }
        // Processes write their logs under their ranks.
        let of_process = folder.strip_prefix(OWN).and_then(|_| inside.parse().ok()).map(|rank| log_name(job, rank));
        let inside = of_process.as_deref().and_then(|name| name.rsplit('/').next()).unwrap_or(inside);
        let place = Place::new(&account(&job.scope), &goal.container, format!("{}/{inside}", goal.path).trim_start_matches('/'));
        let mut scratch = service.blobs.scratch(&place).map_err(|error| causes::in_one_line(&error))?;
        std::io::copy(&mut entry, scratch.as_file_mut()).map_err(|error| error.to_string())?;
        service.blobs.put(&place, scratch, &Properties::default()).map_err(|error| causes::in_one_line(&error))?;
    }
    Ok(())
}
