//! The commands that ask about jobs, and end them.

use std::path::PathBuf;

use clap::Args;
use sendoff::job::{JobState, Record};
use sendoff::submit::{self as pipeline, Jobs, Watch};
use sendoff::support::words::{Count, Span};
use sendoff::target::Target;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::interrupt::Interruptions;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct One {
    /// A job id, a unique prefix of one, `@last`, or a handle
    pub(crate) job: String,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Show at most this many jobs
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Go on until the job ends, and end with its own exit code
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Delete it although its MLflow run could not be closed
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// The folder [default: ./<job id>]
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

fn open_jobs(world: &World, printer: &Printer) -> Result<Jobs, Failure> {
    let jobs = Jobs::open(&world.dirs, &world.variables)?;
    if let Some(aside) = &jobs.store.moved_aside {
        printer.complain(&format!(
            "warning: the job store was broken; it was moved to `{}` and made anew from the job folders",
            aside.display()
        ));
    }
    Ok(jobs)
}

pub(crate) async fn list(arguments: &List, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let records = jobs.list(arguments.limit).await?;
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
    table.set_header(["JOB", "STATE", "TARGET", "EXPERIMENT", "SUBMITTED", "NAME"]);
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

pub(crate) async fn status(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
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

pub(crate) fn state_line(record: &Record) -> String {
    match &record.state {
        JobState::Queued { reason, .. } => format!("queued: waits for {reason}"),
        JobState::Preparing => "preparing (nothing runs; the same submission goes on where it stopped)".to_owned(),
        JobState::Unknown { word } => format!("unknown ({word})"),
        state => match state.outcome().and_then(|outcome| outcome.exit_code) {
            Some(code) => format!("{} with exit code {code}", state.word()),
            None => state.word().to_owned(),
        },
    }
}

/// Says how a job ended.
pub(crate) fn report_end(record: &Record, printer: &Printer) {
    if printer.is_json() {
        printer.json(&json::report("job", json::Job::from(record)));
    }
    let ran = record.state.outcome().and_then(|outcome| {
        let ran = outcome.ended_at.duration_since(outcome.started_at?);
        Some(format!(" after {}", Span(std::time::Duration::try_from(ran).unwrap_or_default())))
    });
    printer.say(&format!("job `{}` {}{}", record.id, state_line(record), ran.unwrap_or_default()));
    if let Some(detail) = record.state.outcome().and_then(|outcome| outcome.detail.as_ref()) {
        printer.complain(&format!("reason: {detail}"));
    }
}

pub(crate) async fn logs(arguments: &Logs, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    if arguments.follow {
        return follow(&arguments.job, world, printer, true).await;
    }
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(&arguments.job)?;
    let log = jobs.target(&record).log(&Jobs::reference(&record));
    match std::fs::File::open(&log) {
        // The standard library copies from file to stdout in the kernel where it can.
        Ok(mut file) => drop(std::io::copy(&mut file, &mut std::io::stdout().lock())),
        Err(_) => printer.say("there is no log yet"),
    }
    Ok(Exit::Success)
}

pub(crate) async fn follow(job: &str, world: &World, printer: &Printer, show: bool) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(job)?;
    let record = jobs.refresh(record).await?;
    if record.state == JobState::Preparing {
        return Err(Failure::Usage(format!("the job `{}` was never started: its submission was interrupted", record.id)));
    }
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    // With JSON, stdout is the report alone.
    let log: &mut (dyn std::io::Write + Send) = if printer.is_json() { &mut err } else { &mut out };
    let (id, mut watch, mut interruptions) = (record.id.clone(), Watch::new(record), Interruptions::listen());
    let ended = tokio::select! {
        record = watch.to_end(&mut jobs, show.then_some(log)) => Some(record?),
        _ = interruptions.next() => None,
    };
    let Some(record) = ended else {
        printer.complain(&format!("interrupted; the job goes on: `sendoff logs --follow {id}` shows it, `sendoff cancel {id}` ends it"));
        return Ok(Exit::Interrupted);
    };
    report_end(&record, printer);
    Ok(Exit::of(&record.state))
}

pub(crate) async fn cancel(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
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

#[derive(Serialize)]
struct Downloaded {
    job: String,
    folder: String,
    files: usize,
}

pub(crate) async fn download(arguments: &Download, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(&arguments.job)?;
    let folder = world.cwd.join(arguments.to.clone().unwrap_or_else(|| record.id.as_str().into()));
    let files = jobs.target(&record).collect(&Jobs::reference(&record), &folder).await?;
    if printer.is_json() {
        printer.json(&json::report("download", Downloaded { job: record.id.to_string(), folder: folder.display().to_string(), files }));
    } else {
        printer.answer(&format!("{} in `{}`", Count(files, "file"), folder.display()));
    }
    Ok(Exit::Success)
}

pub(crate) fn open(arguments: &One, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(&arguments.job)?;
    let tracking = record.tracking.clone().ok_or_else(|| pipeline::Error::NotTracked(record.id.to_string()))?;
    if printer.is_json() {
        printer.json(&json::report("job", json::Job::from(&record)));
    } else {
        printer.answer(&tracking.url);
    }
    Ok(Exit::Success)
}

pub(crate) async fn delete(arguments: &Delete, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = open_jobs(world, printer)?;
    let record = jobs.find(&arguments.job)?;
    let id = record.id.clone();
    jobs.delete(record, arguments.force).await?;
    if printer.is_json() {
        printer.json(&json::report("delete", Downloaded { job: id.to_string(), folder: String::new(), files: 0 }));
    } else {
        printer.answer(&format!("deleted `{id}`"));
    }
    Ok(Exit::Success)
}
