//! Runs a job as a child process of its supervisor.

use std::collections::BTreeSet;
use std::time::Duration;

use super::child;
use crate::job::{JobSpec, remains};
use crate::support::fault;
use crate::support::fs::{self, Context};
use crate::support::platform::{self, MemoryGroup};
use crate::target::Error;
use crate::target::supervised::{Acts, Evidence, Job, Runner, Vicinity};

/// The bootstrap as a child process.
#[derive(Debug, Clone, Copy)]
pub struct Process;

impl Runner for Process {
    fn run(&self, job: &Job<'_>, acts: &Acts<'_>) -> Result<Evidence, Error> {
        let (attempt, spec) = (job.attempt, job.spec);
        let group = memory_group(job)?;
        child::write_secrets(attempt, &(acts.secrets)(Vicinity::Beside)?.secrets)?;
        fault::point("supervisor.before-command");
        let mut child = child::start(attempt, spec, group.as_ref(), job.devices.as_deref())?;
        // Kept to the end: its closing tells the bootstrap that its supervisor died.
        let _tie = child.stdin.take();
        (acts.started)();
        let (exit, stop) = child::watch(attempt, spec, child);
        let kills = group.as_ref().and_then(MemoryGroup::kills).unwrap_or(0);
        if let Some(group) = group {
            group.remove();
        }
        // The bootstrap has removed it, unless it did not come so far.
        let _ = fs::remove_file(attempt.path("secrets"));
        Ok(Evidence::read(attempt, exit, stop, kills))
    }

    fn end(&self, job: &Job<'_>) {
        remains::end_own(job.attempt.folder(), BTreeSet::new(), Duration::ZERO);
    }
}

/// Makes the cgroup that limits the job's memory. Where it is stands in a file, so that it is found when this process dies.
fn memory_group(job: &Job<'_>) -> Result<Option<MemoryGroup>, Error> {
    let JobSpec { memory: Some(bytes), id, attempt, .. } = job.spec else { return Ok(None) };
    // Another user's or another home's job may have the same id.
    let name = format!("sendoff-{id}-a{attempt}-{}", platform::own_pid());
    let group = MemoryGroup::create(&name, *bytes).context("create the cgroup of", job.attempt.folder())?;
    if let Some(group) = &group {
        let file = job.attempt.path("cgroup");
        std::fs::write(&file, group.folder().as_os_str().as_encoded_bytes()).context("write", file)?;
    }
    Ok(group)
}
