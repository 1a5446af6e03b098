//! What is kept of a request so that exactly it can be made again, whatever becomes of the working tree.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::digest::Keys;
use super::prepare::Prepared;
use super::{Error, Plan, artifacts};
use crate::config::Origin;
use crate::environment::Fixed;
use crate::job::attempt::Attempt;
use crate::snapshot::{Packed, git};
use crate::support::secret::without_credentials;
use crate::tracking::Attach;

/// The names of the files.
pub(super) const REQUEST: &str = "request.json";
pub(super) const RUN_CONFIG: &str = "run-config.yaml";
pub(super) const LOCK: &str = "requirements.lock";
pub(super) const PATCH: &str = "uncommitted.patch";

/// The request beside the run config's text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The format, 1 today; older ones stay readable.
    pub(super) version: u32,
    /// The run config's file, from which relative paths of inputs start.
    pub(super) file: PathBuf,
    /// The source directory.
    pub(super) source_directory: PathBuf,
    /// The `--set` flags.
    pub(super) set: Vec<String>,
    /// The target's name, when it was chosen by a flag.
    pub(super) target: Option<String>,
    /// Whether a local emulation took the target's place.
    #[serde(default)]
    pub(super) emulate: bool,
    /// The experiment.
    pub(super) experiment: String,
    /// How the script was attached.
    pub(super) attach: Attach,
    /// The tracker's address without credentials; `None` for no tracker.
    pub(super) tracker: Option<String>,
    /// Whether the user typed that address.
    pub(super) typed: bool,
    /// The snapshot.
    pub(super) snapshot: String,
    /// The environment.
    pub(super) environment: Fixed,
    /// What git knew.
    pub(super) git: Option<git::Facts>,
    /// What the keys of the run config meant, hashed.
    #[serde(default)]
    pub(super) keys: Keys,
}

/// What a plan takes from an earlier job instead of finding it itself.
#[derive(Debug)]
pub struct Again {
    /// The job that is run again.
    pub(super) job: String,
    pub(super) kept: Kept,
    pub(super) patch: Option<String>,
    pub(super) packed: Packed,
    /// The unpacked snapshot, which goes with this value.
    pub(super) _tree: tempfile::TempDir,
}

/// Returns the files that are kept of a submission.
pub(super) fn files(plan: &Plan, prepared: &Prepared) -> Vec<artifacts::File> {
    let run = &plan.run;
    let flag = |origin: &Origin| matches!(origin, Origin::Flag(_));
    let (environment, (git, patch)) = (&prepared.environment.fixed, prepared.git.clone());
    let kept = Kept {
        version: 1,
        file: run.file.clone(),
        source_directory: plan.source_directory().to_owned(),
        set: plan.set.iter().map(|set| without_credentials(set)).collect(),
        target: flag(&run.target.origin).then(|| run.target.value.name.clone()),
        emulate: run.target.value.emulated,
        experiment: plan.experiment.clone(),
        attach: plan.attach,
        tracker: run.tracking.value.uri.as_ref().map(ToString::to_string),
        typed: plan.typed(),
        snapshot: prepared.packed.id.to_string(),
        environment: Fixed { lock: String::new(), interpreter: environment.interpreter.clone(), base: environment.base.clone() },
        git,
        keys: plan.keys(),
    };
    let mut files = vec![
        (REQUEST, serde_json::to_string_pretty(&kept).expect("plain data of ours always serialises")),
        (RUN_CONFIG, without_credentials(&run.text)),
        (LOCK, without_credentials(&environment.lock)),
    ];
    files.extend(patch.map(|patch| (PATCH, patch)));
    files
}

/// Reads what is kept beside an attempt.
pub(super) fn read(attempt: &Attempt, name: &str) -> Option<String> {
    artifacts::read(attempt, name)
}

/// Returns what the keys of an attempt's run config meant; `None` when that is not kept.
pub(super) fn keys(attempt: &Attempt) -> Option<Keys> {
    let kept: Kept = serde_json::from_str(&read(attempt, REQUEST)?).ok()?;
    Some(kept.keys).filter(|keys| !keys.is_empty())
}

/// Unpacks a snapshot into a folder of its own.
pub(super) fn unpack(archive: &Path) -> Result<tempfile::TempDir, Error> {
    let unreadable = |source| Error::Unpack { path: archive.to_owned(), source };
    let tree = tempfile::Builder::new().prefix("sendoff-rerun-").tempdir().map_err(|error| unreadable(error.into()))?;
    let file = std::fs::File::open(archive).map_err(|error| unreadable(error.into()))?;
    zip::ZipArchive::new(std::io::BufReader::new(file)).and_then(|mut zip| zip.extract(tree.path())).map_err(unreadable)?;
    Ok(tree)
}
