//! The `tracking:` section, of a run config and of settings.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::Attach;
use crate::document;
use crate::support::yaml::{Grammar, Parsed, Text, word};

document! {
    /// Who tracks the job.
    #[schemars(rename = "Tracking")]
    pub struct Section {
        /// `managed` (the MLflow server that sendoff starts here), the http(s) address of an MLflow server, or `none`.
        uri: Text,
        /// How the script is attached to the job's MLflow run.
        attach: Parsed<Attach>,
    }
}

impl Grammar for Attach {
    const EXAMPLE: &'static str = "auto";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &[("auto", Self::Auto), ("run", Self::Run), ("parent", Self::Parent)])
    }

    fn schema() -> Schema {
        Self::json_schema(&mut SchemaGenerator::default())
    }
}
