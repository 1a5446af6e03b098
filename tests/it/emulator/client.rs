//! A client of a few lines, which sends what a test wants to see refused, too.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Emulator;
use crate::support::wait_until;

/// The version of the control plane's interface.
const VERSION: &str = "api-version=2024-04-01";

/// Talks to an emulator with a token of its own.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    base: String,
    /// The workspace's path.
    pub(crate) scope: String,
    pub(crate) token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
    /// Null when it is not JSON.
    pub(crate) json: Value,
}

impl Answer {
    /// Asserts the status, showing everything when it is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Returns the word for programs of an error.
    pub(crate) fn code(&self) -> &str {
        self.json["error"]["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn of(emulator: &Emulator) -> Self {
        sendoff::support::http::install_tls();
        let state: Value = serde_json::from_slice(&std::fs::read(emulator.state_file()).expect("it runs")).expect("JSON");
        let text = |name: &str| state[name].as_str().expect("a text").to_owned();
        let authority =
            reqwest::Certificate::from_pem(&std::fs::read(emulator.certificate()).expect("it is there")).expect("a certificate");
        // Nobody else is trusted.
        let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().timeout(Duration::from_mins(3)).build();
        let scope: sendoff::support::azure::Scope = serde_json::from_value(state["scope"].clone()).expect("a workspace");
        let mut client = Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built"),
            http: http.expect("a client can be built"),
            base: text("base_url"),
            scope: scope.to_string(),
            token: String::new(),
        };
        let answer = client.ask_for_token(&text("tenant_id"), &text("client_id"), &text("client_secret")).expect(200);
        answer.json["access_token"].as_str().expect("a token").clone_into(&mut client.token);
        client
    }

    pub(crate) fn ask_for_token(&self, tenant: &str, client: &str, secret: &str) -> Answer {
        self.token_by((tenant, client), &[("client_secret", secret)], "https://management.azure.com/.default")
    }

    /// Asks for a token of an application, by its tenant and id, with these credentials.
    pub(crate) fn token_by(&self, (tenant, client): (&str, &str), credentials: &[(&str, &str)], scope: &str) -> Answer {
        let form: Vec<_> =
            [("grant_type", "client_credentials"), ("client_id", client), ("scope", scope)].iter().chain(credentials).copied().collect();
        self.send(self.http.post(format!("{}/{tenant}/oauth2/v2.0/token", self.base)).form(&form)).expect("it answers")
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        self.runtime.block_on(async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let text = response.text().await?;
            let json = serde_json::from_str(&text).unwrap_or_default();
            Ok(Answer { status, headers, text, json })
        })
    }

    /// Sends a request to an address, or to a path of the emulator, without a token.
    pub(crate) fn bare(&self, method: Method, url: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        let url = if url.starts_with('/') { format!("{}{url}", self.base) } else { url.to_owned() };
        let request = headers.iter().fold(self.http.request(method, url), |request, (name, value)| request.header(*name, *value));
        self.send(request.body(body)).expect("it answers")
    }

    /// Sends a request with the token.
    pub(crate) fn try_ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, reqwest::Error> {
        let url = if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        let request = self.http.request(method, url).bearer_auth(&self.token);
        self.send(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }

    /// Asks the control plane for something of the workspace: `/jobs/j`.
    pub(crate) fn arm(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mark = if path.contains('?') { '&' } else { '?' };
        self.try_ask(method, &format!("{}{path}{mark}{VERSION}", self.scope), body).expect("it answers")
    }

    /// Asks run history for something of a run: `/details`.
    pub(crate) fn run(&self, name: &str, rest: &str) -> Answer {
        self.try_ask(Method::GET, &format!("/history/v1.0{}/runs/{name}{rest}", self.scope), None).expect("it answers")
    }

    /// Begins an upload; returns the address of its container and the signature.
    pub(crate) fn upload(&self, code: &str) -> (String, String) {
        let body = json!({ "pendingUploadType": "TemporaryBlobReference" });
        let answer = self.arm(Method::POST, &format!("/codes/{code}/versions/1/startPendingUpload"), Some(&body)).expect(200);
        let uri = answer.json["blobReferenceForConsumption"]["credential"]["sasUri"].as_str().expect("an address");
        let (container, signature) = uri.split_once('?').expect("it is signed");
        (container.to_owned(), signature.to_owned())
    }

    /// Uploads a script `train.py` as a code asset, and makes an environment; returns a job that runs it.
    pub(crate) fn job(&self, name: &str, script: &str) -> Value {
        let (container, signature) = self.upload(name);
        let blob = [("x-ms-blob-type", "BlockBlob")];
        self.bare(Method::PUT, &format!("{container}/project/train.py?{signature}"), &blob, script.to_owned()).expect(201);
        let code = json!({ "properties": { "codeUri": format!("{container}/project") } });
        self.arm(Method::PUT, &format!("/codes/{name}/versions/1"), Some(&code)).expect(201);
        let environment = json!({ "properties": { "image": "python:3.11-slim" } });
        let made = self.arm(Method::PUT, "/environments/plain/versions/1", Some(&environment));
        assert!(made.status.is_success(), "{}", made.text);
        json!({ "properties": {
            "jobType": "Command", "experimentName": "trials", "command": "python train.py", "codeId": format!("{}/codes/{name}/versions/1", self.scope),
            "environmentId": format!("{}/environments/plain/versions/1", self.scope), "computeId": format!("{}/computes/cpu-cluster", self.scope),
        } })
    }

    /// Sends a job.
    #[track_caller]
    pub(crate) fn submit(&self, name: &str, job: &Value) -> Answer {
        self.arm(Method::PUT, &format!("/jobs/{name}"), Some(job)).expect(201)
    }

    pub(crate) fn status(&self, name: &str) -> String {
        let answer = self.arm(Method::GET, &format!("/jobs/{name}"), None).expect(200);
        answer.json["properties"]["status"].as_str().expect("a state").to_owned()
    }

    /// Waits until a job is in one of these states, and returns which.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, states: &[&str]) -> String {
        wait_until(|| {
            let status = self.status(name);
            if states.contains(&status.as_str()) { Ok(status) } else { Err(status) }
        })
    }

    /// Waits until a job has ended, and returns its run details.
    #[track_caller]
    pub(crate) fn wait(&self, name: &str) -> Value {
        self.wait_for(name, &["Completed", "Failed", "Canceled"]);
        self.run(name, "/details").expect(200).json
    }

    /// Returns the paths of a run's artifacts.
    #[track_caller]
    pub(crate) fn artifacts(&self, name: &str) -> Vec<String> {
        let path = format!("/history/v1.0{}/experiments/trials/runs/{name}/artifacts", self.scope);
        let listed = self.try_ask(Method::GET, &path, None).expect("it answers").expect(200).json;
        listed["value"].as_array().expect("a list").iter().filter_map(|each| Some(each["path"].as_str()?.to_owned())).collect()
    }

    /// Returns a log of a run.
    #[track_caller]
    pub(crate) fn log(&self, details: &Value, name: &str) -> String {
        let url = details["logFiles"][name].as_str().unwrap_or_else(|| panic!("it has no {name}: {details}"));
        self.bare(Method::GET, url, &[], "").expect(200).text
    }
}
