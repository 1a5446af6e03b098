//! Containers on a Docker engine, one for each node of a job, under a supervisor on this machine.
//!
//! ```text
//! engine.json -> supervisor -> create, put the bundle, start with the secrets on stdin -> log, wait -> collect -> outcome -> remove
//! ```
//!
//! The engine sees no path of this machine, so that it may be anywhere; and the container outlives the supervisor.

mod archive;
mod check;
mod collect;
mod create;
mod elsewhere;
mod ends;
mod inputs;
mod link;
mod log;
mod marks;
mod nodes;
pub mod owner;
pub mod place;
mod probe;
mod reach;
mod remove;
mod route;
mod run;
mod shell;
mod standing;
mod watch;
mod watcher;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::config::DockerSpec;
use super::supervised::{self, Attempts, Folders};
use super::{Capabilities, Error, Found, JobRef, Presence, Shell, Target, Visit, Wanted, Ways};
use crate::engine::{Endpoint, Engine};
use crate::job::attempt::{Attempt, Claim};
use crate::job::{JobId, JobSpec, JobState, Launch, Mount, Outcome};
use crate::support::clock;
use crate::support::words::all_of;

use standing::Standing;

pub use run::InContainer;
pub use shell::{Ending, Guest, Inside};

/// The Docker target.
#[derive(Debug, Clone)]
pub struct Docker {
    attempts: Attempts,
    endpoint: Option<Endpoint>,
    asked: DockerSpec,
}

impl Docker {
    /// Names the target whose attempts live below a data folder. New jobs go to the engine at this endpoint; where there is none, only
    /// jobs that exist can be asked about.
    pub fn new(data: &Path, endpoint: Option<Endpoint>) -> Self {
        Self { attempts: Attempts::new(data), endpoint, asked: DockerSpec::default() }
    }

    /// Says what new jobs ask of the engine.
    #[must_use]
    pub fn asking(self, asked: &DockerSpec) -> Self {
        Self { asked: asked.clone(), ..self }
    }

    async fn engine(&self) -> Result<Engine, Error> {
        let endpoint = self.endpoint.as_ref().expect("who plans a job has named an engine");
        Ok(Engine::connect(endpoint).await?)
    }

    fn bootstrap(spec: &JobSpec) -> Result<String, Error> {
        let folders = Folders { folder: place::HOME.to_owned(), state: format!("{}/state", place::HOME), in_container: true };
        supervised::render(spec, &folders)
    }

    async fn presence(&self, job: &JobRef) -> Result<Presence, Error> {
        let attempt = self.attempts.of(job);
        match supervised::presence(&attempt)? {
            Ok(presence) => {
                let ended = matches!(&presence, Presence::Present(state) if state.is_ended());
                if ended && (marks::container(&attempt).is_some() || marks::network(&attempt).is_some()) {
                    // Its supervisor died between the outcome and the removal; an engine that is away is asked by `gc` again.
                    let _ = self.clear(&attempt).await;
                }
                Ok(presence)
            }
            Err(orphan) => {
                attempt.end_remains(orphan.claim.as_ref());
                match standing::of(&attempt).await? {
                    Standing::Begun => Ok(Presence::Unattended),
                    // A record of an end that cannot be read is one of something that ran.
                    Standing::Unbegun if orphan.is_readable() => Ok(Presence::Unstarted { since: attempt.claimed_at() }),
                    Standing::Unbegun | Standing::Gone => orphan.lose(&attempt),
                }
            }
        }
    }

    /// Ends a job of which nothing has run, so that nobody starts it any more; `None` when somebody is at work on it by now.
    async fn give_up(&self, attempt: &Attempt) -> Result<Option<JobState>, Error> {
        let Some(_held) = attempt.reclaim(&Claim::of_this_process())? else { return Ok(None) };
        if let Some(spec) = attempt.spec()? {
            remove::all(&Engine::connect(&marks::endpoint(attempt)?).await?, attempt, &spec).await?;
        }
        let outcome = Outcome::before_start(clock::now());
        attempt.write_outcome(&outcome)?;
        Ok(Some(JobState::from_outcome(outcome)))
    }

