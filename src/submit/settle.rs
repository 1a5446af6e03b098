//! What a known id means: the same request is adopted, another is refused, an interrupted one goes on.

use std::time::Duration;

use super::digest::{Keys, differing};
use super::prepare::Prepared;
use super::{Error, Jobs, Options, Plan};
use crate::job::store::Step;
use crate::job::{JobState, Record};
use crate::target::Presence;

/// How long a new attempt waits for the delivery of what the one before has written.
const DELIVERY: Duration = Duration::from_mins(1);

/// What to do about a known id.
pub(super) enum Settled {
    /// The job is there already.
    Adopt(Record),
    /// It has to be submitted, as this record says.
    Go(Record),
}

/// Decides; the job's lock must be held.
pub(super) async fn settle(jobs: &mut Jobs, known: Record, options: &Options, plan: &Plan, prepared: &Prepared) -> Result<Settled, Error> {
    let mut record = known;
    if record.state == JobState::Preparing {
        match jobs.ask(&record).await? {
            Presence::Present(state) => {
                jobs.store.conclude(&record.id, record.attempt, Step::Submit, "adopted")?;
                record.state = state;
                jobs.take_own_run(&mut record).await;
                jobs.store.put(&record)?;
            }
            // The same attempt: what an earlier client may have sent late is this very job.
            Presence::Absent if jobs.target(&record).is_idempotent() => return Ok(Settled::Go(record)),
            Presence::Unattended | Presence::Unstarted { .. } | Presence::Absent => {
                // The attempt was given up before it started; its claim is buried, so the next number is used.
                record.attempt += 1;
                return Ok(Settled::Go(record));
            }
        }
    } else {
        record = jobs.refresh(record).await?;
    }
    let wanted = Wanted {
        config: &plan.config_digest(),
        snapshot: prepared.packed.id.as_str(),
        environment: prepared.environment.id.as_str(),
        keys: &plan.keys(),
    };
    match decide(&record, &wanted, options.new_attempt, jobs.kept_keys(&record).as_ref())? {
        Decision::Adopt => Ok(Settled::Adopt(record)),
        Decision::NextAttempt => {
            // An attempt that the target tracks has an MLflow run of its own.
            record.tracking = record.tracking.filter(|tracking| !tracking.by_target);
            if record.tracking.as_ref().is_some_and(|tracking| !tracking.closed) {
                // What the attempt before has written comes before what this one writes; so does its end.
                let left = jobs.sync(record.clone(), DELIVERY).await?;
                if left.records > 0 {
                    return Err(Error::Undelivered { id: record.id.to_string(), writes: left.records });
                }
            }
            record.attempt += 1;
            if let Some(tracking) = &mut record.tracking {
                tracking.closed = false;
            }
            Ok(Settled::Go(record))
        }
    }
}

/// A request, as a record knows it.
pub(super) struct Wanted<'a> {
    pub(super) config: &'a str,
    pub(super) snapshot: &'a str,
    pub(super) environment: &'a str,
    /// What the keys of the run config mean.
    pub(super) keys: &'a Keys,
}

impl Wanted<'_> {
    /// Names what differs from another request.
    pub(super) fn differences(&self, config: &str, snapshot: &str, environment: &str) -> Vec<&'static str> {
        [("run config", config != self.config), ("snapshot", snapshot != self.snapshot), ("environment", environment != self.environment)]
            .into_iter()
            .filter_map(|(name, differs)| differs.then_some(name))
            .collect()
    }
}

/// What comes of a request under an id that a job has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It is that job.
    Adopt,
    /// It starts that job again.
    NextAttempt,
}

/// Decides about a job that was handed to its target; `before` is what the keys of its run config meant, if that is kept.
pub(super) fn decide(record: &Record, wanted: &Wanted<'_>, new_attempt: bool, before: Option<&Keys>) -> Result<Decision, Error> {
    let differences = wanted.differences(&record.config_digest, &record.snapshot, &record.environment);
    let ended = |word: &str| Err(Error::EndedBefore { id: record.id.to_string(), word: word.to_owned() });
    match &record.state {
        JobState::Failed(_) | JobState::Cancelled(_) | JobState::Lost(_) if new_attempt => Ok(Decision::NextAttempt),
        JobState::Failed(_) => ended("failed"),
        JobState::Cancelled(_) => ended("was cancelled"),
        JobState::Lost(_) => ended("was lost"),
        _ if !differences.is_empty() => {
            let keys = before.map(|before| differing(before, wanted.keys)).unwrap_or_default();
            Err(Error::Different { id: record.id.to_string(), differences, keys })
        }
        _ => Ok(Decision::Adopt),
    }
}
