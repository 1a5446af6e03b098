//! Requests about jobs and what they leave: states, run history, artifacts, datastores.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::LOCATION;
use serde_json::{Value, json};
use url::Url;

use super::client::{Answer, Client, is_about_workspace};
use super::parse::{Details, Job};
use super::{Error, retry, wire};
use crate::support::azure::API_VERSION;

/// The version of the interface that knows what the stable one does not.
const PREVIEW: &str = "2025-01-01-preview";

impl Client {
    /// Returns a job; `None` when the workspace has none of this name.
    pub(super) async fn job(&self, name: &str) -> Result<Option<Job>, Error> {
        let answer = self.arm_call(Method::GET, &format!("/jobs/{name}"), &[], None).await?;
        if answer.status == 404 && !is_about_workspace(&answer) {
            return Ok(None);
        }
        answer.read(&format!("ask about the job `{name}`")).map(Some)
    }

    /// Makes a job, or finds that it is there.
    pub(super) async fn put_job(&self, name: &str, body: &Value) -> Result<Job, Error> {
        let act = format!("submit the job `{name}`");
        let version = if wire::needs_preview(body) { PREVIEW } else { API_VERSION };
        // A job that acts as its submitter needs a token for the workspace's own audience beside.
        let as_user = body["properties"]["identity"]["identityType"] == "UserIdentity";
        let beside = match self.submitter().filter(|_| as_user) {
            Some(session) => session.authorization().await?,
            None => None,
        };
        let url = self.arm(&format!("/jobs/{name}"));
        let answer = self.send(|| {
            let request = self.http().put(&url).query(&[("api-version", version)]).json(body);
            match &beside {
                Some(secret) => request.header("x-azureml-token", secret.expose().trim_start_matches("Bearer ")),
                None => request,
            }
        });
        answer.await?.read(&act)
    }

    /// Asks for the end of a job, and waits until the service has taken that in; `false` when there is no such job.
    pub(super) async fn cancel(&self, name: &str) -> Result<bool, Error> {
        let act = format!("cancel the job `{name}`");
        let answer = self.arm_call(Method::POST, &format!("/jobs/{name}/cancel"), &[], None).await?;
        match answer.status {
            404 => return Ok(false),
            // A job that has ended is refused by some versions of the service.
            400 | 409 => return Ok(true),
            202 => {}
            _ => return answer.good(&act).map(|_| true),
        }
        let mut pause = retry::pause(0, Some(&answer.headers));
        let place = answer.headers.get("azure-asyncoperation").or_else(|| answer.headers.get(LOCATION));
        let Some(url) = place.and_then(|place| place.to_str().ok()).filter(|url| self.may_hear_token(url)).map(str::to_owned) else {
            return Ok(true);
        };
        loop {
            tokio::time::sleep(pause.clamp(Duration::from_millis(200), Duration::from_secs(30))).await;
            let answer = self.send(|| self.http().get(&url)).await?;
            if answer.status != 202 && !is_in_progress(&answer) {
                // Whether the job has ended is asked of the job.
                return Ok(true);
            }
            pause = retry::pause(0, Some(&answer.headers));
        }
    }

    /// Returns whether an address that the service gave may be asked with our token: the control plane's, in whatever region.
    fn may_hear_token(&self, url: &str) -> bool {
        let own = Url::parse(self.resource_manager()).ok();
        let (Some(own), Some(url)) = (own, Url::parse(url).ok()) else { return false };
        let (Some(host), Some(asked)) = (own.host_str(), url.host_str()) else { return false };
        url.scheme() == own.scheme() && (url.origin() == own.origin() || asked.ends_with(&format!(".{host}")))
    }

    /// Returns what run history tells of a job; `None` when it has not heard of it yet.
    pub(super) async fn details(&self, name: &str) -> Result<Option<Details>, Error> {
        let url = format!("{}/runs/{name}/details", self.workspace().await?.history);
        let answer = self.send(|| self.http().get(&url)).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        answer.read(&format!("ask how the job `{name}` stands")).map(Some)
    }

    /// Asks run history about a job's artifacts.
    pub(super) async fn artifacts(&self, experiment: &str, run: &str, route: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        let url = self.artifacts_url(experiment, run, route).await?;
        self.send(|| self.http().get(url.clone()).query(query)).await?.read(&format!("ask for what `{run}` has left"))
    }

    /// Makes artifacts, and returns where their contents are to be written.
    pub(super) async fn create_artifacts(&self, experiment: &str, run: &str, paths: &[String]) -> Result<Value, Error> {
        let url = self.artifacts_url(experiment, run, "batch/metadata").await?;
        let body = json!({ "paths": paths.iter().map(|path| json!({ "path": path })).collect::<Vec<_>>() });
        self.send(|| self.http().post(url.clone()).json(&body)).await?.read(&format!("keep files with `{run}`"))
    }

    async fn artifacts_url(&self, experiment: &str, run: &str, route: &str) -> Result<Url, Error> {
        let mut url = Url::parse(&self.workspace().await?.history).map_err(|_| Error::NoHistory(self.scope().workspace_name.clone()))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(["experiments", experiment, "runs", run, "artifacts"]).extend(route.split('/').filter(|part| !part.is_empty()));
        }
        Ok(url)
    }

    /// Asks for a proof with which a datastore can be read, and for where it is.
    pub(super) async fn datastore(&self, name: &str) -> Result<(Value, Value), Error> {
        let act = format!("look at the datastore `{name}`");
        let found: Value = self.arm_call(Method::GET, &format!("/datastores/{name}"), &[], None).await?.read(&act)?;
        // Only this version of the interface gives one that expires, and not the account's own key.
        let url = self.arm(&format!("/datastores/{name}/listSecrets"));
        let body = json!({ "expirableSecret": true, "expireAfterHours": 1 });
        let answer = self.send(|| self.http().post(&url).query(&[("api-version", "2024-10-01-preview")]).json(&body)).await?;
        Ok((found, answer.read(&format!("ask for access to the datastore `{name}`"))?))
    }
}

fn is_in_progress(answer: &Answer) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return false };
    let status = body["status"].as_str().unwrap_or_default().to_lowercase();
    answer.is_good() && !matches!(status.as_str(), "" | "succeeded" | "failed" | "canceled")
}
