//! `rerun`: the request of an earlier job, made again from what was kept of it.
//!
//! Snapshot and environment are taken as they were; the working tree is not looked at. What is no longer kept here is fetched from the
//! MLflow run's artifacts, or is an error that says what is missing.

use std::collections::BTreeMap;

use super::kept::{self, Again, Kept};
use super::{Error, Jobs, snapshot_spec};
use crate::config::{self, Flags, Loaded, Purpose, Request, Stored};
use crate::job::Record;
use crate::job::attempt::Attempt;
use crate::snapshot::{self, Packed, SnapshotId, Store};
use crate::support::dirs::Dirs;
use crate::tracking::{Client, MlflowRun};

/// Keys that decide what is packed and installed: a rerun takes both as they were.
const FIXED: [&str; 5] = ["environment", "source_directory", "code", "include", "allow_files"];

/// Loads the request of a job, with flags on top of the ones that it had.
pub async fn rerun(
    jobs: &Jobs,
    record: &Record,
    flags: Flags,
    dirs: &Dirs,
    variables: &BTreeMap<String, String>,
) -> Result<(Loaded, Again), Error> {
    for set in &flags.set {
        let key = set.split(['=', '.']).next().unwrap_or_default().trim();
        if FIXED.contains(&key) {
            return Err(Error::FixedByRerun(key.to_owned()));
        }
    }
    let source = Source::of(jobs, record, dirs).await;
    let missing = |what| Error::NotKept { id: record.id.to_string(), what };
    let request = source.text(kept::REQUEST).await.ok_or_else(|| missing("the request"))?;
    let mut kept: Kept = serde_json::from_str(&request).map_err(|_| missing("a request that this version can read"))?;
    let text = source.text(kept::RUN_CONFIG).await.ok_or_else(|| missing("the run config"))?;
    kept.environment.lock = source.text(kept::LOCK).await.ok_or_else(|| missing("the lock of the environment"))?;
    let patch = source.text(kept::PATCH).await;
    let packed = snapshot(&kept, record, dirs, variables)?;
    let tree = kept::unpack(&packed.path)?;
    let root = tree.path().canonicalize().unwrap_or_else(|_| tree.path().to_owned());
    let set = kept.set.iter().cloned().chain(flags.set).collect();
    let request = Request {
        file: Some(kept.file.clone()),
        cwd: kept.file.parent().unwrap_or(&root).to_owned(),
        flags: Flags { set, emulate: flags.emulate || kept.emulate, target: flags.target.or_else(|| kept.target.clone()), ..flags },
        purpose: Purpose::Look,
        environment: variables.clone(),
        user_settings: dirs.config.clone(),
        stored: Some(Stored { text, source_directory: root }),
    };
    let loaded = config::load(&request)?;
    Ok((loaded, Again { job: record.id.to_string(), kept, patch, packed, _tree: tree }))
}

/// Where the files are: beside the attempt, or with the MLflow run.
struct Source {
    attempt: Attempt,
    artifacts: Option<(Client, MlflowRun)>,
}

impl Source {
    async fn of(jobs: &Jobs, record: &Record, dirs: &Dirs) -> Self {
        let attempt = Attempt::new(&dirs.data, &record.id, record.attempt);
        if kept::read(&attempt, kept::REQUEST).is_some() {
            return Self { attempt, artifacts: None };
        }
        let artifacts = async {
            let client = Client::new(&jobs.connection(record)?).ok()?;
            let run = client.run(&record.tracking.as_ref()?.run_id).await.ok()?;
            Some((client, run))
        };
        Self { attempt, artifacts: artifacts.await }
    }

    async fn text(&self, name: &str) -> Option<String> {
        if let Some(text) = kept::read(&self.attempt, name) {
            return Some(text);
        }
        let (client, run) = self.artifacts.as_ref()?;
        let bytes = client.download(run, &format!("sendoff/{name}")).await.ok()?;
        String::from_utf8(bytes?).ok()
    }
}

/// Returns the archive: the stored one, or the working tree packed again if it still is what it was.
fn snapshot(kept: &Kept, record: &Record, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Packed, Error> {
    let store = Store::new(&dirs.cache);
    if let Some(packed) = store.get(&SnapshotId::new(kept.snapshot.clone())) {
        return Ok(packed);
    }
    let gone = || Error::SnapshotGone {
        id: record.id.to_string(),
        snapshot: kept.snapshot.clone(),
        commit: kept.git.as_ref().and_then(|git| git.commit.clone()),
        dirty: kept.git.as_ref().is_some_and(|git| git.dirty),
    };
    let spec = working_tree(record, dirs, variables).map_err(|_| gone())?;
    let manifest = snapshot::list(&spec).and_then(|listing| store.scan(&spec, &listing)).map_err(|_| gone())?;
    if manifest.id().as_str() != kept.snapshot {
        return Err(gone());
    }
    let (_, packed) = store.pack(&spec, manifest)?;
    if packed.id.as_str() == kept.snapshot { Ok(packed) } else { Err(gone()) }
}

/// Returns what a submission of the job's run config would pack now.
pub fn working_tree(record: &Record, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<snapshot::Spec, Error> {
    let attempt = Attempt::new(&dirs.data, &record.id, record.attempt);
    let kept: Option<Kept> = kept::read(&attempt, kept::REQUEST).and_then(|text| serde_json::from_str(&text).ok());
    let file = kept.as_ref().map_or_else(|| record.config_file.clone().into(), |kept| kept.file.clone());
    let (set, target, emulate) = kept.map(|kept| (kept.set, kept.target, kept.emulate)).unwrap_or_default();
    let request = Request {
        cwd: file.parent().unwrap_or(&file).to_owned(),
        file: Some(file),
        flags: Flags { target, emulate, set, ..Flags::default() },
        purpose: Purpose::Look,
        environment: variables.clone(),
        user_settings: dirs.config.clone(),
        stored: None,
    };
    Ok(snapshot_spec(&config::load(&request)?.run))
}
