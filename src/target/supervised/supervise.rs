//! The supervisor: holds the claim, has the target's runner run the job, decides the outcome.
//!
//! ```text
//! places in the queues -> claim -> turn -> running -> (TERM, grace, KILL) -> exit.json -> closing acts of the caller -> closed
//! ```

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use super::outcome::{Evidence, decide};
use super::outputs;
use super::turn::{Devices, Places};
use crate::job::attempt::{Attempt, Claim};
use crate::job::{Ending, JobSpec, JobState, Launch, Outcome};
use crate::support::fs::Context;
use crate::support::lock::Lock;
use crate::support::platform;
use crate::support::secret::Secret;
use crate::support::{causes, clock, fault};
use crate::target::Error;

/// Where a process of this machine is for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vicinity {
    /// On the job's own loopback interface.
    Beside,
    /// At this address, on the far side of the job's network.
    Gateway(Ipv4Addr),
    /// On the loopback interface of this machine, which the job reaches by this name.
    Named(&'static str),
}

/// What a job is given by what is started for it.
#[derive(Debug, Default)]
pub struct Given {
    /// Secret variables for its bootstrap.
    pub secrets: BTreeMap<String, Secret>,
    /// Where the relay that it talks to listens.
    pub relay: Option<SocketAddr>,
}

/// One attempt while it is supervised.
#[derive(Debug)]
pub struct Job<'a> {
    /// Its folder.
    pub attempt: &'a Attempt,
    /// What runs.
    pub spec: &'a JobSpec,
    /// The GPUs that it leased here; `None` is what is there.
    pub devices: Devices,
    /// Whether it talks to a relay on this machine.
    pub is_tracked: bool,
}

/// What a runner has its supervisor do.
pub struct Acts<'a> {
    /// Starts what the job talks to, and returns what the bootstrap is to be given.
    pub secrets: &'a dyn Fn(Vicinity) -> Result<Given, Error>,
    /// Says that the bootstrap runs.
    pub started: &'a dyn Fn(),
}

/// The target's part of a supervisor's work. It blocks.
pub trait Runner: Send + Sync {
    /// Starts the bootstrap, calls `acts.started`, watches it, ends it when its time is up or somebody asked, and returns what was seen of
    /// it. `acts.secrets` is called once, as soon as it is known where this machine is for the job.
    fn run(&self, job: &Job<'_>, acts: &Acts<'_>) -> Result<Evidence, Error>;

    /// Returns whether anything of the job has ever run, for a supervisor that takes the place of a dead one.
    fn has_begun(&self, attempt: &Attempt) -> Result<bool, Error> {
        let _ = attempt;
        Ok(true)
    }

    /// Makes sure that nothing of the job runs, also after a failure, and that what it left is in the attempt's folder.
    fn end(&self, job: &Job<'_>);

    /// Removes what is left at the place where the job ran: outcome, log and outputs are kept by now.
    fn clear(&self, job: &Job<'_>) {
        let _ = job;
    }
}

/// What the caller does around the job: it knows the tracker, which this module does not.
///
/// A process that it starts and that must outlive the job's command gets another [`OWNER`](crate::job::remains::OWNER), and is ended by the caller.
pub trait Closing: Send + Sync + 'static {
    /// Is called when it is the job's turn, before anything of it runs; returns what the job is given, or why it cannot run.
    fn before(&self, spec: &JobSpec, closing: &Secret, vicinity: Vicinity) -> Result<Given, String>;

    /// Is called once the command runs, on a thread of its own that nobody waits for: it may still be at work when the process ends.
    fn started(&self, spec: &JobSpec, closing: &Secret);

    /// Is called with the outcome, which is recorded already.
    fn ended(&self, spec: &JobSpec, closing: &Secret, outcome: &Outcome);
}

/// Which supervisor of its attempt this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The one that the job is submitted to.
    First,
    /// One that takes the place of a dead one, on a target whose jobs outlive their supervisors.
    Again,
}

