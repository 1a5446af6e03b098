//! `sendoff cancel`.

use super::World;
use super::jobs::{One, open_jobs, state_line};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

pub(crate) async fn run(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(&arguments.job)?;
    let record = jobs.cancel(record, None).await?;
    if printer.is_json() {
        printer.json(&json::report("job", json::Job::from(&record)));
    } else {
        printer.answer(&format!("job `{}` {}", record.id, state_line(&record)));
    }
    Ok(Exit::Success)
}
