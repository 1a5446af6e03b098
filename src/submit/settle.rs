//! What a known id means: the same request is adopted, another is refused, an interrupted one goes on.

use super::prepare::Prepared;
use super::{Error, Jobs, Options};
use crate::job::store::Step;
use crate::job::{JobState, Record};
use crate::target::{Presence, Target};

/// What to do about a known id.
pub(super) enum Settled {
    /// The job is there already.
    Adopt(Record),
    /// It has to be submitted, as this record says.
    Go(Record),
}

/// Decides; the job's lock must be held.
pub(super) async fn settle(
    jobs: &mut Jobs,
    known: Record,
    options: &Options,
    config_digest: &str,
    prepared: &Prepared,
) -> Result<Settled, Error> {
    let mut record = known;
    if record.state == JobState::Preparing {
        match jobs.target(&record).states(&[Jobs::reference(&record)]).await?.pop() {
            Some(Presence::Present(state)) => {
                jobs.store.conclude(&record.id, record.attempt, Step::Submit, "adopted")?;
                record.state = state;
                jobs.store.put(&record)?;
            }
            _ => {
                // The attempt was given up before it started; its claim is buried, so the next number is used.
                record.attempt += 1;
                return Ok(Settled::Go(record));
            }
        }
    } else {
        record = jobs.refresh(record).await?;
    }
    let mut differences = Vec::new();
    if record.config_digest != config_digest {
        differences.push("run config");
    }
    if record.snapshot != prepared.packed.id.as_str() {
        differences.push("snapshot");
    }
    if record.environment != prepared.environment.id.as_str() {
        differences.push("environment");
    }
    match &record.state {
        JobState::Failed(_) | JobState::Cancelled(_) | JobState::Lost(_) if options.new_attempt => {
            record.attempt += 1;
            if let Some(tracking) = &mut record.tracking {
                tracking.closed = false;
            }
            Ok(Settled::Go(record))
        }
        JobState::Failed(_) => Err(Error::EndedBefore { id: record.id.to_string(), word: "failed".to_owned() }),
        JobState::Cancelled(_) => Err(Error::EndedBefore { id: record.id.to_string(), word: "was cancelled".to_owned() }),
        JobState::Lost(_) => Err(Error::EndedBefore { id: record.id.to_string(), word: "was lost".to_owned() }),
        _ if !differences.is_empty() => Err(Error::Different { id: record.id.to_string(), differences }),
        _ => Ok(Settled::Adopt(record)),
    }
}
