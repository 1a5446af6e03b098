//! Microsoft Entra ID without a secret of ours: a token that somebody else vouches for us with, and the endpoints of managed identities.
//!
//! Requests and answers: Microsoft's documentation of workload identity federation and of managed identities, GitHub's of OpenID Connect in
//! workflows, Azure Pipelines' of its token endpoint.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::azure::{Over, ask, read};
use super::{Error, Provider, Token};
use crate::support::fs;
use crate::support::secret::Secret;

/// The audience of a token that is exchanged.
const EXCHANGE: &str = "api://AzureADTokenExchange";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An application that presents somebody else's token in place of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AzureFederation {
    /// The tenant.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// Where the other token is.
    pub assertion: Assertion,
    /// The audience of the token that we get.
    pub resource: String,
    /// Who issues it.
    pub authority: String,
}

/// Where a token is that is exchanged. It is read anew for each exchange, since it is short-lived.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assertion {
    /// A file that somebody renews (Kubernetes).
    File(PathBuf),
    /// An address that GitHub's runners offer, which is asked with GET and answers `value`.
    GitHub {
        /// The address, with a query already.
        url: String,
        /// The token for it.
        token: Secret,
    },
    /// An address that Azure Pipelines offers, which is asked with POST and answers `oidcToken`.
    AzurePipelines {
        /// The address.
        url: String,
        /// The token for it.
        token: Secret,
        /// The service connection that vouches.
        connection: String,
    },
}

/// The endpoint of a managed identity beside a process, as Azure ML's computes, App Service and Cloud Shell have one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AzureIdentityEndpoint {
    /// The address.
    pub url: String,
    /// Its form.
    pub form: EndpointForm,
    /// What proves that a process of this machine asks; none on Cloud Shell.
    pub secret: Option<Secret>,
    /// Which of the identities.
    pub client_id: Option<String>,
    /// The audience.
    pub resource: String,
}

/// The forms of such an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointForm {
    /// `IDENTITY_ENDPOINT` with `IDENTITY_HEADER`.
    AppService,
    /// `MSI_ENDPOINT` with `MSI_SECRET`.
    AzureMl,
    /// `MSI_ENDPOINT` alone.
    CloudShell,
}

impl AzureFederation {
    pub(super) fn with(self, http: &reqwest::Client) -> Over<Self> {
        Over { own: self, http: http.clone() }
    }
}

impl AzureIdentityEndpoint {
    pub(super) fn with(self, http: &reqwest::Client) -> Over<Self> {
        Over { own: self, http: http.clone() }
    }
}

impl Assertion {
    async fn token(&self, http: &reqwest::Client) -> Result<Secret, Error> {
        let (url, request, key) = match self {
            Self::File(file) => {
                let text = fs::read_to_string(file)
                    .map_err(|error| if error.is_missing() { Error::Missing(file.clone()) } else { Error::File(error) })?;
                return Ok(Secret::new(text.trim()));
            }
            Self::GitHub { url, token } => (url, http.get(url).query(&[("audience", EXCHANGE)]).bearer_auth(token.expose()), "value"),
            Self::AzurePipelines { url, token, connection } => {
                let query = [("api-version", "7.1"), ("serviceConnectionId", connection.as_str())];
                (url, http.post(url).query(&query).bearer_auth(token.expose()).header("Content-Length", "0"), "oidcToken")
            }
        };
        let answer = ask(url, request).await?;
        let token = answer.get(key).and_then(serde_json::Value::as_str).filter(|token| !token.is_empty());
        token.map(Secret::new).ok_or_else(|| Error::Unreadable(format!("`{url}`")))
    }
}

#[async_trait]
impl Provider for Over<AzureFederation> {
    async fn fetch(&self) -> Result<Token, Error> {
        let own = &self.own;
        let assertion = own.assertion.token(&self.http).await?;
        let url = format!("{}/{}/oauth2/v2.0/token", own.authority.trim_end_matches('/'), own.tenant_id);
        let scope = format!("{}/.default", own.resource.trim_end_matches('/'));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &own.client_id),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.expose()),
            ("scope", &scope),
        ];
        read(&url, &ask(&url, self.http.post(&url).form(&form)).await?)
    }
}

