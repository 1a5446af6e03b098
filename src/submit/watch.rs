//! Follows a job: its log to the last byte, then its end.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use super::{Error, Jobs};
use crate::job::{JobState, Record};
use crate::support::fs::Context;
use crate::target::Presence;

/// Copies what a log has from an offset on; returns the new offset. A log that is not there yet has nothing.
pub fn print_log(path: &Path, offset: u64, out: &mut (dyn Write + Send)) -> std::io::Result<u64> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(offset),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() <= offset {
        return Ok(offset);
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0; 1 << 18];
    let mut offset = offset;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        out.write_all(&buffer[..count])?;
        offset += count as u64;
    }
    out.flush()?;
    Ok(offset)
}

/// Somebody's view of a job that goes on. It may be left and taken up again: what was shown once is not shown again.
#[derive(Debug)]
pub struct Watch {
    record: Record,
    node: u32,
    offset: u64,
    /// How often it had the job watched over again.
    attended: u32,
}

/// How many supervisors of one job may die before its watcher leaves it alone.
const SUPERVISORS: u32 = 5;

impl Watch {
    /// Begins at the log's first byte.
    pub fn new(record: Record) -> Self {
        Self { record, node: 0, offset: 0, attended: 0 }
    }

    /// Shows the log of another node than the first.
    #[must_use]
    pub fn of_node(self, node: u32) -> Self {
        Self { node, ..self }
    }

    /// Waits until the job has ended, showing its log when asked, and returns its last record. Dropping the future is safe.
    ///
    /// Polls as often as the target may be asked: often at first, so that a job costs no waiting that anybody would feel beside the time that it
    /// takes.
    pub async fn to_end(&mut self, jobs: &mut Jobs, mut out: Option<&mut (dyn Write + Send)>) -> Result<Record, Error> {
        let begun = Instant::now();
        let target = jobs.target(&self.record);
        let reference = Jobs::reference(&self.record);
        let pace = target.pace();
        loop {
            let log = target.log(&reference, self.node);
            // The state is asked first: what an ended job wrote is then all there.
            let state = if self.record.state.is_ended() {
                self.record.state.clone()
            } else {
                match self.seen(jobs).await? {
                    Presence::Present(state) => state,
                    _ => JobState::Preparing,
                }
            };
            let mut quiet = true;
            if let Some(shown) = out.as_deref_mut() {
                target.fetch_log(&reference, self.node).await?;
                match print_log(&log, self.offset, shown) {
                    Ok(next) => {
                        quiet = next == self.offset;
                        self.offset = next;
                    }
                    // The reader went away (`| head`): the job's end is still worth waiting for.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => out = None,
                    Err(error) => return Err(error).context("show", &log).map_err(crate::job::Error::File)?,
                }
            }
            if state.is_ended() {
                return jobs.refresh(self.record.clone()).await;
            }
            self.record.state = self.record.state.clone().observed(state);
            tokio::time::sleep(if quiet { (begun.elapsed() / 32).clamp(pace.shortest, pace.longest) } else { pace.shortest }).await;
        }
    }

    /// Asks about the job, and has it watched over again when its supervisor died.
    async fn seen(&mut self, jobs: &Jobs) -> Result<Presence, Error> {
        let seen = jobs.look(&self.record).await?;
        let id = || self.record.id.to_string();
        match &seen {
            Presence::Present(_) | Presence::Absent => return Ok(seen),
            Presence::Unattended => {}
            Presence::Unstarted { .. } => {
                if let Some(reason) = jobs.unstartable(&self.record) {
                    return Err(Error::Unstarted { id: id(), reason });
                }
            }
        }
        if self.attended == SUPERVISORS {
            return Err(Error::Unattended { id: id(), count: SUPERVISORS });
        }
        self.attended += 1;
        jobs.attend(&self.record, seen).await
    }
}
