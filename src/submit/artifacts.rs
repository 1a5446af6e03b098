//! The files that are kept with the MLflow run, enough to run the job again: written beside the attempt first, uploaded once the tracker
//! answers, by whoever finds them not uploaded: the supervisor at the job's start and end, or a later command.

use crate::job;
use crate::job::attempt::Attempt;
use crate::support::fs::{self, Context};
use crate::target::{self, JobRef, Target};
use crate::tracking::{self, Client};

/// The folder inside the attempt's.
const FOLDER: &str = "artifacts";

/// The name of the file that says that all of them were uploaded.
const UPLOADED: &str = "artifacts-uploaded";

/// One file: its name, and its text without anything secret.
pub(super) type File = (&'static str, String);

/// Writes the files of an attempt.
pub(super) fn write(attempt: &Attempt, files: &[File]) -> Result<(), job::Error> {
    let folder = attempt.path(FOLDER);
    fs::create_private_dir_all(&folder)?;
    for (name, text) in files {
        let path = folder.join(name);
        // The folder is its user's alone. Not synced: what a power failure takes costs a rerun, not a job.
        std::fs::write(&path, text).context("write", &path)?;
    }
    Ok(())
}

/// Reads one of them.
pub(super) fn read(attempt: &Attempt, name: &str) -> Option<String> {
    std::fs::read_to_string(attempt.path(FOLDER).join(name)).ok()
}

/// Returns whether there is something left to upload.
pub(super) fn are_pending(attempt: &Attempt) -> bool {
    attempt.path(FOLDER).is_dir() && !attempt.path(UPLOADED).exists()
}

/// Hands them to a target that keeps the MLflow run itself; may be repeated.
pub(super) async fn hand_over(attempt: &Attempt, target: &dyn Target, job: &JobRef) -> Result<(), target::Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(attempt.path(FOLDER)).into_iter().flatten().flatten() {
        let content = fs::read(entry.path()).map_err(job::Error::File)?;
        files.push((entry.file_name().to_string_lossy().into_owned(), content));
    }
    target.keep(job, files).await?;
    let _ = std::fs::write(attempt.path(UPLOADED), b"");
    Ok(())
}

/// Uploads them below `sendoff/`; may be repeated. A tracker without an artifact proxy is passed over.
pub(super) async fn upload(attempt: &Attempt, client: &Client, run_id: &str) -> Result<(), tracking::Error> {
    if !are_pending(attempt) {
        return Ok(());
    }
    let run = client.run(run_id).await?;
    let folder = attempt.path(FOLDER);
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        client.upload(&run, &format!("sendoff/{name}"), fs::read(entry.path())?).await?;
    }
    // Written or not, uploading twice does no harm.
    let _ = std::fs::write(attempt.path(UPLOADED), b"");
    Ok(())
}
