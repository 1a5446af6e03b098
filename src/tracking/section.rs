//! The `tracking:` section, of a run config and of settings.

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Attach, RelayMode};
use crate::document;
use crate::support::memory::Memory;
use crate::support::yaml::{Grammar, Parsed, Text, word};

document! {
    /// Who tracks the job.
    #[schemars(rename = "Tracking")]
    pub struct Section {
        /// `managed` (the MLflow server that sendoff starts here), the http(s) address of an MLflow server, `workspace` (on Azure ML, and there the
        /// default), or `none`.
        uri: Text,
        /// How the script is attached to the job's MLflow run.
        attach: Parsed<Attach>,
        /// `spool`: writes are acknowledged at once and delivered whenever the tracker answers; `through`: each is passed on first.
        relay: Parsed<RelayMode>,
        /// For how long the tracker may be away before tracking calls of the job fail.
        outage: Parsed<Duration>,
        /// For how long delivery goes on after the job's end.
        drain: Parsed<Duration>,
        /// How much may wait for a tracker that is away.
        spool_size: Parsed<Memory>,
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

impl Grammar for RelayMode {
    const EXAMPLE: &'static str = "spool";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &[("spool", Self::Spool), ("through", Self::Through)])
    }

    fn schema() -> Schema {
        Self::json_schema(&mut SchemaGenerator::default())
    }
}
