//! Which of Azure's ways to authenticate is taken: the one that is pinned, else the first that the environment is made for.
//!
//! The order is that of Azure's own tools: a service principal, workload identity, the federation of a CI system, a managed identity, the az
//! CLI. What the environment names is taken and its failure shown; only where it names nothing are the machine's identity and the CLI tried.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::azure_identity::{Assertion, AzureFederation, AzureIdentityEndpoint, EndpointForm};
use super::{AzureCli, AzureClient, AzureManagedIdentity, Credentials, Error, Provider, Token};
use crate::support::causes;
use crate::support::secret::Secret;

/// How long a machine's identity service may take to accept a connection; where it takes longer there is none.
const PROBE: Duration = Duration::from_millis(500);

/// The ways to authenticate, by the words that pin one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AzureAuth {
    /// A service principal: `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`.
    ClientCredentials,
    /// A token file that is exchanged: `AZURE_FEDERATED_TOKEN_FILE`.
    WorkloadIdentity,
    /// The token that a CI system offers at an address, exchanged.
    CiFederation,
    /// The identity of the machine.
    ManagedIdentity,
    /// Whoever is logged in to the az CLI.
    Cli,
}

impl AzureAuth {
    /// All, in the order in which they are tried.
    pub const ALL: [(&'static str, Self); 5] = [
        ("client_credentials", Self::ClientCredentials),
        ("workload_identity", Self::WorkloadIdentity),
        ("ci_federation", Self::CiFederation),
        ("managed_identity", Self::ManagedIdentity),
        ("cli", Self::Cli),
    ];

    /// Returns the word.
    pub fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// What a token is for, and who issues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// The audience: `https://management.azure.com`.
    pub resource: String,
    /// Who issues tokens, unless `AZURE_AUTHORITY_HOST` names another: `https://login.microsoftonline.com`.
    pub authority: String,
}

/// Returns the credentials for an audience. Nothing is asked and nothing runs.
pub fn azure(pin: Option<AzureAuth>, audience: &Audience, environment: &BTreeMap<String, String>) -> Result<Credentials, Error> {
    let own = Environment { audience, environment };
    if let Some(kind) = pin {
        return own.of(kind).ok_or(Error::NotSetUp { kind: kind.word(), needs: needs(kind) });
    }
    if environment.get("AZURE_CLIENT_CERTIFICATE_PATH").is_some_and(|path| !path.is_empty())
        && own.of(AzureAuth::ClientCredentials).is_none()
    {
        return Err(Error::NotSetUp { kind: "a certificate (`AZURE_CLIENT_CERTIFICATE_PATH`)", needs: "is not built yet" });
    }
    let named = [AzureAuth::ClientCredentials, AzureAuth::WorkloadIdentity, AzureAuth::CiFederation];
    let endpoint = || own.endpoint().map(Credentials::AzureIdentityEndpoint);
    if let Some(found) = named.into_iter().find_map(|kind| own.of(kind)).or_else(endpoint) {
        return Ok(found);
    }
    let last = [AzureAuth::ManagedIdentity, AzureAuth::Cli];
    Ok(Credentials::FirstOf { of: last.into_iter().filter_map(|kind| own.of(kind)).collect() })
}

/// Says what a kind needs that is not there.
fn needs(kind: AzureAuth) -> &'static str {
    match kind {
        AzureAuth::ClientCredentials => "needs `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`",
        AzureAuth::WorkloadIdentity => "needs `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE`",
        AzureAuth::CiFederation => {
            "needs `AZURE_TENANT_ID` and `AZURE_CLIENT_ID`, and a workflow that may ask for a token (GitHub: `permissions: {id-token: write}`)"
        }
        AzureAuth::ManagedIdentity | AzureAuth::Cli => "is always possible",
    }
}

