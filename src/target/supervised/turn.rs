//! Waits for a job's turn: in the queue of its machine, then for the GPUs that it asks for.

use std::path::PathBuf;
use std::time::Duration;

use super::queue::Ticket;
use crate::job::attempt::Attempt;
use crate::job::{JobSpec, JobState};
use crate::support::fs;
use crate::support::{clock, fault, platform, words};

/// A job's places in the queues, kept until dropped.
#[derive(Debug)]
pub(super) struct Places {
    queues: PathBuf,
    queue: Option<(String, u32, Ticket)>,
    lease: Option<Ticket>,
    wanted: usize,
}

/// The GPUs that a job may see; `None` is what is there.
pub type Devices = Option<Vec<u32>>;

impl Places {
    /// Takes the places of a job. Who is submitted later takes later ones when this is done before the client hears that the job is there.
    pub(super) fn take(attempt: &Attempt, spec: &JobSpec) -> Result<Self, fs::Error> {
        // `<data>/jobs/<id>/attempt-<n>`: the queues are beside the jobs.
        let queues = attempt.folder().ancestors().nth(3).unwrap_or(attempt.folder()).join("queues");
        let queue = match &spec.queue {
            Some((name, limit)) => Some((name.clone(), *limit, Ticket::take(&queues.join(name))?)),
            None => None,
        };
        let mut places = Self { queues, queue, lease: None, wanted: spec.gpus.unwrap_or(0) as usize * spec.nodes as usize };
        if places.queue.is_none() {
            places.ask_for_gpus()?;
        }
        Ok(places)
    }

    fn ask_for_gpus(&mut self) -> Result<(), fs::Error> {
        if self.wanted > 0 && self.lease.is_none() {
            self.lease = Some(Ticket::take(&self.queues.join("gpu-leases"))?);
        }
        Ok(())
    }

    /// Waits until the job may run; `None` when it was cancelled before.
    pub(super) fn wait(&mut self, attempt: &Attempt, spec: &JobSpec) -> Result<Option<Devices>, fs::Error> {
        let since = clock::now();
        let mut shown = None;
        loop {
            let reason = match self.advance(spec)? {
                Ok(devices) => return Ok(Some(devices)),
                Err(reason) => reason,
            };
            if attempt.path("cancel").exists() {
                return Ok(None);
            }
            if shown.as_ref() != Some(&reason) {
                attempt.note_status(&JobState::Queued { since, reason: reason.clone() });
                shown = Some(reason);
                fault::point("supervisor.queued");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the devices when it is the job's turn, else for what it waits.
    fn advance(&mut self, spec: &JobSpec) -> Result<Result<Devices, String>, fs::Error> {
        if let Some((name, limit, ticket)) = &self.queue {
            let ahead = ticket.ahead()?;
            if ahead >= *limit as usize {
                return Ok(Err(format!("{} before it on `{name}`, which runs {limit} at once", words::Count(ahead, "job"))));
            }
        }
        // A job that waits for its queue does not stand in the way of those that wait for GPUs only.
        self.ask_for_gpus()?;
        let Some(lease) = &self.lease else { return Ok(Ok(spec.gpus.map(|_| Vec::new()))) };
        Ok(match lease.lease(&platform::gpu_devices(), self.wanted)? {
            Some(leased) => Ok(Some(leased)),
            None => Err(format!("{} to become free", words::Count(self.wanted, "GPU"))),
        })
    }
}
