//! Which Python and which packages a job gets, MLflow's among them.

mod spec;

pub use spec::{EnvironmentId, Mlflow, PackageSource, Spec};