struct Environment<'a> {
    audience: &'a Audience,
    environment: &'a BTreeMap<String, String>,
}

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.environment.get(name).filter(|value| !value.trim().is_empty()).cloned()
    }

    fn authority(&self) -> String {
        let written = self.get("AZURE_AUTHORITY_HOST");
        // It may be named without its scheme.
        let whole = written.map(|host| if host.contains("://") { host } else { format!("https://{host}") });
        whole.unwrap_or_else(|| self.audience.authority.clone())
    }

    fn of(&self, kind: AzureAuth) -> Option<Credentials> {
        let resource = self.audience.resource.clone();
        match kind {
            AzureAuth::ClientCredentials => Some(Credentials::AzureClient(AzureClient {
                tenant_id: self.get("AZURE_TENANT_ID")?,
                client_id: self.get("AZURE_CLIENT_ID")?,
                client_secret: Secret::new(self.get("AZURE_CLIENT_SECRET")?),
                resource,
                authority: self.authority(),
            })),
            AzureAuth::WorkloadIdentity => {
                let file = self.get("AZURE_FEDERATED_TOKEN_FILE")?;
                self.federation("AZURE_TENANT_ID", "AZURE_CLIENT_ID", Assertion::File(file.into()))
            }
            AzureAuth::CiFederation => self.github().or_else(|| self.pipelines()),
            AzureAuth::ManagedIdentity => Some(self.endpoint().map_or_else(
                || {
                    Credentials::AzureManagedIdentity(AzureManagedIdentity {
                        client_id: self.get("AZURE_CLIENT_ID"),
                        resource,
                        endpoint: "http://169.254.169.254".to_owned(),
                    })
                },
                Credentials::AzureIdentityEndpoint,
            )),
            AzureAuth::Cli => Some(Credentials::AzureCli(AzureCli { resource, tenant_id: self.get("AZURE_TENANT_ID") })),
        }
    }

    fn github(&self) -> Option<Credentials> {
        let (url, token) = (self.get("ACTIONS_ID_TOKEN_REQUEST_URL")?, self.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
        self.federation("AZURE_TENANT_ID", "AZURE_CLIENT_ID", Assertion::GitHub { url, token: Secret::new(token) })
    }

    fn pipelines(&self) -> Option<Credentials> {
        let (url, token) = (self.get("SYSTEM_OIDCREQUESTURI")?, self.get("SYSTEM_ACCESSTOKEN")?);
        let connection = self.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")?;
        let assertion = Assertion::AzurePipelines { url, token: Secret::new(token), connection };
        self.federation("AZURESUBSCRIPTION_TENANT_ID", "AZURESUBSCRIPTION_CLIENT_ID", assertion)
    }

    fn federation(&self, tenant: &str, client: &str, assertion: Assertion) -> Option<Credentials> {
        Some(Credentials::AzureFederation(AzureFederation {
            tenant_id: self.get(tenant)?,
            client_id: self.get(client)?,
            assertion,
            resource: self.audience.resource.clone(),
            authority: self.authority(),
        }))
    }

    /// Returns the endpoint of a managed identity that the environment names.
    fn endpoint(&self) -> Option<AzureIdentityEndpoint> {
        let client_id = self.get("DEFAULT_IDENTITY_CLIENT_ID").or_else(|| self.get("AZURE_CLIENT_ID"));
        let of = |url, form, secret: Option<String>| AzureIdentityEndpoint {
            url,
            form,
            secret: secret.map(Secret::new),
            client_id: client_id.clone(),
            resource: self.audience.resource.clone(),
        };
        if let (Some(url), Some(header)) = (self.get("IDENTITY_ENDPOINT"), self.get("IDENTITY_HEADER")) {
            return Some(of(url, EndpointForm::AppService, Some(header)));
        }
        let url = self.get("MSI_ENDPOINT")?;
        Some(match self.get("MSI_SECRET") {
            Some(secret) => of(url, EndpointForm::AzureMl, Some(secret)),
            None => of(url, EndpointForm::CloudShell, None),
        })
    }
}

/// Asks several sources in turn.
pub(super) struct FirstOf {
    pub(super) of: Vec<(Credentials, Box<dyn Provider>)>,
}

