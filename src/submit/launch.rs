//! Submits: makes what is missing, settles what an earlier client left, journals each step, and hands the job over once.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::describe::Parts;
use super::mlflow_run::{Past, has_open_intent, mlflow_run, tag_facts, tracked};
use super::prepare::{Prepared, prepare};
use super::settle::{Settled, Wanted, settle};
use super::{Error, Jobs, Observer, Plan};
use super::{artifacts, azureml, hosted, kept};
use crate::job::attempt::Attempt;
use crate::job::store::Step;
use crate::job::{Handle, JobId, JobState, Record, TrackerRecord, TrackingRecord};
use crate::relay;
use crate::support::dirs::Dirs;
use crate::support::lock::Lock;
use crate::support::{clock, fault, platform};
use crate::target::OwnRun;
use crate::target::config::TargetSpec;
use crate::tracking::{self, Client, Status};

/// How to submit.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--job-id`.
    pub job_id: Option<JobId>,
    /// `--key`.
    pub key: Option<String>,
    /// `--new-attempt`.
    pub new_attempt: bool,
    /// `--keep`: the place where it runs stays when it has ended.
    pub keep: bool,
    /// `--upgrade`: resolve the environment again.
    pub upgrade: bool,
    /// Ends the submission while it prepares: nothing is sent then. Once the world learns of the job it is heeded no more.
    pub stop: CancellationToken,
}

/// What came of a submission.
#[derive(Debug)]
pub struct Submission {
    /// The job.
    pub record: Record,
    /// Whether it was there already.
    pub adopted: bool,
}

/// Submits a plan, or adopts the job that the same request has made before.
pub async fn submit(
    plan: Plan,
    options: Options,
    dirs: &Dirs,
    variables: &BTreeMap<String, String>,
    observer: std::sync::Arc<dyn Observer>,
) -> Result<Submission, Error> {
    let mut plan = plan;
    if let Some(problem) = plan.tracker.take_problem() {
        return Err(problem.into());
    }
    let target = &plan.run.target.value;
    if options.keep && hosted::of(target).is_some() {
        let reason = "the service takes the job's machines back when it has ended, and keeps its files by itself".to_owned();
        return Err(Error::Incapable { target: target.name.clone(), refusals: vec![("--keep", reason)] });
    }
    let plan = std::sync::Arc::new(plan);
    let prepared = prepare(&plan, &options, dirs, variables, &observer).await?;
    let mut jobs = Jobs::open(dirs, variables)?;
    if let Some(aside) = &jobs.store.moved_aside {
        observer.warn(&format!("the job store was broken; it was moved to `{}` and made anew from the job folders", aside.display()));
    }
    let chosen = wanted_id(&options);
    let past = if chosen.is_some() { Past::Possible } else { Past::None };
    let id = chosen.unwrap_or_else(JobId::generate);
    let config_digest = plan.config_digest();
    let _lock = lock(&jobs, &id, &options.stop).await?;
    // A store that was lost has never heard of a chosen id; the job's folder may have.
    let mut known = jobs.known(&id)?;
    if known.is_none() && past == Past::Possible {
        let wanted = Wanted {
            config: &config_digest,
            snapshot: prepared.packed.id.as_str(),
            environment: prepared.environment.id.as_str(),
            keys: &plan.keys(),
        };
        known = jobs.same_elsewhere(&plan, &options, &id, &wanted, prepared.connection.as_ref()).await?;
    }
    let mut record = match known.clone() {
        Some(known) => match settle(&mut jobs, known, &options, &plan, &prepared).await? {
            Settled::Adopt(record) => {
                // It is the same request: what it still lacks to start, this one has.
                let record = if record.state.is_ended() { record } else { jobs.with_secrets().refresh(record).await? };
                if options.keep && !record.state.is_ended() {
                    Attempt::new(&dirs.data, &record.id, record.attempt).ask_to_keep()?;
                } else if options.keep {
                    observer.warn("the job has ended before: `--keep` comes too late");
                }
                return Ok(Submission { record, adopted: true });
            }
            Settled::Go(record) => record,
        },
        None => new_record(&plan, &id, &options, variables),
    };
    record.snapshot = prepared.packed.id.to_string();
    record.environment = prepared.environment.id.to_string();
    record.digest = digest(&config_digest, &record.snapshot, &record.environment);
    record.config_digest = config_digest;
    record.state = JobState::Preparing;
    record.tracker = prepared.connection.as_ref().map(|connection| TrackerRecord {
        uri: connection.uri.clone(),
        managed: connection.managed,
        typed: plan.typed(),
    });
    while Attempt::new(&dirs.data, &id, record.attempt).path("claim").exists() {
        record.attempt += 1;
    }
    jobs.store.put(&record)?;
    fault::point("reserve.after");
    let mut handing = HandingOver { jobs, plan: &plan, prepared: &prepared, dirs, variables, past, keep: options.keep };
    match handing.run(record).await {
        Ok(record) => Ok(Submission { record, adopted: false }),
        Err(error) => match handing.undo(&id, known).await {
            Some(record) => {
                observer.warn(&format!("the target has the job although it answered: {error}"));
                Ok(Submission { record, adopted: true })
            }
            None => Err(error),
        },
    }
}

