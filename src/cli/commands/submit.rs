//! `sendoff submit`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use sendoff::job::{JobId, Record};
use sendoff::submit::{Jobs, Observer, Options, follow, plan, submit};
use sendoff::support::words::{Count, Size};
use tokio::signal::unix::{SignalKind, signal};

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

/// Submit a run config (or a bare .py file), show its log, and end with the job's own exit code.
///
/// Exit codes: 0 success was observed; the job's own code when it ended by itself; 130 interrupted; 240 the job failed without a code of its
/// own; 241 cancelled; 242 ran past `max_duration`; 243 contact lost; 244 bad command line or run config, nothing was sent; 245 the submission
/// failed, nothing is running; 246 the tracker cannot be used from the job; 247 our own fault.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: RunConfigArguments,
    /// Return once the job is submitted
    #[arg(long)]
    detach: bool,
    /// Accepted and changes nothing: submit waits by itself
    #[arg(long, hide = true)]
    wait: bool,
    /// Name the job yourself: lower-case letters, digits and hyphens
    #[arg(long, value_name = "ID", conflicts_with = "key")]
    job_id: Option<JobId>,
    /// Derive the job id from any text; the same text finds the same job again
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Start a job again that failed, was cancelled or lost
    #[arg(long)]
    new_attempt: bool,
    /// Resolve the environment's packages again
    #[arg(long)]
    upgrade: bool,
    /// What Ctrl-C does [default: `ask` on a terminal, `cancel` with CI=true, else `detach`]
    #[arg(long, value_enum)]
    on_interrupt: Option<OnInterrupt>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnInterrupt {
    /// Ask; a second Ctrl-C detaches
    Ask,
    /// Leave the job running
    Detach,
    /// End the job
    Cancel,
}

struct Talk(Printer);

impl Observer for Talk {
    fn note(&self, text: &str) {
        self.0.say(&format!("note: {text}"));
    }

    fn warn(&self, text: &str) {
        self.0.complain(&format!("{}: {text}", self.0.styled("1;33", "warning")));
    }

    fn step(&self, text: &str) {
        self.0.say(&format!("{text} ..."));
    }
}

pub(crate) async fn run(arguments: Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let loaded = sendoff::config::load(&arguments.run.request(world)).map_err(|error| Failure::Submit(error.into()))?;
    let plan = plan(loaded, &world.dirs, &world.variables).map_err(Failure::Submit)?;
    let target = &plan.run.target;
    let limit = plan
        .run
        .resources
        .max_duration
        .map_or_else(|| "no time limit".to_owned(), |limit| sendoff::support::words::Span(limit).to_string());
    printer.say(&format!("target:   {} ({}), {limit}", target.value.name, target.origin));
    let tracker = plan.run.tracking.value.uri.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    printer.say(&format!("tracker:  {tracker} ({}), experiment {}", plan.run.tracking.origin, plan.experiment));
    printer.say(&format!("snapshot: {}, {}", Count(plan.listing.files.len(), "file"), Size(plan.listing.size())));
    let observer = Arc::new(Talk(printer.clone()));
    plan.notes.iter().for_each(|note| observer.note(note));
    plan.warnings.iter().for_each(|warning| observer.warn(warning));
    let options = Options { job_id: arguments.job_id, key: arguments.key, new_attempt: arguments.new_attempt, upgrade: arguments.upgrade };
    let submission = tokio::select! {
        submission = submit(plan, options, &world.dirs, &world.variables, observer) => submission.map_err(Failure::Submit)?,
        () = interrupted() => {
            printer.complain("interrupted before the job was submitted; `sendoff list` shows whether it was");
            return Ok(Exit::Interrupted);
        }
    };
    let record = submission.record;
    printer.say(&format!("job:      {}{}", record.id, if submission.adopted { " (was submitted before)" } else { "" }));
    if let Some(tracking) = &record.tracking {
        printer.say(&format!("MLflow:   {}", tracking.url));
    }
    if arguments.detach {
        if printer.is_json() {
            printer.json(&json::report("job", json::Job::from(&record)));
        } else {
            printer.answer(record.id.as_str());
        }
        return Ok(Exit::Success);
    }
    watch(record, arguments.on_interrupt, world, printer).await
}

/// Shows a job's log to its end, and does what was chosen when it is interrupted.
async fn watch(record: Record, chosen: Option<OnInterrupt>, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let in_ci = world.variables.get("CI").is_some_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let chosen = chosen.unwrap_or(if in_ci {
        OnInterrupt::Cancel
    } else if terminal {
        OnInterrupt::Ask
    } else {
        OnInterrupt::Detach
    });
    let mut jobs = Jobs::open(&world.dirs, &world.variables)?;
    let id = record.id.clone();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    // With JSON, stdout is the report alone.
    let log: &mut (dyn Write + Send) = if printer.is_json() { &mut err } else { &mut out };
    let shown = if printer.is_quiet() { None } else { Some(log) };
    let ended = tokio::select! {
        record = follow(&mut jobs, record, shown) => Some(record?),
        () = interrupted() => None,
    };
    let Some(record) = ended else {
        let cancel = match chosen {
            OnInterrupt::Cancel => true,
            OnInterrupt::Detach => false,
            OnInterrupt::Ask => ask(printer).await,
        };
        if !cancel {
            printer.complain(&format!("the job goes on; `sendoff logs --follow {id}` shows it, `sendoff cancel {id}` ends it"));
            return Ok(Exit::Interrupted);
        }
        let record = jobs.find(id.as_str())?;
        let record = jobs.cancel(record, None).await?;
        printer.complain(&format!("the job `{id}` {}", record.state.word()));
        return Ok(if in_ci { Exit::of(&record.state) } else { Exit::Interrupted });
    };
    super::jobs::report_end(&record, printer);
    Ok(Exit::of(&record.state))
}

async fn interrupted() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}

async fn ask(printer: &Printer) -> bool {
    printer.complain("\ncancel the job? [y/N] (Ctrl-C again leaves it running)");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        line
    });
    tokio::select! {
        answer = answer => answer.is_ok_and(|line| line.trim().eq_ignore_ascii_case("y") || line.trim().eq_ignore_ascii_case("yes")),
        () = interrupted() => false,
    }
}
