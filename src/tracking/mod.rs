//! The MLflow tracking connection: which tracker, reachable from where, injected how.

mod spec;

pub use spec::{Attach, Spec, Uri};
