//! This machine: a supervisor of ours per job, detached from the terminal, and the bootstrap as its child.

mod bootstrap;
mod queue;
mod shim;
mod supervise;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Capabilities, Error, JobRef, Presence, Target};
use crate::job::attempt::{Attempt, Finding};
use crate::job::{Ending, JobSpec, JobState, Launch, Outcome};
use crate::support::fs::{self, Context};
use crate::support::{clock, fault, platform};

pub use shim::{Shim, enter};
pub use supervise::{Closing, supervise};

/// The local target.
#[derive(Debug, Clone)]
pub struct Local {
    data: PathBuf,
}

impl Local {
    /// Names the target whose jobs live below a data folder.
    pub fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    fn attempt(&self, job: &JobRef) -> Attempt {
        Attempt::new(&self.data, &job.id, job.attempt)
    }

    fn presence(&self, job: &JobRef) -> Result<Presence, Error> {
        let attempt = self.attempt(job);
        Ok(match attempt.find()? {
            Finding::Alive(state) => Presence::Present(state),
            Finding::Ended(outcome) => Presence::Present(JobState::from_outcome(outcome)),
            Finding::Tombstoned => Presence::Absent,
            Finding::Unclaimed => {
                if attempt.bury()? {
                    Presence::Absent
                } else {
                    // A supervisor was faster than the tombstone.
                    return self.presence(job);
                }
            }
            Finding::Abandoned(claim) => {
                let detail = if attempt.end_remains(&claim) {
                    "its supervisor died; nothing of it is left running"
                } else {
                    return Ok(Presence::Present(JobState::Unknown { word: "unsupervised".to_owned() }));
                };
                let outcome = Outcome {
                    ending: Ending::Lost,
                    exit_code: None,
                    started_at: None,
                    ended_at: clock::now(),
                    detail: Some(detail.to_owned()),
                };
                attempt.write_outcome(&outcome)?;
                Presence::Present(JobState::Lost(outcome))
            }
        })
    }
}

#[async_trait]
impl Target for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            memory_refusal: match platform::memory_limit() {
                platform::MemoryLimit::Unavailable { reason } => Some(reason),
                #[cfg(target_os = "linux")]
                _ => None,
            },
            cpus: platform::cpu_count(),
            gpus: u32::try_from(platform::gpu_devices().len()).unwrap_or(0),
        }
    }

    fn render(&self, spec: &JobSpec) -> Result<String, Error> {
        bootstrap::render(spec, &Attempt::new(&self.data, &spec.id, spec.attempt))
    }

    async fn prepare(&self, spec: &JobSpec) -> Result<(), Error> {
        let attempt = Attempt::new(&self.data, &spec.id, spec.attempt);
        fs::create_private_dir_all(attempt.folder())?;
        fs::write_atomic(attempt.path("bootstrap.sh"), bootstrap::render(spec, &attempt)?.as_bytes())?;
        for (name, text) in bootstrap::PROGRAMS {
            std::fs::write(attempt.path(name), text).context("write", attempt.path(name))?;
        }
        let archive = attempt.path("snapshot.zip");
        fs::remove_file(&archive)?;
        if std::fs::hard_link(&spec.archive, &archive).is_err() {
            std::fs::copy(&spec.archive, &archive).context("copy", &spec.archive)?;
        }
        Ok(attempt.write_spec(spec)?)
    }

    async fn submit(&self, spec: &JobSpec, launch: &Launch) -> Result<(), Error> {
        let attempt = Attempt::new(&self.data, &spec.id, spec.attempt);
        let start = |source| Error::Start { id: spec.id.to_string(), source };
        let talk = attempt.path("supervisor.log");
        let said = fs::append(&talk)?;
        let program = std::env::current_exe().map_err(start)?;
        let mut child = Command::new(program)
            .arg("supervise")
            .arg(attempt.folder())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::from(said))
            .spawn()
            .map_err(start)?;
        let message = serde_json::to_vec(launch).expect("a launch is plain data");
        let mut pipe = child.stdin.take().expect("stdin was asked to be a pipe");
        // A supervisor that finds the claim taken does not read; the claim then tells.
        let _ = pipe.write_all(&message);
        drop(pipe);
        fault::point("submit.handed-over");
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut pause = Duration::from_micros(500);
        loop {
            if !matches!(attempt.find()?, Finding::Unclaimed) {
                break;
            }
            let ended = child.try_wait().map_err(start)?.is_some();
            if (ended || Instant::now() > deadline) && matches!(attempt.find()?, Finding::Unclaimed) && attempt.bury()? {
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(&talk).unwrap_or_default();
                return Err(Error::Stillborn { id: spec.id.to_string(), said: said.trim().to_owned() });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(10));
        }
        // Its parent reaps it while this process lives, so that an ended supervisor is no zombie.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    async fn states(&self, jobs: &[JobRef]) -> Result<Vec<Presence>, Error> {
        jobs.iter().map(|job| self.presence(job)).collect()
    }

    fn log(&self, job: &JobRef) -> PathBuf {
        self.attempt(job).path("log")
    }

    async fn cancel(&self, job: &JobRef, at_most: Option<Duration>) -> Result<JobState, Error> {
        let attempt = self.attempt(job);
        let own = attempt.spec()?.map_or(Duration::from_secs(30), |spec| spec.grace);
        let grace = at_most.map_or(own, |limit| limit.min(own));
        let limit = grace + Duration::from_secs(30);
        let begun = Instant::now();
        let mut asked = false;
        loop {
            match self.presence(job)? {
                Presence::Present(state) if state.is_ended() => return Ok(state),
                Presence::Absent => {
                    return Ok(JobState::Cancelled(Outcome {
                        ending: Ending::Cancelled,
                        exit_code: None,
                        started_at: None,
                        ended_at: clock::now(),
                        detail: Some("it had not started".to_owned()),
                    }));
                }
                Presence::Present(_) if begun.elapsed() > limit => {
                    return Err(Error::Unkillable { id: job.id.to_string(), waited: limit });
                }
                Presence::Present(_) => {}
            }
            if !asked {
                attempt.ask_to_end(at_most)?;
                asked = true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn collect(&self, job: &JobRef, into: &Path) -> Result<usize, Error> {
        let from = self.attempt(job).path("collected");
        let mut files = Vec::new();
        for entry in walkdir::WalkDir::new(&from).min_depth(1).sort_by_file_name().into_iter().flatten() {
            let relative = entry.path().strip_prefix(&from).expect("a walk stays below its root").to_owned();
            files.push((entry.file_type(), relative));
        }
        if let Some((_, taken)) = files.iter().find(|(kind, relative)| !kind.is_dir() && into.join(relative).symlink_metadata().is_ok()) {
            return Err(Error::InTheWay(into.join(taken).display().to_string()));
        }
        let mut count = 0;
        for (kind, relative) in &files {
            let (source, goal) = (from.join(relative), into.join(relative));
            if kind.is_dir() {
                fs::create_dir_all(&goal)?;
                continue;
            }
            if let Some(parent) = goal.parent() {
                fs::create_dir_all(parent)?;
            }
            std::fs::copy(&source, &goal).context("copy", &source)?;
            count += 1;
        }
        let log = self.log(job);
        if log.exists() {
            fs::create_dir_all(into)?;
            let goal = into.join("log.txt");
            if goal.exists() {
                return Err(Error::InTheWay(goal.display().to_string()));
            }
            std::fs::copy(&log, &goal).context("copy", &log)?;
            count += 1;
        }
        Ok(count)
    }
}
