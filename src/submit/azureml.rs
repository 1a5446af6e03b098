//! The ways to Azure Machine Learning: to the service itself, with the user's credentials, and to its local emulation.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::auth::{self, AzureClient, Credentials};
use crate::emulator::azureml::{self as emulator, Options};
use crate::job::Handle;
use crate::support::azure::Scope;
use crate::support::dirs::Dirs;
use crate::support::hints::Hints;
use crate::support::yaml::Grammar;
use crate::support::{causes, platform};
use crate::target::azureml::{Access, Address, AzureMl, Cloud, Door, Error};
use crate::target::config::{AzureCloud, AzureMlSpec, Kind};

/// The kind of a handle of an emulated job: the service itself must not be asked about it.
const EMULATED: &str = "azureml-emulator";

/// Returns the target that a run config chose.
pub(super) fn chosen(spec: &AzureMlSpec, emulated: bool, dirs: &Dirs, variables: &BTreeMap<String, String>) -> AzureMl {
    let address = address(spec, emulated, variables);
    AzureMl::new(dirs, spec.clone(), emulated, door(address, spec.compute.clone(), dirs, variables))
}

/// Returns the target of a job that exists, by what its record keeps.
pub(super) fn of_address(address: Address, dirs: &Dirs, variables: &BTreeMap<String, String>) -> AzureMl {
    AzureMl::new(dirs, AzureMlSpec::default(), address.emulated, door(address, None, dirs, variables))
}

/// Returns what a record keeps of where its job is.
pub(super) fn address(spec: &AzureMlSpec, emulated: bool, variables: &BTreeMap<String, String>) -> Address {
    let cloud = variables.get("AZUREML_CURRENT_CLOUD").and_then(|name| AzureCloud::parse(name).ok());
    Address::of(spec, emulated, cloud)
}

/// Returns where a handle leads to; `None` for handles of other targets, and of an emulation on another machine.
pub(super) fn of_handle(handle: &Handle, variables: &BTreeMap<String, String>) -> Option<Address> {
    let (scope, emulated) = match handle.kind.as_str() {
        EMULATED if handle.place == platform::host_name() => (None, true),
        kind if kind == Kind::AzureMl.word() => {
            let [subscription_id, resource_group, workspace_name] = handle.place.split('/').collect::<Vec<_>>().try_into().ok()?;
            let owned = str::to_owned;
            let scope = Scope {
                subscription_id: owned(subscription_id),
                resource_group: owned(resource_group),
                workspace_name: owned(workspace_name),
            };
            (Some(scope), false)
        }
        _ => return None,
    };
    let address = address(&AzureMlSpec::default(), emulated, variables);
    Some(Address { scope, ..address })
}

/// Returns the handle's kind and place of a job in a workspace; one of an emulation is on this machine, whatever its workspace is called.
pub(super) fn handle(spec: &AzureMlSpec, emulated: bool) -> (String, String) {
    match spec.workspace.scope() {
        Some(scope) if !emulated => {
            (Kind::AzureMl.word().to_owned(), format!("{}/{}/{}", scope.subscription_id, scope.resource_group, scope.workspace_name))
        }
        _ => (EMULATED.to_owned(), platform::host_name()),
    }
}

/// Returns whether a handle is one of a workspace or of its emulation.
pub(super) fn has_kind(handle: &Handle) -> bool {
    handle.kind == Kind::AzureMl.word() || handle.kind == EMULATED
}

fn door(address: Address, compute: Option<String>, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Box<dyn Door> {
    if address.emulated {
        Box::new(Emulation { scope: address.scope, compute, dirs: dirs.clone() })
    } else {
        Box::new(Service { address, variables: variables.clone() })
    }
}

/// The service itself.
struct Service {
    address: Address,
    variables: BTreeMap<String, String>,
}

#[async_trait]
impl Door for Service {
    async fn open(&self) -> Result<Access, Error> {
        let cloud = Cloud::of(self.address.cloud);
        Ok(Access {
            resource_manager: cloud.resource_manager.to_owned(),
            credentials: auth::azure(self.address.auth, &cloud.audience(), &self.variables)?,
            submitter: Some(auth::azure(self.address.auth, &cloud.workspace_audience(), &self.variables)?),
            scope: self.address.scope.clone().ok_or(Error::NotBuilt("a target without a workspace"))?,
            certificate_authority: None,
            storage: None,
        })
    }
}

/// A service on this machine that takes its place.
struct Emulation {
    scope: Option<Scope>,
    compute: Option<String>,
    dirs: Dirs,
}

#[async_trait]
impl Door for Emulation {
    async fn open(&self) -> Result<Access, Error> {
        let refused = |reason: String, hints| Error::Emulator { reason, hints };
        let options = Options {
            program: std::env::current_exe().map_err(|error| refused(error.to_string(), Vec::new()))?,
            scope: self.scope.clone().unwrap_or_else(Options::default_scope),
            compute: self.compute.clone(),
            http: false,
        };
        let started = emulator::ensure_up(&self.dirs.data, &options).await;
        let running = started.map_err(|error| refused(causes::in_one_line(&error), error.hints()))?;
        Ok(Access {
            resource_manager: running.base_url.clone(),
            credentials: Credentials::AzureClient(AzureClient {
                tenant_id: running.tenant_id,
                client_id: running.client_id,
                client_secret: running.client_secret,
                resource: running.base_url.clone(),
                authority: running.base_url.clone(),
            }),
            submitter: None,
            scope: running.scope,
            certificate_authority: Some(running.certificate_authority),
            storage: Some(running.base_url),
        })
    }
}
