//! Where the environment of a job is made: in a venv on this machine, or in an image on its target's container engine.

use std::collections::BTreeMap;

use super::describe::Place;
use super::{Error, hosted, targets};
use crate::engine::{Endpoint, Engine};
use crate::environment::{
    Base, Definitions, Environment, EnvironmentId, Environments, Fixed, Images, Inspection, Progress, Push, Spec, VENV,
};
use crate::support::dirs::Dirs;
use crate::target;
use crate::target::azureml::BASE_IMAGE;
use crate::target::config::{TargetConfig, TargetSpec};

/// The environments of one place.
pub(super) enum Site {
    Here(Environments),
    Engine(Box<Images>),
    Service(Definitions),
}

impl Site {
    /// Returns the place of a target's environments; an engine is asked whether it is there.
    pub(super) async fn of(target: &TargetSpec, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Self, Error> {
        if hosted::of(target).is_some() {
            return Ok(Self::Service(Definitions::new(dirs, BASE_IMAGE)));
        }
        let TargetConfig::Docker(docker) = &target.config else { return Ok(Self::Here(Environments::new(dirs))) };
        let endpoint = targets::endpoint(docker.host.as_deref(), variables)?;
        let engine = Engine::connect(&endpoint).await.map_err(target::Error::from)?;
        let platform = docker.options.platform.as_ref().map(|platform| platform.0.as_str());
        Ok(Self::Engine(Box::new(Images::new(dirs, &engine, platform, variables))))
    }

    /// Returns where the engine is; `None` for this machine's own place.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Here(_) | Self::Service(_) => None,
            Self::Engine(images) => Some(images.engine().endpoint()),
        }
    }

    /// Looks at what is there, for a spec or for what an earlier job was run with; changes nothing.
    pub(super) async fn inspect(&self, spec: &Spec, again: Option<&Fixed>) -> Result<Inspection, Error> {
        Ok(match (self, again) {
            (Self::Here(environments), None) => environments.inspect(spec)?,
            (Self::Here(environments), Some(fixed)) => environments.inspect_fixed(fixed),
            (Self::Service(definitions), None) => definitions.inspect(spec)?,
            (Self::Service(definitions), Some(fixed)) => definitions.inspect_fixed(spec, fixed)?,
            (Self::Engine(images), None) => images.inspect(spec).await?,
            (Self::Engine(images), Some(fixed)) => images.inspect_fixed(spec, fixed).await?,
        })
    }

    /// Says where the environment's image would be sent, if anywhere.
    pub(super) async fn would_push(&self, spec: &Spec, found: &Inspection) -> Result<Option<Push>, Error> {
        match self {
            Self::Here(_) | Self::Service(_) => Ok(None),
            Self::Engine(images) => Ok(images.would_push(spec, found).await?),
        }
    }

    /// Makes the environment, or takes the one that is there.
    pub(super) async fn provision(
        self,
        spec: Spec,
        again: Option<Fixed>,
        upgrade: bool,
        progress: impl Progress + Send + 'static,
    ) -> Result<Environment, Error> {
        match self {
            // A thread cannot be cancelled; it is asked to stop, and cleans up after itself.
            Self::Here(environments) => {
                let work = move || match again {
                    Some(fixed) => environments.restore(&spec, fixed, &progress),
                    None => environments.provision(&spec, upgrade, &progress),
                };
                Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Error::Panicked)??)
            }
            Self::Service(definitions) => {
                let work = move || match again {
                    Some(fixed) => definitions.restore(&spec, fixed),
                    None => definitions.provision(&spec, upgrade, &progress),
                };
                Ok(tokio::task::spawn_blocking(work).await.map_err(|_| Error::Panicked)??)
            }
            Self::Engine(images) => Ok(match again {
                Some(fixed) => images.restore(&spec, fixed, &progress).await?,
                None => images.provision(&spec, upgrade, &progress).await?,
            }),
        }
    }
}

/// Returns where an environment will be that may not be there yet.
pub(super) fn place(target: &TargetSpec, dirs: &Dirs, id: &EnvironmentId) -> Place {
    let (folder, python, lease_file) = Environments::new(dirs).place(id);
    match &target.config {
        TargetConfig::Docker(_) => {
            let python = std::path::Path::new(VENV).join("bin").join("python");
            Place { folder: VENV.into(), python, lease_file, image: Some(format!("sendoff/env:{}", id.short())), definition: None }
        }
        TargetConfig::AzureMl(_) => Place { folder: "".into(), python: "python".into(), lease_file, image: None, definition: None },
        _ => Place { folder, python, lease_file, image: None, definition: None },
    }
}

/// Returns the spec with what the target says of the image, where the run config says nothing.
pub(super) fn based(spec: &Spec, target: &TargetSpec) -> Spec {
    let mut spec = spec.clone();
    if let (TargetConfig::Docker(docker), Base::Python) = (&target.config, &spec.base)
        && let Some(image) = &docker.image
    {
        spec.base = Base::Image(image.clone());
    }
    spec
}
