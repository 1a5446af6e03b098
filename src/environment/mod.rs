//! Which Python and which packages a job gets, MLflow's among them.
//!
//! ```text
//! inputs (requirements, files, index URLs, Python, MLflow) -> key -> stored lock -> id (lock and interpreter) -> venv, built once
//! ```
//!
//! [`Environments::inspect`] reads and [`Environments::provision`] acts. Nothing of the project is executed by the former.

mod conda;
mod definition;
mod error;
mod image;
mod inputs;
mod python;
mod requirements;
mod resolve;
mod section;
mod spec;
mod venv;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::support::dirs::Dirs;
use crate::support::lock::Lock;
use crate::support::uv::Uv;
use requirements::Requirements;
use resolve::Goal;

pub use definition::{Definition, Definitions, is_named};
pub use error::Error;
pub use image::{BaseImage, BuiltImage, Images, Leftover, Push, VENV};
pub use inputs::Inputs;
pub use python::Interpreter;
pub use section::{PythonRequest, Repository, Section};
pub use spec::{Base, EnvironmentId, Mlflow, PackageSource, Spec};
pub use venv::Built;

/// What executes a notebook, added to the environment of a job that runs one.
pub const NOTEBOOK_PACKAGES: [&str; 2] = ["nbconvert", "ipykernel"];

/// What an observer hears while an environment is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `uv` is being installed.
    InstallingUv,
    /// The requirements are being resolved.
    Resolving,
    /// The venv is being built.
    Building {
        /// How many packages go into it.
        packages: usize,
    },
    /// The base image is being pulled.
    Pulling {
        /// Its name.
        image: String,
    },
    /// The base image is asked about its Python.
    Asking {
        /// Its name, or the Dockerfile that it is of.
        image: String,
    },
    /// How far an image has come on its way from or to a registry.
    Transfer(String),
    /// The image is being built.
    BuildingImage {
        /// How many packages go into it.
        packages: usize,
    },
    /// A step of that began.
    ImageStep(String),
    /// A step of that printed a line.
    ImageOutput(String),
    /// The image goes to a registry.
    Pushing {
        /// Its name there.
        image: String,
    },
    /// The image is there.
    Pushed {
        /// Its name with its digest, by which any machine gets exactly this image.
        image: String,
    },
    /// The package index denied what it had offered while the requirements were resolved; it is asked again after a pause.
    AskingAgain,
}

/// Listens to the making of an environment.
pub trait Progress: Sync {
    /// Is called when a step begins.
    fn step(&self, step: Step);
}

/// What is there already for a spec.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The interpreter; `None` when it takes `uv` to find one and there is no `uv` yet.
    pub python: Option<Interpreter>,
    /// The lock, when the inputs were resolved before.
    pub lock: Option<String>,
    /// The environment's name, once there is a lock.
    pub id: Option<EnvironmentId>,
    /// Whether it is built.
    pub built: bool,
    /// The inputs that changed since this source directory was last submitted.
    pub changed: Vec<String>,
    /// What a service is told that builds it, once there is a lock.
    pub definition: Option<Definition>,
}

/// A lock and the interpreter that it was made for, as a job was run with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixed {
    /// The lock.
    pub lock: String,
    /// The interpreter.
    pub interpreter: Interpreter,
    /// The image that it is made from; none for a venv.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseImage>,
}

/// An environment that is ready, and cannot be pruned while this value lives.
#[derive(Debug)]
pub struct Environment {
    /// Its name.
    pub id: EnvironmentId,
    /// Its folder, in the image if it has one.
    pub folder: PathBuf,
    /// Its interpreter, likewise.
    pub python: PathBuf,
    /// The image that it is in; none for a venv.
    pub image: Option<BuiltImage>,
    /// What a service is told that builds it; none for what is built here.
    pub definition: Option<Definition>,
    /// What it was made from.
    pub fixed: Fixed,
    /// The lock file that a live job holds in shared mode.
    pub lease_file: PathBuf,
    /// Whether this call built it.
    pub fresh: bool,
    _lease: Lock,
}

/// The environments of this machine.
#[derive(Debug, Clone)]
pub struct Environments {
    dirs: Dirs,
}

