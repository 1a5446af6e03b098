//! Images of environments, made by a real engine. Packages are tiny wheels that the tests make; `uv` comes from the package index.

mod base;
mod building;
mod once;
mod reach;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use futures_util::TryStreamExt;
use sendoff::engine::{ContainerSpec, Endpoint, Engine, Follow, Removal};
use sendoff::environment::{Base, Environment, Error, Images, Mlflow, PackageSource, Progress, Spec, Step};
use sendoff::support::dirs::Dirs;

use crate::environment::wheel;

/// What was heard while an environment was made.
#[derive(Default)]
struct Heard(Mutex<Vec<Step>>);

impl Progress for Heard {
    fn step(&self, step: Step) {
        self.0.lock().expect("nobody panics meanwhile").push(step);
    }
}

impl Heard {
    fn take(&self) -> Vec<Step> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics meanwhile"))
    }
}

/// A home and a source directory of its own, and the machine's engine.
struct World {
    folder: tempfile::TempDir,
    engine: Engine,
    variables: BTreeMap<String, String>,
    heard: Heard,
    /// Part of the names of packages: images are shared by whoever has the same lock.
    mark: String,
}

impl World {
    async fn new() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars().collect();
        let endpoint = Endpoint::choose(None, &variables, Path::new("/nonexistent")).expect("there is an engine");
        let engine = Engine::connect(&endpoint).await.expect("the engine answers");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mark = folder
            .path()
            .display()
            .to_string()
            .bytes()
            .filter(u8::is_ascii_alphanumeric)
            .map(char::from)
            .collect::<String>()
            .to_lowercase();
        Self { folder, engine, variables, heard: Heard::default(), mark }
    }

    fn images(&self) -> Images {
        self.images_of(None)
    }

    fn images_of(&self, platform: Option<&str>) -> Images {
        let below = |name: &str| self.folder.path().join(name);
        let dirs = Dirs { config: below("config"), data: below("data"), cache: below("cache") };
        Images::new(&dirs, &self.engine, platform, &self.variables)
    }

    /// Runs the program with this world as its home.
    fn sendoff(&self, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sendoff"));
        let output = command.args(arguments).env("SENDOFF_HOME", self.folder.path()).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it is UTF-8")
    }

    /// Makes a wheel, which no index has, and returns the package's name.
    fn wheel(&self, name: &str, version: &str, says: &str) -> String {
        let name = format!("{name}{}", self.mark);
        wheel(&self.folder.path().join("wheels"), &name, version, says, &[]);
        name
    }

    /// Runs Python's `print` of what modules say.
    async fn says(&self, environment: &Environment, module: &str) -> String {
        self.run(environment, &["-c", &format!("import {module}; print({module}.SAYS)")]).await
    }

    fn spec(&self, packages: &[&str]) -> Spec {
        Spec {
            python: Some("3.11".to_owned()),
            packages: PackageSource::Pip(packages.iter().map(|&text| text.to_owned()).collect()),
            index_url: None,
            extra_index_urls: Vec::new(),
            find_links: vec![self.folder.path().join("wheels").display().to_string()],
            install_project: false,
            system_packages: Vec::new(),
            push: None,
            base: Base::Python,
            root: self.folder.path().to_owned(),
            mlflow: Mlflow::None,
            extra: Vec::new(),
        }
    }

    async fn provision(&self, spec: &Spec) -> Result<Environment, Error> {
        self.images().provision(spec, false, &self.heard).await
    }

    /// Runs a program of the environment, and returns what it printed.
    async fn run(&self, environment: &Environment, arguments: &[&str]) -> String {
        let python = environment.python.display().to_string();
        let spec = ContainerSpec {
            name: format!("sendoff-test-image-{}-{}", std::process::id(), environment.id.short()),
            image: environment.image.as_ref().expect("it is in an image").id.clone(),
            entrypoint: Some(Vec::new()),
            command: std::iter::once(python).chain(arguments.iter().map(|&word| word.to_owned())).collect(),
            network: Some("none".to_owned()),
            ..ContainerSpec::default()
        };
        let id = self.engine.create(&spec).await.expect("it is created");
        self.engine.start(&id).await.expect("it starts");
        self.engine.wait(&id).await.expect("it ends");
        let pieces: Vec<_> = self.engine.logs(&id, 0, Follow::Yes).expect("a name that fits").try_collect().await.expect("readable");
        self.engine.remove(&id, Removal::Forced).await.expect("it is removed");
        String::from_utf8(pieces.concat()).expect("the log is UTF-8")
    }

    /// Returns a text without the name that differs from run to run.
    fn plain(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "[ROOT]")
    }

    /// Removes everything that was made here.
    async fn clean(&self) {
        self.images().prune(None).await.expect("it is removed");
    }
}

/// The causes of an error, as they are shown.
fn told(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