/// Takes the job's lock, which another client of the same id may hold.
async fn lock(jobs: &Jobs, id: &JobId, stop: &CancellationToken) -> Result<Lock, Error> {
    loop {
        if stop.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if let Some(lock) = jobs.store.try_lock(id)? {
            return Ok(lock);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the id that the user chose, if any.
pub(super) fn wanted_id(options: &Options) -> Option<JobId> {
    options.job_id.clone().or_else(|| options.key.as_deref().map(JobId::from_key))
}

/// Returns the hash of everything that makes two requests the same.
pub(super) fn digest(config: &str, snapshot: &str, environment: &str) -> String {
    let digest = Sha256::digest(format!("{config}\n{snapshot}\n{environment}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns where a new job will be.
fn handle(target: &TargetSpec, id: &JobId) -> Handle {
    let here = || (target.config.kind().word().to_owned(), platform::host_name());
    let (kind, place) = hosted::of(target).map_or_else(here, |spec| azureml::handle(spec, target.emulated));
    Handle { kind, place, id: id.to_string() }
}

/// Returns what is kept of an MLflow run that a target made and closes.
pub(super) fn own_run(own: OwnRun) -> TrackingRecord {
    TrackingRecord {
        uri: own.uri,
        managed: false,
        experiment_id: own.experiment_id,
        run_id: own.run_id,
        url: own.url,
        typed: false,
        closed: true,
        by_target: true,
    }
}

pub(super) fn new_record(plan: &Plan, id: &JobId, options: &Options, variables: &BTreeMap<String, String>) -> Record {
    let target = &plan.run.target.value;
    let new = Record::new(id.clone(), &handle(target, id), &target.name);
    Record {
        key: options.key.clone(),
        name: plan.name.clone().unwrap_or(new.name),
        experiment: plan.experiment.clone(),
        address: hosted::of(target).map(|spec| azureml::address(spec, target.emulated, variables).text()),
        config_file: plan.run.file.display().to_string(),
        source_directory: plan.source_directory().display().to_string(),
        ..new
    }
}

/// The last part of a submission, in which the world learns of the job.
struct HandingOver<'a> {
    jobs: Jobs,
    plan: &'a Plan,
    prepared: &'a Prepared,
    dirs: &'a Dirs,
    variables: &'a BTreeMap<String, String>,
    past: Past,
    keep: bool,
}

impl HandingOver<'_> {
    /// The MLflow run, the bundle, the job: journalled, in this order.
    async fn run(&mut self, mut record: Record) -> Result<Record, Error> {
        let connection = self.prepared.connection.as_ref();
        let tags = tracking::tags(&tag_facts(self.plan, &record, self.prepared.git.0.as_ref()));
        let mut injected = None;
        if let Some(connection) = connection {
            let client = Client::new(connection)?;
            let experiment_id = client.experiment(&self.plan.experiment).await?;
            let run = match &record.tracking {
                Some(tracking) => {
                    client.set_status(&tracking.run_id, Status::Running, None).await?;
                    client.run(&tracking.run_id).await?
                }
                None => mlflow_run(&mut self.jobs, &client, &record, &experiment_id, self.past, &tags).await?,
            };
            let typed = record.tracker.as_ref().is_some_and(|tracker| tracker.typed);
            record.tracking = Some(tracked(connection, &run, typed));
            let experiment = client.experiment_document(&run.experiment_id).await?;
            injected = Some(relay::Injected { run: run.document.clone(), experiment });
            self.jobs.store.put(&record)?;
            fault::point("mlflow-run.after-outcome");
        }
        let parts = Parts {
            plan: self.plan,
            archive: &self.prepared.packed.path,
            environment: (&self.prepared.environment).into(),
            ways: &self.prepared.ways,
            connection,
            record: &record,
            tags: &tags,
            data: &self.dirs.data,
            variables: self.variables,
        };
        let (spec, launch) = (parts.spec(), parts.launch(injected));
        let target = self.plan.target.0.clone();
        target.prepare(&spec).await?;
        if self.keep {
            parts.attempt().ask_to_keep()?;
        }
        artifacts::write(&parts.attempt(), &kept::files(self.plan, self.prepared))?;
        self.jobs.store.intend(&record.id, record.attempt, Step::Submit)?;
        fault::point("submit.after-intent");
        target.submit(&spec, &launch).await?;
        fault::point("submit.after-act");
        self.jobs.store.conclude(&record.id, record.attempt, Step::Submit, "submitted")?;
        record.state = JobState::Submitted { at: clock::now() };
        // The job is there whatever comes of this; the next command asks again.
        if let Ok(Some(own)) = target.own_run(&Jobs::reference(&record)).await {
            record.tracking = Some(own_run(own));
        }
        self.jobs.store.put(&record)?;
        fault::point("submit.after-outcome");
        Ok(record)
    }

    /// Takes back a submission that failed: no half-made job, and no MLflow run left open.
    ///
    /// The target may have the job all the same; then it is returned. What cannot be settled now, because the tracker is away, say, stays in
    /// the store for the next command.
    async fn undo(&mut self, id: &JobId, known: Option<Record>) -> Option<Record> {
        let record = self.jobs.store.get(id).ok()??;
        // A service that was not told of the job need not be asked about it, and may be what failed.
        if record.address.is_some() && !self.jobs.store.open_intent(id, record.attempt, Step::Submit).unwrap_or(true) {
            self.forget(id, known);
            return None;
        }
        let record = self.jobs.settle_preparing(record).await.ok()?;
        if record.state != JobState::Preparing {
            return Some(record);
        }
        let is_open = record.tracking.as_ref().is_some_and(|tracking| !tracking.closed);
        if !is_open && !has_open_intent(&self.jobs, &record).unwrap_or(true) {
            self.forget(id, known);
        }
        None
    }

    /// Takes a submission out of the store, which then is as it was before.
    fn forget(&mut self, id: &JobId, known: Option<Record>) {
        let _ = match known {
            Some(known) => self.jobs.store.put(&known),
            None => self.jobs.store.delete(id),
        };
    }
}
