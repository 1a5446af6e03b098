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

#[tokio::test]
#[ignore = "needs a container engine"]
async fn an_environment_becomes_an_image_once_and_its_packages_are_compiled() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "alpha one");
    let spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    assert!(made.fresh && made.fixed.lock == format!("{alpha}==1.0\n"), "{made:?}");
    let code = format!("import {alpha} as alpha, os; print(alpha.SAYS, os.path.exists(alpha.__cached__))");
    assert_eq!(world.run(&made, &["-c", &code]).await, "alpha one True\n");
    assert!(world.heard.take().contains(&Step::ImageStep("installing packages".to_owned())));

    let again = world.provision(&spec).await.expect("it is there");
    assert!(!again.fresh && again.id == made.id);
    assert_eq!(world.heard.take(), []);
    let inspection = world.images().inspect(&spec).await.expect("it is looked at");
    assert_eq!((inspection.id.as_ref(), inspection.built), (Some(&made.id), true));
    drop((again, made));
    world.clean().await;
}

/// The causes of an error, as they are shown.
fn told(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_changed_list_installs_packages_and_nothing_else() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "alpha one");
    let beta = world.wheel("beta", "1.0", "beta one");
    let first = world.provision(&world.spec(&[&alpha])).await.expect("it is made");
    world.heard.take();
    let second = world.provision(&world.spec(&[&alpha, &beta])).await.expect("it is made");
    let steps: Vec<Step> = world.heard.take().into_iter().filter(|step| matches!(step, Step::ImageStep(_))).collect();
    assert_eq!(steps, ["installing packages", "writing the image"].map(|name| Step::ImageStep(name.to_owned())));
    assert_ne!(first.id, second.id);
    assert_eq!(world.says(&second, &beta).await, "beta one\n");

    // An image of an environment is an image like others.
    let mut spec = world.spec(&[&alpha, &beta]);
    spec.base = Base::Image(first.image.as_ref().expect("it is in an image").name.clone());
    let third = world.provision(&spec).await.expect("it is made");
    assert_eq!((world.says(&third, &alpha).await, world.says(&third, &beta).await), ("alpha one\n".to_owned(), "beta one\n".to_owned()));
    drop((first, second, third));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn two_submissions_at_once_build_one_image() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "made once");
    let spec = world.spec(&[&alpha]);
    let (one, two) = tokio::join!(world.provision(&spec), world.provision(&spec));
    let (one, two) = (one.expect("it is made"), two.expect("it is there"));
    assert!(one.fresh != two.fresh && one.image == two.image, "{one:?} {two:?}");
    drop((one, two));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn credentials_of_an_index_reach_the_build_and_no_layer() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "behind a password");
    let file = format!("{alpha}-1.0-py3-none-any.whl");
    let wheel = std::fs::read(world.folder.path().join(format!("wheels/{file}"))).expect("it was made");
    let index = wiremock::MockServer::start().await;
    let answers = [
        (format!("/simple/{alpha}/"), format!("<a href='/files/{file}'>{file}</a>").into_bytes(), "text/html"),
        (format!("/files/{file}"), wheel, "application/zip"),
    ];
    for (path, body, kind) in answers {
        let is_asked = wiremock::Mock::given(wiremock::matchers::path(path)).and(wiremock::matchers::basic_auth("me", "hunter2"));
        is_asked.respond_with(wiremock::ResponseTemplate::new(200).set_body_raw(body, kind)).mount(&index).await;
    }
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(401))
        .with_priority(9)
        .mount(&index)
        .await;
    let mut spec = world.spec(&[&alpha]);
    spec.find_links = Vec::new();
    spec.extra_index_urls = vec![format!("http://me:hunter2@{}/simple/", index.address())];

    let made = world.provision(&spec).await.expect("it is made");
    assert_eq!(world.says(&made, &alpha).await, "behind a password\n");
    let name = &made.image.as_ref().expect("it is in an image").name;
    let docker = bollard::Docker::connect_with_defaults().expect("there is an engine");
    let history = docker.image_history(name).await.expect("it has one");
    assert!(!format!("{history:?}").contains("hunter2"), "{history:?}");
    let saved: Vec<_> = docker.export_image(name).try_collect().await.expect("it is read");
    let saved = saved.concat();
    // What the package says is found, so what is looked through is not compressed.
    let has = |text: &str| saved.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("behind a password") && !has("hunter2"));
    drop(made);
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_failed_build_shows_the_step_with_its_last_lines_and_leaves_no_image() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "there");
    let spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    let mut fixed = made.fixed.clone();
    drop(made);
    world.clean().await;
    fixed.lock = "sendoffmissing==1.0\n".to_owned();
    let error = world.images().restore(&spec, fixed, &world.heard).await.expect_err("no index has it");
    insta::assert_snapshot!(told(&error), @r"
    could not build the image of the environment
    the step `installing packages` of the build failed: exit code 1
    Using Python 3.11.2 environment at: /opt/sendoff/env
    error: No solution found when resolving dependencies
      cause: Because sendoffmissing was not found in the package registry and you require sendoffmissing==1.0, we can conclude that your requirements are unsatisfiable.
    ");
    assert_eq!(
        world.images().list().await.expect("images are listed").iter().filter(|built| built.packages == ["sendoffmissing==1.0"]).count(),
        0
    );
    assert_eq!(world.images().prune(None).await.expect("nothing is left"), []);
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_build_that_is_given_up_leaves_no_image() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "given up");
    let spec = world.spec(&[&alpha]);
    {
        let images = world.images();
        let mut building = Box::pin(images.provision(&spec, false, &world.heard));
        let begun = async {
            while !world.heard.0.lock().expect("nobody panics meanwhile").iter().any(|step| matches!(step, Step::ImageStep(_))) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            made = &mut building => panic!("it was too fast: {made:?}"),
            () = begun => {}
        }
    }
    assert!(!world.images().inspect(&spec).await.expect("it is looked at").built);
    assert!(world.provision(&spec).await.expect("it is made").fresh);
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn without_buildkit_a_public_index_serves_and_one_with_credentials_is_refused() {
    let mut world = World::new().await;
    world.variables.insert("DOCKER_BUILDKIT".to_owned(), "0".to_owned());
    let alpha = world.wheel("alpha", "1.0", "the classic way");
    let mut spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    assert_eq!(world.says(&made, &alpha).await, "the classic way\n");
    let fixed = made.fixed.clone();
    drop(made);
    world.clean().await;
    spec.extra_index_urls = vec!["https://me:hunter2@index.test/simple".to_owned()];
    let error = world.images().restore(&spec, fixed, &world.heard).await.expect_err("they would stay");
    insta::assert_snapshot!(told(&error), @"the package index wants credentials, and the container engine has no BuildKit: they would stay in the image");
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_dockerfile_is_the_base_and_what_it_copies_makes_it_another() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "from the base");
    let beta = world.wheel("beta", "1.0", "beta one");
    let root = world.folder.path();
    let text =
        "FROM python:3.11-slim\nCOPY wheels/alpha*-1.0-py3-none-any.whl data.txt /srv/\nRUN pip install --no-index /srv/*.whl\nUSER 1234\n";
    for (name, text) in [("Dockerfile", text), ("data.txt", "one\n"), (".dockerignore", "cache\ndata\n")] {
        std::fs::write(root.join(name), text).expect("writable");
    }
    let mut spec = world.spec(&[&alpha, &beta]);
    spec.base = Base::Dockerfile { path: root.join("Dockerfile"), context: root.to_owned() };
    // A newer one that the base does not have.
    world.wheel("alpha", "2.0", "from the index");
    let made = world.provision(&spec).await.expect("it is made");
    assert_eq!(made.fixed.lock, format!("{alpha}==1.0\n{beta}==1.0\n"));
    let code =
        format!("import {alpha} as alpha, {beta} as beta, os; print(alpha.SAYS, beta.SAYS, os.getuid(), open('/srv/data.txt').read())");
    assert_eq!(world.run(&made, &["-c", &code]).await, "from the base beta one 1234 one\n\n");
    let again = world.provision(&spec).await.expect("it is there");
    assert!(!again.fresh);
    std::fs::write(root.join("data.txt"), "two\n").expect("writable");
    let changed = world.provision(&spec).await.expect("it is made");
    assert!(changed.id != made.id && world.run(&changed, &["-c", "print(open('/srv/data.txt').read())"]).await == "two\n\n");

    std::fs::write(root.join("Dockerfile"), "FROM python:3.11-slim\nRUN echo first; echo second; exit 3\n").expect("writable");
    let error = world.provision(&spec).await.expect_err("it fails");
    insta::assert_snapshot!(world.plain(&told(&error)), @r"
    could not build `[ROOT]/Dockerfile`
    the step `[2/2] RUN echo first; echo second; exit 3` of the build failed: exit code 3
    first
    second
    ");
    drop((made, again, changed));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn images_that_cannot_hold_an_environment_are_told_apart() {
    let world = World::new().await;
    let root = world.folder.path();
    let mut spec = world.spec(&[]);
    spec.base = Base::Dockerfile { path: root.join("Dockerfile"), context: root.to_owned() };
    let answer = r#"{"program": "/usr/bin/python3", "version": "3.11.2", "platform": "linux-x86_64", "glibc": null, "packages": {}}"#;
    std::fs::write(root.join("alpine"), format!("#!/bin/sh\necho '{answer}'\n")).expect("writable");
    let mut all = String::new();
    for text in [
        "FROM python:3.11-slim\nRUN rm /usr/bin/python /usr/bin/python3\n",
        "FROM python:3.11-slim\nCOPY alpine /usr/local/bin/python3\nRUN chmod 755 /usr/local/bin/python3\n",
        "FROM python:3.11-slim\nRUN rm /usr/bin/dash /usr/bin/sh\n",
    ] {
        std::fs::write(root.join("Dockerfile"), text).expect("writable");
        let error = world.provision(&spec).await.expect_err("it is refused");
        all.push_str(&format!("{}\nhint: {}\n", told(&error), sendoff::support::hints::Hints::hints(&error).join("\n")));
    }
    spec.base = Base::Image("sendoff-test/no-such-image:1".to_owned());
    let unknown = told(&world.provision(&spec).await.expect_err("no registry has it"));
    all.push_str(unknown.lines().next().unwrap_or_default());
    insta::assert_snapshot!(world.plain(&all), @r"
    could not find a Python in the image of `[ROOT]/Dockerfile`: neither `python3` nor `python` is on its PATH
    hint: take an image with Python, such as `python:3.11-slim`
    packages cannot be installed into the image of `[ROOT]/Dockerfile`: its C library is not glibc (Alpine's is musl)
    hint: take an image made of Debian packages, such as `python:3.11-slim`
    could not find a Python in the image of `[ROOT]/Dockerfile`: it has no shell either
    hint: take an image with Python, such as `python:3.11-slim`
    could not pull the image `sendoff-test/no-such-image:1`
    ");
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn prune_passes_over_what_a_job_or_a_container_uses() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "to be pruned");
    let made = world.provision(&world.spec(&[&alpha])).await.expect("it is made");
    let images = world.images();
    assert_eq!(images.prune(None).await.expect("it is leased"), []);
    let image = made.image.clone().expect("it is in an image");
    let id = made.id.clone();
    drop(made);
    let name = format!("sendoff-test-prune-{}", std::process::id());
    let spec = ContainerSpec { name: name.clone(), image: image.id, ..ContainerSpec::default() };
    world.engine.create(&spec).await.expect("it is created");
    assert_eq!(images.prune(None).await.expect("it has a container"), []);
    assert!(matches!(images.prune(Some(&id)).await, Err(Error::InUse(_))));
    world.engine.remove(&name, Removal::Forced).await.expect("it is removed");
    let listed = world.sendoff(&["env", "list"]);
    assert!(listed.starts_with(id.short()) && listed.trim_end().ends_with(&image.name) && listed.lines().count() == 1, "{listed}");
    let shown = world.sendoff(&["env", "show", id.short()]);
    assert!(shown.trim_end().ends_with(&format!("{alpha}==1.0")), "{shown}");
    assert_eq!(world.sendoff(&["env", "prune"]), "removed 1 environment\n");
    assert_eq!(images.list().await.expect("images are listed"), []);
    assert_eq!(world.engine.image(&image.name).await.expect("it is asked for"), None);
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn the_platform_decides_which_base_image_serves() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "for the platform");
    let spec = world.spec(&[&alpha]);
    let own = world.engine.image("python:3.11-slim").await.expect("it is asked for").expect("it is there").platform;
    let made = world.images_of(Some(&own)).provision(&spec, false, &world.heard).await.expect("it is made");
    assert_eq!(made.image.as_ref().map(|image| image.platform.clone()), Some(own));
    drop(made);
    let error = world.images_of(Some("linux/s390x")).provision(&spec, false, &world.heard).await.expect_err("it has to be pulled");
    assert!(matches!(error, Error::Engine(sendoff::engine::Error::Pull { .. })), "{error:?}");
    world.clean().await;
}

#[test]
fn what_an_image_is_made_from_is_checked_before_anything_is_sent() {
    let sandbox = crate::support::Sandbox::new();
    sandbox.file("train.py", "").file("Dockerfile", "FROM python:3.11-slim\n");
    let environments = [
        "{image: a, dockerfile: Dockerfile}",
        "{dockerfile: missing/Dockerfile}",
        "{dockerfile: Dockerfile, build_context: nowhere}",
        "{build_context: .}",
    ];
    let mut all = String::new();
    for environment in environments {
        sandbox.file("run.yaml", &format!("script: train.py\ncompute_target: {{type: docker}}\nenvironment: {environment}\n"));
        all.push_str(&sandbox.sendoff(&["check"]).expect(244).stderr);
    }
    let project = sandbox.project().display().to_string();
    insta::assert_snapshot!(all.replace(&project, "[PROJECT]"), @r"
    error: `image` and `dockerfile` exclude each other
     --> run.yaml:3:37
      |
    3 | environment: {image: a, dockerfile: Dockerfile}
      |                                     ^^^^^^^^^^ the image comes from one place
      |
      = help: keep one of them, or let the Dockerfile begin with `FROM` and that image

    error: found 1 problem in `run.yaml`
    error: the file of `environment.dockerfile` is missing
     --> run.yaml:3:27
      |
    3 | environment: {dockerfile: missing/Dockerfile}
      |                           ^^^^^^^^^^^^^^^^^^ `[PROJECT]/missing/Dockerfile` does not exist
      |
      = help: the path is relative to this file

    error: found 1 problem in `run.yaml`
    error: the folder of `environment.build_context` is missing
     --> run.yaml:3:54
      |
    3 | environment: {dockerfile: Dockerfile, build_context: nowhere}
      |                                                      ^^^^^^^ `[PROJECT]/nowhere` does not exist
      |
      = help: the path is relative to this file

    error: found 1 problem in `run.yaml`
    error: `build_context` is for a Dockerfile
     --> run.yaml:3:30
      |
    3 | environment: {build_context: .}
      |                              ^ there is no `dockerfile` here
      |
      = help: name the Dockerfile with `dockerfile:`, or remove it

    error: found 1 problem in `run.yaml`
    ");
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_proxy_serves_a_build() {
    let mut world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "by the proxy");
    let mut spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    let fixed = made.fixed.clone();
    drop(made);
    world.clean().await;

    let file = format!("{alpha}-1.0-py3-none-any.whl");
    let wheel = std::fs::read(world.folder.path().join(format!("wheels/{file}"))).expect("it was made");
    let proxy = wiremock::MockServer::start().await;
    let page = format!("<a href='/files/{file}'>{file}</a>").into_bytes();
    for (path, body, kind) in [(format!("/simple/{alpha}/"), page, "text/html"), (format!("/files/{file}"), wheel, "application/zip")] {
        let answer = wiremock::ResponseTemplate::new(200).set_body_raw(body, kind);
        wiremock::Mock::given(wiremock::matchers::path(path)).respond_with(answer).mount(&proxy).await;
    }
    // Only the proxy knows this host.
    spec.extra_index_urls = vec!["http://index.invalid/simple/".to_owned()];
    spec.find_links = Vec::new();
    world.variables.insert("http_proxy".to_owned(), proxy.uri());
    let made = world.images().restore(&spec, fixed, &world.heard).await.expect("it is made");
    assert_eq!(world.says(&made, &alpha).await, "by the proxy\n");
    let asked = proxy.received_requests().await.expect("they are kept");
    assert!(asked.iter().any(|request| request.url.host_str() == Some("index.invalid")), "{asked:?}");
    drop(made);
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_full_disk_is_called_by_its_name() {
    let world = World::new().await;
    let root = world.folder.path();
    let mut spec = world.spec(&[]);
    spec.base = Base::Dockerfile { path: root.join("Dockerfile"), context: root.to_owned() };
    let text = "FROM python:3.11-slim\nRUN cat /dev/zero >/dev/full\n";
    std::fs::write(root.join("Dockerfile"), text).expect("writable");
    let error = world.provision(&spec).await.expect_err("it cannot be written");
    insta::assert_snapshot!(world.plain(&told(&error)), @r"
    could not build `[ROOT]/Dockerfile`
    the disk of the container engine is full (`[2/2] RUN cat /dev/zero >/dev/full`)
    ");
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn debian_packages_come_before_those_of_the_lock() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "after the others");
    let mut spec = world.spec(&[&alpha]);
    spec.system_packages = vec!["sl".to_owned()];
    let made = world.provision(&spec).await.expect("it is made");
    let code = format!("import {alpha} as alpha, os; print(alpha.SAYS, os.path.exists('/usr/games/sl'))");
    assert_eq!(world.run(&made, &["-c", &code]).await, "after the others True\n");
    drop(made);
    world.clean().await;
}