impl Environments {
    /// Names the folders; creates nothing.
    pub fn new(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone() }
    }

    fn folder(&self) -> PathBuf {
        self.dirs.cache.join("environments")
    }

    fn locks(&self) -> PathBuf {
        self.dirs.cache.join("locks")
    }

    /// Looks at what is there; changes nothing and runs nothing of the project.
    pub fn inspect(&self, spec: &Spec) -> Result<Inspection, Error> {
        refuse(spec)?;
        let request = resolve::python_request(spec)?;
        let python = match python::cached(&self.dirs.cache, request.as_deref()) {
            Some(python) => Some(python),
            None => match Uv::find(&self.dirs.data) {
                Some(uv) => Some(python::find(&uv, request.as_deref())?),
                None => None,
            },
        };
        let Some(interpreter) = &python else {
            return Ok(Inspection { python, lock: None, id: None, built: false, changed: Vec::new(), definition: None });
        };
        let wanted = Requirements::of(spec)?;
        let inputs = Inputs::of(&wanted.indexes(spec), &wanted, interpreter)?;
        let changed = inputs.changes_since(&self.locks(), &spec.root);
        let lock = resolve::stored(&self.locks(), &inputs);
        let id = lock.as_ref().map(|lock| venv::id(lock, interpreter));
        let built = id.as_ref().is_some_and(|id| venv::is_whole(&self.folder(), id));
        Ok(Inspection { python, lock, id, built, changed, definition: None })
    }

    /// Makes the environment, or takes the one that is there; `upgrade` resolves again.
    pub fn provision(&self, spec: &Spec, upgrade: bool, progress: &dyn Progress) -> Result<Environment, Error> {
        refuse(spec)?;
        let request = resolve::python_request(spec)?;
        let interpreter = match python::cached(&self.dirs.cache, request.as_deref()) {
            Some(interpreter) => interpreter,
            None => {
                let found = python::find(&self.uv(progress)?, request.as_deref())?;
                python::remember(&self.dirs.cache, request.as_deref(), &found);
                found
            }
        };
        let wanted = Requirements::of(spec)?;
        let spec = &wanted.indexes(spec);
        let inputs = Inputs::of(spec, &wanted, &interpreter)?;
        let lock = match resolve::stored(&self.locks(), &inputs).filter(|_| !upgrade) {
            Some(lock) => lock,
            None => {
                let uv = self.uv(progress)?;
                progress.step(Step::Resolving);
                let lock = resolve::resolve(&uv, spec, wanted, Goal::Here(&interpreter), upgrade)?;
                resolve::store(&self.locks(), &inputs, &lock)?;
                lock
            }
        };
        inputs.remember(&self.locks(), &spec.root);
        self.build_once(spec, &Fixed { lock, interpreter, base: None }, progress)
    }

    /// Looks whether an environment is there that a job was run with.
    pub fn inspect_fixed(&self, fixed: &Fixed) -> Inspection {
        let id = venv::id(&fixed.lock, &fixed.interpreter);
        let built = venv::is_whole(&self.folder(), &id);
        Inspection {
            python: Some(fixed.interpreter.clone()),
            lock: Some(fixed.lock.clone()),
            id: Some(id),
            built,
            changed: Vec::new(),
            definition: None,
        }
    }

    /// Makes an environment again that a job was run with, or takes it if it is there; nothing is resolved. Where the interpreter is gone,
    /// one of the same version takes its place.
    pub fn restore(&self, spec: &Spec, fixed: Fixed, progress: &dyn Progress) -> Result<Environment, Error> {
        let mut fixed = fixed;
        if !fixed.interpreter.path.exists() {
            fixed.interpreter = python::find(&self.uv(progress)?, Some(&fixed.interpreter.version))?;
        }
        // Where packages come from may stand in a file that is gone by now.
        let spec = Requirements::of(spec).map_or_else(|_| spec.clone(), |wanted| wanted.indexes(spec));
        self.build_once(&spec, &fixed, progress)
    }

    /// Returns where an environment is, or will be: its folder, its interpreter, and the lock file that a live job holds.
    pub fn place(&self, id: &EnvironmentId) -> (PathBuf, PathBuf, PathBuf) {
        let folder = self.folder();
        (venv::folder(&folder, id), venv::python(&folder, id), venv::lease_file(&folder, id))
    }

    fn build_once(&self, spec: &Spec, fixed: &Fixed, progress: &dyn Progress) -> Result<Environment, Error> {
        let Fixed { lock, interpreter, .. } = fixed;
        let id = venv::id(lock, interpreter);
        let lease_file = venv::lease_file(&self.folder(), &id);
        let whole = |lease| -> Environment {
            Environment {
                folder: venv::folder(&self.folder(), &id),
                python: venv::python(&self.folder(), &id),
                image: None,
                definition: None,
                fixed: fixed.clone(),
                lease_file: lease_file.clone(),
                fresh: false,
                id: id.clone(),
                _lease: lease,
            }
        };
        loop {
            let lease = Lock::shared(&lease_file)?;
            if venv::is_whole(&self.folder(), &id) {
                return Ok(whole(lease));
            }
            drop(lease);
            let building = Lock::exclusive(&lease_file)?;
            if !venv::is_whole(&self.folder(), &id) {
                let uv = self.uv(progress)?;
                progress.step(Step::Building { packages: lock.lines().filter(|line| !line.trim().is_empty()).count() });
                venv::build(&uv, &self.folder(), &building, &id, &venv::Order { lock, spec, interpreter }, progress)?;
            }
            drop(building);
            // Between the two locks a prune may have passed; then it is built again.
            let lease = Lock::shared(&lease_file)?;
            if venv::is_whole(&self.folder(), &id) {
                return Ok(Environment { fresh: true, ..whole(lease) });
            }
        }
    }

    fn uv(&self, progress: &dyn Progress) -> Result<Uv, Error> {
        if let Some(uv) = Uv::find(&self.dirs.data) {
            return Ok(uv);
        }
        progress.step(Step::InstallingUv);
        Ok(Uv::find_or_install(&self.dirs.data)?)
    }

    /// Returns the environments that are built, newest first.
    pub fn list(&self) -> Vec<Built> {
        venv::list(&self.folder())
    }

    /// Removes the environments that no live job uses, or of which one is named, and returns them.
    pub fn prune(&self, only: Option<&EnvironmentId>) -> Result<Vec<Built>, Error> {
        venv::prune(&self.folder(), only)
    }
}

fn refuse(spec: &Spec) -> Result<(), Error> {
    if spec.system_packages.is_empty() { Ok(()) } else { Err(Error::SystemPackages(spec.system_packages.clone())) }
}

/// Returns a path's text, for hashing and messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
