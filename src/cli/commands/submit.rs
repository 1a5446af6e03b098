//! `sendoff submit`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sendoff::job::{JobId, Record};
use sendoff::submit::{Error, Jobs, Observer, Options, Submission, Watch, plan, submit};
use sendoff::support::words::{Count, Size};
use tokio_util::sync::CancellationToken;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::interrupt::{Choice, Interruption, Interruptions, OnInterrupt};
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

/// The longest grace of a job that is ended because a CI run is: what it started itself gets as long again.
const HURRIED_GRACE: Duration = Duration::from_secs(2);

/// How long a CI run waits for the proof that its job has ended.
const HURRIED_END: Duration = Duration::from_millis(4700);

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
    #[arg(long, value_enum, value_name = "WHAT")]
    on_interrupt: Option<OnInterrupt>,
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
    let mut interruptions = Interruptions::listen();
    let options = Options {
        job_id: arguments.job_id,
        key: arguments.key,
        new_attempt: arguments.new_attempt,
        upgrade: arguments.upgrade,
        stop: CancellationToken::new(),
    };
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
    if arguments.detach && interruption.is_none() {
        if printer.is_json() {
            printer.json(&json::report("job", json::Job::from(&record)));
        } else {
            printer.answer(record.id.as_str());
        }
        return Ok(Exit::Success);
    }
    let watcher = Watcher { chosen: arguments.on_interrupt, world, printer };
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

/// Shows a job to its end, and does what was chosen when that is interrupted.
struct Watcher<'a> {
    chosen: Option<OnInterrupt>,
    world: &'a World,
    printer: &'a Printer,
}

impl Watcher<'_> {
    async fn watch(&self, record: Record, heard: Option<Interruption>, mut interruptions: Interruptions) -> Result<Exit, Failure> {
        let printer = self.printer;
        let mut jobs = Jobs::open(&self.world.dirs, &self.world.variables)?;
        let id = record.id.clone();
        let mut watch = Watch::new(record);
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        let mut heard = heard;
        loop {
            // With JSON, stdout is the report alone.
            let log: &mut (dyn Write + Send) = if printer.is_json() { &mut err } else { &mut out };
            let shown = if printer.is_quiet() { None } else { Some(log) };
            let interruption = match heard.take() {
                Some(interruption) => interruption,
                None => tokio::select! {
                    record = watch.to_end(&mut jobs, shown) => {
                        let record = record?;
                        super::jobs::report_end(&record, printer);
                        return Ok(Exit::of(&record.state));
                    }
                    interruption = interruptions.next() => interruption,
                },
            };
            match self.choice(interruption, &mut interruptions).await {
                Choice::Continue => {}
                Choice::Detach => {
                    self.report(&mut jobs, &id)?;
                    printer.complain(&format!(
                        "interrupted; the job goes on: `sendoff logs --follow {id}` shows it, `sendoff cancel {id}` ends it"
                    ));
                    return Ok(Exit::Interrupted);
                }
                Choice::Cancel => return self.cancel(&mut jobs, &id).await,
            }
        }
    }

    async fn choice(&self, interruption: Interruption, interruptions: &mut Interruptions) -> Choice {
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let chosen = self.chosen.unwrap_or(if self.world.is_ci() {
            OnInterrupt::Cancel
        } else if terminal {
            OnInterrupt::Ask
        } else {
            OnInterrupt::Detach
        });
        match chosen {
            OnInterrupt::Cancel => Choice::Cancel,
            OnInterrupt::Detach => Choice::Detach,
            OnInterrupt::Ask if interruption == Interruption::Termination => Choice::Detach,
            OnInterrupt::Ask => interruptions.ask(self.printer).await,
        }
    }

    /// Ends the job, and says whether that is proven. In CI the runner kills us soon, so the job's own grace does not count.
    async fn cancel(&self, jobs: &mut Jobs, id: &JobId) -> Result<Exit, Failure> {
        let printer = self.printer;
        printer.say(&format!("interrupted; cancelling the job `{id}` ..."));
        let record = jobs.find(id.as_str())?;
        let hurry = self.world.is_ci();
        let cancelled = jobs.cancel(record, hurry.then_some(HURRIED_GRACE));
        let record = if hurry { tokio::time::timeout(HURRIED_END, cancelled).await } else { Ok(cancelled.await) };
        match record {
            Ok(record) => {
                let record = record?;
                self.report(jobs, id)?;
                printer.complain(&format!("interrupted; the job `{id}` {}", super::jobs::state_line(&record)));
            }
            Err(_) => {
                self.report(jobs, id)?;
                printer.complain(&format!("interrupted; the job `{id}` was told to end and has not yet: `sendoff status {id}` shows it"));
            }
        }
        Ok(Exit::Interrupted)
    }

    fn report(&self, jobs: &mut Jobs, id: &JobId) -> Result<(), Failure> {
        if self.printer.is_json() {
            self.printer.json(&json::report("job", json::Job::from(&jobs.find(id.as_str())?)));
        }
        Ok(())
    }
}
