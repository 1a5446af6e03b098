//! The parts of a job's body, each as the control plane writes it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::job::{AssetType, Distribution, HostedInput, HostedOutput, Identity, JobService, JobTier, Priority};
use crate::support::azure::Scope;

/// Something that a workspace has registered, as run configs name it: `azureml:NAME:VERSION`, `azureml:NAME@latest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered<'a> {
    pub(super) name: &'a str,
    /// `None` is the latest.
    pub(super) version: Option<&'a str>,
}

impl<'a> Registered<'a> {
    /// Reads a name with its version; `None` for addresses.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("azureml:").filter(|rest| !rest.starts_with('/'))?;
        if let Some(name) = rest.strip_suffix("@latest") {
            return Some(Self { name, version: None });
        }
        let (name, version) = rest.split_once(':')?;
        Some(Self { name, version: Some(version) })
    }
}

/// Returns where assets of a type are registered.
pub(super) fn collection(kind: AssetType) -> &'static str {
    if kind.is_model() { "models" } else { "data" }
}

/// Puts together the fields that have a value.
fn fields(all: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    Value::Object(all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>())
}

/// Returns an input; `found` has the addresses that are known only once the workspace was asked.
pub(super) fn input(scope: &Scope, name: &str, input: &HostedInput, found: &BTreeMap<String, String>) -> Value {
    let (uri, kind, mode) = match input {
        HostedInput::Value(text) => return json!({ "jobInputType": "literal", "value": text }),
        HostedInput::There { uri, kind, mode } => (address(scope, uri, *kind), kind, mode),
        HostedInput::Here { kind, mode, .. } => ("AT-SUBMISSION".to_owned(), kind, mode),
    };
    json!({ "jobInputType": kind.wire(), "uri": found.get(name).unwrap_or(&uri), "mode": mode.wire() })
}

/// Returns the address of what is named: of a registered version its id, of the latest one its name until the workspace was asked.
fn address(scope: &Scope, uri: &str, kind: AssetType) -> String {
    match Registered::parse(uri) {
        Some(Registered { name, version: Some(version) }) => scope.asset(collection(kind), name, version).to_string(),
        _ => uri.to_owned(),
    }
}

/// Returns an output.
pub(super) fn output(output: &HostedOutput) -> Value {
    fields([
        ("jobOutputType", Some(output.kind.wire().into())),
        ("mode", Some(output.mode.wire().into())),
        ("uri", output.uri.clone().map(Value::from)),
        ("assetName", output.name.clone().map(Value::from)),
        ("assetVersion", output.version.clone().map(Value::from)),
    ])
}

/// Returns a distribution.
pub(super) fn distribution(distribution: &Distribution) -> Value {
    let each = |kind: &'static str, count: Option<u32>| json!({ "distributionType": kind, "processCountPerInstance": count.unwrap_or(1) });
    match distribution {
        Distribution::PyTorch(count) => each("PyTorch", *count),
        Distribution::Mpi(count) => each("Mpi", *count),
        Distribution::TensorFlow { workers, servers } => fields([
            ("distributionType", Some("TensorFlow".into())),
            ("workerCount", workers.map(Value::from)),
            ("parameterServerCount", Some((*servers).into())),
        ]),
        Distribution::Ray { port, address, dashboard, arguments } => fields([
            ("distributionType", Some("Ray".into())),
            ("port", port.map(Value::from)),
            ("address", address.clone().map(Value::from)),
            ("includeDashboard", dashboard.0.map(Value::from)),
            ("dashboardPort", dashboard.1.map(Value::from)),
            ("headNodeAdditionalArgs", arguments.0.clone().map(Value::from)),
            ("workerNodeAdditionalArgs", arguments.1.clone().map(Value::from)),
        ]),
    }
}

/// Returns an identity.
pub(super) fn identity(identity: &Identity) -> Value {
    match identity {
        Identity::AmlToken => json!({ "identityType": "AMLToken" }),
        Identity::User => json!({ "identityType": "UserIdentity" }),
        Identity::Managed { client_id, object_id, resource_id } => fields([
            ("identityType", Some("Managed".into())),
            ("clientId", client_id.clone().map(Value::from)),
            ("objectId", object_id.clone().map(Value::from)),
            ("resourceId", resource_id.clone().map(Value::from)),
        ]),
    }
}

/// Returns a program beside the job.
pub(super) fn service(service: &JobService) -> Value {
    let properties: BTreeMap<&str, &str> = service.properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields([
        ("jobServiceType", Some(service.kind.wire().into())),
        ("port", service.port.map(Value::from)),
        ("nodes", service.on_all.then(|| json!({ "nodesValueType": "All" }))),
        ("properties", (!properties.is_empty()).then(|| json!(properties))),
    ])
}

