//! Copies what a container writes into the log of record.

use std::path::{Path, PathBuf};

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::engine::{Engine, Follow};
use crate::support::fs::{self, Context};
use crate::target::Error;

use super::watch::AWAY;

/// Appends what the container writes to the log, from where the log ends, until the container ends.
pub(super) async fn copy(engine: Engine, id: String, log: PathBuf) {
    loop {
        match follow(&engine, &id, &log, Follow::Yes).await {
            Ok(()) => return,
            // A disk that is full, or an engine that is away: what is missing is copied later.
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
}

/// Copies what is missing from the log of a container that has ended.
pub(super) async fn finish(engine: &Engine, id: &str, log: &Path) -> Result<(), Error> {
    let mut last = Ok(());
    for _ in 0..5 {
        last = follow(engine, id, log, Follow::No).await;
        match last {
            Ok(()) => break,
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
    last
}

async fn follow(engine: &Engine, id: &str, log: &Path, follow: Follow) -> Result<(), Error> {
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
