//! `sendoff cancel`.

use super::World;
use super::jobs::{One, open_jobs, sentence};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

pub(crate) async fn run(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    let record = jobs.refresh(record).await?;
    let had_ended = record.state.is_ended();
    let record = jobs.cancel(record, None).await?;
    if printer.is_json() {
        printer.json(&json::report("job", json::Job::from(&record)));
    } else {
        let before = if had_ended { "; it had ended already" } else { "" };
        printer.answer(&format!("{}{before}", sentence(&record)));
    }
    Ok(Exit::Success)
}
