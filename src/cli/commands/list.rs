//! `sendoff list`.

use clap::Args;

use super::World;
use super::jobs::open_jobs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show at most this many jobs
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "expected a number from 1 on".to_owned())
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let records = jobs.list(arguments.limit).await?;
    for reason in &jobs.unheard {
        printer.complain(&format!("warning: some jobs are shown as they were last seen: {reason}"));
    }
    if printer.is_json() {
        printer.json(&json::report("jobs", json::Jobs { jobs: records.iter().map(json::Job::from).collect() }));
        return Ok(Exit::Success);
    }
    if records.is_empty() {
        printer.say("there is no job yet; `sendoff submit` makes one");
        return Ok(Exit::Success);
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["JOB", "STATE", "TARGET", "EXPERIMENT", "SUBMITTED (UTC)", "NAME"]);
    for record in &records {
        table.add_row([
            record.id.to_string(),
            record.state.word().to_owned(),
            record.target.clone(),
            record.experiment.clone(),
            record.created_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            record.name.clone(),
        ]);
    }
    printer.answer(&table.trim_fmt());
    Ok(Exit::Success)
}
