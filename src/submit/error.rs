//! Why a job could not be submitted, or asked about.

use crate::support::hints::Hints;
use crate::support::words::{Count, all_of};
use crate::{config, emulator, environment, job, relay, snapshot, target, tracking};

/// A step of the pipeline failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run config or the settings.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The snapshot.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// The environment.
    #[error(transparent)]
    Environment(#[from] environment::Error),
    /// The tracker.
    #[error(transparent)]
    Tracking(#[from] tracking::Error),
    /// The tracking relay.
    #[error(transparent)]
    Relay(#[from] relay::Error),
    /// The target.
    #[error(transparent)]
    Target(#[from] target::Error),
    /// An emulator.
    #[error(transparent)]
    Emulator(#[from] emulator::azureml::Error),
    /// The records.
    #[error(transparent)]
    Job(#[from] job::Error),
    /// A kind of target that is not built yet.
    #[error("the compute target `{name}` is of the kind `{kind}`, which is not built yet")]
    NotBuilt {
        /// The target.
        name: String,
        /// The kind.
        kind: &'static str,
    },
    /// Keys ask for more than the target can do.
    #[error("the compute target `{target}` cannot honour {}", reasons(refusals))]
    Incapable {
        /// The target.
        target: String,
        /// The keys, each with the reason.
        refusals: Vec<(&'static str, String)>,
    },
    /// Secrets that are not in the submitter's environment.
    #[error("the secret{} {} not set", if .0.len() == 1 { "" } else { "s" }, verb(.0))]
    SecretsMissing(Vec<String>),
    /// The script is left out of the snapshot.
    #[error("the script `{0}` is not part of the snapshot")]
    ScriptLeftOut(String),
    /// CI has to say who tracks.
    #[error("no tracker is named, and `CI` is set")]
    NoTrackerInCi,
    /// The same id names another request.
    #[error("the job `{id}` exists already and differs in {}", named(differences, keys))]
    Different {
        /// The job.
        id: String,
        /// What differs.
        differences: Vec<&'static str>,
        /// The keys of the run config that differ, as far as they are known.
        keys: Vec<String>,
    },
    /// The same id has ended without success.
    #[error("the job `{id}` exists already: it {word}")]
    EndedBefore {
        /// The job.
        id: String,
        /// How it ended.
        word: String,
    },
    /// No job of this name.
    #[error("there is no job `{0}`")]
    UnknownJob(String),
    /// More than one job of this prefix.
    #[error("`{prefix}` could be {}", all_of(candidates))]
    Ambiguous {
        /// What was typed.
        prefix: String,
        /// The jobs.
        candidates: Vec<String>,
    },
    /// A handle that leads to another machine.
    #[error("the job `{id}` is on the machine `{place}`, and this one is `{here}`")]
    ElsewhereHandle {
        /// The job.
        id: String,
        /// The machine that the handle names.
        place: String,
        /// This machine.
        here: String,
    },
    /// A handle of a container that the engine of this command does not have.
    #[error("the container engine at `{engine}` has nothing of the job `{id}`")]
    NotOnEngine {
        /// The job.
        id: String,
        /// The machine that the handle names.
        place: String,
        /// The engine's address.
        engine: String,
    },
    /// A handle of a target that is not built yet.
    #[error("the handle `{handle}` belongs to a target of the kind `{kind}`, which is not built yet")]
    ForeignKind {
        /// The handle.
        handle: String,
        /// Its kind.
        kind: String,
    },
    /// A rerun takes this as it was.
    #[error("a rerun takes `{0}` as it was")]
    FixedByRerun(String),
    /// A part of the request of an earlier job is not kept any more.
    #[error("the job `{id}` cannot be run again: {what} is neither kept here nor with its MLflow run")]
    NotKept {
        /// The job.
        id: String,
        /// What is missing.
        what: &'static str,
    },
    /// The snapshot of an earlier job is not kept any more, and the working tree is not what it was.
    #[error("the job `{id}` cannot be run again: its snapshot {} is no longer kept, and the working tree has changed", snapshot.get(..12).unwrap_or(snapshot))]
    SnapshotGone {
        /// The job.
        id: String,
        /// The snapshot.
        snapshot: String,
        /// The commit that was checked out.
        commit: Option<String>,
        /// Whether there was more than that commit.
        dirty: bool,
    },
    /// A stored snapshot cannot be read.
    #[error("could not unpack the snapshot `{}`", path.display())]
    Unpack {
        /// The archive.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: zip::result::ZipError,
    },
    /// A job that was never started, and that this command cannot start.
    #[error("the job `{id}` does not run: it waits for {reason}")]
    Unstarted {
        /// The job.
        id: String,
        /// For what it waits.
        reason: String,
    },
    /// Whoever watches over a job dies, again and again.
    #[error("nobody watches over the job `{id}`: {} died", Count(*count as usize, "supervisor"))]
    Unattended {
        /// The job.
        id: String,
        /// How many were started by this command.
        count: u32,
    },
    /// Something is being made that nobody names yet.
    #[error("a submission is being prepared")]
    Busy,
    /// There are no jobs at all.
    #[error("there is no job yet")]
    NoJobs,
    /// A job was asked about a node that it does not have.
    #[error("the job `{id}` has {}", match count { 1 => "one node".to_owned(), count => format!("the nodes 0 to {}", count - 1) })]
    NoSuchNode {
        /// The job.
        id: String,
        /// The rank that was asked for.
        rank: u32,
        /// How many nodes it has.
        count: u32,
    },
    /// A job that lives cannot be deleted.
    #[error("the job `{0}` has not ended")]
    StillActive(String),
    /// The MLflow run of a job to be deleted is open, and its tracker does not answer.
    #[error("the MLflow run of `{0}` is not closed yet: its tracker does not answer")]
    StillOpen(String),
    /// What a job to be deleted has left where it ran could not be removed.
    #[error("could not remove what `{id}` has left where it ran")]
    NotForgotten {
        /// The job.
        id: String,
        /// Why.
        #[source]
        source: Box<target::Error>,
    },
    /// A job without an MLflow run was asked for metrics.
    #[error("the job `{0}` is not tracked")]
    NotTracked(String),
    /// What a job is asked for is kept by the target that tracks it.
    #[error("the job `{0}` is tracked by the workspace that runs it: nothing of it waits here to be delivered")]
    TrackedByTarget(String),
    /// The user stopped it before anything was sent.
    #[error("interrupted; nothing was submitted")]
    Interrupted,
    /// The attempt before has written what the tracker does not have yet.
    #[error("{} of the attempt before of `{id}` are not delivered yet", Count(usize::try_from(*writes).unwrap_or(usize::MAX), "write"))]
    Undelivered {
        /// The job.
        id: String,
        /// How many writes.
        writes: u64,
    },
    /// The managed server, which has to be asked, does not run.
    #[error("the managed MLflow server, which tracks `{0}`, does not run")]
    ManagedStopped(String),
    /// A task of ours was lost.
    #[error("a part of the submission ended without an answer")]
    Panicked,
}

/// Lists what differs, the keys after the run config.
fn named(differences: &[&'static str], keys: &[String]) -> String {
    let part = |name: &&str| match *name {
        "run config" if !keys.is_empty() => format!("`run config` ({})", all_of(keys)),
        name => format!("`{name}`"),
    };
    let parts: Vec<String> = differences.iter().map(part).collect();
    match parts.split_last() {
        Some((last, head)) if !head.is_empty() => format!("{} and {last}", head.join(", ")),
        _ => parts.concat(),
    }
}

/// Lists keys with the reason why each is refused, several on a line each.
fn reasons(refusals: &[(&'static str, String)]) -> String {
    match refusals {
        [(key, reason)] => format!("`{key}`: {reason}"),
        refusals => refusals.iter().fold("what is asked".to_owned(), |text, (key, reason)| format!("{text}\n  `{key}`: {reason}")),
    }
}

/// Returns the keys that are refused, each once, in order.
fn refused(refusals: &[(&'static str, String)]) -> Vec<&'static str> {
    let mut keys: Vec<&'static str> = refusals.iter().map(|(key, _)| *key).collect();
    keys.dedup();
    keys
}

/// Returns the names with the verb that fits their number.
fn verb(names: &[String]) -> String {
    format!("{} {}", all_of(names), if names.len() == 1 { "is" } else { "are" })
}

impl Error {
    /// Returns whether the user's words are at fault, so that nothing was sent.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_)
                | Self::NotBuilt { .. }
                | Self::Incapable { .. }
                | Self::SecretsMissing(_)
                | Self::ScriptLeftOut(_)
                | Self::NoTrackerInCi
                | Self::Different { .. }
                | Self::EndedBefore { .. }
                | Self::UnknownJob(_)
                | Self::Ambiguous { .. }
                | Self::FixedByRerun(_)
                | Self::NotKept { .. }
                | Self::SnapshotGone { .. }
                | Self::ElsewhereHandle { .. }
                | Self::ForeignKind { .. }
                | Self::NotOnEngine { .. }
                | Self::Busy
                | Self::NoJobs
                | Self::StillActive(_)
                | Self::NoSuchNode { .. }
                | Self::NotTracked(_)
                | Self::TrackedByTarget(_)
                | Self::Snapshot(
                    snapshot::Error::Secrets(_)
                        | snapshot::Error::Unpackable(_)
                        | snapshot::Error::Empty(_)
                        | snapshot::Error::Pattern { .. }
                )
                | Self::Environment(
                    environment::Error::NotThere(_)
                        | environment::Error::Named(_)
                        | environment::Error::OnlyHere(_)
                        | environment::Error::CredentialsInDefinition
                        | environment::Error::Conda { .. }
                        | environment::Error::CondaOnly { .. }
                        | environment::Error::SystemPackages(_)
                )
        )
    }
}

impl Error {
    /// Returns whether a job may go on that could not be asked about.
    pub fn is_out_of_contact(&self) -> bool {
        match self {
            Self::Unattended { .. } => true,
            Self::Target(target::Error::Engine(error)) => error.is_transient(),
            Self::Target(target::Error::AzureMl(error)) => error.is_out_of_contact(),
            _ => self.is_tracker_away(),
        }
    }

    /// Returns whether the tracker of a job could not be asked.
    pub fn is_tracker_away(&self) -> bool {
        match self {
            Self::StillOpen(_) | Self::ManagedStopped(_) => true,
            Self::Tracking(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Config(error) => error.hints(),
            Self::Snapshot(error) => error.hints(),
            Self::Environment(error) => error.hints(),
            Self::Tracking(error) => error.hints(),
            Self::Relay(error) => error.hints(),
            Self::Target(error) => error.hints(),
            Self::Emulator(error) => error.hints(),
            Self::Job(error) => error.hints(),
            Self::NotBuilt { .. } => vec!["`--target local` runs it on this machine".to_owned()],
            Self::Incapable { refusals, .. } => {
                vec![format!("change or remove {}, or choose another target", all_of(refused(refusals)))]
            }
            Self::SecretsMissing(names) => vec![format!("set them where you submit: `export {}=...`", names[0])],
            Self::ScriptLeftOut(_) => vec!["`sendoff snapshot list --why` names the rule; `include:` overrides it".to_owned()],
            Self::NoTrackerInCi => vec![
                "set `MLFLOW_TRACKING_URI` to the tracker that keeps the records".to_owned(),
                "or say `--tracking-uri managed` for a server that goes away with this machine, or `--no-tracking`".to_owned(),
            ],
            Self::Different { .. } => vec!["choose another `--job-id` or `--key`, or submit what was submitted before".to_owned()],
            Self::EndedBefore { .. } => vec!["`--new-attempt` starts it again under the same id".to_owned()],
            Self::UnknownJob(_) | Self::NoJobs => vec!["`sendoff list` shows the jobs".to_owned()],
            Self::Ambiguous { .. } => vec!["type more of its id".to_owned()],
            Self::ElsewhereHandle { place, .. } => vec![format!("ask there: `ssh {place} sendoff status HANDLE`")],
            Self::NotOnEngine { id, place, .. } => vec![
                format!("when it has ended, what it left is with who submitted it: `ssh {place} sendoff status {id}`"),
                "when it runs on another engine, name that: `export DOCKER_HOST=ssh://MACHINE`".to_owned(),
            ],
            Self::ForeignKind { .. } | Self::NotKept { .. } => Vec::new(),
            Self::FixedByRerun(_) => vec!["change it in the run config and use `sendoff submit`".to_owned()],
            Self::SnapshotGone { commit: None, .. } => {
                vec!["restore the working tree, or submit what it is now with `sendoff submit`".to_owned()]
            }
            Self::SnapshotGone { id, commit: Some(commit), dirty, .. } => {
                let patch = if *dirty { ", apply `sendoff/uncommitted.patch` of its MLflow run's artifacts" } else { "" };
                vec![
                    format!("check out the commit {commit}{patch}, and try again; or submit what is there now with `sendoff submit`"),
                    format!("`sendoff snapshot diff {id}` names what differs while the list of its files is kept"),
                ]
            }
            Self::Unpack { path, .. } => {
                vec![format!("remove `{}`, then try again: it is packed anew if the working tree still is what it was", path.display())]
            }
            Self::Unstarted { id, .. } => vec![format!("`sendoff cancel {id}` gives it up")],
            Self::Unattended { id, .. } => {
                vec![format!(
                    "it may still run; `sendoff status {id}` starts another, and `supervisor.log` in its folder may say why they died"
                )]
            }
            Self::Busy => vec!["try again when it is through".to_owned()],
            Self::StillOpen(_) => vec!["start the tracker (`sendoff tracking start`) and try again, or `--force`".to_owned()],
            Self::NoSuchNode { id, rank, count: 1 } => vec![format!("leave out `--node {rank}`: `sendoff logs {id}`")],
            Self::NoSuchNode { count, .. } => vec![format!("choose one of them: `--node {}`", count - 1)],
            Self::NotForgotten { source, .. } => {
                source.hints().into_iter().chain(["or `--force`; `sendoff gc` finds it later".to_owned()]).collect()
            }
            Self::StillActive(id) => vec![format!("end it with `sendoff cancel {id}` first")],
            Self::Undelivered { id, .. } => vec![format!("`sendoff tracking sync {id}` delivers them once the tracker answers")],
            Self::TrackedByTarget(id) => vec![format!("`sendoff open {id}` shows it in the studio")],
            Self::ManagedStopped(_) => vec!["`sendoff tracking start` starts it".to_owned()],
            Self::NotTracked(_) => vec!["it was submitted with `--no-tracking`, or `tracking: {uri: none}`".to_owned()],
            Self::Interrupted | Self::Panicked => Vec::new(),
        }
    }
}
