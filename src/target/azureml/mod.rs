//! Jobs in an Azure Machine Learning workspace, which builds their environments, runs, tracks and keeps them. Nothing of ours runs there.
//!
//! ```text
//! prepare: code asset (by hash) and environment version (by id)   -> request.json of the attempt
//! submit:  PUT of the job under its own name, which may be repeated -> the job is its own MLflow run
//! states:  GET of the job; at its end run history says how
//! ```
//!
//! The protocol is Azure's own: what is asked and answered is in `client`, `assets`, `jobs`, `blob` and `request`, what answers mean is in `parse`. A local
//! emulation is reached by another [`Door`] and in no other way.

mod access;
mod archive;
mod assets;
mod attach;
mod blob;
mod client;
mod code;
mod collect;
mod error;
mod inputs;
mod jobs;
mod known;
mod log;
mod parse;
mod request;
mod retry;
mod sending;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::config::AzureMlSpec;
use super::{Brought, Capabilities, Found, JobRef, OwnRun, OwnTracker, Pace, Presence, Shell, Target, Visit, Wanted, Ways};
use crate::job::attempt::Attempt;
use crate::job::{Ending, Hosted, JobId, JobSpec, JobState, Launch, Outcome, Request};
use crate::support::dirs::Dirs;
use crate::support::{clock, fault, fs};
use client::Client;
use parse::{Job, Standing};

pub use access::{Access, Address, Cloud, Door};
pub use error::Error;

/// The image on which environments are built whose run config names none: what Azure's own tools use.
pub const BASE_IMAGE: &str = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest";

/// What is sent, kept beside the attempt.
const REQUEST: &str = "azureml.json";
/// Says that the job may have been sent: written before that.
const SENDING: &str = "sending";
/// Says that the workspace has had the job.
const SUBMITTED: &str = "submitted";
/// How long a job may take to end once it was cancelled: its outputs are saved first.
const CANCELLING: Duration = Duration::from_mins(15);
/// How long a job that was just there may be missing before it counts as gone: an answer may come from a copy that lags behind.
const LAG: Duration = Duration::from_secs(5);
/// How many jobs are asked about at once.
const AT_ONCE: usize = 8;

/// The Azure Machine Learning target.
pub struct AzureMl {
    data: PathBuf,
    cache: PathBuf,
    /// What the run config says; empty for jobs that exist.
    spec: AzureMlSpec,
    emulated: bool,
    door: Box<dyn Door>,
    client: OnceCell<Client>,
    logs: log::Addresses,
    /// Jobs as they were last seen.
    seen: Mutex<BTreeMap<String, Job>>,
}

impl AzureMl {
    /// Names the target; nothing is asked yet. `spec` is what a run config says, for new jobs.
    pub fn new(dirs: &Dirs, spec: AzureMlSpec, emulated: bool, door: Box<dyn Door>) -> Self {
        Self {
            data: dirs.data.clone(),
            cache: dirs.cache.clone(),
            spec,
            emulated,
            door,
            client: OnceCell::new(),
            logs: log::Addresses::default(),
            seen: Mutex::default(),
        }
    }

    async fn client(&self) -> Result<&Client, Error> {
        self.client.get_or_try_init(async || Client::new(self.door.open().await?)).await
    }

    fn attempt(&self, job: &JobRef) -> Attempt {
        Attempt::new(&self.data, &job.id, job.attempt)
    }

