//! Requests about what jobs are made from: code assets and environments.

use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use super::Error;
use super::client::{Client, is_about_workspace};
use crate::support::azure::{AssetId, HASH_VERSION};

/// A place to upload a code asset to.
#[derive(Debug)]
pub(super) struct Upload {
    /// The container, without the proof.
    pub(super) container: String,
    /// The container, with the proof in its query; never kept.
    pub(super) sas: Url,
}
impl Client {
    /// Returns the code asset that has this hash.
    pub(super) async fn code(&self, name: &str, hash: &str) -> Result<Option<AssetId>, Error> {
        let query = [("hash", hash), ("hashVersion", HASH_VERSION)];
        let act = "look for the source directory among the workspace's code";
        let answer = self.arm_call(Method::GET, &format!("/codes/{name}/versions"), &query, None).await?;
        if answer.status == 404 && !is_about_workspace(&answer) {
            return Ok(None);
        }
        let found: Value = answer.read(act)?;
        let id = found["value"].as_array().and_then(|found| found.first()).and_then(|found| found["id"].as_str());
        Ok(id.and_then(|id| id.parse().ok()))
    }

    /// Asks for a place to upload a code asset to.
    pub(super) async fn start_upload(&self, name: &str) -> Result<Upload, Error> {
        let act = "ask for a place to upload the source directory to";
        let path = format!("/codes/{name}/versions/1/startPendingUpload");
        let body = json!({ "pendingUploadType": "TemporaryBlobReference" });
        let found: Value = self.arm_call(Method::POST, &path, &[], Some(&body)).await?.read(act)?;
        let reference = &found["blobReferenceForConsumption"];
        let sas = reference["credential"]["sasUri"].as_str().and_then(|text| Url::parse(text).ok());
        let container = reference["blobUri"].as_str().map(|text| text.trim_end_matches('/').to_owned());
        sas.zip(container).map(|(sas, container)| Upload { container, sas }).ok_or_else(|| Error::Refused {
            act: act.to_owned(),
            status: 200,
            code: String::new(),
            message: "the answer names no place".to_owned(),
            id: None,
        })
    }

    /// Registers an uploaded code asset and returns its id; `None` when another one has its name.
    pub(super) async fn put_code(&self, name: &str, uri: &str, hash: &str) -> Result<Option<String>, Error> {
        let body = json!({ "properties": {
            "codeUri": uri,
            "isAnonymous": true,
            "properties": { "hash_sha256": hash, "hash_version": HASH_VERSION },
        } });
        let answer = self.arm_call(Method::PUT, &format!("/codes/{name}/versions/1"), &[], Some(&body)).await?;
        if matches!(answer.status, 400 | 409) {
            return Ok(None);
        }
        let found: Value = answer.read("register the source directory")?;
        Ok(Some(found["id"].as_str().map_or_else(|| self.scope().asset("codes", name, "1").to_string(), str::to_owned)))
    }

    /// Returns whether an environment's version is there.
    pub(super) async fn has_environment(&self, name: &str, version: &str) -> Result<bool, Error> {
        let answer = self.arm_call(Method::GET, &format!("/environments/{name}/versions/{version}"), &[], None).await?;
        if answer.status == 404 && !is_about_workspace(&answer) {
            return Ok(false);
        }
        answer.good("look for the environment").map(|_| true)
    }

    /// Makes an environment's version.
    pub(super) async fn put_environment(&self, name: &str, version: &str, body: &Value) -> Result<(), Error> {
        let path = format!("/environments/{name}/versions/{version}");
        self.arm_call(Method::PUT, &path, &[], Some(body)).await?.good("register the environment").map(drop)
    }

    /// Returns the id of the latest version of what the workspace has registered: `data`, `models` or `environments`.
    pub(super) async fn latest(&self, collection: &str, name: &str) -> Result<String, Error> {
        let act = format!("look for the latest version of `{name}`");
        let found: Value = self.arm_call(Method::GET, &format!("/{collection}/{name}"), &[], None).await?.read(&act)?;
        let version = found["properties"]["latestVersion"].as_str().filter(|version| !version.is_empty());
        let version = version.ok_or_else(|| Error::Refused {
            act,
            status: 200,
            code: String::new(),
            message: "the workspace has no version of it".to_owned(),
            id: None,
        })?;
        Ok(self.scope().asset(collection, name, version).to_string())
    }
}
