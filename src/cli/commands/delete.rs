//! `sendoff delete`.

use clap::Args;
use serde::Serialize;

use super::World;
use super::jobs::open_jobs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Delete it although its MLflow run could not be closed, or what it has left where it ran could not be removed
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Deleted {
    job: String,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    let id = record.id.clone();
    jobs.delete(record, arguments.force).await?;
    if printer.is_json() {
        printer.json(&json::report("delete", Deleted { job: id.to_string() }));
    } else {
        printer.answer(&format!("deleted `{id}`"));
    }
    Ok(Exit::Success)
}
