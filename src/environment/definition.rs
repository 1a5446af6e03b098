//! The form of an environment for a service that builds it itself: a base image and a conda file.
//!
//! ```text
//! inputs -> lock for the service's platform -> conda file (Python and the lock as its pip part) -> id (image and conda file)
//! ```
//!
//! Nothing is built here; the service builds a definition when it first sees it, and knows it again by its id.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::requirements::Requirements;
use super::resolve::{self, Goal};
use super::{Base, Environment, EnvironmentId, Error, Fixed, Inputs, Inspection, Interpreter, Progress, Spec, Step, image, inputs};
use crate::support::dirs::Dirs;
use crate::support::lock::Lock;
use crate::support::secret::without_credentials;
use crate::support::uv::Uv;

/// The platform of the services' machines, as `uv` calls it: that of the oldest image that they build on.
const PLATFORM: &str = "x86_64-manylinux_2_31";

/// What a service is told that builds an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The image that it starts from.
    pub image: String,
    /// The text of a conda file; `None` takes the image as it is.
    pub conda_file: Option<String>,
}

impl Definition {
    /// Returns the id: the same definition has the same id.
    pub fn id(&self) -> EnvironmentId {
        let conda = self.conda_file.as_deref().unwrap_or_default();
        EnvironmentId::new(inputs::digest(format!("conda 1\n{}\n{conda}", self.image).as_bytes()))
    }
}

/// The environments that a service builds.
#[derive(Debug, Clone)]
pub struct Definitions {
    dirs: Dirs,
    image: String,
}

impl Definitions {
    /// Names the image that environments start from whose run config names none.
    pub fn new(dirs: &Dirs, image: &str) -> Self {
        Self { dirs: dirs.clone(), image: image.to_owned() }
    }

    fn locks(&self) -> PathBuf {
        self.dirs.cache.join("locks")
    }

    /// Looks at what is there; changes nothing and runs nothing of the project.
    pub fn inspect(&self, spec: &Spec) -> Result<Inspection, Error> {
        refuse(spec)?;
        let wanted = Requirements::of(spec)?;
        refuse_beside_named(spec, &wanted)?;
        if is_image_alone(spec, &wanted) {
            let definition = Definition { image: self.base(spec), conda_file: None };
            return Ok(inspection(None, Some(String::new()), Some(definition), Vec::new()));
        }
        let interpreter = self.interpreter(spec)?;
        let inputs = Inputs::of(&wanted.indexes(spec), &wanted, &interpreter)?;
        let changed = inputs.changes_since(&self.locks(), &spec.root);
        let lock = resolve::stored(&self.locks(), &inputs);
        let definition = match &lock {
            Some(lock) => Some(self.definition(&wanted.indexes(spec), lock, &interpreter)?),
            None => None,
        };
        Ok(inspection(Some(interpreter), lock, definition, changed))
    }

    /// Looks at what an earlier job was run with.
    pub fn inspect_fixed(&self, spec: &Spec, fixed: &Fixed) -> Result<Inspection, Error> {
        let definition = self.definition(spec, &fixed.lock, &fixed.interpreter)?;
        Ok(inspection(Some(fixed.interpreter.clone()), Some(fixed.lock.clone()), Some(definition), Vec::new()))
    }

    /// Resolves the environment, or takes the lock that is there; `upgrade` resolves again.
    pub fn provision(&self, spec: &Spec, upgrade: bool, progress: &dyn Progress) -> Result<Environment, Error> {
        refuse(spec)?;
        let wanted = Requirements::of(spec)?;
        refuse_beside_named(spec, &wanted)?;
        let interpreter = self.interpreter(spec)?;
        if is_image_alone(spec, &wanted) {
            return self.environment(spec, Fixed { lock: String::new(), interpreter, base: None });
        }
        let spec = &wanted.indexes(spec);
        let inputs = Inputs::of(spec, &wanted, &interpreter)?;
        let lock = match resolve::stored(&self.locks(), &inputs).filter(|_| !upgrade) {
            Some(lock) => lock,
            None => {
                if Uv::find(&self.dirs.data).is_none() {
                    progress.step(Step::InstallingUv);
                }
                let uv = Uv::find_or_install(&self.dirs.data)?;
                progress.step(Step::Resolving);
                let goal = Goal::There { version: &interpreter.version, platform: PLATFORM, packages: &[] };
                let lock = resolve::resolve(&uv, spec, wanted, goal, upgrade)?;
                resolve::store(&self.locks(), &inputs, &lock)?;
                lock
            }
        };
        inputs.remember(&self.locks(), &spec.root);
        self.environment(spec, Fixed { lock, interpreter, base: None })
    }