    async fn clear(&self, attempt: &Attempt) -> Result<(), Error> {
        let engine = Engine::connect(&marks::endpoint(attempt)?).await?;
        match attempt.spec()? {
            Some(spec) => remove::collected(&engine, attempt, &spec).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Target for Docker {
    async fn capabilities(&self) -> Result<Capabilities, Error> {
        check::capabilities(&self.engine().await?, &self.asked).await
    }

    async fn ways(&self, wanted: &Wanted) -> Result<Ways, Error> {
        let has_binds = self.asked.options.mounts.iter().any(Mount::is_bind);
        if wanted.inputs.is_empty() && !has_binds && !wanted.is_tracked {
            return Ok(Ways::default());
        }
        let engine = self.engine().await?;
        let about = engine.about().await?;
        let decided = inputs::brought(&engine, &about, place::user(&self.asked), &wanted.inputs).await?;
        let is_open = decided.is_none() || has_binds && probe::image(&engine).await?.is_none();
        let tracker = if wanted.is_tracked {
            Some(route::planned(&engine, &about, &self.asked, wanted.nodes, self.attempts.data()).await?)
        } else {
            None
        };
        Ok(Ways { tracker, inputs: decided.unwrap_or_default(), is_open })
    }

    fn render(&self, spec: &JobSpec) -> Result<String, Error> {
        Self::bootstrap(spec)
    }

    async fn prepare(&self, spec: &JobSpec) -> Result<(), Error> {
        owner::store(self.attempts.data())?;
        self.attempts.write_bundle(spec, &Self::bootstrap(spec)?)?;
        let endpoint = self.endpoint.as_ref().expect("who prepares a job has named an engine");
        marks::choose(&self.attempts.of_spec(spec), endpoint)
    }

    async fn submit(&self, spec: &JobSpec, launch: &Launch) -> Result<(), Error> {
        self.attempts.start(spec, launch).await
    }

    async fn attend(&self, job: &JobRef, launch: &Launch) -> Result<(), Error> {
        self.attempts.start_again(job, launch).await
    }

    async fn find(&self, id: &JobId) -> Result<Option<Found>, Error> {
        elsewhere::find(&self.engine().await?, id).await
    }

    async fn adopt(&self, found: &Found, launch: &Launch) -> Result<(), Error> {
        let attempt = self.attempts.of(&JobRef { id: found.id.clone(), attempt: found.attempt });
        // An earlier command may have come further.
        if !attempt.path("claim").exists() {
            elsewhere::take_part(&self.engine().await?, &attempt, found).await?;
        }
        let spec = attempt.spec()?.ok_or_else(|| Error::GivenUp { id: found.id.to_string() })?;
        self.attempts.start(&spec, launch).await
    }

    async fn states(&self, jobs: &[JobRef]) -> Result<Vec<Presence>, Error> {
        let mut found = Vec::with_capacity(jobs.len());
        for job in jobs {
            found.push(match self.presence(job).await {
                Ok(presence) => presence,
                Err(error) if jobs.len() == 1 => return Err(error),
                // Among many, one whose engine is away does not hide the others; asked for alone, it says why.
                Err(_) => Presence::Present(JobState::Unknown { word: "unreachable".to_owned() }),
            });
        }
        Ok(found)
    }

    fn log(&self, job: &JobRef, node: u32) -> PathBuf {
        self.attempts.of(job).node(node).path("log")
    }

    async fn cancel(&self, job: &JobRef, at_most: Option<Duration>) -> Result<JobState, Error> {
        if matches!(self.presence(job).await?, Presence::Unstarted { .. })
            && let Some(state) = self.give_up(&self.attempts.of(job)).await?
        {
            return Ok(state);
        }
        self.attempts.cancel(self, job, at_most).await
    }

    async fn collect(&self, job: &JobRef, into: &Path) -> Result<usize, Error> {
        self.attempts.collect(job, Path::new(place::HOME), into)
    }

    fn kept(&self, job: &JobRef) -> Option<String> {
        let attempt = self.attempts.of(job);
        let spec = attempt.spec().ok().flatten()?;
        let made = nodes::made(&attempt, &spec);
        let names = all_of(made.iter().map(|made| &made.node.name));
        match made.as_slice() {
            _ if !marks::is_kept(&attempt) => None,
            [] => None,
            [_] => Some(format!("its container {names}")),
            _ => Some(format!("its containers {names}")),
        }
    }

    async fn forget(&self, job: &JobRef) -> Result<(), Error> {
        let attempt = self.attempts.of(job);
        if !attempt.path("engine.json").exists() {
            return Ok(());
        }
        let engine = Engine::connect(&marks::endpoint(&attempt)?).await?;
        remove::everything(&engine, self.attempts.data(), job).await
    }

    async fn shell(&self, job: &JobRef, visit: &Visit) -> Result<Shell, Error> {
        let (attempt, spec) = self.attempts.known(job)?;
        let engine = Engine::connect(&marks::endpoint(&attempt)?).await?;
        shell::open(engine, &attempt, &spec, visit).await
    }
}
