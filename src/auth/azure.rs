//! Microsoft Entra ID (Azure AD): client credentials, managed identity, az CLI.
//!
//! Requests and answers: Microsoft's documentation of the OAuth 2.0 client credentials flow, of the instance metadata service, and of
//! `az account get-access-token`.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Provider, Token, local};
use crate::support::clock;
use crate::support::secret::Secret;

/// The audience of Azure Resource Manager, which Azure ML's tracking takes.
pub const MANAGEMENT: &str = "https://management.azure.com";

/// A service principal with a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AzureClient {
    /// The tenant.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// The audience, [`MANAGEMENT`] for Azure ML.
    pub resource: String,
    /// Who issues tokens: `https://login.microsoftonline.com`, or a sovereign cloud's.
    pub authority: String,
}

/// The identity of the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AzureManagedIdentity {
    /// Which of its identities, when it has more than one.
    pub client_id: Option<String>,
    /// The audience.
    pub resource: String,
    /// The instance metadata service: `http://169.254.169.254`.
    pub endpoint: String,
}

/// Whoever is logged in to the az CLI.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AzureCli {
    /// The audience.
    pub resource: String,
    /// The tenant, when it is not the CLI's own.
    pub tenant_id: Option<String>,
}

/// A source with what it needs to ask over HTTP.
pub(super) struct Over<T> {
    pub(super) own: T,
    pub(super) http: reqwest::Client,
}

impl AzureClient {
    pub(super) fn with(self, http: &reqwest::Client) -> Over<Self> {
        Over { own: self, http: http.clone() }
    }
}

impl AzureManagedIdentity {
    pub(super) fn with(self, http: &reqwest::Client) -> Over<Self> {
        Over { own: self, http: http.clone() }
    }
}

#[async_trait]
impl Provider for Over<AzureClient> {
    async fn fetch(&self) -> Result<Token, Error> {
        let own = &self.own;
        let url = format!("{}/{}/oauth2/v2.0/token", own.authority.trim_end_matches('/'), own.tenant_id);
        let scope = format!("{}/.default", own.resource.trim_end_matches('/'));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &own.client_id),
            ("client_secret", own.client_secret.expose()),
            ("scope", &scope),
        ];
        read(&url, &ask(&url, self.http.post(&url).form(&form)).await?)
    }
}

#[async_trait]
impl Provider for Over<AzureManagedIdentity> {
    async fn fetch(&self) -> Result<Token, Error> {
        let own = &self.own;
        let url = format!("{}/metadata/identity/oauth2/token", own.endpoint.trim_end_matches('/'));
        let mut query = vec![("api-version", "2018-02-01"), ("resource", own.resource.as_str())];
        query.extend(own.client_id.as_deref().map(|id| ("client_id", id)));
        read(&url, &ask(&url, self.http.get(&url).header("Metadata", "true").query(&query)).await?)
    }
}

#[async_trait]
impl Provider for AzureCli {
    async fn fetch(&self) -> Result<Token, Error> {
        let mut words: Vec<String> =
            ["az", "account", "get-access-token", "--output", "json", "--resource", &self.resource].map(str::to_owned).to_vec();
        words.extend(self.tenant_id.iter().flat_map(|tenant| ["--tenant".to_owned(), tenant.clone()]));
        let answer: Value = serde_json::from_slice(&local::run(&words).await?)
            .map_err(|_| Error::Unreadable("`az account get-access-token`".to_owned()))?;
        read("az account get-access-token", &answer)
    }
}

/// Sends a request for a token and returns the JSON of a good answer.
pub(super) async fn ask(url: &str, request: reqwest::RequestBuilder) -> Result<Value, Error> {
    let unreachable = |source: reqwest::Error| Error::Unreachable { url: url.to_owned(), source: source.without_url() };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = response.bytes().await.map_err(unreachable)?;
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    match answer {
        Some(answer) if status == 200 => Ok(answer),
        answer if status != 200 => {
            let said = answer.and_then(|answer| {
                let text = answer.get("error_description").or_else(|| answer.get("error"))?.as_str()?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            });
            Err(Error::Refused { url: url.to_owned(), status, message: said.unwrap_or_else(|| "no reason given".to_owned()) })
        }
        _ => Err(Error::Unreadable(format!("`{url}`"))),
    }
}