    fn saw(&self, job: Job) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(job.name.clone(), job);
    }

    fn last_seen(&self, name: &str) -> Option<Job> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    async fn presence(&self, job: &JobRef) -> Result<Presence, Error> {
        let attempt = self.attempt(job);
        if let Some(outcome) = attempt.outcome()? {
            return Ok(Presence::Present(JobState::from_outcome(outcome)));
        }
        let (client, name) = (self.client().await?, name(job));
        let begun = Instant::now();
        let found = loop {
            match client.job(&name).await? {
                None if attempt.path(SUBMITTED).exists() && begun.elapsed() < LAG => tokio::time::sleep(Duration::from_millis(500)).await,
                found => break found,
            }
        };
        let Some(found) = found else {
            if !attempt.path(SUBMITTED).exists() {
                return Ok(Presence::Absent);
            }
            let detail = Some("it was deleted from the workspace".to_owned());
            let outcome = Outcome { ending: Ending::Lost, exit_code: None, started_at: None, ended_at: clock::now(), detail };
            return Ok(Presence::Present(self.end(&attempt, outcome)?));
        };
        // One of this name that another client sent, while this attempt was about to, is not this job.
        let asked = if attempt.path(SUBMITTED).exists() { None } else { attempt.spec()? };
        if asked.is_some_and(|spec| request::digest(&found) != Some(spec.digest.as_str())) {
            return Ok(Presence::Absent);
        }
        let state = match parse::standing(found.status()) {
            Standing::Ended(end) => {
                let details = client.details(&name).await?.unwrap_or_default();
                let limit = attempt.spec().ok().flatten().and_then(|spec| spec.max_duration);
                self.end(&attempt, parse::outcome(end, &details, limit, clock::now()))?
            }
            Standing::Runs => JobState::Running { since: self.running_since(client, &attempt, &name).await? },
            _ => parse::active(&found, clock::now()),
        };
        self.saw(found);
        Ok(Presence::Present(state))
    }

    /// Keeps how a job ended: an end is final, and need not be asked for again.
    fn end(&self, attempt: &Attempt, outcome: Outcome) -> Result<JobState, Error> {
        fs::create_private_dir_all(attempt.folder())?;
        attempt.write_outcome(&outcome)?;
        Ok(JobState::from_outcome(outcome))
    }

    /// Returns since when a job runs, which run history is asked once.
    async fn running_since(&self, client: &Client, attempt: &Attempt, name: &str) -> Result<jiff::Timestamp, Error> {
        if let Some(JobState::Running { since }) = attempt.noted_status() {
            return Ok(since);
        }
        let details = client.details(name).await?.unwrap_or_default();
        let since = details.start_time_utc.as_deref().and_then(parse::instant).unwrap_or_else(clock::now);
        attempt.note_status(&JobState::Running { since });
        Ok(since)
    }

    /// Returns a job that has to be there.
    async fn known(&self, job: &JobRef) -> Result<Job, Error> {
        let name = name(job);
        if let Some(found) = self.last_seen(&name) {
            return Ok(found);
        }
        let found = self.client().await?.job(&name).await?;
        found.ok_or_else(|| missing(&name))
    }
}

fn missing(name: &str) -> Error {
    Error::Refused {
        act: format!("look at the job `{name}`"),
        status: 404,
        code: String::new(),
        message: "the workspace has no job of this name".to_owned(),
        id: None,
    }
}

/// Returns the name of a job in the workspace: its id, with the number of a later attempt.
fn name(job: &JobRef) -> String {
    if job.attempt == 1 { job.id.to_string() } else { format!("{}-a{}", job.id, job.attempt) }
}

fn hosted(spec: &JobSpec) -> Result<&Hosted, Error> {
    spec.hosted.as_ref().ok_or(Error::NotBuilt("a job without an experiment of its own"))
}

fn reference(spec: &JobSpec) -> JobRef {
    JobRef { id: spec.id.clone(), attempt: spec.attempt }
}

#[async_trait]
impl Target for AzureMl {
    async fn capabilities(&self) -> Result<Capabilities, super::Error> {
        let sized = || {
            let by = if self.spec.compute.is_some() { "compute" } else { "instance_type" };
            format!("the machine is as large as `{by}` of the target says")
        };
        Ok(Capabilities {
            memory_refusal: Some(sized()),
            memory: None,
            least_memory: 0,
            cpus: u32::MAX,
            cpus_refusal: Some(sized()),
            gpus: Some(0),
            gpus_refusal: Some(sized()),
            shared_memory: true,
            nodes: true,
            refusals: Vec::new(),
            notes: Vec::new(),
        })
    }

    async fn ways(&self, wanted: &Wanted) -> Result<Ways, super::Error> {
        let copied = || Brought::Copied("the job's machine has it from the workspace's storage".to_owned());
        Ok(Ways { tracker: None, inputs: wanted.inputs.iter().map(|path| (path.clone(), copied())).collect(), is_open: false })
    }

    fn render(&self, spec: &JobSpec) -> Result<String, super::Error> {
        let scope = self.spec.workspace.scope().unwrap_or_else(|| crate::support::azure::Scope {
            subscription_id: "EMULATED".to_owned(),
            resource_group: "EMULATED".to_owned(),
            workspace_name: "EMULATED".to_owned(),
        });
        let (none, code) = (BTreeMap::new(), "AT-SUBMISSION");
        let named = request::Named { scope: &scope, code, executables: &[], environment: None, found: &none };
        let hosted = hosted(spec)?;
        let body = request::job(spec, hosted, &self.spec, named)?;
        let shown = |value: &Value| serde_json::to_string_pretty(value).expect("a JSON value is plain data");
        let path = format!("{scope}/environments/{}/versions/{}", request::ENVIRONMENT, hosted.environment);
        let made = || format!("# PUT {path}\n{}\n\n", shown(&request::environment(hosted)));
        Ok(format!(
            "{}\n\n{}# PUT {scope}/jobs/{}\n{}\n",
            request::command(spec, &[])?,
            request::workspaces_own(hosted).map_or_else(made, |_| String::new()),
            name(&reference(spec)),
            shown(&body)
        ))
    }

