//! What the plane answers, in the forms of MLflow's API.

use std::collections::BTreeMap;

use http::StatusCode;
use hyper::http;
use serde_json::{Map, Value, json};

use super::ids::Kind;
use super::inner::Reply;
use super::rewrite::Refusal;
use super::{Artifact, Error};
use crate::support::causes;

/// An answer of the plane: JSON, always.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Value,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body }
    }

    fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self { status, body: json!({ "error_code": code, "message": message }) }
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)
    }

    pub(super) fn unknown(kind: Kind, id: &str) -> Self {
        let message = match kind {
            Kind::Run => format!("Run with id={id} not found"),
            Kind::Experiment => format!("No Experiment with id={id} exists"),
            Kind::ExperimentName => format!("Could not find experiment with name '{id}'"),
            Kind::Model | Kind::Place => format!("Logged model with ID '{id}' not found."),
            Kind::RegisteredModel => format!("Registered Model with name={id} not found"),
        };
        Self::error(StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", &message)
    }

    /// Says why a request is not asked behind.
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Unknown { kind, id } => Self::unknown(*kind, id),
            Refusal::Unsupported(reason) => Self::bad_request(reason),
        }
    }

    /// Says that the emulator leaves a route of MLflow out.
    pub(super) fn refused(act: &str, reason: &str) -> Self {
        let message = format!("the emulator does not serve `mlflow/{act}`: {reason} (see `sendoff emulator parity azureml`)");
        Self::error(StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", &message)
    }

    /// Says that there is no such route.
    pub(super) fn no_route(path: &str) -> Self {
        Self::error(StatusCode::NOT_FOUND, "ENDPOINT_NOT_FOUND", &format!("`{path}` is no route of MLflow that the emulator knows"))
    }

    /// Says that the server behind cannot be used now.
    pub(super) fn trouble(error: &Error) -> Self {
        let texts: Vec<String> = causes::chain(error).map(ToString::to_string).collect();
        Self::error(StatusCode::SERVICE_UNAVAILABLE, "TEMPORARILY_UNAVAILABLE", &texts.join(": "))
    }

    /// Passes the server's answer on. Its messages name the run that was asked for as it is called behind: there, too, it gets Azure's id.
    pub(super) fn passed(reply: Reply, asked: &Map<String, Value>, azure_run: &str) -> Self {
        let mut body = reply.body;
        let inner = asked.get("run_id").and_then(Value::as_str).unwrap_or_default();
        if !reply.status.is_success()
            && !inner.is_empty()
            && let Some(Value::String(message)) = body.get_mut("message")
        {
            *message = message.replace(inner, azure_run);
        }
        Self { status: reply.status, body }
    }

    pub(super) fn batch(word: &str) -> Self {
        Self::ok(json!({ "batch_tracking_id": word }))
    }

    pub(super) fn batch_is_complete() -> Self {
        Self::ok(json!({ "is_complete": true }))
    }

    pub(super) fn download_uri(uri: &Value) -> Self {
        Self::ok(json!({ "artifact_uri": uri }))
    }

    /// Lists the artifacts directly below a path; a path that is a file lists itself not, as MLflow does it.
    pub(super) fn artifacts(root: &str, path: &str, artifacts: &[Artifact]) -> Self {
        let folder = path.trim_matches('/');
        let mut found: BTreeMap<String, Option<u64>> = BTreeMap::new();
        for artifact in artifacts {
            let below = if folder.is_empty() {
                Some(artifact.path.as_str())
            } else {
                artifact.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'))
            };
            let Some(below) = below else { continue };
            let (first, is_file) = below.split_once('/').map_or((below, true), |(first, _)| (first, false));
            let full = if folder.is_empty() { first.to_owned() } else { format!("{folder}/{first}") };
            found.insert(full, is_file.then_some(artifact.size));
        }
        let files: Vec<Value> = found
            .into_iter()
            .map(|(path, size)| match size {
                Some(size) => json!({ "path": path, "is_dir": false, "file_size": size }),
                None => json!({ "path": path, "is_dir": true }),
            })
            .collect();
        Self::ok(json!({ "root_uri": root, "files": files }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(path: &str, size: u64) -> Artifact {
        Artifact { path: path.to_owned(), size }
    }

    #[test]
    fn artifacts_are_listed_a_folder_at_a_time() {
        let all =
            [artifact("outputs/model/weights.bin", 7), artifact("outputs/m.pkl", 3), artifact("outputs-2/x", 1), artifact("a.txt", 0)];
        let names = |path: &str| -> Vec<String> {
            let answer = Answer::artifacts("azureml://x", path, &all);
            let files = answer.body["files"].as_array().expect("a list").clone();
            files.iter().map(|file| format!("{} {} {}", file["path"].as_str().unwrap_or("?"), file["is_dir"], file["file_size"])).collect()
        };
        assert_eq!(names(""), ["a.txt false 0", "outputs true null", "outputs-2 true null"]);
        assert_eq!(names("outputs/"), ["outputs/m.pkl false 3", "outputs/model true null"]);
        assert_eq!(names("a.txt"), [""; 0]);
    }

    #[test]
    fn a_message_of_the_server_names_the_run_as_its_client_does() {
        let reply = Reply { status: StatusCode::BAD_REQUEST, body: json!({ "error_code": "X", "message": "run aaaa: no" }) };
        let asked = serde_json::from_str(r#"{"run_id": "aaaa"}"#).expect("JSON");
        assert_eq!(Answer::passed(reply, &asked, "job-1").body["message"], "run job-1: no");
    }
}
