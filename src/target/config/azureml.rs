//! What a run config or the settings say of an Azure Machine Learning workspace.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::kinds;
use crate::auth::AzureAuth;
use crate::job::JobTier;
use crate::support::azure::Scope;
use crate::support::yaml::{Grammar, Text, word};

/// The keys of an Azure ML target, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AzureMlSpec {
    /// The workspace, as far as it is named here; a `config.json` may name the rest.
    pub workspace: Workspace,
    /// The compute cluster or instance.
    pub compute: Option<String>,
    /// The machine type of serverless compute, or the instance type of a Kubernetes compute.
    pub instance_type: Option<String>,
    /// The one kind of credentials that is used; `None` tries them in Azure's order.
    pub auth: Option<AzureAuth>,
    /// The cloud; `None` is what `AZUREML_CURRENT_CLOUD` says, else the public one.
    pub cloud: Option<AzureCloud>,
    /// The tier of the queue, for serverless compute.
    pub job_tier: Option<JobTier>,
    /// Arguments for the service's Docker.
    pub docker_args: Option<String>,
}

/// A workspace of which a part may not be named yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The subscription.
    pub subscription_id: Option<String>,
    /// The resource group.
    pub resource_group: Option<String>,
    /// The name.
    pub workspace_name: Option<String>,
}

impl Workspace {
    /// Returns the workspace when all of it is named.
    pub fn scope(&self) -> Option<Scope> {
        Some(Scope {
            subscription_id: self.subscription_id.clone()?,
            resource_group: self.resource_group.clone()?,
            workspace_name: self.workspace_name.clone()?,
        })
    }

    /// Takes what is not named from another place.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            subscription_id: self.subscription_id.or(other.subscription_id),
            resource_group: self.resource_group.or(other.resource_group),
            workspace_name: self.workspace_name.or(other.workspace_name),
        }
    }

    /// Returns the keys that nothing names.
    pub fn missing(&self) -> Vec<&'static str> {
        let keys = [
            ("subscription_id", self.subscription_id.is_none()),
            ("resource_group", self.resource_group.is_none()),
            ("workspace_name", self.workspace_name.is_none()),
        ];
        keys.into_iter().filter_map(|(key, missing)| missing.then_some(key)).collect()
    }
}

impl Grammar for AzureAuth {
    const EXAMPLE: &'static str = "cli";

    fn parse(text: &str) -> Result<Self, String> {
        word(text, &Self::ALL)
    }

    fn schema() -> Schema {
        Self::json_schema(&mut SchemaGenerator::default())
    }
}

/// Azure's clouds, by the names that its own tools use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum AzureCloud {
    /// The public one.
    #[default]
    AzureCloud,
    /// China.
    AzureChinaCloud,
    /// The government of the United States.
    AzureUSGovernment,
}

impl Grammar for AzureCloud {
    const EXAMPLE: &'static str = "AzureCloud";

    fn parse(text: &str) -> Result<Self, String> {
        word(
            text,
            &[("AzureCloud", Self::AzureCloud), ("AzureChinaCloud", Self::AzureChinaCloud), ("AzureUSGovernment", Self::AzureUSGovernment)],
        )
    }

    fn schema() -> Schema {
        Self::json_schema(&mut SchemaGenerator::default())
    }
}

impl From<&kinds::AzureMl> for AzureMlSpec {
    fn from(keys: &kinds::AzureMl) -> Self {
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.text.trim().to_owned()).filter(|text| !text.is_empty());
        Self {
            workspace: Workspace {
                subscription_id: text(&keys.subscription_id),
                resource_group: text(&keys.resource_group),
                workspace_name: text(&keys.workspace_name),
            },
            compute: text(&keys.compute),
            instance_type: text(&keys.instance_type),
            auth: keys.auth.as_ref().map(|auth| auth.value),
            cloud: keys.cloud.as_ref().map(|cloud| cloud.value),
            job_tier: keys.job_tier.as_ref().map(|tier| tier.value),
            docker_args: text(&keys.docker_args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_whole_when_every_part_is_named_somewhere() {
        let named = Workspace { workspace_name: Some("ws".into()), ..Workspace::default() };
        assert_eq!((named.scope(), named.missing()), (None, vec!["subscription_id", "resource_group"]));
        let file = Workspace { subscription_id: Some("s".into()), resource_group: Some("rg".into()), workspace_name: Some("other".into()) };
        let scope = named.or(file).scope().expect("all is named");
        assert_eq!((scope.workspace_name.as_str(), scope.resource_group.as_str()), ("ws", "rg"));
    }

    #[test]
    fn words_that_are_read_and_refused() {
        assert_eq!(AzureAuth::parse("workload_identity"), Ok(AzureAuth::WorkloadIdentity));
        assert_eq!(AzureCloud::parse("AzureUSGovernment"), Ok(AzureCloud::AzureUSGovernment));
        assert_eq!(JobTier::parse("spot"), Ok(JobTier::Spot));
        for wrong in ["", "CLI", "azurecloud"] {
            assert!(AzureAuth::parse(wrong).is_err() && AzureCloud::parse(wrong).is_err() && JobTier::parse(wrong).is_err(), "{wrong}");
        }
    }
}
