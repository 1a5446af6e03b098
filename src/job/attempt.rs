//! The folder of one attempt, and the claim that lets exactly one supervisor run it.
//!
//! ```text
//! jobs/<id>/job.json                  the record, for rebuilding the store
//! jobs/<id>/attempt-<n>/claim         made by hard link from a locked file: there from birth to ever, locked while the supervisor lives
//!                      /spec.json     the job spec
//!                      /bootstrap.sh  what runs
//!                      /log           stdout and stderr, in order of arrival
//!                      /status.json   the supervisor's word on queued and running
//!                      /exit.json     the outcome
//!                      /cancel        its presence asks the supervisor to end the job, a number in it is the longest grace in milliseconds
//!                      /cgroup        the path of its cgroup, while it has one
//!                      /collected/    outputs
//!                      /nodes.json    how the nodes stand, of a job with several
//!                      /node-<rank>/  the same of each node but the first: log, collected, what the target keeps
//!                      /keep          its presence keeps the place where it ran
//! ```

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, JobId, JobSpec, JobState, NodeState, Outcome, remains};
use crate::support::fs::{self, Context};
use crate::support::platform::{self, MemoryGroup};
use crate::support::{clock, lock};

/// The folder of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    folder: PathBuf,
}

/// Who holds a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Claim {
    /// A supervisor.
    Supervisor {
        /// Its process id, which is its session's id too.
        pid: i32,
        /// When it started, in ticks since boot.
        started: u64,
        /// The boot in which this holds.
        boot: String,
    },
    /// Somebody who concluded that there is no job: a late supervisor must not start.
    Tombstone,
}

impl Claim {
    /// Returns the claim of a supervisor that is this process.
    pub fn of_this_process() -> Self {
        let pid = platform::own_pid();
        Self::Supervisor { pid, started: platform::start_time(pid).unwrap_or(0), boot: platform::boot_id() }
    }
}

/// What the files of an attempt say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Nobody claimed it.
    Unclaimed,
    /// It was given up before it started.
    Tombstoned,
    /// Its supervisor lives; the state it last wrote.
    Alive(JobState),
    /// It ended.
    Ended(Outcome),
    /// Its supervisor is gone and has left no outcome that can be read.
    Abandoned {
        /// Who held the claim; `None` when that cannot be read.
        claim: Option<Claim>,
        /// The record that is there and cannot be read.
        damaged: Option<&'static str>,
    },
}

impl Attempt {
    /// Names the folder of an attempt; creates nothing.
    pub fn new(data: &Path, id: &JobId, number: u32) -> Self {
        Self { folder: job_folder(data, id).join(format!("attempt-{number}")) }
    }

    /// Takes an attempt folder by its path.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the folder of a node: that of the first is the attempt's own, in it are those of the others.
    #[must_use]
    pub fn node(&self, rank: u32) -> Self {
        if rank == 0 { self.clone() } else { Self::at(self.path(&format!("node-{rank}"))) }
    }

