//! The MLflow tracking connection: which tracker, reachable from where, injected how.

mod attach;
mod client;
mod connection;
mod error;
mod history;
mod inject;
pub mod managed;
mod metrics;
mod requirement;
mod section;
mod spec;
mod tags;

pub use attach::{choose_attach, hard_coded_uri, imports_mlflow};
pub use client::{Client, MlflowRun, Status};
pub use connection::{Chosen, Connection};
pub use error::Error;
pub use history::{Histories, Measured, Point};
pub use inject::{ATTACHING, Injected, Injection, Via, inject, through_relay};
pub use metrics::{Series, sparkline};
pub use requirement::{InvalidRequirement, Requirement};
pub use section::Section;
pub use spec::{Attach, RelayMode, Relaying, Spec, Uri};
pub use tags::{Facts, tags};
