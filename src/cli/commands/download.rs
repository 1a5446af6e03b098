//! `sendoff download`.

use std::path::PathBuf;

use clap::Args;
use sendoff::snapshot::keep_out;
use sendoff::submit::Jobs;
use sendoff::support::words::Count;
use serde::Serialize;

use super::World;
use super::jobs::{open_jobs, sentence};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// The folder [default: ./<job id>]
    ///
    /// A folder that is made for it gets a `.sendoffignore`, so that the next snapshot does not contain it.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

#[derive(Serialize)]
struct Downloaded {
    job: String,
    folder: String,
    files: usize,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    let record = jobs.refresh(record).await?;
    let folder = world.cwd.join(arguments.to.clone().unwrap_or_else(|| record.id.as_str().into()));
    if folder.symlink_metadata().is_ok() && !folder.is_dir() {
        let to = folder.display();
        return Err(Failure::Usage(format!("`{to}` is a file; `--to` names a folder, in which the files keep their names")));
    }
    let is_new = !folder.exists();
    let files = jobs.target(&record).collect(&Jobs::reference(&record), &folder).await?;
    // A folder that was there before has its user's own rules.
    if is_new && folder.exists() {
        keep_out(&folder).map_err(sendoff::job::Error::File)?;
    }
    if !record.state.is_ended() {
        printer.complain(&format!("warning: {}: this is what it has left so far", sentence(&record)));
    }
    if printer.is_json() {
        printer.json(&json::report("download", Downloaded { job: record.id.to_string(), folder: folder.display().to_string(), files }));
    } else {
        printer.answer(&format!("{} in `{}`", Count(files, "file"), folder.display()));
    }
    Ok(Exit::Success)
}