#[async_trait]
impl Provider for Over<AzureIdentityEndpoint> {
    async fn fetch(&self) -> Result<Token, Error> {
        let AzureIdentityEndpoint { url, form, secret, client_id, resource } = &self.own;
        let secret = secret.as_ref().map_or("", Secret::expose);
        let named = |name: &'static str| client_id.as_deref().map(|id| (name, id));
        let request = match form {
            EndpointForm::AppService => {
                let query = [("api-version", "2019-08-01"), ("resource", resource.as_str())];
                self.http.get(url).query(&query).query(&named("client_id").as_slice()).header("X-IDENTITY-HEADER", secret)
            }
            EndpointForm::AzureMl => {
                let query = [("api-version", "2017-09-01"), ("resource", resource.as_str())];
                self.http.get(url).query(&query).query(&named("clientid").as_slice()).header("secret", secret)
            }
            EndpointForm::CloudShell => self.http.post(url).form(&[("resource", resource)]).header("Metadata", "true"),
        };
        read(url, &ask(url, request).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::MANAGEMENT;
    use super::*;
    use serde_json::json;
    use wiremock::matchers::{body_string_contains, header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn http() -> reqwest::Client {
        crate::support::http::client(std::time::Duration::from_secs(5), std::time::Duration::from_secs(5)).expect("a client")
    }

    async fn issuer(assertion: &str) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/t/oauth2/v2.0/token"))
            .and(body_string_contains(format!("client_assertion={assertion}")))
            .and(body_string_contains("jwt-bearer"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "access_token": "tok", "expires_in": 60 })))
            .mount(&server)
            .await;
        server
    }

    fn federation(authority: &MockServer, assertion: Assertion) -> AzureFederation {
        AzureFederation { tenant_id: "t".into(), client_id: "c".into(), assertion, resource: MANAGEMENT.into(), authority: authority.uri() }
    }

    #[tokio::test]
    async fn a_token_file_is_exchanged_and_read_anew_each_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("token");
        let server = issuer("second").await;
        let provider = federation(&server, Assertion::File(file.clone())).with(&http());
        assert!(matches!(provider.fetch().await, Err(Error::Missing(_))));
        std::fs::write(&file, "first\n").expect("writable");
        assert!(provider.fetch().await.is_err());
        std::fs::write(&file, "second\n").expect("writable");
        assert_eq!(provider.fetch().await.expect("a token").value.expose(), "tok");
    }

    #[tokio::test]
    async fn tokens_of_ci_systems_are_asked_for_and_exchanged() {
        let server = issuer("theirs").await;
        Mock::given(method("GET"))
            .and(path("/github"))
            .and(query_param("v", "1"))
            .and(query_param("audience", EXCHANGE))
            .and(header("authorization", "Bearer runner"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "value": "theirs" })))
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path("/pipelines"))
            .and(query_param("serviceConnectionId", "conn"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "oidcToken": "theirs" })))
            .mount(&server)
            .await;
        let token = || Secret::new("runner");
        let github = Assertion::GitHub { url: format!("{}/github?v=1", server.uri()), token: token() };
        let pipelines = Assertion::AzurePipelines { url: format!("{}/pipelines", server.uri()), token: token(), connection: "conn".into() };
        for assertion in [github, pipelines] {
            assert_eq!(federation(&server, assertion).with(&http()).fetch().await.expect("a token").value.expose(), "tok");
        }
    }

    #[tokio::test]
    async fn each_form_of_endpoint_is_asked_in_its_way() {
        let server = MockServer::start().await;
        let good = || ResponseTemplate::new(200).set_body_json(json!({ "access_token": "tok", "expires_on": "4102444800" }));
        let get = |path_text: &'static str| Mock::given(method("GET")).and(path(path_text)).and(query_param("resource", MANAGEMENT));
        get("/app").and(header("X-IDENTITY-HEADER", "s")).and(query_param("client_id", "c")).respond_with(good()).mount(&server).await;
        get("/aml").and(header("secret", "s")).and(query_param("clientid", "c")).respond_with(good()).mount(&server).await;
        Mock::given(method("POST")).and(path("/shell")).and(header("Metadata", "true")).respond_with(good()).mount(&server).await;
        for (at, form) in [("app", EndpointForm::AppService), ("aml", EndpointForm::AzureMl), ("shell", EndpointForm::CloudShell)] {
            let endpoint = AzureIdentityEndpoint {
                url: format!("{}/{at}", server.uri()),
                form,
                secret: Some(Secret::new("s")),
                client_id: Some("c".into()),
                resource: MANAGEMENT.into(),
            };
            assert_eq!(endpoint.with(&http()).fetch().await.expect("a token").value.expose(), "tok", "{at}");
        }
    }
}
