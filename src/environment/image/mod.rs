//! The image form of an environment: a base image with a venv on top that has the packages of the lock.
//!
//! ```text
//! base (python:<version>-slim, `image:`, `dockerfile:`) -> id -> its Python, asked once -> lock for that Python and platform
//!   -> environment id (lock and base id) -> sendoff/env:<id>, built once
//! ```
//!
//! What is asked of the engine stands in `engine`; nothing here speaks its language.

mod ask;
mod base;
mod dockerfile;
mod kept;
mod layers;
mod push;
mod recipe;
mod settings;
mod steps;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::requirements::Requirements;
use super::resolve::{self, Goal};
use super::{Base, Environment, EnvironmentId, Error, Fixed, Inputs, Inspection, Progress, Spec, Step, inputs};
use crate::engine::build::{Builder, Order};
use crate::engine::{Engine, Image};
use crate::support::dirs::Dirs;
use crate::support::fs;
use crate::support::lock::Lock;
use crate::support::platform;
use crate::support::secret::without_credentials;
use crate::support::uv::Uv;
use ask::Python;
use settings::Settings;
use steps::Steps;

pub use base::BaseImage;
pub(super) use base::python_version;
pub use kept::Leftover;
pub use push::Push;

/// The venv inside of every image.
pub const VENV: &str = "/opt/sendoff/env";
/// Names of base images, which keep them from being taken for another while an image is made from them.
const BASES: &str = "sendoff/base:";
/// How often a build is begun whose base image loses that name.
const ATTEMPTS: usize = 3;
/// The label with the environment's id.
const ENVIRONMENT: &str = "sendoff.environment";
/// The label that says whose cache knows the leases of an image.
const OWNER: &str = "sendoff.owner";
/// The label with the version of its Python.
const PYTHON: &str = "sendoff.python";
/// The label with the base image's id.
const BASE: &str = "sendoff.base";
/// The label with the lock.
const LOCK: &str = "sendoff.lock";
/// Is part of every environment's id: another recipe makes other images.
const RECIPE: &str = "1";

/// An image that an environment is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// Its name on the engine.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its platform (`linux/amd64`).
    pub platform: String,
}

/// The environments on a container engine.
#[derive(Debug, Clone)]
pub struct Images {
    dirs: Dirs,
    engine: Engine,
    platform: Option<String>,
    variables: BTreeMap<String, String>,
}

impl Images {
    /// Names the engine, the platform of the images (`linux/arm64`; the engine's own when not given), and the submitter's environment, which
    /// says where packages come from.
    pub fn new(dirs: &Dirs, engine: &Engine, platform: Option<&str>, variables: &BTreeMap<String, String>) -> Self {
        Self { dirs: dirs.clone(), engine: engine.clone(), platform: platform.map(str::to_owned), variables: variables.clone() }
    }

    /// Returns whether a cache has ever made an image; where it has not, no engine need be asked about its images.
    pub fn exist(dirs: &Dirs) -> bool {
        dirs.cache.join("images").is_dir()
    }