    async fn prepare(&self, spec: &JobSpec) -> Result<(), super::Error> {
        let hosted = hosted(spec)?;
        let attempt = self.attempt(&reference(spec));
        fs::create_private_dir_all(attempt.folder())?;
        attempt.write_spec(spec)?;
        let client = self.client().await?;
        let facts = code::facts(&self.cache, &spec.snapshot, &spec.archive).await?;
        let environment = async {
            let own = request::workspaces_own(hosted).map(wire::Registered::parse);
            match own {
                Some(Some(wire::Registered { name, version: None })) => client.latest("environments", name).await.map(Some),
                Some(_) => Ok(None),
                None if self.environments(client).has(&hosted.environment) => Ok(None),
                None => self.ensure_environment(client, hosted).await.map(|_| None),
            }
        };
        let code = code::ensure(client, &spec.archive, &facts.hash);
        let (code, environment, found) = tokio::try_join!(code, environment, inputs::find(client, &hosted.inputs))?;
        let named = request::Named {
            scope: client.scope(),
            code: &code,
            executables: &facts.executables,
            environment: environment.as_deref(),
            found: &found,
        };
        let body = request::job(spec, hosted, &self.spec, named)?;
        let text = serde_json::to_vec_pretty(&body).expect("a JSON value is plain data");
        Ok(fs::write_private(attempt.path(REQUEST), &text)?)
    }

    async fn submit(&self, spec: &JobSpec, launch: &Launch) -> Result<(), super::Error> {
        let job = reference(spec);
        let (attempt, name) = (self.attempt(&job), name(&job));
        let bytes = fs::read(attempt.path(REQUEST))?;
        let act = || format!("read the request of `{name}`");
        let mut body: Value = serde_json::from_slice(&bytes).map_err(|source| Error::Unreadable { act: act(), source })?;
        // Only ever there when the user accepted that the workspace's readers see them.
        for (variable, value) in &launch.secrets {
            body["properties"]["environmentVariables"][variable] = value.expose().into();
        }
        let client = self.client().await?;
        // A name that this attempt has not used is new, or was asked for by [`Target::find`]: nothing is sent twice without a look.
        let earlier = if attempt.path(SENDING).exists() { client.job(&name).await? } else { None };
        fs::write_private(attempt.path(SENDING), b"")?;
        let found = match earlier {
            // An earlier client has sent it, whatever became of the answer.
            Some(found) => found,
            None => self.put_job(client, &name, hosted(spec)?, &body).await?,
        };
        // Somebody else may have been first, even since it was asked for.
        if request::digest(&found) != Some(spec.digest.as_str()) {
            return Err(Error::Taken { name }.into());
        }
        fault::point("submit.handed-over");
        fs::write_private(attempt.path(SUBMITTED), b"")?;
        self.saw(found);
        Ok(())
    }

    fn is_idempotent(&self) -> bool {
        true
    }

    fn pace(&self) -> Pace {
        if self.emulated {
            Pace { shortest: Duration::from_millis(250), longest: Duration::from_secs(1) }
        } else {
            Pace { shortest: Duration::from_secs(2), longest: Duration::from_secs(10) }
        }
    }

    async fn find(&self, id: &JobId) -> Result<Option<Found>, super::Error> {
        let client = self.client().await?;
        let mut newest = None;
        for attempt in 1.. {
            let name = name(&JobRef { id: id.clone(), attempt });
            let Some(found) = client.job(&name).await? else { break };
            if request::digest(&found).is_none() {
                return Err(Error::Taken { name }.into());
            }
            newest = Some((attempt, found));
        }
        let Some((attempt, found)) = newest else { return Ok(None) };
        let tag = |name: &str| found.tag(name).unwrap_or_default().to_owned();
        Ok(Some(Found {
            id: id.clone(),
            attempt,
            nodes: found.properties.resources.as_ref().and_then(|resources| resources.instance_count).unwrap_or(1),
            digest: request::digest(&found).unwrap_or_default().to_owned(),
            request: Request { config: tag("sendoff.config"), environment: tag("sendoff.environment") },
            snapshot: tag("sendoff.snapshot"),
            machine: client.scope().workspace_name.clone(),
            store: String::new(),
        }))
    }