    /// Takes the lock of an earlier job; nothing is resolved.
    pub fn restore(&self, spec: &Spec, fixed: Fixed) -> Result<Environment, Error> {
        // Where packages come from may stand in a file that is gone by now.
        let spec = Requirements::of(spec).map_or_else(|_| spec.clone(), |wanted| wanted.indexes(spec));
        self.environment(&spec, fixed)
    }

    fn environment(&self, spec: &Spec, fixed: Fixed) -> Result<Environment, Error> {
        let definition = self.definition(spec, &fixed.lock, &fixed.interpreter)?;
        let lease_file = self.dirs.cache.join("definitions.lock");
        Ok(Environment {
            id: definition.id(),
            folder: PathBuf::new(),
            python: fixed.interpreter.path.clone(),
            image: None,
            definition: Some(definition),
            fixed,
            _lease: Lock::shared(&lease_file)?,
            lease_file,
            fresh: false,
        })
    }

    fn base(&self, spec: &Spec) -> String {
        match &spec.base {
            Base::Image(image) => image.clone(),
            Base::Python | Base::Dockerfile { .. } => self.image.clone(),
        }
    }

    /// Returns the Python that the service installs: its program is found on PATH there.
    fn interpreter(&self, spec: &Spec) -> Result<Interpreter, Error> {
        let request = resolve::python_request(spec)?;
        let version = image::python_version(&self.dirs, request.as_deref());
        Ok(Interpreter::in_image(PathBuf::from("python"), version, "linux-x86_64".to_owned()))
    }

    fn definition(&self, spec: &Spec, lock: &str, interpreter: &Interpreter) -> Result<Definition, Error> {
        let is_bare = lock.lines().all(|line| line.trim().is_empty());
        let conda_file = if is_bare && spec.python.is_none() && matches!(spec.base, Base::Image(_)) {
            None
        } else {
            Some(conda(spec, lock, &interpreter.version)?)
        };
        Ok(Definition { image: self.base(spec), conda_file })
    }
}

/// Puts together what is there; only the service knows whether it has built it.
fn inspection(python: Option<Interpreter>, lock: Option<String>, definition: Option<Definition>, changed: Vec<String>) -> Inspection {
    Inspection { python, lock, id: definition.as_ref().map(Definition::id), built: false, changed, definition }
}

/// Returns whether the image brings everything: nothing is asked beside it.
fn is_image_alone(spec: &Spec, wanted: &Requirements) -> bool {
    let declares = matches!(spec.packages, super::PackageSource::Pyproject(_)) || spec.install_project;
    matches!(spec.base, Base::Image(_)) && spec.python.is_none() && wanted.lines.is_empty() && !declares
}

/// Refuses what stands beside an environment that the workspace has by itself.
fn refuse_beside_named(spec: &Spec, wanted: &Requirements) -> Result<(), Error> {
    match &spec.base {
        Base::Image(name) if is_named(name) && !is_image_alone(spec, wanted) => Err(Error::Named(name.clone())),
        _ => Ok(()),
    }
}

/// Returns whether an image is in truth an environment that a workspace or a registry of Azure ML has: `azureml:NAME:VERSION`.
pub fn is_named(image: &str) -> bool {
    image.starts_with("azureml:")
}

fn refuse(spec: &Spec) -> Result<(), Error> {
    if matches!(spec.base, Base::Dockerfile { .. }) {
        return Err(Error::NotThere("`environment.dockerfile`"));
    }
    if spec.install_project {
        return Err(Error::NotThere("`environment.install_project`"));
    }
    if spec.system_packages.is_empty() { Ok(()) } else { Err(Error::SystemPackages(spec.system_packages.clone())) }
}

