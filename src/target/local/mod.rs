//! This machine: the bootstrap as the child of its supervisor, detached from the terminal.

mod child;
mod run;
mod shell;
mod shim;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::supervised::{self, Attempts, Folders};
use super::{Capabilities, Error, JobRef, Presence, Shell, Target, Visit};
use crate::job::{JobSpec, JobState, Launch};
use crate::support::platform;

pub use run::Process;
pub use shim::{Shim, enter};

/// The local target.
#[derive(Debug, Clone)]
pub struct Local {
    attempts: Attempts,
}

impl Local {
    /// Names the target whose jobs live below a data folder.
    pub fn new(data: &Path) -> Self {
        Self { attempts: Attempts::new(data) }
    }

    fn presence(&self, job: &JobRef) -> Result<Presence, Error> {
        let attempt = self.attempts.of(job);
        match supervised::presence(&attempt)? {
            Ok(presence) => Ok(presence),
            Err(orphan) if attempt.end_remains(orphan.claim.as_ref()) => orphan.lose(&attempt),
            Err(_) => Ok(Presence::Present(JobState::Unknown { word: "unsupervised".to_owned() })),
        }
    }

    fn bootstrap(&self, spec: &JobSpec) -> Result<String, Error> {
        let folder = self.attempts.of_spec(spec).folder().display().to_string();
        supervised::render(spec, &Folders { state: folder.clone(), folder, in_container: false })
    }
}

#[async_trait]
impl Target for Local {
    async fn capabilities(&self) -> Result<Capabilities, Error> {
        Ok(Capabilities {
            memory_refusal: match platform::memory_limit() {
                platform::MemoryLimit::Unavailable { reason } => Some(reason),
                platform::MemoryLimit::CgroupV1(_) | platform::MemoryLimit::CgroupV2(_) => None,
            },
            memory: None,
            least_memory: 0,
            cpus: platform::cpu_count(),
            cpus_refusal: None,
            gpus: Some(u32::try_from(platform::gpu_devices().len()).unwrap_or(0)),
            gpus_refusal: None,
            shared_memory: false,
            nodes: false,
            refusals: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn render(&self, spec: &JobSpec) -> Result<String, Error> {
        self.bootstrap(spec)
    }

    async fn prepare(&self, spec: &JobSpec) -> Result<(), Error> {
        self.attempts.write_bundle(spec, &self.bootstrap(spec)?)
    }

    async fn submit(&self, spec: &JobSpec, launch: &Launch) -> Result<(), Error> {
        self.attempts.start(spec, launch).await
    }

    async fn states(&self, jobs: &[JobRef]) -> Result<Vec<Presence>, Error> {
        // Among many, one whose files cannot be read does not hide the others; asked for alone, it says why.
        let unreadable = |_| Ok(Presence::Present(JobState::Unknown { word: "unreadable".to_owned() }));
        let alone = jobs.len() == 1;
        jobs.iter().map(|job| self.presence(job).or_else(|error| if alone { Err(error) } else { unreadable(error) })).collect()
    }

    fn log(&self, job: &JobRef, node: u32) -> PathBuf {
        self.attempts.of(job).node(node).path("log")
    }

    async fn cancel(&self, job: &JobRef, at_most: Option<Duration>) -> Result<JobState, Error> {
        self.attempts.cancel(self, job, at_most).await
    }

    async fn collect(&self, job: &JobRef, into: &Path) -> Result<usize, Error> {
        let folder = self.attempts.of(job).folder().to_owned();
        self.attempts.collect(job, &folder.canonicalize().unwrap_or(folder), into)
    }

    fn kept(&self, job: &JobRef) -> Option<String> {
        let attempt = self.attempts.of(job);
        let work = attempt.path("work");
        (attempt.is_kept() && work.is_dir()).then(|| format!("its working directory `{}`", work.display()))
    }

    async fn forget(&self, _job: &JobRef) -> Result<(), Error> {
        // All of it is in the job's folder.
        Ok(())
    }

    async fn shell(&self, job: &JobRef, visit: &Visit) -> Result<Shell, Error> {
        let (attempt, spec) = self.attempts.known(job)?;
        shell::open(&attempt, &spec, visit)
    }
}
