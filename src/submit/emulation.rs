//! What an emulator needs of the rest: images of environments, and the managed MLflow server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::emulator::azureml::{Hear, Host, Image, ImageRequest};
use crate::engine::{Endpoint, Engine};
use crate::environment::{Base, Images, Mlflow, PackageSource, Progress, Spec, Step};
use crate::support::dirs::Dirs;
use crate::support::{causes, fs};
use crate::tracking::managed::{self, Managed};

/// Serves the emulators of one data folder.
#[derive(Debug, Clone)]
pub struct EmulatorHost {
    dirs: Dirs,
    variables: BTreeMap<String, String>,
}

impl EmulatorHost {
    /// Names the folders, and the variables that say where packages come from.
    pub fn new(dirs: &Dirs, variables: &BTreeMap<String, String>) -> Self {
        Self { dirs: dirs.clone(), variables: variables.clone() }
    }

    async fn engine(&self) -> Result<Engine, String> {
        let home = self.variables.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let endpoint = Endpoint::choose(None, &self.variables, &home).map_err(|error| causes::in_one_line(&error))?;
        Engine::connect(&endpoint).await.map_err(|error| causes::in_one_line(&error))
    }
}

/// Passes the steps of a build on as lines of text.
struct Lines<'a>(&'a Hear<'a>);

impl Progress for Lines<'_> {
    fn step(&self, step: Step) {
        let text = match step {
            Step::InstallingUv => "installing uv".to_owned(),
            Step::Resolving => "resolving the packages".to_owned(),
            Step::Building { packages } | Step::BuildingImage { packages } => format!("building the image with {packages} packages"),
            Step::Pulling { image } => format!("pulling {image}"),
            Step::Asking { image } => format!("asking {image} about its Python"),
            Step::ImageStep(text) | Step::ImageOutput(text) | Step::Transfer(text) => text,
            Step::Pushed { image } => format!("pushed {image}"),
            Step::Pushing { image } => format!("pushing {image}"),
            Step::AskingAgain => "asking the package index again".to_owned(),
        };
        (self.0)(&text);
    }
}

/// Is told nothing: nobody waits at a terminal.
struct Silent;

impl managed::Progress for Silent {
    fn installing(&self) {}

    fn starting(&self) {}
}

#[async_trait]
impl Host for EmulatorHost {
    async fn image(&self, request: ImageRequest<'_>, say: &Hear<'_>) -> Result<Image, String> {
        let engine = self.engine().await?;
        let Some(conda) = request.conda_file else {
            let there = engine.image(request.base).await.map_err(|error| causes::in_one_line(&error))?;
            if there.is_none() {
                say(&format!("pulling {}", request.base));
                engine.pull(request.base, None, None, &|_| {}).await.map_err(|error| causes::in_one_line(&error))?;
            }
            return Ok(Image { name: request.base.to_owned(), held: Box::new(()) });
        };
        let folder = self.dirs.cache.join("emulator");
        fs::create_private_dir_all(&folder).map_err(|error| causes::in_one_line(&error))?;
        let root = tempfile::tempdir_in(&folder).map_err(|error| error.to_string())?;
        let file = root.path().join("conda.yaml");
        fs::write_atomic(&file, conda.as_bytes()).map_err(|error| causes::in_one_line(&error))?;
        let spec = Spec {
            python: None,
            packages: PackageSource::CondaFile(file),
            index_url: None,
            extra_index_urls: Vec::new(),
            find_links: Vec::new(),
            install_project: false,
            system_packages: Vec::new(),
            push: None,
            base: Base::Image(request.base.to_owned()),
            root: root.path().to_owned(),
            // The conda file names what the job tracks with.
            mlflow: Mlflow::None,
            extra: Vec::new(),
        };
        let images = Images::new(&self.dirs, &engine, None, &self.variables);
        let environment = images.provision(&spec, false, &Lines(say)).await.map_err(|error| causes::in_one_line(&error))?;
        let name = environment.image.as_ref().map(|image| image.name.clone()).ok_or("the environment is not an image")?;
        Ok(Image { name, held: Box::new(environment) })
    }

    async fn tracker(&self) -> Result<String, String> {
        let server = Managed::new(&self.dirs).ensure(&Silent).await.map_err(|error| causes::in_one_line(&error))?;
        Ok(server.uri())
    }
}
