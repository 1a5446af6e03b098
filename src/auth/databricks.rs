//! Databricks: OAuth for service principals. (A personal access token is a plain bearer token.)

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::azure::{ask, read};
use super::{Error, Provider, Token};
use crate::support::secret::Secret;

/// A service principal with an OAuth secret.
///
/// Source: Databricks' documentation of machine-to-machine OAuth; a workspace answers at `/oidc/v1/token`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabricksOAuth {
    /// The workspace: `https://adb-....azuredatabricks.net`.
    pub host: String,
    /// The principal's application id.
    pub client_id: String,
    /// Its OAuth secret.
    pub client_secret: Secret,
}

/// The principal with what it needs to ask.
pub(super) struct Asking {
    own: DatabricksOAuth,
    http: reqwest::Client,
}

impl DatabricksOAuth {
    pub(super) fn with(self, http: &reqwest::Client) -> Asking {
        Asking { own: self, http: http.clone() }
    }
}

#[async_trait]
impl Provider for Asking {
    async fn fetch(&self) -> Result<Token, Error> {
        let own = &self.own;
        let url = format!("{}/oidc/v1/token", own.host.trim_end_matches('/'));
        let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        let request = self.http.post(&url).basic_auth(&own.client_id, Some(own.client_secret.expose())).form(&form);
        read(&url, &ask(&url, request).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use wiremock::matchers::{basic_auth, body_string, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    #[tokio::test]
    async fn a_principal_presents_itself_by_basic_and_gets_a_token_for_all_apis() {
        let server = MockServer::start().await;
        Mock::given(path("/oidc/v1/token"))
            .and(basic_auth("c", "s"))
            .and(body_string("grant_type=client_credentials&scope=all-apis"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "access_token": "tok", "expires_in": 3600 })))
            .mount(&server)
            .await;
        let http = crate::support::http::client(std::time::Duration::from_secs(5), std::time::Duration::from_secs(5)).expect("a client");
        let own = DatabricksOAuth { host: server.uri(), client_id: "c".into(), client_secret: Secret::new("s") };
        let token = own.with(&http).fetch().await.expect("a token");
        assert!(token.value.expose() == "tok" && token.expires_at.is_some());
    }
}