    async fn adopt(&self, found: &Found, _launch: &Launch) -> Result<(), super::Error> {
        let attempt = self.attempt(&JobRef { id: found.id.clone(), attempt: found.attempt });
        fs::create_private_dir_all(attempt.folder())?;
        Ok(fs::write_private(attempt.path(SUBMITTED), b"")?)
    }

    async fn states(&self, jobs: &[JobRef]) -> Result<Vec<Presence>, super::Error> {
        let asked = stream::iter(jobs.to_vec()).map(async |job| self.presence(&job).await).buffered(AT_ONCE);
        let found: Vec<Result<Presence, Error>> = asked.collect().await;
        Ok(found.into_iter().collect::<Result<_, _>>()?)
    }

    fn log(&self, job: &JobRef, node: u32) -> PathBuf {
        log::file(&self.attempt(job).node(node))
    }

    async fn fetch_log(&self, job: &JobRef, node: u32) -> Result<(), super::Error> {
        let attempt = self.attempt(job);
        if log::is_whole(&attempt.node(node)) {
            return Ok(());
        }
        Ok(log::fetch(self.client().await?, &attempt, (&name(job), node), &self.logs).await?)
    }

    async fn own_run(&self, job: &JobRef) -> Result<Option<OwnRun>, super::Error> {
        let found = self.known(job).await?;
        let tracking = found.endpoint("Tracking").map(|uri| uri.split('?').next().unwrap_or_default().to_owned());
        let uri = match tracking.filter(|uri| !uri.is_empty()) {
            Some(uri) => uri,
            None => self.client().await?.workspace().await?.mlflow_uri.clone(),
        };
        let url = found.endpoint("Studio").unwrap_or_default().to_owned();
        Ok(Some(OwnRun { uri, experiment_id: String::new(), run_id: name(job), url }))
    }

    async fn own_tracker(&self) -> Result<Option<OwnTracker>, super::Error> {
        Ok(Some(self.client().await?.tracker().await?))
    }

    async fn keep(&self, job: &JobRef, files: Vec<(String, Vec<u8>)>) -> Result<(), super::Error> {
        let found = self.known(job).await?;
        Ok(attach::attach(self.client().await?, &found, files).await?)
    }

    async fn cancel(&self, job: &JobRef, _at_most: Option<Duration>) -> Result<JobState, super::Error> {
        let begun = Instant::now();
        let client = self.client().await?;
        if !client.cancel(&name(job)).await? && self.presence(job).await? == Presence::Absent {
            let detail = Some("it had not been submitted".to_owned());
            let outcome = Outcome { ending: Ending::Cancelled, exit_code: None, started_at: None, ended_at: clock::now(), detail };
            return Ok(JobState::Cancelled(outcome));
        }
        let pace = self.pace();
        let mut pause = pace.shortest;
        loop {
            match self.presence(job).await? {
                Presence::Present(state) if state.is_ended() => return Ok(state),
                _ if begun.elapsed() > CANCELLING => {
                    return Err(super::Error::Unkillable { id: job.id.to_string(), waited: CANCELLING });
                }
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 5 / 4).min(pace.longest);
        }
    }

    async fn collect(&self, job: &JobRef, into: &Path) -> Result<usize, super::Error> {
        self.fetch_log(job, 0).await?;
        let client = self.client().await?;
        // Not the last seen one: outputs have their addresses when it has ended.
        let found = client.job(&name(job)).await?.ok_or_else(|| missing(&name(job)))?;
        collect::collect(client, &found, &self.log(job, 0), into).await
    }

    fn kept(&self, _job: &JobRef) -> Option<String> {
        None
    }

    async fn forget(&self, _job: &JobRef) -> Result<(), super::Error> {
        // What the workspace has of a job is its record there; it is the workspace's to keep.
        Ok(())
    }

    async fn shell(&self, _job: &JobRef, _visit: &Visit) -> Result<Shell, super::Error> {
        Err(Error::NotBuilt("a shell where a job runs").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_attempt_has_a_name_of_its_own() {
        let job = |attempt| JobRef { id: "brave-otter".parse().expect("an id"), attempt };
        assert_eq!(name(&job(1)), "brave-otter");
        assert_eq!(name(&job(12)), "brave-otter-a12");
    }
}
