//! The supervisor: holds the claim, runs the bootstrap as its child, enforces limits, decides the outcome.
//!
//! ```text
//! places in the queues -> claim -> turn -> running -> (TERM, grace, KILL) -> exit.json -> closing acts of the caller -> closed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::outcome::{Evidence, decide};
use super::turn::Places;
use super::{child, outputs};
use crate::job::attempt::{Attempt, Claim};
use crate::job::{Ending, JobSpec, JobState, Launch, Outcome, remains};
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use crate::support::platform::{self, MemoryGroup};
use crate::support::secret::Secret;
use crate::support::{causes, clock, fault};
use crate::target::Error;

/// What the caller does around the job: it knows the tracker, which this module does not.
///
/// A process that it starts and that must outlive the job's command gets another [`remains::OWNER`], and is ended by the caller.
pub trait Closing: Send + Sync + 'static {
    /// Is called when it is the job's turn, before anything of it runs; returns secret variables for the job, or why it cannot run.
    fn before(&self, spec: &JobSpec, closing: &Secret) -> Result<BTreeMap<String, Secret>, String>;

    /// Is called once the command runs, on a thread of its own that nobody waits for: it may still be at work when the process ends.
    fn started(&self, spec: &JobSpec, closing: &Secret);

    /// Is called with the outcome, which is recorded already.
    fn ended(&self, spec: &JobSpec, closing: &Secret, outcome: &Outcome);
}

/// Runs an attempt to its end in this process; returns at once when somebody else has claimed it.
///
/// Reads a [`Launch`] from stdin. The process becomes the leader of a session of its own first.
pub fn supervise(folder: &Path, closing: &Arc<impl Closing>) -> Result<(), Error> {
    platform::new_session();
    platform::adopt_orphans();
    let attempt = Attempt::at(folder.canonicalize().context("find", folder)?);
    fault::point("supervisor.before-claim");
    // Who submitted it may go as soon as the claim is there: the environment is held, and the place in the queue taken, before.
    let spec = attempt.spec();
    let known = spec.as_ref().ok().and_then(Option::as_ref);
    let _leases: Vec<Lock> = known.iter().flat_map(|spec| &spec.leases).filter_map(|file| Lock::shared(file).ok()).collect();
    let places = known.map(|spec| Places::take(&attempt, spec));
    let own = platform::own_pid();
    let claim = Claim::Supervisor { pid: own, started: platform::start_time(own).unwrap_or(0), boot: platform::boot_id() };
    let Some(held) = attempt.claim(&claim)? else { return Ok(()) };
    fault::point("supervisor.after-claim");
    let mut message = Vec::new();
    let launch: Launch =
        std::io::stdin().read_to_end(&mut message).ok().and_then(|_| serde_json::from_slice(&message).ok()).unwrap_or_default();
    drop(message);
    let (Some(spec), Some(places)) = (known, places) else {
        let reason = spec.err().map_or_else(|| "its job description is missing".to_owned(), |error| causes::in_one_line(&error));
        return Ok(attempt.write_outcome(&broken(&reason))?);
    };
    let job = Job { attempt: &attempt, spec, launch: &launch, closing };
    let outcome =
        attempt.reserve().map_err(Error::from).and_then(|()| job.run(places?)).unwrap_or_else(|error| broken(&causes::in_one_line(&error)));
    remains::end_own(attempt.folder(), BTreeSet::new(), Duration::ZERO);
    outputs::keep(&attempt);
    fault::point("supervisor.after-exit");
    attempt.write_outcome(&outcome)?;
    fault::point("supervisor.after-exit-record");
    if let Some(secret) = &launch.closing {
        closing.ended(spec, secret, &outcome);
    }
    fault::point("supervisor.after-close");
    attempt.mark_closed();
    drop(held);
    Ok(())
}

fn broken(detail: &str) -> Outcome {
    Outcome { ending: Ending::Broken, exit_code: None, started_at: None, ended_at: clock::now(), detail: Some(detail.to_owned()) }
}

/// One attempt while it is supervised.
struct Job<'a, C> {
    attempt: &'a Attempt,
    spec: &'a JobSpec,
    launch: &'a Launch,
    closing: &'a Arc<C>,
}

impl<C: Closing> Job<'_, C> {
    /// Waits for the job's turn, runs it to its end and says how it ended; its places in the queues are free after.
    fn run(&self, places: Places) -> Result<Outcome, Error> {
        let (attempt, spec, mut places) = (self.attempt, self.spec, places);
        let Some(devices) = places.wait(attempt, spec)? else {
            let detail = Some("it was still queued".to_owned());
            return Ok(Outcome { ending: Ending::Cancelled, exit_code: None, started_at: None, ended_at: clock::now(), detail });
        };
        let group = self.memory_group()?;
        let mut secrets = self.launch.secrets.clone();
        if let Some(closing) = &self.launch.closing {
            secrets.extend(self.closing.before(spec, closing).map_err(|reason| Error::Tracking { id: spec.id.to_string(), reason })?);
        }
        child::write_secrets(attempt, &secrets)?;
        fault::point("supervisor.before-command");
        let mut child = child::start(attempt, spec, group.as_ref(), devices.as_deref())?;
        // Kept to the end: its closing tells the bootstrap that its supervisor died.
        let _tie = child.stdin.take();
        fault::point("supervisor.started");
        attempt.note_status(&JobState::Running { since: clock::now() });
        fault::point("supervisor.running");
        if let Some(secret) = self.launch.closing.clone() {
            let (closing, spec) = (Arc::clone(self.closing), spec.clone());
            // Never joined: a tracker that hangs must not hold up the outcome.
            std::thread::spawn(move || closing.started(&spec, &secret));
        }
        let (exit, stop) = child::watch(attempt, spec, child);
        let kills = group.as_ref().and_then(MemoryGroup::kills).unwrap_or(0);
        if let Some(group) = group {
            group.remove();
        }
        // The bootstrap has removed it, unless it did not come so far.
        let _ = fs::remove_file(attempt.path("secrets"));
        Ok(decide(spec, &Evidence::read(attempt, exit, stop, kills), clock::now()))
    }

    /// Makes the cgroup that limits the job's memory. Where it is stands in a file, so that it is found when this process dies.
    fn memory_group(&self) -> Result<Option<MemoryGroup>, Error> {
        let Some(bytes) = self.spec.memory else { return Ok(None) };
        // Another user's or another home's job may have the same id.
        let name = format!("sendoff-{}-a{}-{}", self.spec.id, self.spec.attempt, platform::own_pid());
        let group = MemoryGroup::create(&name, bytes).context("create the cgroup of", self.attempt.folder())?;
        if let Some(group) = &group {
            let file = self.attempt.path("cgroup");
            std::fs::write(&file, group.folder().as_os_str().as_encoded_bytes()).context("write", file)?;
        }
        Ok(group)
    }
}
