//! What is known of jobs: found by the words people type, brought up to date before it is shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Error;
use super::closing::{self, CLOSED, status_of};
use super::delivery::{self, Delivery};
use super::{artifacts, azureml, mlflow_run, targets};
use crate::config;
use crate::job::attempt::{self, Attempt};
use crate::job::store::{Step, Store};
use crate::job::{Handle, JobId, JobState, Record};
use crate::relay::{Finish, Pending};
use crate::support::dirs::Dirs;
use crate::support::{causes, platform};
use crate::target::{JobRef, Presence, Target};
use crate::tracking::{Client, Connection, Status, managed::Managed};

/// How long a command waits for the tracker of a job that it was asked about.
const PATIENCE: Duration = Duration::from_secs(5);

/// The jobs of this machine's store.
#[derive(Debug)]
pub struct Jobs {
    /// The store.
    pub store: Store,
    pub(super) dirs: Dirs,
    pub(super) variables: BTreeMap<String, String>,
    /// Whether jobs that were never started get the secrets that they name from the variables.
    pub(super) gives_secrets: bool,
    pub(super) targets: targets::Known,
    /// Why services could not be asked: their jobs are as they were last seen.
    pub unheard: Vec<String>,
}

impl Jobs {
    /// Opens the store.
    pub fn open(dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Self, Error> {
        Ok(Self {
            store: Store::open(&dirs.data)?,
            dirs: dirs.clone(),
            variables: variables.clone(),
            gives_secrets: false,
            targets: targets::Known::default(),
            unheard: Vec::new(),
        })
    }

    /// Returns the target of a record.
    pub fn target(&self, record: &Record) -> Arc<dyn Target> {
        self.targets.of(record, &self.dirs, &self.variables)
    }

    /// Returns how a record's attempt is named to its target.
    pub fn reference(record: &Record) -> JobRef {
        JobRef { id: record.id.clone(), attempt: record.attempt }
    }

    /// Finds a job by its id, a unique prefix, `@last`, or its handle.
    pub fn find(&mut self, text: &str) -> Result<Record, Error> {
        if text == "@last" {
            return self.store.newest(1)?.into_iter().next().ok_or(Error::NoJobs);
        }
        let text = match Handle::parse(text) {
            Some(handle) => self.here(handle)?,
            None => text.to_owned(),
        };
        if let Ok(id) = text.parse::<JobId>()
            && let Some(record) = self.known(&id)?
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

    /// Returns the job's id on this machine, for a handle that leads here: by the machine's name, or because a job of ours has this handle.
    fn here(&mut self, handle: Handle) -> Result<String, Error> {
        if azureml::has_kind(&handle) {
            let known = handle.id.parse::<JobId>().ok().and_then(|id| self.known(&id).transpose()).transpose()?;
            let is_it = known.is_some_and(|record| record.handle == handle.to_string());
            return if is_it { Ok(handle.id) } else { Err(Error::UnknownJob(handle.to_string())) };
        }
        if !["local", "docker"].contains(&handle.kind.as_str()) {
            return Err(Error::ForeignKind { handle: handle.to_string(), kind: handle.kind });
        }
        let here = platform::host_name();
        let id = handle.id.parse::<JobId>().map_err(|_| Error::UnknownJob(handle.to_string()))?;
        let is_ours = |record: Record| record.handle == handle.to_string();
        if handle.place != here && !self.known(&id)?.is_some_and(is_ours) {
            return Err(Error::ElsewhereHandle { id: handle.id, place: handle.place, here });
        }
        Ok(handle.id)
    }

    /// Returns the record of a job: the store's, or the one of the job's folder when the store was lost or is not the one that wrote it.
    pub fn known(&mut self, id: &JobId) -> Result<Option<Record>, Error> {
        if let Some(record) = self.store.get(id)? {
            return Ok(Some(record));
        }
        let kept = std::fs::read(attempt::job_folder(&self.dirs.data, id).join("job.json")).ok();
        let record = kept.and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok()).filter(|record| record.id == *id);
        if let Some(record) = &record {
            self.store.put(record)?;
        }
        Ok(record)
    }

    /// Returns what the keys of a job's run config meant; `None` when that is not kept.
    pub(super) fn kept_keys(&self, record: &Record) -> Option<super::digest::Keys> {
        super::kept::keys(&Attempt::new(&self.dirs.data, &record.id, record.attempt))
    }

    /// Brings a record up to date: asks the target, settles what an interrupted client left, closes the MLflow run of an ended job.
    pub async fn refresh(&mut self, record: Record) -> Result<Record, Error> {
        if record.state == JobState::Preparing {
            // While a client is at work on it, its state is true as it stands.
            let Some(_lock) = self.store.try_lock(&record.id)? else { return Ok(record) };
            let record = self.store.get(&record.id)?.unwrap_or(record);
            let before = record.clone();
            let record = self.settle_preparing(record).await?;
            return Box::pin(self.settle_ended(before, record)).await;
        }
        let seen = if record.state.is_ended() { Presence::Present(record.state.clone()) } else { self.ask(&record).await? };
        self.observe(record, seen).await
    }

    /// Takes over what the target says of a job that was handed to it.
    async fn observe(&mut self, before: Record, seen: Presence) -> Result<Record, Error> {
        let mut record = before.clone();
        let seen = self.attend(&record, seen).await?;
        if let Presence::Present(state) = seen {
            record.state = record.state.observed(state);
        }
        // Boxed, because it is awaited deep inside the largest future there is.
        Box::pin(self.settle_ended(before, record)).await
    }

    /// Closes the MLflow run of an ended job, and keeps what is new about the record.
    async fn settle_ended(&mut self, before: Record, record: Record) -> Result<Record, Error> {
        let mut record = self.readdressed(record);
        if record.tracking.is_none() && record.state != JobState::Preparing {
            self.take_own_run(&mut record).await;
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
            self.upload(&record, &attempt).await;
        } else if record != before && record.tracking.as_ref().is_some_and(|tracking| tracking.by_target) {
            // Not at each look: a workspace that does not take them is tried again when the job has gone on.
            self.upload(&record, &Attempt::new(&self.dirs.data, &record.id, record.attempt)).await;
        }
        if record != before {
            self.store.put(&record)?;
        }
        Ok(record)
    }

    /// Notes the MLflow run that the target made for a job itself; one that cannot be asked now is asked again by the next command.
    pub(super) async fn take_own_run(&self, record: &mut Record) {
        if let Ok(Some(own)) = self.target(record).own_run(&Self::reference(record)).await {
            record.tracking = Some(super::launch::own_run(own));
        }
    }

    /// Settles what a dead client left of a submission, whose lock must be held: the target has the job, or never will, and then its MLflow run
    /// is closed, even one that nobody was told of.
    pub(super) async fn settle_preparing(&mut self, record: Record) -> Result<Record, Error> {
        let mut record = record;
        if record.state != JobState::Preparing {
            return Ok(record);
        }
        match self.ask(&record).await? {
            Presence::Present(state) => {
                self.store.conclude(&record.id, record.attempt, Step::Submit, "adopted")?;
                record.state = state;
                self.take_own_run(&mut record).await;
                self.store.put(&record)?;
            }
            Presence::Unattended | Presence::Unstarted { .. } => {}
            Presence::Absent => {
                if let Some(connection) = self.connection(&record)
                    && let Ok(found) = mlflow_run::forgotten(self, &connection, &record).await
                {
                    record.tracking = found.or(record.tracking);
                }
                self.close(&mut record, Status::Killed).await;
                self.store.put(&record)?;
            }
        }
        Ok(record)
    }

    /// Closes the MLflow run if that is not done yet; a tracker that is away is asked again by the next command.
    async fn close(&self, record: &mut Record, status: Status) {
        let Some(connection) = self.connection(record) else { return };
        let ended_at = record.state.outcome().map_or_else(crate::support::clock::now, |outcome| outcome.ended_at);
        let attempt = Attempt::new(&self.dirs.data, &record.id, record.attempt);
        let Some(tracking) = record.tracking.as_mut().filter(|tracking| !tracking.closed) else { return };
        // What the job wrote and the tracker does not have yet comes first, and the end last.
        let end = Finish { run_id: tracking.run_id.clone(), status: status.word().to_owned(), end_time: ended_at.as_millisecond() };
        if let Some(delivered) = delivery::deliver(&attempt, &connection, Some(&end), PATIENCE).await {
            tracking.closed = delivered.is_ok_and(|pending| pending.records == 0);
            return;
        }
        let Ok(client) = Client::new(&connection) else { return };
        let written = timeout(PATIENCE, client.set_status(&tracking.run_id, status, Some(ended_at))).await;
        tracking.closed = matches!(written, Ok(Ok(())));
    }

    /// Returns what is known of the delivery of a job's tracking calls; `None` when it had no relay.
    pub fn delivery(&self, record: &Record) -> Option<Delivery> {
        delivery::of(&Attempt::new(&self.dirs.data, &record.id, record.attempt), record.state.is_ended())
    }

    /// Delivers what waits of a job that has ended, within a time, and returns what still waits.
    pub async fn sync(&mut self, record: Record, within: Duration) -> Result<Pending, Error> {
        let record = self.refresh(record).await?;
        let Some(outcome) = record.state.outcome() else { return Err(Error::StillActive(record.id.to_string())) };
        let attempt = Attempt::new(&self.dirs.data, &record.id, record.attempt);
        let Some(tracking) = &record.tracking else { return Err(Error::NotTracked(record.id.to_string())) };
        if tracking.by_target {
            return Err(Error::TrackedByTarget(record.id.to_string()));
        }
        let Some(connection) = self.connection(&record) else { return Err(Error::ManagedStopped(record.id.to_string())) };
        let end = closing::finish(&tracking.run_id, status_of(outcome), outcome);
        let left = delivery::deliver(&attempt, &connection, Some(&end), within).await.transpose()?.unwrap_or_default();
        self.refresh(record).await?;
        Ok(left)
    }

    /// Uploads what the supervisor could not, once the MLflow run is closed: a tracker that did not take that is not asked for more.
    async fn upload(&self, record: &Record, attempt: &Attempt) {
        let Some(tracking) = record.tracking.as_ref().filter(|tracking| tracking.closed) else { return };
        if !artifacts::are_pending(attempt) {
            return;
        }
        if tracking.by_target {
            let (target, job) = (self.target(record), Self::reference(record));
            let _ = timeout(PATIENCE, artifacts::hand_over(attempt, &*target, &job)).await;
            return;
        }
        if let Some(connection) = self.connection(record)
            && let Ok(client) = Client::new(&connection)
        {
            let _ = timeout(PATIENCE, artifacts::upload(attempt, &client, &tracking.run_id)).await;
        }
    }

    /// Returns the record with the present address of the managed server, if that tracks it.
    fn readdressed(&self, mut record: Record) -> Record {
        if let Some(tracking) = &mut record.tracking {
            Managed::new(&self.dirs).readdress(tracking);
        }
        record
    }

    /// Returns a client of a record's tracker, the target's own included; `None` when it is a managed server that does not run.
    pub async fn tracker(&self, record: &Record) -> Result<Option<Client>, Error> {
        if !record.tracking.as_ref().is_some_and(|tracking| tracking.by_target) {
            return Ok(self.connection(record).map(|connection| Client::new(&connection)).transpose()?);
        }
        let own = self.target(record).own_tracker().await?;
        let own = own.ok_or_else(|| Error::TrackedByTarget(record.id.to_string()))?;
        let connection = Connection { uri: own.uri, auth: own.credentials, managed: false };
        Ok(Some(match &own.certificate_authority {
            Some(authority) => Client::trusting(&connection, authority)?,
            None => Client::new(&connection)?,
        }))
    }

    /// Returns how the tracker of a record is reached from here; `None` when it is a managed server that does not run, or the target itself.
    pub fn connection(&self, record: &Record) -> Option<Connection> {
        if record.tracking.as_ref().is_some_and(|tracking| tracking.by_target) {
            return None;
        }
        let of_run = record.tracking.as_ref().map(|tracking| (&tracking.uri, tracking.managed, tracking.typed));
        let (uri, managed, typed) =
            of_run.or_else(|| record.tracker.as_ref().map(|tracker| (&tracker.uri, tracker.managed, tracker.typed)))?;
        if managed {
            return Managed::new(&self.dirs).running().map(|server| Connection::managed(server.uri()));
        }
        let url = uri.parse().ok()?;
        let keyring = config::credentials(&self.dirs.config, &self.variables);
        // Without its secret the tracker itself says what it wants.
        Some(Connection::new(&url, typed, &self.variables, &keyring).unwrap_or_else(|_| Connection::open(&url)))
    }

    /// Brings all active jobs up to date, each target being asked once for all of its jobs, and returns the newest.
    pub async fn list(&mut self, limit: usize) -> Result<Vec<Record>, Error> {
        let (preparing, sent): (Vec<Record>, Vec<Record>) =
            self.store.active()?.into_iter().partition(|record| record.state == JobState::Preparing);
        let mut by_target: BTreeMap<_, Vec<Record>> = BTreeMap::new();
        for record in sent {
            by_target.entry(targets::place(&record)).or_default().push(record);
        }
        for records in by_target.into_values() {
            let references: Vec<JobRef> = records.iter().map(Self::reference).collect();
            let seen = match self.target(&records[0]).states(&references).await {
                // A service that is away hides neither its jobs nor those of others.
                Err(error) if records[0].address.is_some() => {
                    self.unheard.push(causes::in_one_line(&error));
                    continue;
                }
                seen => seen?,
            };
            for (record, seen) in records.into_iter().zip(seen) {
                self.observe(record, seen).await?;
            }
        }
        for record in preparing {
            let is_there = record.address.is_some();
            match self.refresh(record).await {
                Err(error) if is_there => self.unheard.push(causes::in_one_line(&error)),
                refreshed => drop(refreshed?),
            }
        }
        Ok(self.store.newest(limit)?.into_iter().map(|record| self.readdressed(record)).collect())
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

    /// Says where the place is that was kept of a job which has ended; `None` when there is none.
    pub fn kept_place(&self, record: &Record) -> Option<String> {
        self.target(record).kept(&Self::reference(record)).filter(|_| record.state.is_ended())
    }

    /// Forgets a job that has ended, with everything that is kept of it here and where it ran; with `force` also one whose MLflow run could
    /// not be closed, or whose place cannot be reached.
    pub async fn delete(&mut self, record: Record, force: bool) -> Result<(), Error> {
        let record = self.refresh(record).await?;
        if !record.state.is_ended() && record.state != JobState::Preparing {
            return Err(Error::StillActive(record.id.to_string()));
        }
        if record.tracking.as_ref().is_some_and(|tracking| !tracking.closed) && !force {
            return Err(Error::StillOpen(record.id.to_string()));
        }
        for attempt in 1..=record.attempt {
            let forgotten = self.target(&record).forget(&JobRef { id: record.id.clone(), attempt }).await;
            if !force {
                forgotten.map_err(|source| Error::NotForgotten { id: record.id.to_string(), source: source.into() })?;
            }
        }
        Ok(self.store.delete(&record.id)?)
    }
}
