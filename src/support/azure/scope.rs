//! Names of things in Azure's control plane: a workspace, and what is in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const PROVIDER: &str = "Microsoft.MachineLearningServices";

/// One workspace.
///
/// Shown as the path that all ids and routes of the workspace begin with:
/// `/subscriptions/S/resourceGroups/G/providers/Microsoft.MachineLearningServices/workspaces/W`. It is read in any case of the fixed words,
/// as the service reads it, and always written in this one, which Azure's MLflow plug-in insists on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The subscription.
    pub subscription_id: String,
    /// The resource group.
    pub resource_group: String,
    /// The workspace.
    pub workspace_name: String,
}

/// A version of an asset of a workspace: `<scope>/<collection>/<name>/versions/<version>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetId {
    /// The workspace.
    pub scope: Scope,
    /// The kind of asset: `codes`, `environments`, `data`.
    pub collection: String,
    /// The name.
    pub name: String,
    /// The version.
    pub version: String,
}

/// A text that names nothing in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the id of {1}")]
pub struct NotAnId(String, &'static str);

impl Scope {
    /// Splits a path into the workspace that it begins with and the rest, which is empty or begins with `/`.
    pub fn split(path: &str) -> Option<(Self, &str)> {
        let mut rest = path;
        let mut next = || {
            let after = rest.strip_prefix('/')?;
            let end = after.find(['/', '?']).unwrap_or(after.len());
            rest = &after[end..];
            Some(&after[..end]).filter(|word| !word.is_empty())
        };
        let word = |text: Option<&str>, expected: &str| text.is_some_and(|text| text.eq_ignore_ascii_case(expected)).then_some(());
        word(next(), "subscriptions")?;
        let subscription_id = next()?.to_owned();
        word(next(), "resourceGroups")?;
        let resource_group = next()?.to_owned();
        word(next(), "providers")?;
        word(next(), PROVIDER)?;
        word(next(), "workspaces")?;
        let workspace_name = next()?.to_owned();
        Some((Self { subscription_id, resource_group, workspace_name }, rest))
    }

    /// Returns the id of a compute of this workspace.
    pub fn compute(&self, name: &str) -> String {
        format!("{self}/computes/{name}")
    }

    /// Returns the id of an asset's version in this workspace.
    pub fn asset(&self, collection: &str, name: &str, version: &str) -> AssetId {
        AssetId { scope: self.clone(), collection: collection.to_owned(), name: name.to_owned(), version: version.to_owned() }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription_id, resource_group, workspace_name } = self;
        write!(f, "/subscriptions/{subscription_id}/resourceGroups/{resource_group}/providers/{PROVIDER}/workspaces/{workspace_name}")
    }
}

impl FromStr for Scope {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = Self::split(text).filter(|(_, rest)| rest.is_empty());
        whole.map(|(scope, _)| scope).ok_or_else(|| NotAnId(text.to_owned(), "a workspace"))
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/versions/{}", self.scope, self.collection, self.name, self.version)
    }
}

impl FromStr for AssetId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (scope, rest) = Scope::split(text)?;
            match rest.split('/').collect::<Vec<_>>().as_slice() {
                ["", collection, name, versions, version]
                    if versions.eq_ignore_ascii_case("versions") && ![collection, name, version].iter().any(|word| word.is_empty()) =>
                {
                    Some(scope.asset(collection, name, version))
                }
                _ => None,
            }
        };
        parsed().ok_or_else(|| NotAnId(text.to_owned(), "a version of an asset"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope { subscription_id: "s-1".into(), resource_group: "rg".into(), workspace_name: "ws".into() }
    }

    #[test]
    fn a_scope_is_read_in_any_case_and_written_in_one() {
        let text = "/subscriptions/s-1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws";
        assert_eq!(scope().to_string(), text);
        assert_eq!(text.parse(), Ok(scope()));
        assert_eq!("/Subscriptions/s-1/resourcegroups/rg/providers/microsoft.machinelearningservices/workspaces/ws".parse(), Ok(scope()));
        assert_eq!(Scope::split(&format!("{text}/jobs/j?x=1")), Some((scope(), "/jobs/j?x=1")));
        assert_eq!(Scope::split(&format!("{text}?x=1")), Some((scope(), "?x=1")));
        for wrong in ["", "/subscriptions/s-1", "/subscriptions//resourceGroups/rg/providers/x/workspaces/ws", &text[1..]] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_asset_is_read_as_it_is_written() {
        let id = scope().asset("codes", "0d3c", "1");
        assert!(id.to_string().ends_with("/workspaces/ws/codes/0d3c/versions/1"));
        assert_eq!(id.to_string().parse(), Ok(id));
        for rest in ["/codes/x", "/codes/x/versions/", "/codes/x/version/1", "/codes/x/versions/1/y"] {
            assert!(format!("{}{rest}", scope()).parse::<AssetId>().is_err(), "{rest}");
        }
    }
}