    /// Returns the engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    fn locks(&self) -> PathBuf {
        self.dirs.cache.join("locks")
    }

    /// Looks at what is there; changes nothing on the engine, and runs nothing of the project.
    pub async fn inspect(&self, spec: &Spec) -> Result<Inspection, Error> {
        let (_, image) = base::find(self, spec).await?;
        let python = image.as_ref().and_then(|image| ask::remembered(&self.dirs.cache, image));
        let (Some(image), Some(python)) = (image, python) else {
            return Ok(Inspection { python: None, lock: None, id: None, built: false, changed: Vec::new(), definition: None });
        };
        let interpreter = python.interpreter();
        let wanted = Requirements::of(spec)?;
        let inputs = Inputs::of(&wanted.indexes(spec), &wanted, &interpreter)?.with_base(&python.pins());
        let changed = inputs.changes_since(&self.locks(), &spec.root);
        let lock = resolve::stored(&self.locks(), &inputs);
        let id = lock.as_ref().map(|lock| id(lock, image.id.as_str(), &spec.system_packages));
        let built = match &id {
            Some(id) => self.whole(id).await?.is_some(),
            None => false,
        };
        Ok(Inspection { python: Some(interpreter), lock, id, built, changed, definition: None })
    }

    /// Makes the environment, or takes the one that is there; `upgrade` resolves, and asks for the base image, again.
    pub async fn provision(&self, spec: &Spec, upgrade: bool, progress: &dyn Progress) -> Result<Environment, Error> {
        let (name, image) = base::ensure(self, spec, upgrade, progress).await?;
        let shown = base::shown(spec, &name);
        let (python, platform) = match self.usable(&image, &shown, progress).await {
            Ok(usable) => usable,
            Err(error) => {
                // What is built of a Dockerfile and serves for nothing is not kept; what others have made is theirs.
                if matches!(spec.base, Base::Dockerfile { .. }) && error.is_base_unfit() {
                    let _ = self.engine.remove_image(&name).await;
                }
                return Err(error);
            }
        };
        let interpreter = python.interpreter();
        let wanted = Requirements::of(spec)?;
        let spec = wanted.indexes(spec);
        let inputs = Inputs::of(&spec, &wanted, &interpreter)?.with_base(&python.pins());
        let lock = match resolve::stored(&self.locks(), &inputs).filter(|_| !upgrade) {
            Some(lock) => lock,
            None => {
                if Uv::find(&self.dirs.data).is_none() {
                    progress.step(Step::InstallingUv);
                }
                progress.step(Step::Resolving);
                let (dirs, spec, locks, inputs) = (self.dirs.clone(), spec.clone(), self.locks(), inputs.clone());
                let (version, packages) = (python.version.clone(), python.pins());
                blocking(move || {
                    let uv = Uv::find_or_install(&dirs.data)?;
                    let goal = Goal::There { version: &version, platform: &platform, packages: &packages };
                    let lock = resolve::resolve(&uv, &spec, wanted, goal, upgrade)?;
                    resolve::store(&locks, &inputs, &lock)?;
                    Ok::<_, Error>(lock)
                })
                .await?
            }
        };
        inputs.remember(&self.locks(), &spec.root);
        let base = BaseImage::of(&name, &image);
        let made = self.build_once(&spec, Fixed { lock, interpreter, base: Some(base) }, &image, progress).await?;
        self.pushed(made, &spec, upgrade, progress).await
    }

    /// Looks whether an environment is there that a job was run with.
    pub async fn inspect_fixed(&self, spec: &Spec, fixed: &Fixed) -> Result<Inspection, Error> {
        let id = fixed.base.as_ref().map(|base| id(&fixed.lock, &base.id, &spec.system_packages));
        let built = match &id {
            Some(id) => self.whole(id).await?.is_some(),
            None => false,
        };
        Ok(Inspection {
            python: Some(fixed.interpreter.clone()),
            lock: Some(fixed.lock.clone()),
            id,
            built,
            changed: Vec::new(),
            definition: None,
        })
    }

    /// Makes an environment again that a job was run with, or takes it if it is there; nothing is resolved. A job that was run in a venv is
    /// given an image made from what its spec names.
    pub async fn restore(&self, spec: &Spec, fixed: Fixed, progress: &dyn Progress) -> Result<Environment, Error> {
        let Some(base) = fixed.base.clone() else { return self.provision(spec, false, progress).await };
        let image = match self.engine.image(&base.id).await? {
            Some(image) => image,
            None => {
                let (_, image) = base::ensure(self, spec, false, progress).await?;
                if image.id.as_str() != base.id {
                    return Err(Error::BaseGone(base.name));
                }
                image
            }
        };
        // Where packages come from may stand in a file that is gone by now.
        let spec = Requirements::of(spec).map_or_else(|_| spec.clone(), |wanted| wanted.indexes(spec));
        let made = self.build_once(&spec, fixed, &image, progress).await?;
        self.pushed(made, &spec, false, progress).await
    }

    /// Returns where an environment is, or will be: its folder and its interpreter, both in the image, and the lock file that a live job
    /// holds.
    pub fn place(&self, id: &EnvironmentId) -> (PathBuf, PathBuf, PathBuf) {
        (PathBuf::from(VENV), Path::new(VENV).join("bin").join("python"), lease_file(&self.dirs, id))
    }

    /// Returns the image's Python, which is asked once.
    async fn python(&self, image: &Image, name: &str, progress: &dyn Progress) -> Result<Python, Error> {
        if let Some(python) = ask::remembered(&self.dirs.cache, image) {
            return Ok(python);
        }
        progress.step(Step::Asking { image: name.to_owned() });
        ask::ask(&self.engine, &self.dirs.cache, image, name).await
    }

    /// Returns the image's Python with the platform that packages are made for.
    async fn usable(&self, image: &Image, name: &str, progress: &dyn Progress) -> Result<(Python, String), Error> {
        let python = self.python(image, name, progress).await?;
        match python.uv_platform() {
            Some(platform) => Ok((python, platform)),
            None => Err(Error::Platform { image: name.to_owned(), reason: python.unsuited() }),
        }
    }

    async fn build_once(&self, spec: &Spec, fixed: Fixed, base: &Image, progress: &dyn Progress) -> Result<Environment, Error> {
        let id = id(&fixed.lock, base.id.as_str(), &spec.system_packages);
        let (folder, python, lease_file) = self.place(&id);
        let mut fresh = false;
        loop {
            let lease = locked(&lease_file, Lock::shared).await?;
            if let Some(image) = self.whole(&id).await? {
                let image = BuiltImage { name: name(&id), id: image.id.to_string(), platform: image.platform };
                return Ok(Environment {
                    id,
                    folder,
                    python,
                    image: Some(image),
                    definition: None,
                    fixed,
                    lease_file,
                    fresh,
                    _lease: lease,
                });
            }
            drop(lease);
            // Between the two locks a prune may pass; then it is built again.
            let _building = locked(&lease_file, Lock::exclusive).await?;
            if self.whole(&id).await?.is_none() {
                self.build(&id, spec, &fixed, base, progress).await?;
                fresh = true;
            }
        }
    }

    async fn build(&self, id: &EnvironmentId, spec: &Spec, fixed: &Fixed, base: &Image, progress: &dyn Progress) -> Result<(), Error> {
        let settings = Settings::of(spec, &self.variables);
        let builder = self.builder().await?;
        if builder == Builder::Classic && settings.has_credentials() {
            return Err(Error::CredentialsInImage);
        }
        let base_name = fixed.base.as_ref().map_or_else(|| base.id.to_string(), |base| base.name.clone());
        let there = self.python(base, &base::shown(spec, &base_name), progress).await?.pins();
        let lock = recipe::without(&fixed.lock, &there);
        progress.step(Step::BuildingImage { packages: lock.lines().count() });
        // By a name of its own: the user's may move to another image meanwhile.
        let base_tag = format!("{BASES}{}", short(base));
        let owner = owner(&self.dirs);
        let recipe = recipe::Recipe {
            id,
            owner: &owner,
            base: &base_tag,
            base_name: &base_name,
            python: &fixed.interpreter.path,
            user: &base.user,
            system_packages: &spec.system_packages,
        };
        let labels = [
            (ENVIRONMENT, id.to_string()),
            (OWNER, owner.clone()),
            (PYTHON, fixed.interpreter.version.clone()),
            (BASE, base.id.to_string()),
            ("sendoff.base.name", base_name.clone()),
            (LOCK, without_credentials(&fixed.lock)),
        ];
        let order = Order {
            context: recipe.context(builder, &lock, &settings)?,
            dockerfile: "Dockerfile".to_owned(),
            tag: name(id),
            labels: labels.map(|(name, value)| (name.to_owned(), value)).into(),
            platform: self.platform.clone(),
            secrets: if builder == Builder::BuildKit { settings.secrets() } else { BTreeMap::new() },
            network: settings.network(self.engine.endpoint()),
            ..Order::default()
        };
        for _ in 0..ATTEMPTS {
            self.engine.tag(base.id.as_str(), &base_tag).await?;
            match self.engine.build(builder, order.clone(), &Steps(progress)).await {
                Ok(_) => return Ok(()),
                // A prune of somebody else has taken the name away.
                Err(_) if self.engine.image(&base_tag).await?.is_none() => {}
                Err(error) => return Err(Error::Image(steps::named(error))),
            }
        }
        Err(Error::BaseGone(base_name))
    }

    /// Returns the image of an environment, if it is there and whole: a build names its image last.
    async fn whole(&self, id: &EnvironmentId) -> Result<Option<Image>, Error> {
        let image = self.engine.image(&name(id)).await?;
        Ok(image.filter(|image| image.labels.get(ENVIRONMENT).is_some_and(|label| label == id.as_str())))
    }

    /// Returns how the engine builds.
    async fn builder(&self) -> Result<Builder, Error> {
        if self.variables.get("DOCKER_BUILDKIT").is_some_and(|value| value == "0") {
            return Ok(Builder::Classic);
        }
        self.engine.builder().await.map_err(Error::Image)
    }

    /// Returns whether an image is of the platform that is wanted.
    fn suits(&self, image: &Image) -> bool {
        self.platform.as_deref().is_none_or(|wanted| wanted.starts_with(&image.platform) || image.platform.starts_with(wanted))
    }
}

