//! Which container engines this home has used: each is remembered before anything is made on it, so that what is left there is found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::targets;
use crate::engine::{Endpoint, Engine, Error};
use crate::support::dirs::Dirs;
use crate::support::fs;

/// An engine that could not be asked.
#[derive(Debug)]
pub struct Away {
    /// The engine.
    pub endpoint: Endpoint,
    /// Why.
    pub error: Error,
}

fn folder(dirs: &Dirs) -> PathBuf {
    dirs.data.join("engines")
}

/// Remembers an engine.
pub(super) fn remember(dirs: &Dirs, endpoint: &Endpoint) -> Result<(), fs::Error> {
    let digest = Sha256::digest(endpoint.address.to_string().as_bytes());
    let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let path = folder(dirs).join(format!("{name}.json"));
    if path.exists() {
        return Ok(());
    }
    fs::create_private_dir_all(folder(dirs))?;
    fs::write_private(path, &serde_json::to_vec(endpoint).expect("plain data of ours always serialises"))
}

/// Returns the engines that were used, and the one that `docker` uses now, each once; those that answer, and those that do not.
pub async fn engines(dirs: &Dirs, variables: &BTreeMap<String, String>) -> (Vec<Engine>, Vec<Away>) {
    let files = std::fs::read_dir(folder(dirs)).into_iter().flatten().flatten();
    let mut known: Vec<Endpoint> =
        files.filter_map(|file| serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()).collect::<Vec<_>>();
    let used = known.len();
    // Where there is none at all, nothing was ever made.
    known.extend(targets::endpoint(None, variables).ok());
    let (mut there, mut away): (Vec<Engine>, Vec<Away>) = (Vec::new(), Vec::new());
    for (at, endpoint) in known.iter().enumerate() {
        if known[..at].iter().any(|earlier| earlier.address == endpoint.address) {
            continue;
        }
        match Engine::connect(endpoint).await {
            Ok(engine) => there.push(engine),
            Err(error) if at < used => away.push(Away { endpoint: endpoint.clone(), error }),
            // Nothing of ours is on an engine that was never used.
            Err(_) => {}
        }
    }
    there.sort_by_key(|engine| engine.endpoint().address.to_string());
    (there, away)
}
