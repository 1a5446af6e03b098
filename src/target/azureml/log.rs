//! The local copy of a job's log: what the service has beyond it is added to its end.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use url::Url;

use super::blob::{self, Tail};
use super::client::Client;
use super::parse;
use super::{Error, code};
use crate::job::attempt::Attempt;
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;

/// Says that the copy is whole.
const WHOLE: &str = "log-whole";

/// The addresses of logs, each with a proof that ends; never written down.
#[derive(Default)]
pub(super) struct Addresses(Mutex<BTreeMap<(String, u32), Url>>);

impl Addresses {
    fn get(&self, (job, node): (&str, u32)) -> Option<Url> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(job.to_owned(), node)).cloned()
    }

    fn set(&self, (job, node): (&str, u32), url: Option<Url>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match url {
            Some(url) => drop(known.insert((job.to_owned(), node), url)),
            None => drop(known.remove(&(job.to_owned(), node))),
        }
    }
}

/// Returns how many processes a node has: each has a log of its own, and the first one's is the node's.
fn processes(attempt: &Attempt) -> u32 {
    let hosted = attempt.spec().ok().flatten().and_then(|spec| spec.hosted);
    hosted.and_then(|hosted| hosted.asked.distribution).map_or(1, |distribution| distribution.processes())
}

/// Returns the file of a node's copy.
pub(super) fn file(node: &Attempt) -> PathBuf {
    node.path("log")
}

/// Returns whether the copy has all that there will ever be.
pub(super) fn is_whole(node: &Attempt) -> bool {
    node.path(WHOLE).exists()
}

/// Brings the copy up to date. A job that has ended is read to its log's end, once.
pub(super) async fn fetch(client: &Client, attempt: &Attempt, of: (&str, u32), addresses: &Addresses) -> Result<(), Error> {
    let (job, node) = of;
    // Asked first: what is there after the end of the job is all of it.
    let ended = attempt.outcome()?.is_some();
    let folder = attempt.node(node);
    fs::create_private_dir_all(folder.folder())?;
    let lock = folder.path("log.lock");
    let _lock = code::blocking(move || Lock::exclusive(&lock)).await?;
    let mut renewed = 0;
    loop {
        let url = match addresses.get(of) {
            Some(url) => url,
            None => {
                let files = client.details(job).await?.and_then(|details| details.log_files).unwrap_or_default();
                let found = parse::shown_log(&files, node * processes(attempt), ended).and_then(|url| Url::parse(url).ok());
                let Some(url) = found else { break };
                renewed += 1;
                addresses.set(of, Some(url.clone()));
                url
            }
        };
        let path = file(&folder);
        let offset = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        match blob::tail(client.http(), &url, offset).await? {
            Tail::More(bytes) => {
                fs::append(&path)?.write_all(&bytes).context("write", &path)?;
            }
            Tail::Nothing => break,
            // One may end between being given and being used, two do not.
            Tail::Expired if renewed > 1 => {
                let code = "the address that it has just given is not good".to_owned();
                return Err(Error::Storage { act: "read the log".to_owned(), status: 403, code });
            }
            Tail::Expired => addresses.set(of, None),
        }
    }
    if ended {
        // A log that is not there will not come any more either: a job that has said nothing has an empty one.
        fs::append(file(&folder))?;
        let _ = std::fs::write(folder.path(WHOLE), b"");
    }
    Ok(())
}
