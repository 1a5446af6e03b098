//! `sendoff status`.

use sendoff::job::Record;
use sendoff::support::words::Span;

use super::World;
use super::jobs::{One, open_jobs, state_line};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

pub(crate) async fn run(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(&arguments.job)?;
    let record = jobs.refresh(record).await?;
    if printer.is_json() {
        printer.json(&json::report("job", json::Job::from(&record)));
    } else {
        printer.answer(&describe(&record));
    }
    Ok(Exit::Success)
}

fn describe(record: &Record) -> String {
    let mut lines = vec![
        ("job", record.id.to_string()),
        ("state", state_line(record)),
        ("name", record.name.clone()),
        ("experiment", record.experiment.clone()),
        ("target", format!("{} ({})", record.target, record.handle)),
        ("attempt", record.attempt.to_string()),
        ("submitted", record.created_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()),
    ];
    if let Some(outcome) = record.state.outcome() {
        if let Some(started) = outcome.started_at {
            let ran = outcome.ended_at.duration_since(started);
            lines.push(("ran", Span(std::time::Duration::try_from(ran).unwrap_or_default()).to_string()));
        }
        lines.extend(outcome.detail.clone().map(|detail| ("reason", detail)));
    }
    lines.push(("snapshot", record.snapshot.chars().take(12).collect()));
    lines.push(("environment", record.environment.chars().take(12).collect()));
    if let Some(tracking) = &record.tracking {
        lines.push(("MLflow run", tracking.url.clone()));
        if record.state.is_ended() && !tracking.closed {
            lines.push(("", "its final status is not written yet: the tracker does not answer; the next command tries again".to_owned()));
        }
    }
    lines.into_iter().map(|(name, value)| format!("{name:<12} {value}\n")).collect()
}
