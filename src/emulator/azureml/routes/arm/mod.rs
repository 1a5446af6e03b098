//! The control plane: the workspace and what is in it.

mod codes;
mod computes;
mod data;
mod datastores;
mod environments;
mod jobs;
mod metadata;
mod operations;
mod workspace;

use serde_json::{Value, json};

use super::super::route::Route;
use super::super::store::Document;

pub(in super::super) use data::KIND as DATA;
pub(in super::super) use datastores::{ARTIFACTS, DEFAULT, container};

pub(super) fn routes() -> Vec<Route> {
    [
        metadata::routes(),
        workspace::routes(),
        datastores::routes(),
        codes::routes(),
        environments::routes(),
        computes::routes(),
        data::routes(),
        jobs::routes(),
        operations::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Returns a thing of the control plane: its id ends in its kind and name.
fn resource(id: &str, kind: &str, name: &str, properties: &Value, document: &Document) -> Value {
    json!({
        "id": id, "name": name, "type": format!("Microsoft.MachineLearningServices/workspaces/{kind}"), "properties": properties,
        "systemData": {
            "createdAt": document.created_at.to_string(), "createdBy": "emulator", "createdByType": "Application",
            "lastModifiedAt": document.updated_at.to_string(),
        },
    })
}
