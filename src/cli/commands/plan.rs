//! `sendoff plan`.

use clap::Args;
use sendoff::submit::{Plan, plan};
use sendoff::support::words::{Count, Size};
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunConfigArguments,
}

#[derive(Serialize)]
struct PlanReport {
    target: String,
    target_origin: String,
    tracker: String,
    tracker_origin: String,
    experiment: String,
    attach: String,
    files: usize,
    bytes: u64,
    environment: Option<String>,
    environment_built: bool,
    environment_changed: Vec<String>,
    python: Option<String>,
    secrets: Vec<String>,
    notes: Vec<String>,
    warnings: Vec<String>,
}

impl From<&Plan> for PlanReport {
    fn from(plan: &Plan) -> Self {
        Self {
            target: plan.run.target.value.name.clone(),
            target_origin: plan.run.target.origin.to_string(),
            tracker: plan.run.tracking.value.uri.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
            tracker_origin: plan.run.tracking.origin.to_string(),
            experiment: plan.experiment.clone(),
            attach: format!("{:?}", plan.attach).to_lowercase(),
            files: plan.listing.files.len(),
            bytes: plan.listing.size(),
            environment: plan.inspection.id.as_ref().map(ToString::to_string),
            environment_built: plan.inspection.built,
            environment_changed: plan.inspection.changed.clone(),
            python: plan.inspection.python.as_ref().map(|python| format!("{} ({})", python.version, python.path.display())),
            secrets: plan.run.secrets.clone(),
            notes: plan.notes.clone(),
            warnings: plan.warnings.clone(),
        }
    }
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let loaded = sendoff::config::load(&arguments.run.request(world))?;
    let plan = plan(loaded, None, &world.dirs, &world.variables).await?;
    let report = PlanReport::from(&plan);
    if printer.is_json() {
        printer.json(&json::report("plan", report));
        return Ok(Exit::Success);
    }
    let environment = match (&report.environment, report.environment_built) {
        (Some(id), true) => format!("hit: {} is built", &id[..12]),
        (Some(id), false) => format!("miss: {} is resolved and has to be built", &id[..12]),
        (None, _) if report.environment_changed.is_empty() => "miss: not resolved yet".to_owned(),
        (None, _) => format!("miss: {} changed", report.environment_changed.join(", ")),
    };
    let mut text = format!(
        "target       {} ({})\ntracker      {} ({})\nexperiment   {}, attached as `{}`\nsnapshot     {}, {}\nenvironment  {environment}\npython       {}\n",
        report.target,
        report.target_origin,
        report.tracker,
        report.tracker_origin,
        report.experiment,
        report.attach,
        Count(report.files, "file"),
        Size(report.bytes),
        report.python.as_deref().unwrap_or("found at submission"),
    );
    for name in &report.secrets {
        text.push_str(&format!("secret       {name} (a 0600 file, read and removed at start)\n"));
    }
    for file in plan.listing.biggest(3) {
        text.push_str(&format!("biggest      {} {}\n", file.path, Size(file.size)));
    }
    printer.answer(&text);
    for note in &report.notes {
        printer.say(&format!("note: {note}"));
    }
    for warning in &report.warnings {
        printer.say(&format!("warning: {warning}"));
    }
    Ok(Exit::Success)
}
