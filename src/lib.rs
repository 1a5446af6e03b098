//! Sends machine-learning training jobs somewhere and makes sure that MLflow tracking works there.
//!
//! # Vocabulary
//!
//! One word per thing, in code, messages and documentation:
//!
//! - A **run config** is the YAML file that a user writes: one piece of work.
//! - **Settings** are `sendoff.yaml` of a project and the user's own: named compute targets, tracking, defaults.
//! - A **job** is one submission of a run config. It has a job id, a state and an outcome, and one or more attempts.
//! - An **MLflow run** is the tracking record attached to a job; it is never called just "run".
//! - A **compute target** is where a job executes; `target` in code.
//! - A **snapshot** is the packed source directory, named by the hash of its content.
//! - An **environment** is Python version and packages, named by the hash of its resolved specification.
//! - A **bundle** is what is sent to a target: snapshot, bootstrap script, job description.
//! - The **bootstrap** is the script that runs on the target around the user's command.
//! - The **supervisor** is the process of ours that stays beside a job on the machine that runs it and decides its outcome.
//!
//! # Layers
//!
//! Imports point one way: `cli` (in the binary) -> [`submit`] -> the domain ([`config`], [`snapshot`], [`environment`],
//! [`tracking`], [`target`], [`emulator`]) -> [`job`], [`engine`], [`auth`] -> [`support`]. Siblings of the domain do not import each other; `config` alone
//! assembles the sections that the other domain folders own.

pub mod auth;
pub mod config;
pub mod emulator;
pub mod engine;
pub mod environment;
pub mod job;
pub mod relay;
pub mod snapshot;
pub mod submit;
pub mod support;
pub mod target;
pub mod tracking;