/// Runs an attempt to its end in this process; returns at once when somebody else has claimed it.
///
/// Reads a [`Launch`] from stdin. The process becomes the leader of a session of its own first.
pub fn supervise(folder: &Path, turn: Turn, runner: &dyn Runner, closing: &Arc<impl Closing>) -> Result<(), Error> {
    platform::new_session();
    platform::adopt_orphans();
    let attempt = Attempt::at(folder.canonicalize().context("find", folder)?);
    fault::point("supervisor.before-claim");
    // Who submitted it may go as soon as the claim is there: the environment is held, and the place in the queue taken, before.
    let spec = attempt.spec();
    let known = spec.as_ref().ok().and_then(Option::as_ref);
    let _leases: Vec<Lock> = known.iter().flat_map(|spec| &spec.leases).filter_map(|file| Lock::shared(file).ok()).collect();
    let places = known.map(|spec| (turn == Turn::First).then(|| Places::take(&attempt, spec)).transpose());
    let claim = Claim::of_this_process();
    let taken = match turn {
        Turn::First => attempt.claim(&claim)?,
        Turn::Again => attempt.reclaim(&claim)?,
    };
    let Some(held) = taken else { return Ok(()) };
    fault::point("supervisor.after-claim");
    let mut message = Vec::new();
    let launch: Launch =
        std::io::stdin().read_to_end(&mut message).ok().and_then(|_| serde_json::from_slice(&message).ok()).unwrap_or_default();
    drop(message);
    let places = match (known, turn) {
        (Some(spec), Turn::Again) => match instead(&attempt, spec, runner, &launch)? {
            Instead::Of(places) => Some(Ok(places)),
            Instead::Nothing => return Ok(()),
        },
        _ => places,
    };
    let (Some(spec), Some(places)) = (known, places) else {
        let reason = spec.err().map_or_else(|| "its job description is missing".to_owned(), |error| causes::in_one_line(&error));
        return Ok(attempt.write_outcome(&broken(&reason))?);
    };
    let job = Job { attempt: &attempt, spec, devices: None, is_tracked: launch.closing.is_some() };
    let outcome = attempt
        .reserve()
        .map_err(Error::from)
        .and_then(|()| run(&job, runner, &launch, closing, places?))
        .unwrap_or_else(|error| broken(&causes::in_one_line(&error)));
    runner.end(&job);
    (0..spec.nodes).for_each(|rank| outputs::keep(&attempt.node(rank), spec));
    fault::point("supervisor.after-exit");
    attempt.write_outcome(&outcome)?;
    fault::point("supervisor.after-exit-record");
    runner.clear(&job);
    if let Some(secret) = &launch.closing {
        closing.ended(spec, secret, &outcome);
    }
    fault::point("supervisor.after-close");
    attempt.mark_closed();
    drop(held);
    Ok(())
}

/// What is left to do for a supervisor that takes the place of a dead one.
enum Instead {
    /// To watch over a job that runs, which waits for nothing; or to start one, which has its places in the queues.
    Of(Option<Places>),
    /// Another has done it all.
    Nothing,
}

/// Decides that once, while the claim is held: nobody else starts the job meanwhile.
fn instead(attempt: &Attempt, spec: &JobSpec, runner: &dyn Runner, launch: &Launch) -> Result<Instead, Error> {
    if attempt.outcome()?.is_some() {
        return Ok(Instead::Nothing);
    }
    if runner.has_begun(attempt)? {
        return Ok(Instead::Of(None));
    }
    let is_whole = launch.lacks(spec).is_empty() && (launch.closing.is_some() || !spec.preflight);
    // An end that cannot be read is one of something that ran.
    if !is_whole || attempt.path("exit.json").exists() {
        return Err(Error::GivenUp { id: spec.id.to_string() });
    }
    Ok(Instead::Of(Some(Places::take(attempt, spec)?)))
}

fn broken(detail: &str) -> Outcome {
    Outcome { ending: Ending::Broken, exit_code: None, started_at: None, ended_at: clock::now(), detail: Some(detail.to_owned()) }
}

/// Waits for the job's turn, runs it to its end and says how it ended; its places in the queues are free after.
fn run(job: &Job<'_>, runner: &dyn Runner, launch: &Launch, closing: &Arc<impl Closing>, places: Option<Places>) -> Result<Outcome, Error> {
    let (attempt, spec, mut places) = (job.attempt, job.spec, places);
    let waited = places.as_mut().map(|places| places.wait(attempt, spec)).transpose()?;
    let Some(devices) = waited.unwrap_or(Some(None)) else {
        let detail = Some("it was still queued".to_owned());
        return Ok(Outcome { ending: Ending::Cancelled, exit_code: None, started_at: None, ended_at: clock::now(), detail });
    };
    let job = Job { devices, ..*job };
    let secrets = |vicinity| {
        let mut given = Given { secrets: launch.secrets.clone(), relay: None };
        if let Some(secret) = &launch.closing {
            let made = closing.before(spec, secret, vicinity);
            let made = made.map_err(|reason| Error::Tracking { id: spec.id.to_string(), reason })?;
            given.secrets.extend(made.secrets);
            given.relay = made.relay;
        }
        Ok(given)
    };
    let started = || {
        fault::point("supervisor.started");
        attempt.note_status(&JobState::Running { since: clock::now() });
        fault::point("supervisor.running");
        if let Some(secret) = launch.closing.clone() {
            let (closing, spec) = (Arc::clone(closing), spec.clone());
            // Never joined: a tracker that hangs must not hold up the outcome.
            std::thread::spawn(move || closing.started(&spec, &secret));
        }
    };
    let seen = runner.run(&job, &Acts { secrets: &secrets, started: &started })?;
    Ok(decide(spec, &seen, clock::now()))
}
