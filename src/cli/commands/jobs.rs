//! What the commands that ask about jobs share.

use clap::Args;
use jiff::Timestamp;
use sendoff::job::{JobState, Record};
use sendoff::submit::{Away, Jobs};
use sendoff::support::clock;
use sendoff::support::words::{Count, Span};

use super::World;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct One {
    /// A job id, a unique prefix of one, `@last`, or a handle
    pub(crate) job: String,
}

/// Opens the job store, and says when a broken one had to be made anew.
pub(crate) fn open_jobs(world: &World, printer: &Printer) -> Result<Jobs, Failure> {
    let jobs = Jobs::open(&world.dirs, &world.variables)?;
    if let Some(aside) = &jobs.store.moved_aside {
        printer.complain(&format!(
            "warning: the job store was broken; it was moved to `{}` and made anew from the job folders",
            aside.display()
        ));
    }
    Ok(jobs)
}

/// Says which engines could not be asked.
pub(crate) fn complain_of(away: &[Away], printer: &Printer) {
    for Away { error, .. } in away {
        printer.complain(&format!("{}: {error}; what is there is passed over", printer.styled("1;33", "warning")));
    }
}

/// Returns the state as a part of a sentence.
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

/// Returns a sentence about how a job stands.
pub(crate) fn sentence(record: &Record) -> String {
    let stands = match &record.state {
        JobState::Succeeded(_) | JobState::Failed(_) => state_line(record),
        JobState::Cancelled(_) | JobState::Lost(_) => format!("was {}", state_line(record)),
        _ => format!("is {}", state_line(record)),
    };
    format!("job `{}` {stands}", record.id)
}

/// Returns for how long a job has run, as far as that is known.
pub(crate) fn run_time(record: &Record) -> Option<String> {
    let span = |from: Timestamp, to: Timestamp| Span(std::time::Duration::try_from(to.duration_since(from)).unwrap_or_default());
    match &record.state {
        JobState::Running { since } => Some(span(*since, clock::now()).to_string()),
        // Nobody saw its end, only that it is over.
        JobState::Lost(outcome) => Some(format!("at most {}", span(outcome.started_at?, outcome.ended_at))),
        state => state.outcome().and_then(|outcome| Some(span(outcome.started_at?, outcome.ended_at).to_string())),
    }
}

/// Says how a job ended, and what its tracker does not have yet.
pub(crate) fn report_end(record: &Record, jobs: &Jobs, printer: &Printer) {
    let delivery = jobs.delivery(record);
    if printer.is_json() {
        printer.json_line(&json::report("job", json::Job::from(record).with(delivery.clone()).on(jobs.nodes(record))));
    }
    let is_lost = matches!(record.state, JobState::Lost(_));
    let ran = run_time(record).filter(|_| !is_lost).map(|ran| format!(" after {ran}")).unwrap_or_default();
    let end = format!("{}{ran}", sentence(record));
    match record.state {
        JobState::Succeeded(_) => printer.say(&end),
        // What is wrong is said whoever wants quiet.
        _ => printer.complain(&end),
    }
    if let Some(detail) = record.state.outcome().and_then(|outcome| outcome.detail.as_ref()) {
        printer.complain(&format!("reason: {detail}"));
    }
    let waiting = delivery.map_or(0, |delivery| delivery.pending.records);
    if waiting > 0 {
        let count = Count(usize::try_from(waiting).unwrap_or(usize::MAX), "write");
        printer.complain(&format!(
            "warning: the tracker does not answer, and {count} are not delivered; `sendoff tracking sync {}` does it later",
            record.id
        ));
    }
}