#[async_trait]
impl Provider for FirstOf {
    async fn fetch(&self) -> Result<Token, Error> {
        let mut tried = Vec::new();
        for (credentials, provider) in &self.of {
            if let Credentials::AzureManagedIdentity(identity) = credentials
                && !answers(&identity.endpoint).await
            {
                tried.push("this machine has no managed identity".to_owned());
                continue;
            }
            match provider.fetch().await {
                Ok(token) => return Ok(token),
                Err(error) => tried.push(causes::in_one_line(&error)),
            }
        }
        Err(Error::NoneOf(tried))
    }
}

/// Returns whether something accepts connections there.
async fn answers(endpoint: &str) -> bool {
    let Some(url) = url::Url::parse(endpoint).ok() else { return false };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return false };
    matches!(tokio::time::timeout(PROBE, tokio::net::TcpStream::connect((host, port))).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(pin: Option<AzureAuth>, variables: &[(&str, &str)]) -> Result<Credentials, Error> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let audience = Audience { resource: "https://r".into(), authority: "https://a".into() };
        azure(pin, &audience, &environment)
    }

    #[test]
    fn the_environment_decides_in_azures_order() {
        let ids = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c")];
        let with = |more: &[(&'static str, &'static str)]| chosen(None, &[&ids[..], more].concat()).expect("it is chosen");
        assert!(matches!(with(&[("AZURE_CLIENT_SECRET", "s"), ("AZURE_FEDERATED_TOKEN_FILE", "/f")]), Credentials::AzureClient(_)));
        let github = [("ACTIONS_ID_TOKEN_REQUEST_URL", "u"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "k"), ("MSI_ENDPOINT", "m")];
        assert!(matches!(with(&[("AZURE_FEDERATED_TOKEN_FILE", "/f"), github[0], github[1]]), Credentials::AzureFederation(own)
            if matches!(own.assertion, Assertion::File(_))));
        assert!(matches!(with(&github), Credentials::AzureFederation(own) if matches!(own.assertion, Assertion::GitHub { .. })));
        assert!(matches!(with(&github[2..]), Credentials::AzureIdentityEndpoint(own) if own.form == EndpointForm::CloudShell));
        assert!(matches!(with(&[]), Credentials::FirstOf { of } if of.len() == 2));
    }

    #[test]
    fn a_pinned_way_that_lacks_something_is_refused_and_no_other_is_taken() {
        let error = chosen(Some(AzureAuth::ClientCredentials), &[("AZURE_TENANT_ID", "t")]).expect_err("it lacks a secret");
        assert!(error.to_string().contains("needs `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`"), "{error}");
        let all = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s")];
        assert!(matches!(chosen(Some(AzureAuth::Cli), &all), Ok(Credentials::AzureCli(cli)) if cli.tenant_id.as_deref() == Some("t")));
    }

    #[test]
    fn another_authority_is_taken_from_the_environment_with_or_without_its_scheme() {
        let all = [("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"), ("AZURE_CLIENT_SECRET", "s")];
        for (host, expected) in [("login.example", "https://login.example"), ("https://login.example", "https://login.example")] {
            let found = chosen(None, &[&all[..], &[("AZURE_AUTHORITY_HOST", host)]].concat()).expect("it is chosen");
            assert!(matches!(found, Credentials::AzureClient(own) if own.authority == expected));
        }
    }

    #[tokio::test]
    async fn where_nothing_answers_all_that_was_tried_is_said() {
        let nobody = AzureManagedIdentity { client_id: None, resource: "r".into(), endpoint: "http://127.0.0.1:9".into() };
        let http = crate::support::http::client(PROBE, PROBE).expect("a client");
        let missing = Credentials::Command { command: vec!["sendoff-no-such-program".into()], lifetime: None };
        let both = Credentials::FirstOf { of: vec![Credentials::AzureManagedIdentity(nobody), missing] };
        let super::super::credentials::Source::Renewed(provider) = both.source(&http) else { panic!("it renews itself") };
        let error = provider.fetch().await.expect_err("nobody answers").to_string();
        assert!(error.contains("no managed identity") && error.contains("sendoff-no-such-program"), "{error}");
    }
}
