//! Images of environments, made by a real engine. Packages are tiny wheels that the tests make; `uv` comes from the package index.

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
}

impl World {
    async fn new() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars().collect();
        let endpoint = Endpoint::choose(None, &variables, Path::new("/nonexistent")).expect("there is an engine");
        let engine = Engine::connect(&endpoint).await.expect("the engine answers");
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, engine, variables, heard: Heard::default() }
    }

    fn images(&self) -> Images {
        let below = |name: &str| self.folder.path().join(name);
        let dirs = Dirs { config: below("config"), data: below("data"), cache: below("cache") };
        Images::new(&dirs, &self.engine, None, &self.variables)
    }

    /// Makes a wheel, which no index has.
    fn wheel(&self, name: &str, version: &str, says: &str) {
        wheel(&self.folder.path().join("wheels"), name, version, says, &[]);
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

    async fn forget(&self, environment: Environment) {
        self.engine.remove_image(&environment.image.expect("it is in an image").name).await.expect("it is removed");
    }
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn an_environment_becomes_an_image_once_and_its_packages_are_compiled() {
    let world = World::new().await;
    world.wheel("sendoffalpha", "1.0", "alpha one");
    let spec = world.spec(&["sendoffalpha"]);
    let made = world.provision(&spec).await.expect("it is made");
    assert!(made.fresh && made.fixed.lock == "sendoffalpha==1.0\n", "{made:?}");
    let code = "import sendoffalpha, os; print(sendoffalpha.SAYS, os.path.exists(sendoffalpha.__cached__))";
    assert_eq!(world.run(&made, &["-c", code]).await, "alpha one True\n");
    assert!(world.heard.take().contains(&Step::ImageStep("installing packages".to_owned())));

    let again = world.provision(&spec).await.expect("it is there");
    assert!(!again.fresh && again.id == made.id);
    assert_eq!(world.heard.take(), []);
    let inspection = world.images().inspect(&spec).await.expect("it is looked at");
    assert_eq!((inspection.id.as_ref(), inspection.built), (Some(&made.id), true));
    drop(again);
    world.forget(made).await;
}
