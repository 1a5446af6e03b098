//! The pipeline: plan, then snapshot, environment and tracking side by side, then submit; and what is asked of a job after.
//!
//! ```text
//! load -> check -> plan -> [snapshot | environment | tracking] -> MLflow run -> submit -> watch
//! ```

mod artifacts;
mod attend;
mod azureml;
mod capabilities;
mod closing;
mod delivery;
mod describe;
mod digest;
mod elsewhere;
mod emulation;
mod engines;
mod error;
mod garbage;
mod hosted;
mod jobs;
mod kept;
mod launch;
mod mlflow_run;
mod nodes;
mod observer;
mod plan;
mod prepare;
mod rehearsal;
mod rerun;
mod settle;
mod shell;
mod site;
mod targets;
mod tracker;
mod watch;

pub use capabilities::Capability;
pub use closing::supervise;
pub use delivery::Delivery;
pub use emulation::EmulatorHost;
pub use engines::{Away, engines};
pub use error::Error;
pub use garbage::{Found as GarbageFound, Item as Garbage, Kind as GarbageKind, garbage, remove_garbage};
pub use jobs::Jobs;
pub use kept::Again;
pub use launch::{Options, Submission, submit};
pub use observer::Observer;
pub use plan::{Plan, plan, snapshot_spec};
pub use rehearsal::{Past, Rehearsal, SecretVariable, rehearse};
pub use rerun::{rerun, working_tree};
pub use tracker::Tracker;
pub use watch::{Watch, print_log};
