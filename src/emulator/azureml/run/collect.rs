//! What a node leaves: its log while it runs, its outputs when it has ended.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::super::blobs::{Place, Properties};
use super::super::job::Job;
use super::super::routes::arm::{ARTIFACTS, container};
use super::super::service::{Service, account};
use super::data::{Data, Location};
use super::nodes::Nodes;
use super::variables::working_directory;
use crate::engine::{self, Follow};
use crate::support::causes;

/// Returns the name of a node's log, in the run's folder.
pub(super) fn log_name(job: &Job, rank: u32) -> String {
    let last = job.nodes() - 1;
    if last == 0 {
        return "user_logs/std_log.txt".to_owned();
    }
    format!("user_logs/std_log_process_{rank:0width$}.txt", width = last.to_string().len())
}

/// Returns the file that a node's log grows in.
pub(super) fn log_file(service: &Service, job: &Job, rank: u32) -> Result<PathBuf, String> {
    let place = artifact(job, &log_name(job, rank));
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
    let mut missing = Vec::new();
    for (folder, goal) in automatic.into_iter().chain(named) {
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
        let place = Place::new(&account(&job.scope), &goal.container, format!("{}/{inside}", goal.path).trim_start_matches('/'));
        let mut scratch = service.blobs.scratch(&place).map_err(|error| causes::in_one_line(&error))?;
        std::io::copy(&mut entry, scratch.as_file_mut()).map_err(|error| error.to_string())?;
        service.blobs.put(&place, scratch, &Properties::default()).map_err(|error| causes::in_one_line(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::azureml::job::tests::job;
    use serde_json::json;

    #[test]
    fn the_log_of_a_single_node_and_those_of_many_are_named_as_the_service_names_them() {
        let mut job = job("j");
        assert_eq!(log_name(&job, 0), "user_logs/std_log.txt");
        job.properties["resources"] = json!({ "instanceCount": 12 });
        assert_eq!(log_name(&job, 0), "user_logs/std_log_process_00.txt");
        assert_eq!(log_name(&job, 11), "user_logs/std_log_process_11.txt");
    }
}