/// Reads an answer: `access_token` with `expires_in` (seconds) or `expires_on` (seconds since 1970), either as number or text; the az CLI writes
/// `accessToken`, and older ones only a local time, which is then not known.
pub(super) fn read(from: &str, answer: &Value) -> Result<Token, Error> {
    let value = answer.get("access_token").or_else(|| answer.get("accessToken")).and_then(Value::as_str);
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Err(Error::Unreadable(format!("`{from}`"))) };
    let number = |key: &str| answer.get(key).and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
    let end = number("expires_in")
        .map(|seconds| clock::now() + SignedDuration::from_secs(seconds))
        .or_else(|| number("expires_on").and_then(|seconds| Timestamp::from_second(seconds).ok()));
    Ok(Token::bearer(Secret::new(value), end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wiremock::matchers::{body_string_contains, header, method, path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    fn http() -> reqwest::Client {
        crate::support::http::client(std::time::Duration::from_secs(5), std::time::Duration::from_secs(5)).expect("a client")
    }

    fn principal(issuer: &MockServer) -> AzureClient {
        AzureClient {
            tenant_id: "t".into(),
            client_id: "c".into(),
            client_secret: Secret::new("s"),
            resource: MANAGEMENT.into(),
            authority: issuer.uri(),
        }
    }

    #[tokio::test]
    async fn a_service_principal_asks_for_the_audiences_default_scope() {
        let server = MockServer::start().await;
        let answer = json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "tok" });
        Mock::given(method("POST"))
            .and(path("/t/oauth2/v2.0/token"))
            .and(body_string_contains("scope=https%3A%2F%2Fmanagement.azure.com%2F.default"))
            .and(body_string_contains("client_secret=s"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
        let token = principal(&server).with(&http()).fetch().await.expect("a token");
        let left = token.expires_at.expect("it ends").duration_since(clock::now());
        assert!(token.value.expose() == "tok" && left > SignedDuration::from_mins(59), "{left}");
    }

    #[tokio::test]
    async fn a_refusal_says_what_the_issuer_said() {
        let server = MockServer::start().await;
        let answer = json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret.\nTrace ID: 1" });
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(401).set_body_json(answer)).mount(&server).await;
        let error = principal(&server).with(&http()).fetch().await.expect_err("it is refused");
        assert!(error.to_string().ends_with("(401): AADSTS7000215: Invalid client secret."), "{error}");
        assert!(!error.is_transient());
    }

    #[tokio::test]
    async fn a_managed_identity_asks_the_machine() {
        let server = MockServer::start().await;
        let answer = json!({ "access_token": "tok", "expires_on": "4102444800" });
        Mock::given(method("GET"))
            .and(path("/metadata/identity/oauth2/token"))
            .and(header("Metadata", "true"))
            .and(query_param("resource", MANAGEMENT))
            .and(query_param("client_id", "u"))
            .respond_with(ResponseTemplate::new(200).set_body_json(answer))
            .mount(&server)
            .await;
        let own = AzureManagedIdentity { client_id: Some("u".into()), resource: MANAGEMENT.into(), endpoint: server.uri() };
        let token = own.with(&http()).fetch().await.expect("a token");
        assert_eq!(token.expires_at.map(Timestamp::as_second), Some(4_102_444_800));
    }

    #[test]
    fn the_answer_of_the_az_cli_is_read() {
        let token =
            read("az", &json!({ "accessToken": "tok", "expires_on": 4_102_444_800_i64, "expiresOn": "2100-01-01 00:00:00.000000" }));
        assert_eq!(token.expect("a token").expires_at.map(Timestamp::as_second), Some(4_102_444_800));
        assert!(read("az", &json!({ "accessToken": "" })).is_err());
    }
}
