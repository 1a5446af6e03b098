//! What can go wrong with a target.

use std::time::Duration;

use super::azureml;
use crate::support::hints::Hints;
use crate::support::words::{Span, all_of};
use crate::support::{fs, template};
use crate::{engine, job};

/// A target could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A record could not be read or written.
    #[error(transparent)]
    Job(#[from] job::Error),
    /// A file refused.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The bootstrap could not be rendered.
    #[error(transparent)]
    Template(#[from] template::Error),
    /// What tracks the job could not be started beside it.
    #[error("could not start what tracks `{id}`: {reason}")]
    Tracking {
        /// The job.
        id: String,
        /// Why.
        reason: String,
    },
    /// The supervisor could not be started.
    #[error("could not start the supervisor of `{id}`")]
    Start {
        /// The job.
        id: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The supervisor ended before it had claimed the attempt.
    #[error("the supervisor of `{id}` ended at once{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Stillborn {
        /// The job.
        id: String,
        /// What it said.
        said: String,
    },
    /// Somebody concluded that the attempt had never been started, and made sure of it.
    #[error("another command gave `{id}` up before it was started")]
    GivenUp {
        /// The job.
        id: String,
    },
    /// A job did not end although it was killed.
    #[error("`{id}` did not end within {} of being cancelled", Span(*waited))]
    Unkillable {
        /// The job.
        id: String,
        /// How long we waited.
        waited: Duration,
    },
    /// Azure Machine Learning refused, or cannot be reached.
    #[error(transparent)]
    AzureMl(#[from] azureml::Error),
    /// The container engine refused, or is not there.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The container that leads to what tracks the job does not work.
    #[error("the second container, which leads from the job to its relay, failed: {reason}")]
    NoLink {
        /// Why.
        reason: String,
    },
    /// A container that is not this job's has its name.
    #[error("there is a container `{name}` already, and it is not this job's")]
    NameTaken {
        /// The name.
        name: String,
        /// The container's id.
        id: String,
    },
    /// Another store submitted another request under the same id at the same moment, and was faster.
    #[error("another store submitted `{id}` meanwhile, and differs in {}", all_of(differences))]
    Outrun {
        /// The job.
        id: String,
        /// What differs.
        differences: Vec<&'static str>,
    },
    /// A job was never handed to the target.
    #[error("the job `{id}` was never handed over, so there is no place where it runs")]
    NotPrepared {
        /// The job.
        id: String,
    },
    /// The snapshot of a job was removed.
    #[error("the snapshot of `{id}` is not kept any more")]
    SnapshotGone {
        /// The job.
        id: String,
    },
    /// The environment of a job was removed.
    #[error("the environment of `{id}` is not there any more: `{what}` is missing")]
    EnvironmentGone {
        /// The job.
        id: String,
        /// Its interpreter or image.
        what: String,
    },
    /// What a shell ran could not be ended.
    #[error("could not end what runs in the container `{container}`: {reason}")]
    StillThere {
        /// The container.
        container: String,
        /// Why.
        reason: String,
    },
    /// A snapshot could not be unpacked.
    #[error("could not unpack the snapshot of `{id}`: {reason}")]
    Unpack {
        /// The job.
        id: String,
        /// Why.
        reason: String,
    },
    /// A network that is not this job's has its name.
    #[error("there is a network `{name}` already, and it is not this job's")]
    NetworkTaken {
        /// The name.
        name: String,
    },
    /// Something is in the way of what would be downloaded.
    #[error("`{0}` exists already")]
    InTheWay(String),
}

impl Hints for Error {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Job(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::InTheWay(_) => vec!["move it away, or choose another folder with `--to`".to_owned()],
            Self::Unkillable { .. } => {
                vec!["a process in uninterruptible sleep (a hanging network disk, say) ends when its call returns".to_owned()]
            }
            Self::Engine(error) => error.hints(),
            Self::AzureMl(error) => error.hints(),
            Self::NoLink { .. } => {
                vec!["try another `network` of the target; `--no-tracking` goes without".to_owned()]
            }
            Self::NameTaken { id, .. } => {
                vec![format!("choose another `--job-id`, or remove it: `docker rm {}`", id.get(..12).unwrap_or(id))]
            }
            Self::NetworkTaken { name } => vec![format!("choose another `--job-id`, or remove it: `docker network rm {name}`")],
            Self::Outrun { .. } => vec!["choose another `--job-id` or `--key`".to_owned()],
            Self::GivenUp { .. } | Self::NotPrepared { .. } => vec!["submit it again".to_owned()],
            Self::SnapshotGone { id } | Self::EnvironmentGone { id, .. } => {
                vec![format!("`sendoff rerun {id}` makes what is missing again, as far as it is known")]
            }
            Self::StillThere { container, .. } => vec![format!("it goes on there: `docker top {container}` shows it")],
            Self::Unpack { .. } | Self::Tracking { .. } | Self::Template(_) | Self::Start { .. } | Self::Stillborn { .. } => Vec::new(),
        }
    }
}
