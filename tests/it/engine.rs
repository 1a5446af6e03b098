//! The container engine, asked through the library: what the Docker target and the emulators stand on.
//!
//! These tests need an engine with the image `python:3.11-slim`; `tests/engine` brings both, and `tests/run` runs them where they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::TryStreamExt;
use sendoff::engine::{ContainerSpec, Endpoint, Engine, Error, Follow, Removal, State, Tar};

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

    async fn log(&self, skip: u64) -> String {
        let pieces = self.engine.logs(&self.name, skip, Follow::Yes).expect("a name that fits");
        let pieces: Vec<_> = pieces.try_collect().await.expect("the log is read");
        String::from_utf8(pieces.concat()).expect("the log is UTF-8")
    }
}

#[test]
#[ignore = "needs a container engine"]
fn a_container_goes_from_creation_to_removal() {
    with_engine("life", async |world| {
        let World { engine, name } = &world;
        let id = engine.create(&world.spec(&["sh", "-c", "exec 2>&1; echo out; echo err >&2; exit 7"])).await.expect("it is created");
        let made = engine.inspect(name).await.expect("it is inspected").expect("it is there");
        assert_eq!((made.state.clone(), made.exit_code, made.has_run()), (State::Created, None, false));
        engine.start(&id).await.expect("it starts");
        let ended = engine.wait(&id).await.expect("it ends").expect("it is still there");
        assert_eq!((ended.state.clone(), ended.exit_code, ended.has_ended()), (State::Exited, Some(7), true));
        assert!(ended.finished_at >= ended.started_at && ended.started_at.is_some(), "{ended:?}");
        assert_eq!(world.log(0).await, "out\nerr\n");
        engine.remove(&id, Removal::Ended).await.expect("it is removed");
        assert_eq!(engine.inspect(name).await.expect("it is asked for"), None);
        engine.remove(name, Removal::Ended).await.expect("what is gone is removed");
        assert_eq!(engine.wait(name).await.expect("it is asked for"), None);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn input_is_passed_whole_and_shows_in_no_description() {
    with_engine("input", async |world| {
        let spec = ContainerSpec { open_stdin: true, ..world.spec(&["sha256sum"]) };
        let id = world.engine.create(&spec).await.expect("it is created");
        let input = vec![b'x'; 3_000_000];
        world.engine.start_with_input(&id, &input).await.expect("it takes its input");
        let ended = world.engine.wait(&id).await.expect("it ends").expect("it is there");
        assert_eq!(ended.exit_code, Some(0));
        let expected = <sha2::Sha256 as sha2::Digest>::digest(&input).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(world.log(0).await, format!("{expected}  -\n"));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn files_go_in_before_the_start_and_come_out_after_the_end() {
    with_engine("files", async |world| {
        let id = world.engine.create(&world.spec(&["sh", "-c", "tr a-z A-Z < /srv/word > /srv/made"])).await.expect("it is created");
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        tar.append_data(&mut header, "word", &b"word"[..]).expect("an archive in memory");
        let tar = tar.into_inner().expect("an archive in memory");
        world.engine.put(&id, "/srv", Tar::Whole(tar.into())).await.expect("the file goes in");
        world.engine.start(&id).await.expect("it starts");
        world.engine.wait(&id).await.expect("it ends");
        let pieces: Vec<_> = world.engine.get(&id, "/srv/made").expect("a name that fits").try_collect().await.expect("it comes out");
        let mut archive = tar::Archive::new(std::io::Cursor::new(pieces.concat()));
        let mut entry = archive.entries().expect("an archive").next().expect("an entry").expect("a whole entry");
        let mut content = String::new();
        std::io::Read::read_to_string(&mut entry, &mut content).expect("a readable entry");
        assert_eq!((entry.path().expect("a path").into_owned(), content.as_str()), ("made".into(), "WORD"));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_stop_waits_for_the_grace_and_then_kills() {
    with_engine("stop", async |world| {
        let id = world.engine.create(&world.spec(&["sh", "-c", "trap 'exit 42' TERM; echo up; sleep 600 & wait"])).await.expect("created");
        world.engine.start(&id).await.expect("it starts");
        let mut log = std::pin::pin!(world.engine.logs(&id, 0, Follow::Yes).expect("a name that fits"));
        assert_eq!(log.try_next().await.expect("the log is read").expect("it says something"), "up\n");
        world.engine.stop(&id, Duration::from_secs(30)).await.expect("it stops");
        let ended = world.engine.wait(&id).await.expect("it ended").expect("it is there");
        assert_eq!(ended.exit_code, Some(42));
    });
}

#[test]
#[ignore = "needs a container engine"]
fn what_is_not_there_is_an_answer_or_an_error_by_its_kind() {
    with_engine("missing", async |world| {
        let World { engine, name } = &world;
        assert_eq!(engine.inspect(name).await.expect("an answer"), None);
        assert_eq!(engine.image("sendoff/no-such-image:1").await.expect("an answer"), None);
        assert_eq!(engine.inspect_network(name).await.expect("an answer"), None);
        assert_eq!(engine.inspect_volume(name).await.expect("an answer"), None);
        let spec = ContainerSpec { image: "sendoff/no-such-image:1".to_owned(), ..world.spec(&["true"]) };
        assert!(matches!(engine.create(&spec).await, Err(Error::Missing { .. })));
        assert!(matches!(engine.start(name).await, Err(Error::Missing { .. })));
        engine.create(&world.spec(&["true"])).await.expect("it is created");
        assert!(matches!(engine.create(&world.spec(&["true"])).await, Err(Error::Conflict { .. })));
    });
}
