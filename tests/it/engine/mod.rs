//! The container engine, asked through the library: what the Docker target and the emulators stand on.
//!
//! These tests need an engine with the image `python:3.11-slim`; `tests/engine` brings both, and `tests/run` runs them where they are.
//! `own_daemon` starts an engine for itself, for what nobody may do to one that others use.

mod life;
mod log;
mod messages;
mod neighbours;
pub(crate) mod own_daemon;
mod own_registry;

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::TryStreamExt;
use sendoff::engine::{ContainerSpec, Endpoint, Engine, Error, Follow, Removal};
use sendoff::support::causes::chain;
use sendoff::support::hints::Hints;

const IMAGE: &str = "python:3.11-slim";

/// Runs a test against the engine of this machine, in which everything is named after the test and removed at its end.
fn with_engine<F: Future<Output = ()>>(name: &str, test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async {
        let variables = std::env::vars().collect::<BTreeMap<_, _>>();
        let endpoint = Endpoint::choose(None, &variables, Path::new("/nonexistent")).expect("there is an engine");
        let engine = Engine::connect(&endpoint).await.expect("the engine answers");
        let world = World { engine, name: format!("sendoff-test-{name}-{}", std::process::id()) };
        let cleaner = world.clone();
        let outcome = std::panic::AssertUnwindSafe(test(world));
        let outcome = futures_util::FutureExt::catch_unwind(outcome).await;
        cleaner.clean().await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[derive(Clone)]
struct World {
    engine: Engine,
    name: String,
}

impl World {
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("sendoff.test".to_owned(), self.name.clone())])
    }

    fn spec(&self, command: &[&str]) -> ContainerSpec {
        ContainerSpec {
            name: self.name.clone(),
            image: IMAGE.to_owned(),
            command: command.iter().map(|&word| word.to_owned()).collect(),
            labels: self.labels(),
            init: true,
            network: Some("none".to_owned()),
            ..ContainerSpec::default()
        }
    }

    async fn clean(&self) {
        let mine = [("sendoff.test", self.name.as_str())];
        for container in self.engine.list(&mine).await.expect("containers are listed") {
            self.engine.remove(&container.id, Removal::Forced).await.expect("a container is removed");
        }
        for network in self.engine.networks(&mine).await.expect("networks are listed") {
            self.engine.remove_network(&network.id).await.expect("a network is removed");
        }
        for volume in self.engine.volumes(&mine).await.expect("volumes are listed") {
            self.engine.remove_volume(&volume.name).await.expect("a volume is removed");
        }
    }

    /// Creates a container, starts it, and waits for its end.
    async fn run(&self, spec: &ContainerSpec) -> sendoff::engine::Container {
        self.engine.create(spec).await.expect("it is created");
        self.engine.start(&spec.name).await.expect("it starts");
        self.engine.wait(&spec.name).await.expect("it ends").expect("it is there")
    }

    /// Returns what the container wrote, from a byte on, once it has ended.
    async fn log(&self, skip: u64) -> String {
        let pieces = self.engine.logs(&self.name, skip, Follow::Yes).expect("a name that fits");
        let pieces: Vec<_> = pieces.try_collect().await.expect("the log is read");
        String::from_utf8(pieces.concat()).expect("the log is UTF-8")
    }
}

/// Shows an error as the command line does: what, causes, hints.
fn shown(error: &Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in chain(error).skip(1) {
        text += &format!("  caused by: {cause}\n");
    }
    for hint in error.hints() {
        text += &format!("hint: {hint}\n");
    }
    text
}