    /// Returns a path inside the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Claims the attempt for this process; `None` when somebody was first.
    ///
    /// The claim appears locked: the file is locked under another name and linked to its own.
    pub fn claim(&self, claim: &Claim) -> Result<Option<lock::Lock>, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let own = self.path(&format!(".claim-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        fs::remove_file(&own)?;
        let Some(held) = lock::Lock::try_exclusive(&own)? else { return Ok(None) };
        fs::write_in_place(&own, &to_json(claim))?;
        let linked = std::fs::hard_link(&own, self.path("claim"));
        fs::remove_file(&own)?;
        match linked {
            Ok(()) => Ok(Some(held)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(Error::File(Err::<(), _>(error).context("create", self.path("claim")).expect_err("it is an error"))),
        }
    }

    /// Takes over the claim of a supervisor that died; `None` when one lives, or has taken it over already.
    pub fn reclaim(&self, claim: &Claim) -> Result<Option<lock::Lock>, Error> {
        let path = self.path("claim");
        let Some(held) = lock::Lock::try_exclusive(&path)? else { return Ok(None) };
        fs::write_in_place(&path, &to_json(claim))?;
        Ok(Some(held))
    }

    /// Takes the claim so that no supervisor can start any more; returns whether nobody had it before.
    pub fn bury(&self) -> Result<bool, Error> {
        fs::create_private_dir_all(&self.folder)?;
        Ok(self.claim(&Claim::Tombstone)?.is_some())
    }

    /// Returns when it was claimed last.
    pub fn claimed_at(&self) -> Timestamp {
        let time = std::fs::metadata(self.path("claim")).and_then(|metadata| metadata.modified()).ok();
        time.and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_else(clock::now)
    }

    /// Reads what the files say, in an order that cannot mistake a job that just ends for one that is gone.
    ///
    /// A record that cannot be read says nothing; the lock of the claim still does.
    pub fn find(&self) -> Result<Finding, Error> {
        let claim = match self.read::<Claim>("claim") {
            Ok(None) => return Ok(Finding::Unclaimed),
            Ok(Some(Claim::Tombstone)) => return Ok(Finding::Tombstoned),
            claim => readable(claim)?,
        };
        let alive = lock::is_held(&self.path("claim"))?;
        // Read after the lock was asked: what a supervisor that is gone has written is all there.
        let ended = readable(self.read::<Outcome>("exit.json"))?;
        match ended {
            // The outcome stands, but whoever waits for it waits for the supervisor's last acts too.
            Some(outcome) if !alive || self.path("closed").exists() => Ok(Finding::Ended(outcome)),
            None if !alive => {
                let damaged = if claim.is_none() { Some("claim") } else { self.path("exit.json").exists().then_some("exit.json") };
                Ok(Finding::Abandoned { claim, damaged })
            }
            _ => {
                let state = readable(self.read::<JobState>("status.json"))?;
                Ok(Finding::Alive(state.unwrap_or(JobState::Submitted { at: clock::now() })))
            }
        }
    }

    /// Returns the outcome, once it is recorded: nothing of the job runs any more, and its supervisor may still be telling the tracker.
    pub fn outcome(&self) -> Result<Option<Outcome>, Error> {
        readable(self.read::<Outcome>("exit.json"))
    }

    /// Ends what an abandoned attempt may have left running, and returns whether nothing is left.
    pub fn end_remains(&self, claim: Option<&Claim>) -> bool {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        let ended = remains::end(|| remains::of_abandoned(&folder, claim), BTreeSet::new(), Duration::ZERO);
        if ended {
            if let Ok(group) = std::fs::read_to_string(self.path("cgroup")) {
                MemoryGroup::at(group.into()).remove();
            }
            // The bootstrap removes it once it has read it; this one may not have come so far.
            let _ = fs::remove_file(self.path("secrets"));
        }
        ended
    }

    /// Writes the job spec.
    pub fn write_spec(&self, spec: &JobSpec) -> Result<(), Error> {
        Ok(fs::write_private(self.path("spec.json"), &to_json(spec))?)
    }

    /// Reads the job spec.
    pub fn spec(&self) -> Result<Option<JobSpec>, Error> {
        self.read("spec.json")
    }

    /// Records a state on the way. It is for people who look; that a full disk does not take it must not end the job.
    pub fn note_status(&self, state: &JobState) {
        let temporary = self.path(".status.json");
        // Not synced: after a power failure the boot id tells that nothing runs.
        let _ = std::fs::write(&temporary, to_json(state)).and_then(|()| std::fs::rename(&temporary, self.path("status.json")));
    }

    /// Records how the nodes stand, for people who look.
    pub fn note_nodes(&self, nodes: &[NodeState]) {
        let temporary = self.path(".nodes.json");
        let _ = std::fs::write(&temporary, to_json(&nodes)).and_then(|()| std::fs::rename(&temporary, self.path("nodes.json")));
    }

    /// Returns how the nodes stand, of a job with several; nothing before they are there.
    pub fn nodes(&self) -> Vec<NodeState> {
        readable(self.read("nodes.json")).ok().flatten().unwrap_or_default()
    }

    /// Returns the state on the way that was noted last.
    pub fn noted_status(&self) -> Option<JobState> {
        self.read("status.json").ok().flatten()
    }

    /// Records the outcome. Space for it was set aside by [`Attempt::reserve`].
    pub fn write_outcome(&self, outcome: &Outcome) -> Result<(), Error> {
        fs::remove_file(self.path(".reserve"))?;
        Ok(fs::write_private(self.path("exit.json"), &to_json(outcome))?)
    }

    /// Sets space aside so that the outcome can be recorded on a disk that the job's log has filled.
    pub fn reserve(&self) -> Result<(), Error> {
        let path = self.path(".reserve");
        // A supervisor that died may have set it aside.
        fs::remove_file(&path)?;
        let mut file = fs::create_new(&path)?;
        file.write_all(&vec![0x5a; 32 * 1024]).and_then(|()| file.sync_data()).context("write", &path)?;
        Ok(())
    }

    /// Asks the supervisor to end the job, within a grace shorter than the job's own when one is given.
    pub fn ask_to_end(&self, at_most: Option<Duration>) -> Result<(), Error> {
        let text = at_most.map(|grace| grace.as_millis().to_string()).unwrap_or_default();
        Ok(fs::write_private(self.path("cancel"), text.as_bytes())?)
    }

    /// Returns how long the job may take to end: its own grace, or less when whoever cancelled it cannot wait that long.
    pub fn grace(&self, own: Duration) -> Duration {
        let text = std::fs::read_to_string(self.path("cancel")).unwrap_or_default();
        text.trim().parse().map_or(own, |limit| own.min(Duration::from_millis(limit)))
    }

    /// Asks that the place where the job runs stays when it has ended; heeded until then.
    pub fn ask_to_keep(&self) -> Result<(), Error> {
        Ok(fs::write_private(self.path("keep"), b"")?)
    }

    /// Returns whether the place where the job runs stays.
    pub fn is_kept(&self) -> bool {
        self.path("keep").exists()
    }

    /// Says that the supervisor has nothing left to do.
    pub fn mark_closed(&self) {
        let _ = std::fs::write(self.path("closed"), b"");
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|source| Error::Record { path, source }),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Takes a record that is there and cannot be parsed for one that says nothing.
fn readable<T>(read: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(Error::Record { .. }) => Ok(None),
        read => read,
    }
}

/// Returns the folder of a job.
pub fn job_folder(data: &Path, id: &JobId) -> PathBuf {
    data.join("jobs").join(id.as_str())
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("plain data of ours always serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> Claim {
        Claim::Supervisor { pid: 1, started: 1, boot: "elsewhere".into() }
    }

    #[test]
    fn a_claim_is_taken_once_and_held_for_life() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        assert_eq!(attempt.find().expect("readable"), Finding::Unclaimed);
        let held = attempt.claim(&supervisor()).expect("writable").expect("nobody was first");
        assert!(attempt.claim(&supervisor()).expect("writable").is_none());
        assert!(matches!(attempt.find().expect("readable"), Finding::Alive(_)));
        drop(held);
        assert_eq!(attempt.find().expect("readable"), Finding::Abandoned { claim: Some(supervisor()), damaged: None });
    }

    #[test]
    fn a_tombstone_keeps_late_supervisors_away() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        assert!(attempt.bury().expect("writable"));
        assert!(attempt.claim(&supervisor()).expect("writable").is_none());
        assert_eq!(attempt.find().expect("readable"), Finding::Tombstoned);
    }

