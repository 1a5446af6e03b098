//! What `submit` and `rerun` share: plan, say what will happen, submit, watch.

use std::sync::Arc;

use clap::Args;
use sendoff::config::Loaded;
use sendoff::job::JobId;
use sendoff::submit::{Again, Error, Observer, Options, Submission, plan, submit};
use sendoff::support::words::{Count, Size};
use tokio_util::sync::CancellationToken;

use super::World;
use super::watcher::Watcher;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::interrupt::{Interruption, Interruptions, OnInterrupt};
use crate::cli::json;
use crate::cli::printer::Printer;

/// How a job is sent and watched.
#[derive(Debug, Args)]
pub(crate) struct Sending {
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
    #[arg(long, value_name = "TEXT", value_parser = not_empty)]
    key: Option<String>,
    /// Keep the place where the job runs when it has ended: its container and network, or its working directory
    ///
    /// `sendoff status` says where it is, `sendoff shell` leads there; `sendoff delete` and `sendoff gc --yes` remove it.
    #[arg(long)]
    keep: bool,
    /// What Ctrl-C does [default: `ask` on a terminal, `cancel` with CI=true, else `detach`]
    #[arg(long, value_enum, value_name = "WHAT")]
    on_interrupt: Option<OnInterrupt>,
}

/// Refuses the key of a variable that is not set: every such submission would be the same one.
pub(crate) fn not_empty(key: &str) -> Result<String, String> {
    if key.trim().is_empty() {
        Err("a key is a text that tells this submission from others, and this one is empty".to_owned())
    } else {
        Ok(key.to_owned())
    }
}

/// Tells the user what the pipeline says.
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

    fn output(&self, line: &str) {
        self.0.say(&format!("  | {line}"));
    }
}

/// Submits a run config that is loaded, and shows the job to its end.
pub(crate) async fn send(
    loaded: Loaded,
    again: Option<Again>,
    sending: Sending,
    options: Options,
    world: &World,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let plan = plan(loaded, again, &world.dirs, &world.variables).await.map_err(Failure::Submit)?;
    let target = &plan.run.target;
    let limit = plan
        .run
        .resources
        .max_duration
        .map_or_else(|| "no time limit".to_owned(), |limit| sendoff::support::words::Span(limit).to_string());
    let cost = match target.value.config.kind().is_paid() {
        _ if target.value.emulated => "emulated here, free",
        true => "costs money",
        false => "free",
    };
    printer.say(&format!("target:   {} ({}), {cost}, {limit}", target.value.name, target.origin));
    let tracker = plan.run.tracking.value.uri.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    printer.say(&format!("tracker:  {tracker} ({}), experiment {}", plan.run.tracking.origin, plan.experiment));
    printer.say(&format!("snapshot: {}, {}", Count(plan.listing.files.len(), "file"), Size(plan.listing.size())));
    let observer = Arc::new(Talk(printer.clone()));
    plan.notes.iter().for_each(|note| observer.note(note));
    plan.warnings.iter().for_each(|warning| observer.warn(warning));
    let mut interruptions = Interruptions::listen();
    let options = Options { job_id: sending.job_id, key: sending.key, keep: sending.keep, stop: CancellationToken::new(), ..options };
    let stop = options.stop.clone();
    let work = Box::pin(submit(plan, options, &world.dirs, &world.variables, observer));
    let Some((submission, interruption)) = uninterrupted(work, &stop, &mut interruptions, printer).await else {
        return Ok(Exit::Interrupted);
    };
    let submission = match submission {
        Err(Error::Interrupted) => {
            printer.complain("interrupted; nothing was submitted");
            return Ok(Exit::Interrupted);
        }
        submission => submission.map_err(Failure::Submit)?,
    };
    let record = submission.record;
    printer.say(&format!("job:      {}{}", record.id, if submission.adopted { " (was submitted before)" } else { "" }));
    if let Some(tracking) = &record.tracking {
        printer.say(&format!("MLflow:   {}", tracking.url));
    }
    if sending.detach && interruption.is_none() {
        if printer.is_json() {
            printer.json(&json::report("job", json::Job::from(&record)));
        } else {
            printer.answer(record.id.as_str());
        }
        return Ok(Exit::Success);
    }
    let watcher = Watcher { chosen: sending.on_interrupt, world, printer };
    watcher.watch(record, interruption, interruptions).await
}

/// Drives a submission to its end and returns it with the interruption that came meanwhile, which stops it if nothing is sent yet.
/// A second one gives up at once: `None`.
async fn uninterrupted(
    mut work: impl Future<Output = Result<Submission, Error>> + Unpin,
    stop: &CancellationToken,
    interruptions: &mut Interruptions,
    printer: &Printer,
) -> Option<(Result<Submission, Error>, Option<Interruption>)> {
    let mut heard = None;
    loop {
        tokio::select! {
            submission = &mut work => return Some((submission, heard)),
            interruption = interruptions.next() => {
                if heard.is_some() {
                    printer.complain("interrupted again; `sendoff list` shows whether the job was submitted");
                    return None;
                }
                printer.say("stopping ...");
                stop.cancel();
                heard = Some(interruption);
            }
        }
    }
}
