//! A source tree becomes one reproducible archive.

mod spec;

pub use spec::{SnapshotId, Spec};
