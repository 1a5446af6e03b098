//! What targets share whose jobs have a supervisor of ours on this machine: the bundle in the attempt's folder, the start of the supervisor,
//! the flow of its work, and the files by which it is asked and told.
//!
//! ```text
//! submit -> supervisor (a process of its own) -> Runner: the target's own part -> Evidence -> outcome
//! ```

mod bootstrap;
mod outcome;
mod outputs;
mod queue;
mod supervise;
mod turn;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Error, JobRef, Presence, Target};
use crate::auth;
use crate::job::attempt::{Attempt, Finding};
use crate::job::{Ending, JobSpec, JobState, Launch, Outcome, remains};
use crate::support::fs::{self, Context};
use crate::support::{clock, fault};

pub use outcome::{Evidence, Exit, Stop};
pub use supervise::{Acts, Closing, Given, Job, Runner, Turn, Vicinity, supervise};
pub use turn::Devices;

pub(super) use bootstrap::{Folders, PROGRAMS, UNPACK, render};

/// How long a supervisor may take to claim its attempt. On a machine that is that slow nothing else works either.
const CLAIM_LIMIT: Duration = Duration::from_secs(30);

/// The attempts of supervised jobs, below a data folder.
#[derive(Debug, Clone)]
pub(super) struct Attempts {
    data: PathBuf,
}

impl Attempts {
    pub(super) fn new(data: &Path) -> Self {
        Self { data: data.to_owned() }
    }

