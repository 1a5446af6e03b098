//! What a submission would do, found without changing anything.

use std::collections::BTreeMap;
use std::path::Path;

use super::capabilities::{self, Capability, Compared};
use super::kept::Again;
use super::site::{self, Site};
use super::{Error, Tracker, targets};
use crate::config::{Entry, Input, Loaded, Origin, RunConfig, Sourced};
use crate::environment;
use crate::snapshot::{self, Listing, git};
use crate::support::dirs::Dirs;
use crate::support::words::Size;
use crate::target::{Wanted, Ways};
use crate::tracking::{self, Attach, Uri};

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
    /// Where its image would be sent, if anywhere.
    pub push: Option<environment::Push>,
    /// What is asked of the environment.
    pub environment: environment::Spec,
    /// How the script is attached; never `Auto`.
    pub attach: Attach,
    /// What the target was asked, and can do.
    pub capabilities: Vec<Capability>,
    /// How the job gets at what stays here.
    pub ways: Ways,
    /// The tracker, as it answered.
    pub tracker: Tracker,
    /// The target.
    pub(super) target: targets::Chosen,
    /// The `--set` flags.
    pub(super) set: Vec<String>,
    /// What is taken from an earlier job.
    pub(super) again: Option<Again>,
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

    /// Returns whether the user typed the tracker's address, now or for the job that is run again.
    pub(super) fn typed(&self) -> bool {
        match &self.run.tracking.origin {
            Origin::Flag(_) => true,
            Origin::Job(_) => self.again.as_ref().is_some_and(|again| again.kept.typed),
            _ => false,
        }
    }

    /// Returns the folder that the snapshot is, or was, made from.
    pub fn source_directory(&self) -> &Path {
        self.again.as_ref().map_or(&self.run.source_directory, |again| &again.kept.source_directory)
    }

    /// Returns what git knows, or knew, of the source directory, and what was not committed. Starts processes, in a repository.
    pub(super) fn git(&self) -> (Option<git::Facts>, Option<String>) {
        let root = &self.run.source_directory;
        match &self.again {
            Some(again) => (again.kept.git.clone(), again.patch.clone()),
            None if root.ancestors().any(|folder| folder.join(".git").exists()) => (git::facts(root), git::patch(root)),
            None => (None, None),
        }
    }

    /// Returns a hash of what the run config means, values of inputs included.
    pub fn config_digest(&self) -> String {
        super::digest::of(&self.run, &self.experiment, self.attach)
    }
}

