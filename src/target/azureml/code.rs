//! The source directory as a code asset: found by its hash, or uploaded from the snapshot and registered.
//!
//! ```text
//! archive -> hash -> known? -> its id
//!                 -> new:  place -> files in parallel, each compared by storage -> registered -> its id
//! ```

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;

use super::Error;
use super::archive::Archive;
use super::blob::{Container, Written};
use super::client::Client;
use crate::support::fs;

/// The folder of the files in their container.
const FOLDER: &str = "code";
/// How many uploads go on at once.
const AT_ONCE: usize = 16;
/// The size of a part of a large file; a file up to twice of it goes as a whole.
const PART: usize = 8 << 20;
/// How often an upload begins anew because storage refuses the address that it had given.
const ATTEMPTS: u32 = 3;

/// Something to upload.
enum Piece {
    /// A whole file.
    File { path: String, bytes: Vec<u8> },
    /// A part of one.
    Part { path: String, number: u32, bytes: Vec<u8> },
}

/// What is known of a snapshot for the service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Facts {
    /// The hash by which the service knows it.
    pub(super) hash: String,
    /// The files that may be executed.
    pub(super) executables: Vec<String>,
}

/// Returns what is known of a snapshot, which is read once: its id says what is in it.
pub(super) async fn facts(cache: &Path, snapshot: &str, archive: &Path) -> Result<Facts, Error> {
    let file = cache.join("azureml").join(format!("{snapshot}.json"));
    if let Some(known) = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(known);
    }
    let archive = archive.to_owned();
    blocking(move || {
        let mut archive = Archive::open(&archive)?;
        let facts = Facts { hash: archive.hash()?, executables: archive.executables().to_vec() };
        let text = serde_json::to_vec(&facts).expect("plain data of ours always serialises");
        // A cache that cannot be written costs time, nothing else.
        if let Some(folder) = file.parent() {
            let _ = fs::create_private_dir_all(folder).and_then(|()| fs::write_atomic(&file, &text));
        }
        Ok(facts)
    })
    .await
}

/// Returns the id of the code asset, which is made if the workspace has none of this hash.
pub(super) async fn ensure(client: &Client, archive: &Path, hash: &str) -> Result<String, Error> {
    let name = name(hash);
    if let Some(id) = client.code(&name, hash).await? {
        return Ok(id.to_string());
    }
    let mut status = 0;
    for _ in 0..ATTEMPTS {
        let upload = client.start_upload(&name).await?;
        let container = Container::new(client.http(), upload.sas);
        match send_all(&container, archive).await? {
            Written::Yes => {
                let uri = format!("{}/{FOLDER}", upload.container);
                return match client.put_code(&name, &uri, hash).await? {
                    Some(id) => Ok(id),
                    // Somebody else was first with the same files.
                    None => client.code(&name, hash).await?.map(|id| id.to_string()).ok_or(Error::Expired { status: 409 }),
                };
            }
            Written::Expired(refused) => status = refused,
        }
    }
    Err(Error::Expired { status })
}

/// Returns the name of a code asset: the hash in the form of the names that the service's own client makes up, so that two of us make one.
fn name(hash: &str) -> String {
    let part = |range: std::ops::Range<usize>| hash.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// Uploads all files of an archive; stops when the proof is not good any more.
async fn send_all(container: &Container, archive: &Path) -> Result<Written, Error> {
    let (sender, mut receiver) = mpsc::channel::<Piece>(AT_ONCE);
    let reading = {
        let archive: PathBuf = archive.to_owned();
        tokio::task::spawn_blocking(move || read_all(&archive, &sender))
    };
    let pieces = stream::poll_fn(|context| receiver.poll_recv(context));
    let sent = pieces
        .map(|piece| async {
            match piece {
                Piece::File { path, bytes } => container.put(&format!("{FOLDER}/{path}"), Bytes::from(bytes)).await,
                Piece::Part { path, number, bytes } => container.put_block(&format!("{FOLDER}/{path}"), number, Bytes::from(bytes)).await,
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(Written::Yes, async |sum, written| Ok(if sum == Written::Yes { written } else { sum }))
        .await;
    drop(receiver);
    let parts = match reading.await {
        Ok(parts) => parts,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    if let expired @ Written::Expired(_) = sent? {
        return Ok(expired);
    }
    for (path, blocks) in parts? {
        if let expired @ Written::Expired(_) = container.put_block_list(&format!("{FOLDER}/{path}"), blocks).await? {
            return Ok(expired);
        }
    }
    Ok(Written::Yes)
}

/// Reads an archive into the channel, as fast as that is emptied; returns the files that go by parts, with how many each has.
fn read_all(archive: &Path, sender: &mpsc::Sender<Piece>) -> Result<Vec<(String, u32)>, Error> {
    let mut archive = Archive::open(archive)?;
    let mut parts = Vec::new();
    for (path, size) in archive.files() {
        let whole = size <= 2 * PART as u64;
        let mut number = 0;
        archive.read(&path, if whole { 2 * PART } else { PART }, |bytes| {
            let path = path.clone();
            let piece = if whole { Piece::File { path, bytes } } else { Piece::Part { path, number, bytes } };
            number += 1;
            // Nobody hears any more: the upload has stopped.
            let _ = sender.blocking_send(piece);
            Ok(())
        })?;
        if sender.is_closed() {
            break;
        }
        if !whole {
            parts.push((path, number));
        }
    }
    Ok(parts)
}

/// Does blocking work on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_the_hash_alone() {
        assert_eq!(name("24804113f0169dbb70b3aa7d87556116625877ce"), "24804113-f016-9dbb-70b3-aa7d87556116");
    }
}
