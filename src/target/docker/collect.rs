//! Brings what a container holds to this machine: what its bootstrap wrote down, and what the job left.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::engine::{self, Engine};
use crate::job::attempt::Attempt;
use crate::support::fs::{self, Context};
use crate::target::Error;

use super::archive::Pull;
use super::place;

/// Bytes of what a bootstrap may have written down.
const STATE_LIMIT: u64 = 1 << 20;

/// Returns what the bootstrap wrote down, with the times of its files; nothing of a container that is gone.
pub(super) async fn state(engine: &Engine, id: &str) -> Result<BTreeMap<String, (String, Timestamp)>, engine::Error> {
    let mut bytes = Vec::new();
    let mut stream = std::pin::pin!(engine.get(id, &format!("{}/state", place::HOME))?);
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(engine::Error::Missing { .. }) => break,
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > STATE_LIMIT {
            break;
        }
    }
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries().into_iter().flatten().flatten() {
        let name = entry.path().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        let time = entry.header().mtime().ok().and_then(|time| Timestamp::from_second(i64::try_from(time).ok()?).ok());
        let mut text = String::new();
        let is_file = entry.header().entry_type().is_file();
        if let (true, Some(name), Some(time), Ok(_)) = (is_file, name, time, entry.take(4096).read_to_string(&mut text)) {
            found.insert(name, (text, time));
        }
    }
    Ok(found)
}

/// Brings what the job left into the attempt's folder.
pub(super) fn outputs(runtime: &Runtime, engine: &Engine, id: &str, attempt: &Attempt) -> Result<(), Error> {
    // Into the places where a local job has them, from where they are kept.
    for (from, into) in [("collected", ""), ("work/outputs", "work"), ("work/logs", "work")] {
        let path = format!("{}/{from}", place::HOME);
        let stream = engine.get(id, &path)?;
        let goal = attempt.path(into);
        fs::create_private_dir_all(&goal)?;
        match unpack(Pull::new(runtime, stream), &goal) {
            Ok(()) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(Err::<(), _>(error).context("write", &goal).expect_err("it is an error").into()),
        }
    }
    Ok(())
}

/// Unpacks files, folders and links, none of them outside of the folder. Pipes and devices are no outputs; nor is a link in place of the
/// folder that was asked for, which would be one to a folder of this machine.
fn unpack(from: Pull<'_>, into: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let is_root = entry.path()?.components().filter(|part| matches!(part, std::path::Component::Normal(_))).count() == 1;
        let is_output = kind.is_file() || kind.is_symlink() || kind.is_hard_link();
        if kind.is_dir() || (is_output && !is_root) {
            entry.unpack_in(into)?;
        }
    }
    Ok(())
}

fn is_missing(error: &std::io::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if matches!(error.downcast_ref(), Some(engine::Error::Missing { .. })) {
            return true;
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = inner.map(|inner| inner as _).or_else(|| error.source());
    }
    false
}