    /// Returns the data folder.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn of(&self, job: &JobRef) -> Attempt {
        Attempt::new(&self.data, &job.id, job.attempt)
    }

    pub(super) fn of_spec(&self, spec: &JobSpec) -> Attempt {
        Attempt::new(&self.data, &spec.id, spec.attempt)
    }

    /// Returns an attempt that was prepared, with what was to run in it.
    pub(super) fn known(&self, job: &JobRef) -> Result<(Attempt, JobSpec), Error> {
        let attempt = self.of(job);
        let spec = attempt.spec()?.ok_or_else(|| Error::NotPrepared { id: job.id.to_string() })?;
        Ok((attempt, spec))
    }

    /// Writes the bundle: the bootstrap with its programs, the snapshot's archive, the job spec.
    pub(super) fn write_bundle(&self, spec: &JobSpec, bootstrap: &str) -> Result<(), Error> {
        let attempt = self.of_spec(spec);
        fs::create_private_dir_all(attempt.folder())?;
        fs::write_atomic(attempt.path("bootstrap.sh"), bootstrap.as_bytes())?;
        for (name, text) in PROGRAMS {
            std::fs::write(attempt.path(name), text).context("write", attempt.path(name))?;
        }
        let archive = attempt.path("snapshot.zip");
        fs::remove_file(&archive)?;
        if std::fs::hard_link(&spec.archive, &archive).is_err() {
            std::fs::copy(&spec.archive, &archive).context("copy", &spec.archive)?;
        }
        Ok(attempt.write_spec(spec)?)
    }

    /// Starts the supervisor of an attempt whose bundle is written, and waits until it has claimed the attempt. After a failure nothing runs.
    pub(super) async fn start(&self, spec: &JobSpec, launch: &Launch) -> Result<(), Error> {
        let attempt = self.of_spec(spec);
        attempt.folder().canonicalize().context("find", attempt.folder())?;
        if attempt.find()? == Finding::Tombstoned {
            return Err(Error::GivenUp { id: spec.id.to_string() });
        }
        let mut child = Self::spawn(&attempt, spec, launch, Turn::First)?;
        fault::point("submit.handed-over");
        if let Err(error) = claimed(&attempt, spec, &mut child).await {
            // Whatever the error was: the caller hears that nothing runs.
            let _ = child.kill();
            let _ = child.wait();
            let _ = attempt.bury();
            attempt.end_remains(None);
            return Err(error);
        }
        // Its parent reaps it while this process lives, so that an ended supervisor is no zombie.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Starts a supervisor in the place of one that died, and waits until there is one: this, or another command's.
    pub(super) async fn start_again(&self, job: &JobRef, launch: &Launch) -> Result<(), Error> {
        let attempt = self.of(job);
        let Some(spec) = attempt.spec()? else { return Err(Error::GivenUp { id: job.id.to_string() }) };
        let mut child = Self::spawn(&attempt, &spec, launch, Turn::Again)?;
        let deadline = Instant::now() + CLAIM_LIMIT;
        loop {
            let ended = child.try_wait().map_err(|source| Error::Start { id: job.id.to_string(), source })?.is_some();
            match attempt.find()? {
                Finding::Abandoned { .. } if ended || Instant::now() > deadline => {
                    let said = std::fs::read_to_string(attempt.path("supervisor.log")).unwrap_or_default();
                    return Err(Error::Stillborn { id: job.id.to_string(), said: said.trim().to_owned() });
                }
                Finding::Abandoned { .. } => tokio::time::sleep(Duration::from_millis(2)).await,
                _ => break,
            }
        }
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    fn spawn(attempt: &Attempt, spec: &JobSpec, launch: &Launch, turn: Turn) -> Result<Child, Error> {
        let start = |source| Error::Start { id: spec.id.to_string(), source };
        let folder = attempt.folder().canonicalize().context("find", attempt.folder())?;
        let said = fs::append(attempt.path("supervisor.log"))?;
        let program = std::env::current_exe().map_err(start)?;
        let mut command = Command::new(program);
        // What is secret goes through the pipe, credentials for trackers too: a job may read the variables of its ancestors.
        for name in launch.secrets.keys().chain(&launch.withheld).map(String::as_str).chain(auth::VARIABLES) {
            command.env_remove(name);
        }
        command.arg("supervise").arg(&folder);
        if turn == Turn::Again {
            command.arg("--again");
        }
        let mut child = command
            // A job of its own, also when it is submitted from inside another one.
            .env(remains::OWNER, &folder)
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
        Ok(child)
    }

    /// Asks the supervisor of a job to end it, and waits until the target says that it has ended.
    pub(super) async fn cancel(&self, target: &impl Target, job: &JobRef, at_most: Option<Duration>) -> Result<JobState, Error> {
        let attempt = self.of(job);
        let own = attempt.spec().ok().flatten().map_or(Duration::from_secs(30), |spec| spec.grace);
        let grace = at_most.map_or(own, |limit| limit.min(own));
        let limit = grace + Duration::from_secs(30);
        let begun = Instant::now();
        let mut asked = false;
        loop {
            let presence = target.states(std::slice::from_ref(job)).await?.pop().unwrap_or(Presence::Absent);
            match presence {
                Presence::Present(state) if state.is_ended() => return Ok(state),
                Presence::Absent => {
                    return Ok(JobState::from_outcome(Outcome::before_start(clock::now())));
                }
                Presence::Present(_) | Presence::Unattended | Presence::Unstarted { .. } if begun.elapsed() > limit => {
                    return Err(Error::Unkillable { id: job.id.to_string(), waited: limit });
                }
                Presence::Present(_) | Presence::Unattended | Presence::Unstarted { .. } => {}
            }
            // Whoever cancels does not wait for a tracker that is away.
            if let Some(outcome) = attempt.outcome()? {
                return Ok(JobState::from_outcome(outcome));
            }
            if !asked {
                attempt.ask_to_end(at_most)?;
                asked = true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Copies what the job has left into a folder; see [`Target::collect`]. `home` is what the attempt's folder was to the job.
    pub(super) fn collect(&self, job: &JobRef, home: &Path, into: &Path) -> Result<usize, Error> {
        outputs::copy(&self.of(job), home, into)
    }
}

/// Returns the archive of an attempt's snapshot, the attempt's own or the one that it was made from.
pub(super) fn archive(attempt: &Attempt, spec: &JobSpec) -> Result<PathBuf, Error> {
    let known = [attempt.path("snapshot.zip"), spec.archive.clone()];
    known.into_iter().find(|path| path.exists()).ok_or_else(|| Error::SnapshotGone { id: spec.id.to_string() })
}

/// Waits until a supervisor that was started has claimed its attempt.
async fn claimed(attempt: &Attempt, spec: &JobSpec, child: &mut Child) -> Result<(), Error> {
    let id = || spec.id.to_string();
    let deadline = Instant::now() + CLAIM_LIMIT;
    let mut pause = Duration::from_micros(500);
    loop {
        match attempt.find()? {
            Finding::Unclaimed => {}
            Finding::Tombstoned => return Err(Error::GivenUp { id: id() }),
            Finding::Alive(_) | Finding::Ended(_) | Finding::Abandoned { .. } => return Ok(()),
        }
        let ended = child.try_wait().map_err(|source| Error::Start { id: id(), source })?.is_some();
        if (ended || Instant::now() > deadline) && attempt.bury()? {
            let said = std::fs::read_to_string(attempt.path("supervisor.log")).unwrap_or_default();
            return Err(Error::Stillborn { id: id(), said: said.trim().to_owned() });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Returns the presence of an attempt that its files tell; `None` when its supervisor died, which is the target's to judge.
pub(super) fn presence(attempt: &Attempt) -> Result<Result<Presence, Orphan>, Error> {
    Ok(Ok(match attempt.find()? {
        Finding::Alive(state) => Presence::Present(state),
        Finding::Ended(outcome) => Presence::Present(JobState::from_outcome(outcome)),
        Finding::Tombstoned => Presence::Absent,
        Finding::Unclaimed => {
            if attempt.bury()? {
                Presence::Absent
            } else {
                // A supervisor was faster than the tombstone.
                return presence(attempt);
            }
        }
        Finding::Abandoned { claim, damaged } => return Ok(Err(Orphan { claim, damaged })),
    }))
}

/// An attempt whose supervisor is dead and has left no outcome that can be read.
#[derive(Debug)]
pub(super) struct Orphan {
    /// Who held the claim; `None` when that cannot be read.
    pub(super) claim: Option<crate::job::attempt::Claim>,
    /// The record that is there and cannot be read.
    damaged: Option<&'static str>,
}

impl Orphan {
    /// Returns whether the records that are there can be read.
    pub(super) fn is_readable(&self) -> bool {
        self.damaged.is_none()
    }

    /// Records that the job is lost; nothing of it may run any more.
    pub(super) fn lose(&self, attempt: &Attempt) -> Result<Presence, Error> {
        let detail = match self.damaged {
            None => "its supervisor died; nothing of it is left running".to_owned(),
            Some(name) => {
                let path = attempt.path(name);
                // What is left of it may tell a person more than it tells us.
                let aside = attempt.path(&format!("{name}.damaged"));
                std::fs::copy(&path, &aside).context("copy", &path)?;
                format!(
                    "its record `{}` cannot be read, so how it ended is not known (its log may tell); nothing of it is left running",
                    path.display()
                )
            }
        };
        let started_at = Evidence::read(attempt, None, None, 0).started_at;
        let outcome = Outcome { ending: Ending::Lost, exit_code: None, started_at, ended_at: clock::now(), detail: Some(detail) };
        attempt.write_outcome(&outcome)?;
        Ok(Presence::Present(JobState::Lost(outcome)))
    }
}
