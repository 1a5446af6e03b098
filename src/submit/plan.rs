//! What a submission would do, found without changing anything.

use std::collections::BTreeMap;

use super::Error;
use crate::config::{Entry, Loaded, Origin, RunConfig};
use crate::environment::{self, Environments, Mlflow};
use crate::snapshot::{self, Listing};
use crate::support::dirs::Dirs;
use crate::support::words::{Count, Size};
use crate::target::Target;
use crate::target::config::TargetConfig;
use crate::target::local::Local;
use crate::tracking::{self, Attach, Connection, Uri};

/// Bytes over which a snapshot is warned about.
const LARGE: u64 = 100 << 20;

/// A submission that passed every check that can be made without changing the world.
#[derive(Debug)]
pub struct Plan {
    /// The run config.
    pub run: RunConfig,
    /// The experiment's name.
    pub experiment: String,
    /// The name of the MLflow run, if the run config has one.
    pub name: Option<String>,
    /// The snapshot's files.
    pub listing: Listing,
    /// What of the environment is there.
    pub inspection: environment::Inspection,
    /// What is asked of the environment.
    pub environment: environment::Spec,
    /// How the script is attached; never `Auto`.
    pub attach: Attach,
    /// The tracker other than the managed server.
    pub tracker: Option<Connection>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What may be wrong.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Returns what the snapshot is made of.
    pub fn snapshot_spec(&self) -> snapshot::Spec {
        snapshot_spec(&self.run)
    }

    /// Returns whether the managed server tracks.
    pub fn is_managed(&self) -> bool {
        self.run.tracking.value.uri == Some(Uri::Managed)
    }

    /// Returns whether anybody tracks.
    pub fn is_tracked(&self) -> bool {
        self.run.tracking.value.uri.is_some()
    }

    /// Returns a hash of what the run config means, values of inputs included.
    pub fn config_digest(&self) -> String {
        super::digest::of(&self.run, &self.experiment, self.attach)
    }
}

/// Returns what the snapshot of a run config is made of.
pub fn snapshot_spec(run: &RunConfig) -> snapshot::Spec {
    snapshot::Spec {
        root: run.source_directory.clone(),
        include: run.include.clone(),
        allow_files: run.allow_files.clone(),
        max_size: run.max_snapshot_size,
    }
}

/// Plans a submission; reads, and runs nothing of the project.
pub fn plan(loaded: Loaded, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Plan, Error> {
    let run = loaded.run;
    let target = &run.target.value;
    if let TargetConfig::NotBuilt(kind) = &target.config {
        return Err(Error::NotBuilt { name: target.name.clone(), kind: kind.word() });
    }
    capable(&run, &Local::new(&dirs.data))?;
    let missing: Vec<String> = run.secrets.iter().filter(|name| !variables.contains_key(*name)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::SecretsMissing(missing));
    }
    let in_ci = variables.get("CI").is_some_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    if in_ci && run.tracking.origin == Origin::Default {
        return Err(Error::NoTrackerInCi);
    }
    let listing = snapshot::list(&snapshot_spec(&run))?;
    let (mut notes, mut warnings) = (run.notes.clone(), Vec::new());
    let mut attach = run.tracking.value.attach;
    if let Entry::Script(script) | Entry::Notebook(script) = &run.entry {
        if !listing.files.iter().any(|file| &file.path == script) {
            return Err(Error::ScriptLeftOut(script.clone()));
        }
        let text = std::fs::read_to_string(run.source_directory.join(script)).unwrap_or_default();
        if run.tracking.value.uri.is_some() {
            if attach == Attach::Auto {
                let (chosen, line) = tracking::choose_attach(&text);
                attach = chosen;
                if let Some(line) = line {
                    notes.push(format!("`{script}:{line}` calls `set_experiment`, so its MLflow runs become children of the job's (`tracking.attach: parent`)"));
                }
            }
            if let Some(line) = tracking::hard_coded_uri(&text) {
                warnings.push(format!("`{script}:{line}` calls `set_tracking_uri`, which overrides the tracker that is injected"));
            }
        }
    }
    if attach == Attach::Auto {
        attach = Attach::Run;
    }
    if listing.size() > LARGE {
        let folders: Vec<String> =
            listing.biggest_folders(3).iter().map(|(folder, size)| format!("`/{folder}/` ({})", Size(*size))).collect();
        warnings.push(format!("the snapshot has {}; lines for `.sendoffignore`: {}", Size(listing.size()), folders.join(", ")));
    }
    for skipped in &listing.skipped {
        notes.push(format!("`{}` is left out: {}", skipped.path, skipped.reason));
    }
    let tracker = match &run.tracking.value.uri {
        Some(Uri::Http(url)) => Some(Connection::new(url, matches!(run.tracking.origin, Origin::Flag(_)), variables)),
        _ => None,
    };
    let mut environment = run.environment.clone();
    environment.mlflow = match &run.tracking.value.uri {
        None => Mlflow::None,
        Some(Uri::Managed) => Mlflow::Client { server: Some(tracking::managed::VERSION.to_owned()) },
        Some(_) => Mlflow::Client { server: None },
    };
    if matches!(run.entry, Entry::Notebook(_)) {
        environment.extra = environment::NOTEBOOK_PACKAGES.map(str::to_owned).to_vec();
    }
    let inspection = Environments::new(dirs).inspect(&environment)?;
    let experiment =
        run.experiment_name.as_ref().map_or_else(|| snapshot::git::default_experiment(&run.source_directory), |name| name.value.clone());
    let name = run.display_name.clone();
    Ok(Plan { run, experiment, name, listing, inspection, environment, attach, tracker, notes, warnings })
}

/// Refuses what the target cannot do, by the key's name.
fn capable(run: &RunConfig, target: &dyn Target) -> Result<(), Error> {
    let can = target.capabilities();
    let refuse = |key, reason| Err(Error::Incapable { target: run.target.value.name.clone(), key, reason });
    if let Some(reason) = can.memory_refusal.filter(|_| run.resources.memory.is_some()) {
        return refuse("resources.memory", reason);
    }
    if run.resources.cpus.is_some_and(|cpus| cpus > can.cpus) {
        return refuse("resources.cpus", format!("it has {}", Count(can.cpus as usize, "CPU")));
    }
    if run.resources.gpus.is_some_and(|gpus| gpus > can.gpus) {
        return refuse("resources.gpus", format!("it has {}", Count(can.gpus as usize, "GPU")));
    }
    Ok(())
}