impl Plan {
    /// Returns what the keys of the run config mean, hashed.
    pub(super) fn keys(&self) -> super::digest::Keys {
        super::digest::keys(&self.run, &self.experiment, self.attach)
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

/// Plans a submission, or one that takes the snapshot and the environment of an earlier job; reads, and runs nothing of the project.
pub async fn plan(loaded: Loaded, again: Option<Again>, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Plan, Error> {
    let Loaded { mut run, set, .. } = loaded;
    if let Some(again) = &again {
        take_over(&mut run, again)?;
    }
    let target = &run.target.value;
    let chosen = targets::Chosen(targets::chosen(target, dirs, variables)?);
    let Compared { capabilities, notes: of_target } = capabilities::check(&run, chosen.0.as_ref()).await?;
    let missing: Vec<String> = run.secrets.iter().filter(|name| !variables.contains_key(*name)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::SecretsMissing(missing));
    }
    let in_ci = variables.get("CI").is_some_and(|value| !matches!(value.as_str(), "" | "false" | "0"));
    if in_ci && run.tracking.origin == Origin::Default && run.tracking.value.uri == Some(Uri::Managed) {
        return Err(Error::NoTrackerInCi);
    }
    let listing = snapshot::list(&snapshot_spec(&run))?;
    let (mut notes, mut warnings) = ([run.notes.clone(), of_target].concat(), Vec::new());
    let mut attach = run.tracking.value.attach;
    if let Entry::Script(script) | Entry::Notebook(script) = &run.entry {
        if !listing.files.iter().any(|file| &file.path == script) {
            return Err(Error::ScriptLeftOut(script.clone()));
        }
        let text = std::fs::read_to_string(run.source_directory.join(script)).unwrap_or_default();
        if run.tracking.value.uri.is_none()
            && let Some(line) = tracking::imports_mlflow(&text)
        {
            notes.push(format!(
                "`{script}:{line}` imports MLflow, which is not added to the environment of a job without a tracker, nor told of one"
            ));
        }
        if run.tracking.value.uri.is_some() {
            if attach == Attach::Auto {
                let (chosen, line) = tracking::choose_attach(&text);
                let in_workspace = run.tracking.value.uri == Some(Uri::Workspace);
                attach = if in_workspace { Attach::Run } else { chosen };
                if let Some(line) = line.filter(|_| in_workspace) {
                    warnings.push(format!("`{script}:{line}` calls `set_experiment`, which MLflow refuses in a job that is an MLflow run already, unless it names `experiment_name`"));
                } else if let Some(line) = line {
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
        let entries: Vec<String> = listing.biggest_entries(3).iter().map(|(entry, size)| format!("`/{entry}` ({})", Size(*size))).collect();
        warnings.push(format!("the snapshot has {}; lines for `.sendoffignore`: {}", Size(listing.size()), entries.join(", ")));
    }
    for skipped in &listing.skipped {
        notes.push(format!("`{}` is left out: {}", skipped.path, skipped.reason));
    }
    let typed = again.as_ref().is_some_and(|again| again.kept.typed && matches!(run.tracking.origin, Origin::Job(_)));
    let tracker = Tracker::ask(&run, typed, dirs, variables).await?;
    let mut environment = site::based(&run.environment, &run.target.value);
    environment.mlflow = tracker.client();
    if matches!(run.entry, Entry::Notebook(_)) {
        environment.extra = environment::NOTEBOOK_PACKAGES.map(str::to_owned).to_vec();
    }
    if run.tracking.value.uri == Some(Uri::Workspace) {
        environment.extra.push("azureml-mlflow".to_owned());
    }
    let site = Site::of(&run.target.value, dirs, variables).await?;
    let inspection = site.inspect(&environment, again.as_ref().map(|again| &again.kept.environment)).await?;
    let push = site.would_push(&environment, &inspection).await?;
    warnings.extend(tracker.skew(inspection.lock.as_deref(), &environment));
    let ways = chosen.0.ways(&wanted(&run)).await?;
    let experiment =
        run.experiment_name.as_ref().map_or_else(|| snapshot::git::default_experiment(&run.source_directory), |name| name.value.clone());
    let name = run.display_name.clone();
    Ok(Plan {
        target: chosen,
        run,
        experiment,
        name,
        listing,
        inspection,
        push,
        environment,
        attach,
        capabilities,
        ways,
        tracker,
        set,
        again,
        notes,
        warnings,
    })
}

/// Returns what the job wants to get at of this machine.
pub(super) fn wanted(run: &RunConfig) -> Wanted {
    let path = |(_, input): &(String, Input)| match input {
        Input::Local { path, .. } => Some(path.clone()),
        Input::Literal(_) | Input::OnTarget { .. } => None,
    };
    Wanted {
        inputs: run.inputs.iter().filter_map(path).collect(),
        nodes: run.resources.nodes.unwrap_or(1),
        is_tracked: run.tracking.value.uri.is_some(),
    }
}

/// Lets an earlier job decide what no flag does: the experiment, the tracker, and how the script is attached.
fn take_over(run: &mut RunConfig, again: &Again) -> Result<(), Error> {
    let origin = || Origin::Job(again.job.clone());
    if !run.experiment_name.as_ref().is_some_and(|name| matches!(name.origin, Origin::Flag(_))) {
        run.experiment_name = Some(Sourced { value: again.kept.experiment.clone(), origin: origin() });
    }
    if !matches!(run.tracking.origin, Origin::Flag(_)) {
        let uri = again.kept.tracker.as_ref().map(|text| text.parse()).transpose();
        run.tracking.value.uri = uri.map_err(|_| Error::NotKept { id: again.job.clone(), what: "a tracker that this version knows" })?;
        run.tracking.origin = origin();
    }
    if run.tracking.value.attach == Attach::Auto {
        run.tracking.value.attach = again.kept.attach;
    }
    Ok(())
}
