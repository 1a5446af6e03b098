//! The way to a workspace: which addresses, whose credentials, and which certificates are trusted.

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::auth::{Audience, AzureAuth, Credentials};
use crate::support::azure::Scope;
use crate::target::config::{AzureCloud, AzureMlSpec};

/// Everything that a client needs to talk to a workspace.
#[derive(Debug, Clone)]
pub struct Access {
    /// The control plane: `https://management.azure.com`.
    pub resource_manager: String,
    /// Who we are.
    pub credentials: Credentials,
    /// Who we are to the workspace itself, which jobs that act as their submitter need; `None` where one token is for all.
    pub submitter: Option<Credentials>,
    /// The workspace.
    pub scope: Scope,
    /// A certificate authority that is trusted beside the machine's own.
    pub certificate_authority: Option<PathBuf>,
    /// Where storage accounts are; `None` takes the host that the service names.
    pub storage: Option<String>,
}

/// Opens the way to a workspace.
///
/// It is asked once for each [`AzureMl`](super::AzureMl), before its first request. A local emulation is started by it when it does not run;
/// it never leads to the real service.
#[async_trait]
pub trait Door: Send + Sync {
    /// Returns the way.
    async fn open(&self) -> Result<Access, Error>;
}

/// What is kept of a job so that later commands find its workspace; nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The workspace; `None` where an emulation has one of its own, because nobody named one.
    pub scope: Option<Scope>,
    /// The cloud.
    pub cloud: AzureCloud,
    /// The pinned way to authenticate.
    pub auth: Option<AzureAuth>,
    /// Whether a local emulation takes the workspace's place.
    pub emulated: bool,
}

impl Address {
    /// Returns the address of what a run config names; `cloud` is what the environment says.
    pub fn of(spec: &AzureMlSpec, emulated: bool, cloud: Option<AzureCloud>) -> Self {
        Self { scope: spec.workspace.scope(), cloud: spec.cloud.or(cloud).unwrap_or_default(), auth: spec.auth, emulated }
    }

    /// Returns what a record keeps.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data of ours always serialises")
    }

    /// Reads what a record keeps.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The fixed addresses of a cloud.
#[derive(Debug, Clone, Copy)]
pub struct Cloud {
    /// The control plane.
    pub resource_manager: &'static str,
    /// Who issues tokens.
    pub authority: &'static str,
    /// The workspaces themselves, as tokens name them.
    pub workspaces: &'static str,
}

impl Cloud {
    /// Returns the addresses.
    pub fn of(cloud: AzureCloud) -> Self {
        let (resource_manager, authority, workspaces) = match cloud {
            AzureCloud::AzureCloud => ("https://management.azure.com", "https://login.microsoftonline.com", "https://ml.azure.com"),
            AzureCloud::AzureChinaCloud => ("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn", "https://ml.azure.cn"),
            AzureCloud::AzureUSGovernment => {
                ("https://management.usgovcloudapi.net", "https://login.microsoftonline.us", "https://ml.azure.us")
            }
        };
        Self { resource_manager, authority, workspaces }
    }

    /// Returns what tokens are for.
    pub fn audience(self) -> Audience {
        Audience { resource: self.resource_manager.to_owned(), authority: self.authority.to_owned() }
    }

    /// Returns what tokens for the workspaces themselves are for.
    pub fn workspace_audience(self) -> Audience {
        Audience { resource: self.workspaces.to_owned(), ..self.audience() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_record() {
        let mut spec = AzureMlSpec { compute: Some("c".into()), ..AzureMlSpec::default() };
        spec.workspace.subscription_id = Some("s".into());
        spec.workspace.resource_group = Some("rg".into());
        spec.workspace.workspace_name = Some("ws".into());
        let real = Address::of(&spec, false, Some(AzureCloud::AzureChinaCloud));
        assert_eq!(Address::parse(&real.text()), Some(real.clone()));
        assert_eq!((real.cloud, real.scope.is_some()), (AzureCloud::AzureChinaCloud, true));
        assert_ne!(Address::of(&spec, true, None), real);
    }
}
