//! Azure Machine Learning on this machine.
//!
//! ```text
//! client -> TLS -> table of routes -> plane: aad      tokens
//!                                            arm      workspace, datastores, codes, environments, computes, jobs
//!                                            history  run details, artifacts, archive, run tokens
//!                                            mlflow   MLflow's REST, by the managed server
//!                                            blob     what SAS addresses lead to
//!                                     run:   a job becomes containers, its log and outputs become blobs
//!
//! data/emulator/azureml/running.json   where it runs, and with which credentials a client gets tokens; 0600
//!                      /identity.json  keys that outlive a restart; 0600
//!                      /ca.pem ca.key  the local certificate authority
//!                      /state.db blobs/ emulator.log
//!                      /faults/        trouble that was ordered
//! ```
//!
//! One daemon per data folder serves any number of workspaces. What clients send is kept as it is, since the official ones send more than
//! any one of them reads; parts are read where something depends on them. The routes carry what is known of their faithfulness.

mod authority;
mod blobs;
mod call;
mod daemon;
mod error;
mod faults;
mod host;
mod identity;
mod job;
pub mod mlflow;
mod parity;
mod reply;
mod route;
mod routes;
mod run;
mod sas;
mod serve;
mod service;
mod shared_key;
mod store;
mod token;
mod traffic;

pub use daemon::{Options, Running, delete, ensure_up, folder, log, running, stop};
pub use error::Error;
pub use faults::{Fault, Ordered, order};
pub use host::{Hear, Host, Image, ImageRequest};
pub use parity::{Faith, Row, parity};
pub use serve::{Order, serve};
