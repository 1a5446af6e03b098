//! Follows a job: its log to the last byte, then its end.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use super::{Error, Jobs};
use crate::job::{JobState, Record};
use crate::support::fs::Context;
use crate::target::Target;

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

/// Waits until a job has ended, showing its log when asked, and returns its last record.
///
/// Polls: often at first, so that a short job costs no waiting, and at most every 100 ms.
pub async fn follow(jobs: &mut Jobs, record: Record, mut out: Option<&mut (dyn Write + Send)>) -> Result<Record, Error> {
    let mut record = record;
    let mut offset = 0;
    let mut pause = Duration::from_millis(2);
    let mut quiet = 0_u32;
    loop {
        let target = jobs.target(&record);
        let reference = Jobs::reference(&record);
        let log = target.log(&reference);
        // The state is asked first: what an ended job wrote is then all there.
        let state = if record.state.is_ended() {
            record.state.clone()
        } else {
            match target.states(std::slice::from_ref(&reference)).await?.pop() {
                Some(crate::target::Presence::Present(state)) => state,
                _ => JobState::Preparing,
            }
        };
        if let Some(out) = out.as_deref_mut() {
            let next = print_log(&log, offset, out).context("show", &log).map_err(crate::job::Error::File)?;
            quiet = if next == offset { quiet + 1 } else { 0 };
            offset = next;
        }
        if state.is_ended() {
            record = jobs.refresh(record).await?;
            return Ok(record);
        }
        if state != record.state {
            record.state = record.state.clone().observed(state);
        }
        pause = if quiet == 0 { Duration::from_millis(2) } else { (pause * 5 / 4).min(Duration::from_millis(100)) };
        tokio::time::sleep(pause.max(Duration::from_millis(2))).await;
    }
}
