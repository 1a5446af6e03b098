//! What an attempt has running, and its end.
//!
//! A process belongs to an attempt when it is below the supervisor, which adopts what is orphaned; or, once the supervisor is dead, when
//! it is in the supervisor's session, in the job's cgroup, or was started with the attempt's folder in [`OWNER`]. So a process that calls
//! `setsid` does not get away. One that also wipes its variables is found while the supervisor lives, or by the cgroup.
//!
//! Who starts something that must outlive the job (a job submitted from inside a job, say) gives it another [`OWNER`].

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::attempt::Claim;
use crate::support::platform::{self, MemoryGroup, Process, Signal};

/// The variable that names whose a process is: the folder of its attempt.
pub const OWNER: &str = "SENDOFF_OWNER";

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the living processes of the attempt that this process supervises. What has another owner is not part of it.
pub fn of_supervisor(folder: &Path) -> Vec<Process> {
    let spared = |pid| platform::variable(pid, OWNER).is_some_and(|owner| owner != folder.as_os_str());
    platform::descendants(platform::own_pid(), |process| spared(process.pid))
}

/// Sends TERM once to everything below this supervisor, and returns what was there. `group` is the bootstrap's process group.
pub fn ask(folder: &Path, group: i32) -> BTreeSet<i32> {
    let found = of_supervisor(folder);
    // The group in one call: nothing of it can slip away by forking in between.
    platform::signal_group(group, Signal::Term);
    for process in found.iter().filter(|process| process.group != group) {
        platform::signal_process(process.pid, Signal::Term);
    }
    found.into_iter().map(|process| process.pid).collect()
}

/// Ends everything below this supervisor: see [`end`].
pub fn end_own(folder: &Path, asked: BTreeSet<i32>, grace: Duration) -> bool {
    end(|| of_supervisor(folder).into_iter().map(|process| process.pid).collect(), asked, grace)
}

/// Returns the living processes of an attempt whose supervisor is dead; `claim` is `None` when it cannot be read.
pub fn of_abandoned(folder: &Path, claim: Option<&Claim>) -> Vec<i32> {
    let mut found: BTreeSet<i32> = platform::processes_with(OWNER, folder).into_iter().map(|process| process.pid).collect();
    if let Some(Claim::Supervisor { pid, boot, .. }) = claim
        && *boot == platform::boot_id()
    {
        found.extend(platform::session_members(*pid).into_iter().map(|process| process.pid));
    }
    if let Ok(group) = std::fs::read_to_string(folder.join("cgroup")) {
        found.extend(MemoryGroup::at(group.into()).members());
    }
    found.remove(&platform::own_pid());
    found.into_iter().collect()
}

/// Ends processes until none is left: TERM to those that were not `asked` yet, a grace, then KILL. Returns whether none is left.
pub fn end(find: impl Fn() -> Vec<i32>, asked: BTreeSet<i32>, grace: Duration) -> bool {
    let begun = Instant::now();
    let mut asked = asked;
    let mut pause = Duration::from_millis(1);
    loop {
        let rest = find();
        if rest.is_empty() {
            return true;
        }
        let elapsed = begun.elapsed();
        if elapsed > grace + PATIENCE {
            return false;
        }
        for pid in rest {
            if elapsed >= grace {
                platform::signal_process(pid, Signal::Kill);
            } else if asked.insert(pid) {
                platform::signal_process(pid, Signal::Term);
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
