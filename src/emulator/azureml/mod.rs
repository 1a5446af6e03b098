//! Azure Machine Learning on this machine.

pub mod mlflow;
