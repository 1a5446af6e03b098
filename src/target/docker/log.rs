//! Copies what a container writes into the log of record.

use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::engine::{Engine, Follow};
use crate::support::fs::{self, Context};
use crate::target::Error;

use super::watch::AWAY;

/// How often the log of a container that has ended is tried to be copied.
const TRIES: u32 = 5;

/// Appends what the container writes to the log, from where the log ends, until the container ends. All of it is there then, or an error
/// says what is in the way.
pub(super) async fn copy(engine: Engine, id: String, log: PathBuf) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        let Err(error) = append(&engine, &id, &log, Follow::Yes).await else { return Ok(()) };
        // A disk that is full, or an engine that is away: there is time as long as the container runs.
        let has_ended = engine.inspect(&id).await.is_ok_and(|container| container.is_none_or(|container| container.has_ended()));
        tries += u32::from(has_ended);
        if tries == TRIES {
            return Err(error);
        }
        tokio::time::sleep(AWAY).await;
    }
}

/// Appends what the container has written by now, from where the log ends. Nobody else may copy it meanwhile.
pub(super) async fn so_far(engine: &Engine, id: &str, log: &Path) -> Result<(), Error> {
    append(engine, id, log, Follow::No).await
}

async fn append(engine: &Engine, id: &str, log: &Path, follow: Follow) -> Result<(), Error> {
    let file = fs::append(log)?;
    let skip = file.metadata().context("read", log)?.len();
    let mut file = tokio::fs::File::from_std(file);
    let mut pieces = std::pin::pin!(engine.logs(id, skip, follow)?);
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).await.context("write", log)?;
        file.flush().await.context("write", log)?;
    }
    Ok(())
}
