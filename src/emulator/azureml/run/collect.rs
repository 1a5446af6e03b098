//! What a node leaves: its log while it runs, its outputs when it has ended.

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
    let place = artifact(job, &log_name(job, node * processes(job)));
    service.blobs.growing(&place).map_err(|error| causes::in_one_line(&error))
}

fn artifact(job: &Job, path: &str) -> Place {
    Place::new(&account(&job.scope), &container(&job.scope, ARTIFACTS).unwrap_or_default(), &format!("{}/{path}", job.folder()))
}

/// Appends to a log what its container has written since.
pub(super) async fn copy_log(nodes: &Nodes, id: &str, log: &Path, follow: Follow) -> Result<(), String> {
    let said = |error: engine::Error| causes::in_one_line(&error);
    let mut file = tokio::fs::OpenOptions::new().append(true).create(true).open(log).await.map_err(|error| error.to_string())?;
    let skip = file.metadata().await.map_err(|error| error.to_string())?.len();
    let mut pieces = std::pin::pin!(nodes.engine.logs(id, skip, follow).map_err(said)?);
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece.map_err(said)?).await.map_err(|error| error.to_string())?;
        file.flush().await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Brings the outputs of a node that has ended into storage; returns what could not be brought.
pub(super) async fn outputs(service: &Service, nodes: &Nodes, job: &Job, id: &str, data: &Data) -> Vec<String> {
    let work = working_directory(job);
    let artifacts = container(&job.scope, ARTIFACTS).unwrap_or_default();
    let automatic = ["outputs", "logs"]
        .map(|name| (format!("{work}/{name}"), Location { container: artifacts.clone(), path: format!("{}/{name}", job.folder()) }));
    let named = data.outputs.iter().map(|output| (output.folder.clone(), output.goal.clone()));
    let logs = Location { container: artifacts.clone(), path: format!("{}/user_logs", job.folder()) };
    let others = (processes(job) > 1).then(|| (format!("{OWN}/logs"), logs));
    let mut missing = Vec::new();
    for (folder, goal) in automatic.into_iter().chain(named).chain(others) {
        if let Err(reason) = bring(service, nodes, job, id, &folder, &goal).await {
            missing.push(format!("{folder}: {reason}"));
        }
    }
    missing
}

async fn bring(service: &Service, nodes: &Nodes, job: &Job, id: &str, folder: &str, goal: &Location) -> Result<(), String> {
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
