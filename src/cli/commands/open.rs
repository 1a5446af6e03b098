//! `sendoff open`.

use clap::Args;
use sendoff::submit::Error;
use sendoff::tracking::Connection;
use sendoff::tracking::managed::Managed;
use serde::Serialize;

use super::World;
use super::jobs::open_jobs;
use super::tracking::Talk;
use crate::cli::browser;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

/// Open a job's MLflow run in the browser, or print its address
///
/// A browser is started when there is a terminal and one is to be had: `BROWSER`, else `xdg-open` or `open`. The managed server is started if it
/// does not run.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Only print the address
    #[arg(long)]
    print: bool,
}

#[derive(Serialize)]
struct Address {
    job: String,
    url: String,
    opened: bool,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    let Some(tracking) = record.tracking.clone() else { return Err(Error::NotTracked(record.id.to_string()).into()) };
    let wants_browser = !arguments.print && !printer.is_json();
    // A service that tracks its own jobs says itself where people see them.
    let connection = match jobs.connection(&record) {
        None if tracking.managed && wants_browser => {
            Some(Connection::managed(Managed::new(&world.dirs).ensure(&Talk(printer)).await?.uri()))
        }
        found => found,
    };
    // The managed server may have another port by now than when the job was submitted.
    let url = connection.map_or(tracking.url, |connection| connection.run_url(&tracking.experiment_id, &tracking.run_id));
    let opened = wants_browser && browser::open(&url, &world.variables, printer);
    if printer.is_json() {
        printer.json(&json::report("address", Address { job: record.id.to_string(), url, opened }));
    } else {
        printer.answer(&url);
    }
    Ok(Exit::Success)
}