    #[test]
    fn who_cannot_wait_shortens_the_grace_and_never_lengthens_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        let own = Duration::from_secs(30);
        assert_eq!(attempt.grace(own), own);
        for (asked, expected) in [(None, own), (Some(Duration::from_secs(2)), Duration::from_secs(2)), (Some(Duration::from_mins(1)), own)]
        {
            attempt.ask_to_end(asked).expect("writable");
            assert_eq!(attempt.grace(own), expected);
        }
    }

    #[test]
    fn the_claim_of_a_dead_supervisor_is_taken_over_by_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        let first = attempt.claim(&supervisor()).expect("writable").expect("nobody was first");
        let second = Claim::Supervisor { pid: 2, started: 2, boot: "here".into() };
        assert!(attempt.reclaim(&second).expect("readable").is_none(), "the first one lives");
        drop(first);
        let held = attempt.reclaim(&second).expect("writable").expect("the first one is dead");
        assert!(attempt.reclaim(&second).expect("readable").is_none());
        assert!(matches!(attempt.find().expect("readable"), Finding::Alive(_)));
        drop(held);
        assert_eq!(attempt.find().expect("readable"), Finding::Abandoned { claim: Some(second), damaged: None });
    }

    #[test]
    fn of_many_claimants_one_wins() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        // The locks are kept until all have tried, as those of living supervisors are.
        let won: Vec<_> = std::thread::scope(|scope| {
            let claimants: Vec<_> = (0..8).map(|_| scope.spawn(|| attempt.claim(&supervisor()).expect("writable"))).collect();
            claimants.into_iter().filter_map(|claimant| claimant.join().expect("no panic")).collect()
        });
        assert_eq!(won.len(), 1);
    }

    #[test]
    fn records_that_cannot_be_read_do_not_hide_how_an_attempt_stands() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        let held = attempt.claim(&supervisor()).expect("writable").expect("nobody was first");
        std::fs::write(attempt.path("status.json"), "{\"state\":").expect("writable");
        std::fs::write(attempt.path("exit.json"), "").expect("writable");
        assert!(matches!(attempt.find().expect("readable"), Finding::Alive(JobState::Submitted { .. })));
        drop(held);
        assert_eq!(attempt.find().expect("readable"), Finding::Abandoned { claim: Some(supervisor()), damaged: Some("exit.json") });
        std::fs::write(attempt.path("claim"), "{}").expect("writable");
        assert_eq!(attempt.find().expect("readable"), Finding::Abandoned { claim: None, damaged: Some("claim") });
    }

    #[test]
    fn an_outcome_stands_before_the_supervisor_is_gone_but_is_told_after_its_last_acts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let attempt = Attempt::at(folder.path().to_owned());
        let held = attempt.claim(&supervisor()).expect("writable").expect("nobody was first");
        let outcome = Outcome {
            ending: crate::job::Ending::Exited,
            exit_code: Some(0),
            started_at: None,
            ended_at: jiff::Timestamp::UNIX_EPOCH,
            detail: None,
        };
        attempt.write_outcome(&outcome).expect("writable");
        assert!(matches!(attempt.find().expect("readable"), Finding::Alive(_)));
        attempt.mark_closed();
        assert_eq!(attempt.find().expect("readable"), Finding::Ended(outcome));
        drop(held);
    }
}
