//! The one place that knows all targets.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Error, azureml};
use crate::engine::Endpoint;
use crate::job::Record;
use crate::support::dirs::Dirs;
use crate::target::Target;
use crate::target::azureml::Address;
use crate::target::config::{Kind, TargetConfig, TargetSpec};
use crate::target::docker::Docker;
use crate::target::local::Local;

/// Returns the target that a run config chose, for new jobs.
pub(super) fn chosen(target: &TargetSpec, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Arc<dyn Target>, Error> {
    Ok(match &target.config {
        TargetConfig::Local => Arc::new(Local::new(&dirs.data)),
        TargetConfig::Docker(docker) => {
            let endpoint = endpoint(docker.host.as_deref(), variables)?;
            Arc::new(Docker::new(&dirs.data, Some(endpoint)).asking(docker))
        }
        TargetConfig::AzureMl(spec) => Arc::new(azureml::chosen(spec, target.emulated, dirs, variables)),
        TargetConfig::NotBuilt(kind) => return Err(Error::NotBuilt { name: target.name.clone(), kind: kind.word() }),
    })
}

/// The target of a plan.
pub(super) struct Chosen(pub(super) Arc<dyn Target>);

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chosen")
    }
}

/// The targets of jobs that exist. What one has learned on the network, a token say, is good for all jobs that are there.
#[derive(Default)]
pub(super) struct Known(Mutex<BTreeMap<Place, Arc<dyn Target>>>);

/// A kind of target, and the address that a record keeps.
type Place = (String, Option<String>);

impl Known {
    /// Returns the target of a job, by what its record says of it.
    pub(super) fn of(&self, record: &Record, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Arc<dyn Target> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(place(record)).or_insert_with(|| of_record(record, dirs, variables)).clone()
    }
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

/// Returns what two jobs of one target have in common.
pub(super) fn place(record: &Record) -> Place {
    (record.target_kind.clone(), record.address.clone())
}

fn of_record(record: &Record, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Arc<dyn Target> {
    if let Some(address) = record.address.as_deref().and_then(Address::parse) {
        return Arc::new(azureml::of_address(address, dirs, variables));
    }
    if record.target_kind == Kind::Docker.word() { Arc::new(Docker::new(&dirs.data, None)) } else { Arc::new(Local::new(&dirs.data)) }
}

/// Returns where the container engine is.
pub(super) fn endpoint(host: Option<&str>, variables: &BTreeMap<String, String>) -> Result<Endpoint, Error> {
    let home = variables.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Ok(Endpoint::choose(host, variables, &home).map_err(crate::target::Error::from)?)
}