/// Names an environment after its lock and its base image.
fn id(lock: &str, base: &str, system_packages: &[String]) -> EnvironmentId {
    EnvironmentId::new(inputs::digest(format!("image {RECIPE}\n{base}\n{}\n{lock}", system_packages.join(" ")).as_bytes()))
}

/// Returns the name of an environment's image.
fn name(id: &EnvironmentId) -> String {
    format!("sendoff/env:{}", id.short())
}

fn lease_file(dirs: &Dirs, id: &EnvironmentId) -> PathBuf {
    dirs.cache.join("images").join(format!("{}.lock", id.short()))
}

/// Returns the start of an image's id, for people and names.
fn short(image: &Image) -> &str {
    let digits = image.id.as_str().trim_start_matches("sha256:");
    digits.get(..12).unwrap_or(digits)
}

/// Returns the name of this cache, on whose leases it depends which images are in use.
fn owner(dirs: &Dirs) -> String {
    inputs::digest(format!("{}\n{}", platform::host_name(), dirs.cache.display()).as_bytes())[..16].to_owned()
}

async fn locked(path: &Path, take: fn(&Path) -> Result<Lock, fs::Error>) -> Result<Lock, Error> {
    let path = path.to_owned();
    Ok(blocking(move || take(&path)).await?)
}

/// Does blocking work on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Returns a name that nobody else gives.
fn random_name() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
