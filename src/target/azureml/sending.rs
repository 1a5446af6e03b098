//! Sends a job to its workspace, with as few questions as it can be done.
//!
//! An environment that the workspace was seen to have is not asked for again. It may be gone all the same: then the service refuses the job, and
//! only then is it asked.

use serde_json::Value;

use super::client::Client;
use super::parse::Job;
use super::{AzureMl, Error, known, request};
use crate::job::Hosted;

impl AzureMl {
    /// Returns which environments the workspace was seen to have.
    pub(super) fn environments(&self, client: &Client) -> known::Environments {
        known::Environments::of(&self.cache, client.resource_manager(), client.scope())
    }

    /// Makes the environment if the workspace does not have it; returns whether it was made.
    pub(super) async fn ensure_environment(&self, client: &Client, hosted: &Hosted) -> Result<bool, Error> {
        let (name, version) = (request::ENVIRONMENT, hosted.environment.as_str());
        let is_there = client.has_environment(name, version).await?;
        if !is_there {
            client.put_environment(name, version, &request::environment(hosted)).await?;
        }
        self.environments(client).add(version);
        Ok(!is_there)
    }

    /// Sends a job. One that is refused because its environment is gone, of which it was only remembered, is sent once more with another.
    pub(super) async fn put_job(&self, client: &Client, name: &str, hosted: &Hosted, body: &Value) -> Result<Job, Error> {
        match client.put_job(name, body).await {
            Err(error @ Error::Refused { status: 400 | 404, .. }) if request::workspaces_own(hosted).is_none() => {
                self.environments(client).remove(&hosted.environment);
                if self.ensure_environment(client, hosted).await? { client.put_job(name, body).await } else { Err(error) }
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::json;
    use wiremock::matchers::{method, path_regex};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::auth::Credentials;
    use crate::support::azure::Scope;
    use crate::support::dirs::Dirs;
    use crate::target::azureml::{Access, Door};
    use crate::target::config::AzureMlSpec;

    struct At(String);

    #[async_trait]
    impl Door for At {
        async fn open(&self) -> Result<Access, Error> {
            Ok(Access {
                resource_manager: self.0.clone(),
                credentials: Credentials::None,
                submitter: None,
                scope: Scope { subscription_id: "s".into(), resource_group: "g".into(), workspace_name: "w".into() },
                certificate_authority: None,
                storage: None,
            })
        }
    }

    fn hosted() -> Hosted {
        Hosted {
            experiment: "e".into(),
            name: "n".into(),
            tags: Vec::new(),
            properties: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            environment: "version-1".into(),
            image: "python:3.11-slim".into(),
            conda_file: None,
            shared_memory: None,
            asked: crate::job::Asked::default(),
        }
    }

    fn refusal(text: &str) -> ResponseTemplate {
        ResponseTemplate::new(400).set_body_json(json!({ "error": { "code": "UserError", "message": text } }))
    }

    async fn on(server: &MockServer, verb: &str, path: &str, answer: ResponseTemplate, times: u64) {
        Mock::given(method(verb)).and(path_regex(path)).respond_with(answer).up_to_n_times(times).expect(times).mount(server).await;
    }

    #[tokio::test]
    async fn a_job_whose_remembered_environment_is_gone_is_sent_once_more_with_a_new_one() {
        let (folder, server) = (tempfile::tempdir().expect("a temporary folder"), MockServer::start().await);
        on(&server, "PUT", "/jobs/j$", refusal("The environment was not found."), 1).await;
        on(&server, "GET", "/environments/sendoff/versions/version-1$", ResponseTemplate::new(404), 1).await;
        on(&server, "PUT", "/environments/sendoff/versions/version-1$", ResponseTemplate::new(201).set_body_json(json!({})), 1).await;
        on(&server, "PUT", "/jobs/j$", ResponseTemplate::new(201).set_body_json(json!({ "name": "j" })), 1).await;
        let dirs = Dirs { data: folder.path().join("data"), cache: folder.path().join("cache"), config: folder.path().join("config") };
        let target = AzureMl::new(&dirs, AzureMlSpec::default(), false, Box::new(At(server.uri())));
        let client = target.client().await.expect("a client");
        target.environments(client).add("version-1");
        let sent = target.put_job(client, "j", &hosted(), &json!({})).await.expect("it is made");
        assert_eq!(sent.name, "j");
        assert!(target.environments(client).has("version-1"));
    }

    #[tokio::test]
    async fn a_job_that_is_refused_for_another_reason_is_not_sent_again() {
        let (folder, server) = (tempfile::tempdir().expect("a temporary folder"), MockServer::start().await);
        on(&server, "PUT", "/jobs/j$", refusal("The compute was not found."), 1).await;
        on(&server, "GET", "/environments/sendoff/versions/version-1$", ResponseTemplate::new(200).set_body_json(json!({})), 1).await;
        let dirs = Dirs { data: folder.path().join("data"), cache: folder.path().join("cache"), config: folder.path().join("config") };
        let target = AzureMl::new(&dirs, AzureMlSpec::default(), false, Box::new(At(server.uri())));
        let client = target.client().await.expect("a client");
        let refused = target.put_job(client, "j", &hosted(), &json!({})).await.expect_err("it is refused");
        assert!(refused.to_string().contains("The compute was not found."), "{refused}");
    }
}
