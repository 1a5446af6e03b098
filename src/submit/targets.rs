//! The one place that knows all targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Error;
use crate::engine::Endpoint;
use crate::support::dirs::Dirs;
use crate::target::Target;
use crate::target::config::{Kind, TargetConfig, TargetSpec};
use crate::target::docker::Docker;
use crate::target::local::Local;

/// Returns the target that a run config chose, for new jobs.
pub(super) fn chosen(target: &TargetSpec, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Box<dyn Target>, Error> {
    Ok(match &target.config {
        TargetConfig::Local => Box::new(Local::new(&dirs.data)),
        TargetConfig::Docker(docker) => {
            let endpoint = endpoint(docker.host.as_deref(), variables)?;
            Box::new(Docker::new(&dirs.data, Some(endpoint)).asking(docker))
        }
        TargetConfig::NotBuilt(kind) => return Err(Error::NotBuilt { name: target.name.clone(), kind: kind.word() }),
    })
}

/// Returns the target of a job that exists, by the kind that its record names.
pub(super) fn of_record(kind: &str, data: &Path) -> Box<dyn Target> {
    if kind == Kind::Docker.word() { Box::new(Docker::new(data, None)) } else { Box::new(Local::new(data)) }
}

/// Returns where the container engine is.
pub(super) fn endpoint(host: Option<&str>, variables: &BTreeMap<String, String>) -> Result<Endpoint, Error> {
    let home = variables.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    Ok(Endpoint::choose(host, variables, &home).map_err(crate::target::Error::from)?)
}
