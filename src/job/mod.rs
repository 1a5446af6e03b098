//! What a job is: its id, states and outcome, and what is kept of it.
//!
//! Truth about a job's life is kept in files of its attempt folder, written by the process that knows ([`attempt`]); the
//! [`store`] holds the records and the journal of what clients did, and can be rebuilt from the folders.

pub mod attempt;
mod error;
mod hosted;
mod id;
pub mod node;
mod record;
pub mod remains;
mod spec;
mod state;
pub mod store;

pub use error::Error;
pub use hosted::{
    Asked, AssetType, Distribution, Hosted, HostedInput, HostedOutput, Identity, InputMode, JobService, JobTier, OutputMode, Priority,
    ServiceKind,
};
pub use id::{Handle, InvalidId, JobId};
pub use node::{NodeState, NodeWord};
pub use record::{Record, TrackerRecord, TrackingRecord};
pub use spec::{Command, Container, ContainerOptions, JobSpec, Launch, Mount, Platform, Request, User};
pub use state::{Ending, JobState, Outcome};
