//! What is known of jobs: found by the words people type, brought up to date before it is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;
use super::closing::{CLOSED, status_of};
use crate::job::attempt::Attempt;
use crate::job::store::{Step, Store};
use crate::job::{Handle, JobId, JobState, Record};
use crate::support::dirs::Dirs;
use crate::target::local::Local;
use crate::target::{JobRef, Presence, Target};
use crate::tracking::{Client, Connection, Status, managed::Managed};

/// The jobs of this machine's store.
#[derive(Debug)]
pub struct Jobs {
    /// The store.
    pub store: Store,
    dirs: Dirs,
    variables: BTreeMap<String, String>,
}

impl Jobs {
    /// Opens the store.
    pub fn open(dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Self, Error> {
        Ok(Self { store: Store::open(&dirs.data)?, dirs: dirs.clone(), variables: variables.clone() })
    }

    /// Returns the target of a record; today all are local.
    pub fn target(&self, _record: &Record) -> Local {
        Local::new(&self.dirs.data)
    }

    /// Returns how a record's attempt is named to its target.
    pub fn reference(record: &Record) -> JobRef {
        JobRef { id: record.id.clone(), attempt: record.attempt }
    }

    /// Finds a job by its id, a unique prefix, `@last`, or its handle.
    pub fn find(&self, text: &str) -> Result<Record, Error> {
        if text == "@last" {
            return self.store.newest(1)?.into_iter().next().ok_or(Error::NoJobs);
        }
        let text = Handle::parse(text).map_or_else(|| text.to_owned(), |handle| handle.id);
        if let Ok(id) = text.parse::<JobId>()
            && let Some(record) = self.store.get(&id)?
        {
            return Ok(record);
        }
        let mut found = if text.is_empty() { Vec::new() } else { self.store.with_prefix(&text, 6)? };
        match found.len() {
            0 => Err(Error::UnknownJob(text)),
            1 => Ok(found.remove(0)),
            _ => Err(Error::Ambiguous { prefix: text, candidates: found.into_iter().map(|record| record.id.to_string()).collect() }),
        }
    }

    /// Brings a record up to date: asks the target, settles what an interrupted client left, closes the MLflow run of an ended job.
    pub async fn refresh(&mut self, record: Record) -> Result<Record, Error> {
        let mut record = record;
        let before = record.clone();
        if record.state == JobState::Preparing {
            // While a client is at work on it, its state is true as it stands.
            let Some(_lock) = self.store.try_lock(&record.id)? else { return Ok(record) };
            if let Some(newer) = self.store.get(&record.id)? {
                record = newer;
            }
            if record.state == JobState::Preparing {
                match self.ask(&record).await? {
                    Presence::Present(state) => {
                        self.store.conclude(&record.id, record.attempt, Step::Submit, "adopted")?;
                        record.state = state;
                    }
                    Presence::Absent => self.close(&mut record, Status::Killed).await,
                }
            }
        } else if !record.state.is_ended()
            && let Presence::Present(state) = self.ask(&record).await?
        {
            record.state = record.state.observed(state);
        }
        if let Some(outcome) = record.state.outcome().cloned() {
            let attempt = Attempt::new(&self.dirs.data, &record.id, record.attempt);
            if attempt.path(CLOSED).exists() {
                if let Some(tracking) = &mut record.tracking {
                    tracking.closed = true;
                }
            } else {
                self.close(&mut record, status_of(&outcome)).await;
            }
        }
        if record != before {
            self.store.put(&record)?;
        }
        Ok(record)
    }

    async fn ask(&self, record: &Record) -> Result<Presence, Error> {
        let answers = self.target(record).states(&[Self::reference(record)]).await?;
        Ok(answers.into_iter().next().unwrap_or(Presence::Absent))
    }

    /// Closes the MLflow run if that is not done yet; a tracker that is away is asked again by the next command.
    async fn close(&self, record: &mut Record, status: Status) {
        let Some(connection) = self.connection(record) else { return };
        let ended_at = record.state.outcome().map_or_else(crate::support::clock::now, |outcome| outcome.ended_at);
        let Some(tracking) = record.tracking.as_mut().filter(|tracking| !tracking.closed) else { return };
        if let Ok(client) = Client::new(&connection)
            && client.set_status(&tracking.run_id, status, Some(ended_at)).await.is_ok()
        {
            tracking.closed = record.state.is_ended();
        }
    }

    /// Returns how the tracker of a record is reached from here; `None` when it is a managed server that does not run.
    pub fn connection(&self, record: &Record) -> Option<Connection> {
        let tracking = record.tracking.as_ref()?;
        if tracking.managed {
            return Managed::new(&self.dirs).running().map(|server| Connection::managed(server.uri()));
        }
        Some(Connection::new(&tracking.uri.parse().ok()?, tracking.typed, &self.variables))
    }

    /// Brings all active jobs up to date, and returns the newest.
    pub async fn list(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        for record in self.store.active()? {
            self.refresh(record).await?;
        }
        Ok(self.store.newest(limit)?)
    }

    /// Ends a job and returns its record; `at_most` shortens the job's grace.
    pub async fn cancel(&mut self, record: Record, at_most: Option<Duration>) -> Result<Record, Error> {
        let record = self.refresh(record).await?;
        if record.state.is_ended() {
            return Ok(record);
        }
        let lock = if record.state == JobState::Preparing { Some(self.store.lock(&record.id)?) } else { None };
        let state = self.target(&record).cancel(&Self::reference(&record), at_most).await?;
        let mut record = record;
        record.state = record.state.observed(state);
        self.store.put(&record)?;
        drop(lock);
        self.refresh(record).await
    }

    /// Forgets a job that has ended, with everything that is kept of it here.
    pub async fn delete(&mut self, record: Record) -> Result<(), Error> {
        let record = self.refresh(record).await?;
        if !record.state.is_ended() && record.state != JobState::Preparing {
            return Err(Error::StillActive(record.id.to_string()));
        }
        Ok(self.store.delete(&record.id)?)
    }
}