/// Returns a place in the queue; `None` leaves it to the service.
pub(super) fn queue(tier: Option<JobTier>, priority: Option<Priority>) -> Option<Value> {
    let number = priority.and_then(|priority| priority.wire().parse::<u32>().ok());
    let settings = fields([("jobTier", tier.map(|tier| tier.wire().into())), ("priority", number.map(Value::from))]);
    settings.as_object().is_some_and(|settings| !settings.is_empty()).then_some(settings)
}

/// Returns whether a body has fields that the stable version of the interface does not know: Azure's own client sends them with a later one.
pub(super) fn needs_preview(body: &Value) -> bool {
    let properties = &body["properties"];
    let outputs = properties["outputs"].as_object().into_iter().flatten();
    properties["distribution"]["distributionType"] == "Ray"
        || !properties["queueSettings"]["priority"].is_null()
        || outputs.into_iter().any(|(_, output)| !output["assetVersion"].is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{InputMode, OutputMode, ServiceKind};

    #[test]
    fn what_is_registered_is_told_from_addresses() {
        let named = |name, version| Some(Registered { name, version });
        for (text, expected) in [
            ("azureml:iris:3", named("iris", Some("3"))),
            ("azureml:iris@latest", named("iris", None)),
            ("azureml://datastores/d/paths/x", None),
            ("azureml:/subscriptions/s", None),
            ("https://a.test/x:1", None),
        ] {
            assert_eq!(Registered::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn inputs_have_the_addresses_that_are_known() {
        let scope = Scope { subscription_id: "s".into(), resource_group: "rg".into(), workspace_name: "ws".into() };
        let there = |uri: &str, kind| HostedInput::There { uri: uri.into(), kind, mode: InputMode::Download };
        let uri = |input: &HostedInput, found: &[(&str, &str)]| {
            let found = found.iter().map(|(name, uri)| ((*name).to_owned(), (*uri).to_owned())).collect();
            super::input(&scope, "x", input, &found)["uri"].as_str().expect("it has one").to_owned()
        };
        assert_eq!(uri(&there("azureml:iris:3", AssetType::Mltable), &[]), format!("{scope}/data/iris/versions/3"));
        assert_eq!(uri(&there("azureml:net:3", AssetType::MlflowModel), &[]), format!("{scope}/models/net/versions/3"));
        assert_eq!(uri(&there("azureml:iris@latest", AssetType::File), &[]), "azureml:iris@latest");
        assert_eq!(uri(&there("azureml:iris@latest", AssetType::File), &[("x", "found")]), "found");
        assert_eq!(uri(&there("https://a.test/x", AssetType::File), &[]), "https://a.test/x");
    }

    #[test]
    fn each_part_is_written_as_the_service_reads_it() {
        assert_eq!(distribution(&Distribution::PyTorch(Some(4))), json!({ "distributionType": "PyTorch", "processCountPerInstance": 4 }));
        assert_eq!(
            distribution(&Distribution::TensorFlow { workers: Some(2), servers: 1 }),
            json!({ "distributionType": "TensorFlow", "workerCount": 2, "parameterServerCount": 1 })
        );
        let managed = Identity::Managed { client_id: Some("c".into()), object_id: None, resource_id: None };
        assert_eq!(identity(&managed), json!({ "identityType": "Managed", "clientId": "c" }));
        let ssh =
            JobService { kind: ServiceKind::Ssh, port: Some(22), on_all: true, properties: vec![("sshPublicKeys".into(), "k".into())] };
        assert_eq!(
            service(&ssh),
            json!({ "jobServiceType": "SSH", "port": 22, "nodes": { "nodesValueType": "All" }, "properties": { "sshPublicKeys": "k" } })
        );
        assert_eq!(queue(Some(JobTier::Spot), Some(Priority::High)), Some(json!({ "jobTier": "Spot", "priority": 3 })));
        assert_eq!(queue(None, None), None);
        let registered = HostedOutput {
            kind: AssetType::MlflowModel,
            mode: OutputMode::Upload,
            uri: Some("azureml://datastores/d/paths/m".into()),
            name: Some("net".into()),
            version: Some("3".into()),
        };
        let body = json!({ "properties": { "outputs": { "model": output(&registered) } } });
        assert_eq!(
            body["properties"]["outputs"]["model"],
            json!({ "jobOutputType": "mlflow_model", "mode": "Upload", "uri": "azureml://datastores/d/paths/m", "assetName": "net", "assetVersion": "3" })
        );
        assert!(needs_preview(&body));
        assert!(!needs_preview(&json!({ "properties": { "outputs": { "model": {} } } })));
    }
}