/// Returns the conda file: Python, and the lock as its pip part. JSON's strings are YAML's too.
fn conda(spec: &Spec, lock: &str, python: &str) -> Result<String, Error> {
    let mut lines: Vec<String> = Vec::new();
    let indexes =
        spec.index_url.iter().map(|url| ("--index-url", url)).chain(spec.extra_index_urls.iter().map(|url| ("--extra-index-url", url)));
    for (option, url) in indexes.chain(spec.find_links.iter().map(|link| ("--find-links", link))) {
        if without_credentials(url) != *url {
            return Err(Error::CredentialsInDefinition);
        }
        if !url.contains("://") {
            return Err(Error::OnlyHere(url.clone()));
        }
        lines.push(format!("{option} {url}"));
    }
    for line in lock.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if resolve::local_path(line, Path::new("/")).is_some() || line.contains("file://") {
            return Err(Error::OnlyHere(line.split("  #").next().unwrap_or(line).to_owned()));
        }
        if without_credentials(line) != line {
            return Err(Error::CredentialsInDefinition);
        }
        lines.push(line.to_owned());
    }
    let quoted = |text: &String| serde_json::to_string(text).expect("a text is plain data");
    let pip: String = lines.iter().map(|line| format!("  - {}\n", quoted(line))).collect();
    let pip = if pip.is_empty() { String::new() } else { format!("- pip:\n{pip}") };
    Ok(format!("name: sendoff\nchannels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n{pip}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Mlflow, PackageSource};

    fn spec(base: Base) -> Spec {
        Spec {
            python: Some("3.11".into()),
            packages: PackageSource::Pip(Vec::new()),
            index_url: None,
            extra_index_urls: Vec::new(),
            find_links: Vec::new(),
            install_project: false,
            system_packages: Vec::new(),
            base,
            push: None,
            root: PathBuf::from("/"),
            mlflow: Mlflow::None,
            extra: Vec::new(),
        }
    }

    #[test]
    fn a_lock_becomes_the_pip_part_of_a_conda_file_that_is_yaml() {
        let own = Spec { index_url: Some("https://index.test/simple".into()), ..spec(Base::Python) };
        let text = conda(&own, "# made\nscikit-learn==1.5.2\nnumpy==2.0 ; python_version >= '3.9'\n", "3.11").expect("it fits");
        let read: serde_yaml::Value = serde_yaml::from_str(&text).expect("it is YAML");
        assert_eq!(read["dependencies"][0], "python=3.11");
        let pip = read["dependencies"][2]["pip"].as_sequence().expect("a list");
        let pip: Vec<&str> = pip.iter().filter_map(serde_yaml::Value::as_str).collect();
        assert_eq!(pip, ["--index-url https://index.test/simple", "scikit-learn==1.5.2", "numpy==2.0 ; python_version >= '3.9'"]);
    }

    #[test]
    fn what_the_service_cannot_reach_or_must_not_see_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let local = format!("{}\n", folder.path().display());
        assert!(matches!(conda(&spec(Base::Python), &local, "3.11"), Err(Error::OnlyHere(_))));
        let secret = "x @ git+https://user:hunter2@host/x.git\n";
        let error = conda(&spec(Base::Python), secret, "3.11").expect_err("it has a password");
        assert!(matches!(error, Error::CredentialsInDefinition) && !error.to_string().contains("hunter2"));
    }

    #[test]
    fn the_id_changes_with_image_and_packages_and_with_nothing_else() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let definitions = Definitions::new(&Dirs::below(home.path()), "base:1");
        let python = |path: &str| Interpreter::in_image(path.into(), "3.11".into(), "linux-x86_64".into());
        let id = |base, lock| definitions.definition(&spec(base), lock, &python("python")).expect("it fits").id();
        assert_eq!(id(Base::Python, "a==1\n"), id(Base::Python, "a==1\n"));
        assert_ne!(id(Base::Python, "a==1\n"), id(Base::Python, "a==2\n"));
        assert_ne!(id(Base::Image("x".into()), "a==1\n"), id(Base::Python, "a==1\n"));
        let image = spec(Base::Image("x".into()));
        // A Python that is asked for is not the image's own.
        let with_python = definitions.definition(&image, "", &python("python")).expect("it fits").conda_file;
        assert_eq!(with_python.as_deref().and_then(|text| text.lines().find(|line| line.contains("python="))), Some("- python=3.11"));
        let alone = definitions.definition(&Spec { python: None, ..image }, "", &python("python")).expect("it fits");
        assert_eq!(alone, Definition { image: "x".into(), conda_file: None });
    }
}
