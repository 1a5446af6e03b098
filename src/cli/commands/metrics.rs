//! `sendoff metrics`.

use clap::Args;
use sendoff::job::{JobState, Record};
use sendoff::relay::Pending;
use sendoff::submit::Error;
use sendoff::support::figures::Figures;
use sendoff::support::words::Count;
use sendoff::tracking::{Measured, Requirement, Series, sparkline};

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
    /// End with 1 unless a metric's latest value meets this, like `accuracy>=0.9` (can be repeated)
    ///
    /// The latest value is MLflow's: that of the highest step. `NAME/accuracy>=0.9` means the metric of the MLflow run NAME below the job's own.
    #[arg(long, value_name = "CONDITION")]
    require: Vec<Requirement>,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.locate(&arguments.job).await?;
    // What the relay of an ended job could not deliver is delivered now, if the tracker answers.
    let record = jobs.refresh(record).await?;
    let Some(tracking) = &record.tracking else { return Err(Error::NotTracked(record.id.to_string()).into()) };
    let Some(tracker) = jobs.tracker(&record).await? else { return Err(Error::ManagedStopped(record.id.to_string()).into()) };
    let measured = tracker.measured(&tracking.run_id, record.id.as_str(), attempt_start(&record)).await?;
    let pending = jobs.delivery(&record).map(|delivery| delivery.pending).unwrap_or_default();
    let unmet = unmet(&arguments.require, &measured, pending);
    if printer.is_json() {
        printer.json(&json::report("metrics", json::Metrics::new(&record, measured, pending.records, unmet.clone())));
    } else if measured.iter().all(|run| run.metrics.is_empty()) {
        let so_far = if record.state.is_ended() { "" } else { " yet" };
        printer.say(&format!("the job `{}` has logged no metrics{so_far}", record.id));
    } else {
        printer.answer(&table(&measured));
    }
    warn(&record, pending, printer);
    for text in &unmet {
        printer.complain(text);
    }
    Ok(if unmet.is_empty() { Exit::Success } else { Exit::GateFailed })
}

/// Returns when the attempt started, in milliseconds: what MLflow runs of an earlier one have measured is not the job's result.
fn attempt_start(record: &Record) -> i64 {
    let started = match &record.state {
        JobState::Running { since } => Some(*since),
        state => state.outcome().and_then(|outcome| outcome.started_at),
    };
    started.filter(|_| record.attempt > 1).map_or(i64::MIN, jiff::Timestamp::as_millisecond)
}

/// Returns why requirements are not met; with a part of the values missing, none is.
fn unmet(requirements: &[Requirement], measured: &[Measured], pending: Pending) -> Vec<String> {
    let judge = |requirement: &Requirement| match pending.records {
        0 => requirement.failure(measured),
        waiting => Some(format!("`{requirement}` cannot be judged: {} not delivered yet", writes_are(waiting))),
    };
    requirements.iter().filter_map(judge).collect()
}

fn writes_are(count: u64) -> String {
    let verb = if count == 1 { "is" } else { "are" };
    format!("{} {verb}", Count(usize::try_from(count).unwrap_or(usize::MAX), "write"))
}

/// Says what is not among the values.
fn warn(record: &Record, pending: Pending, printer: &Printer) {
    let warning = printer.styled("1;33", "warning");
    let lost =
        [(pending.records, "not delivered yet"), (pending.refused, "refused by the tracker"), (pending.damaged, "lost to a damaged disk")];
    for (count, what) in lost.into_iter().filter(|(count, _)| *count > 0) {
        let next = match &record.state {
            state if state.is_ended() && what.contains("yet") => format!("; `sendoff tracking sync {}` delivers", record.id),
            _ => String::new(),
        };
        printer.complain(&format!("{warning}: {} {what}, so values may be missing{next}", writes_are(count)));
    }
}

/// Draws the table; the MLflow runs are named where there is something to tell apart.
fn table(measured: &[Measured]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let is_named = measured.iter().skip(1).any(|run| !run.metrics.is_empty());
    let columns = ["METRIC", "LAST", "MIN", "MAX", "COUNT", ""];
    table.set_header(is_named.then_some("MLFLOW RUN").into_iter().chain(columns));
    for run in measured {
        for (name, points) in &run.metrics {
            let Some(series) = Series::of(points) else { continue };
            let figures = [series.last, series.min, series.max].map(|value| Figures(value).to_string());
            let [last, min, max] = figures;
            let row = [name.clone(), last, min, max, series.count.to_string(), sparkline(points, 30)];
            table.add_row(is_named.then(|| run.name.clone()).into_iter().chain(row));
        }
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_does_not_judge_a_part_of_the_values() {
        let requirements = ["loss<1".parse().expect("well formed")];
        let pending = Pending { records: 2, ..Pending::default() };
        assert_eq!(unmet(&requirements, &[], pending), ["`loss<1` cannot be judged: 2 writes are not delivered yet"]);
        assert_eq!(unmet(&requirements, &[], Pending::default()), ["`loss<1` is not met: there is no metric `loss`"]);
    }
}
