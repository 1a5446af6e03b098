//! Watches a job that was just submitted, and does what was chosen when that is interrupted.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use sendoff::job::{JobId, Record};
use sendoff::submit::{Jobs, Watch};

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::interrupt::{Choice, Interruption, Interruptions, OnInterrupt};
use crate::cli::json;
use crate::cli::printer::Printer;

/// The longest grace of a job that is ended because a CI run is: what it started itself gets as long again.
const HURRIED_GRACE: Duration = Duration::from_secs(2);

/// How long a CI run waits for the proof that its job has ended.
const HURRIED_END: Duration = Duration::from_millis(4700);

/// Shows a job to its end, and does what was chosen when that is interrupted.
pub(crate) struct Watcher<'a> {
    /// `--on-interrupt`.
    pub(crate) chosen: Option<OnInterrupt>,
    pub(crate) world: &'a World,
    pub(crate) printer: &'a Printer,
}

impl Watcher<'_> {
    pub(crate) async fn watch(
        &self,
        record: Record,
        heard: Option<Interruption>,
        mut interruptions: Interruptions,
    ) -> Result<Exit, Failure> {
        let printer = self.printer;
        let mut jobs = Jobs::open(&self.world.dirs, &self.world.variables)?.with_secrets();
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
                        super::jobs::report_end(&record, &jobs, printer);
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
                printer.complain(&format!("interrupted; the {}", super::jobs::sentence(&record)));
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
