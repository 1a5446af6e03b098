//! Images that go to a registry and come back, with and without the right credentials.
//!
//! Needs `docker-registry`.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sendoff::engine::{Credentials, Engine, Error, PullFailure};
use sendoff::support::secret::Secret;

use super::{World, shown, with_engine};

/// A password whose encodings differ between the alphabets of base64, and its hash.
const PASSWORD: &str = "?>~?>~?>~";
const HASH: &str = "$2b$05$oG4HqC118NhBUiy2TjVxX.wVikSAxdmyKJIfEduAUM9U.LlFAJWMG";

/// A registry of a test's own, which ends with it.
struct Registry {
    process: Child,
    _folder: tempfile::TempDir,
    /// Its host and port, as the names of its images begin.
    host: String,
}

impl Registry {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
        let path = folder.path().display();
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{host}\"}}\nstorage: {{filesystem: {{rootdirectory: \"{path}/data\"}}}}\n\
             auth: {{htpasswd: {{realm: test, path: \"{path}/users\"}}}}\n"
        );
        std::fs::write(folder.path().join("config.yml"), text).expect("a file");
        std::fs::write(folder.path().join("users"), format!("me:{HASH}\n")).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(folder.path().join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("the registry starts");
        let registry = Self { process, _folder: folder, host };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&registry.host).is_err() {
            assert!(Instant::now() < deadline, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn me(password: &str) -> Credentials {
    Credentials::User { name: "me".to_owned(), password: Secret::new(password) }
}

/// Makes an image of one empty file.
fn import(reference: &str) {
    let script = r#"cd "$(mktemp -d)"; touch file; tar -c file | docker import - "$0" >/dev/null; rm file; rmdir "$PWD""#;
    assert!(Command::new("sh").args(["-ec", script, reference]).status().expect("a shell runs").success());
}

async fn pulled(engine: &Engine, reference: &str, credentials: Option<&Credentials>) -> Error {
    engine.pull(reference, None, credentials, &|_| ()).await.expect_err("the registry refuses")
}

#[test]
#[ignore = "needs docker-registry and a container engine"]
fn own_registry_takes_and_gives_images_to_who_may() {
    let registry = Registry::start();
    with_engine("registry", async |world| {
        let World { engine, name } = &world;
        let image = format!("{}/{name}:1", registry.host);
        let redacted = |error: &Error| shown(error).replace(&registry.host, "[REGISTRY]").replace(name.as_str(), "[NAME]");
        import(&image);
        let refused = engine.push(&image, None, &|_| ()).await.expect_err("the registry wants to know who we are");
        insta::assert_snapshot!(redacted(&refused), @r"
        error: could not push the image `[REGISTRY]/[NAME]:1`
          caused by: no basic auth credentials
        hint: log in with an account that may: `docker login [REGISTRY]`
        ");
        let refused = engine.push(&image, Some(&me("wrong")), &|_| ()).await.expect_err("the password is wrong");
        assert!(matches!(refused, Error::Push { why: PullFailure::Denied, .. }), "{refused:?}");
        let steps = Mutex::new(0);
        engine.push(&image, Some(&me(PASSWORD)), &|_| *steps.lock().expect("no panic") += 1).await.expect("it is pushed");
        assert!(steps.into_inner().expect("no panic") > 0, "its progress is told");
        engine.remove_image(&image).await.expect("it is removed");

        insta::assert_snapshot!(redacted(&pulled(engine, &image, None).await), @r#"
        error: could not pull the image `[REGISTRY]/[NAME]:1`
          caused by: Head "http://[REGISTRY]/v2/[NAME]/manifests/1": no basic auth credentials
        hint: log in with an account that may: `docker login [REGISTRY]`
        "#);
        let missing = format!("{}/{name}:2", registry.host);
        insta::assert_snapshot!(redacted(&pulled(engine, &missing, Some(&me(PASSWORD))).await), @r"
        error: could not pull the image `[REGISTRY]/[NAME]:2`
          caused by: manifest for [REGISTRY]/[NAME]:2 not found: manifest unknown: manifest unknown
        hint: check the name; a registry also hides images from who may not see them: `docker login [REGISTRY]`
        ");
        engine.pull(&image, None, Some(&me(PASSWORD)), &|_| ()).await.expect("it is pulled");
        let back = engine.image(&image).await.expect("it is inspected").expect("it is there");
        assert!(back.digests.iter().any(|digest| digest.starts_with(&registry.host)), "{back:?}");
        engine.remove_image(&image).await.expect("it is removed");
    });
}

/// Gives a sandbox the login of the registry, by a helper as Docker's own configuration names them.
fn log_in(sandbox: &crate::support::Sandbox, registry: &Registry) -> Vec<(&'static str, String)> {
    use std::os::unix::fs::PermissionsExt;
    let folder = sandbox.home().join("login");
    std::fs::create_dir_all(&folder).expect("writable");
    let configuration = serde_json::json!({ "credHelpers": { &registry.host: "test" } }).to_string();
    std::fs::write(folder.join("config.json"), configuration).expect("writable");
    let helper = folder.join("docker-credential-test");
    let answer = serde_json::json!({ "ServerURL": &registry.host, "Username": "me", "Secret": PASSWORD }).to_string();
    std::fs::write(&helper, format!("#!/bin/sh\ncat >/dev/null\nprintf '%s' '{answer}'\n")).expect("writable");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let folder = folder.display().to_string();
    vec![("PATH", format!("{folder}:{}", crate::support::path())), ("DOCKER_CONFIG", folder)]
}

#[test]
#[ignore = "needs docker-registry and a container engine"]
fn own_registry_gets_an_environment_and_gives_it_back_as_a_private_base() {
    let registry = Registry::start();
    let mut sandbox = crate::support::Sandbox::new();
    let repository = format!("{}/team/images", registry.host);
    let config = format!("compute_target: docker\nenvironment: {{python: '3.11', push: '{repository}'}}\ncommand: echo ran\n");
    sandbox.file("run.yaml", &config);
    let submit = |sandbox: &crate::support::Sandbox, job: &str| {
        let id = format!("pushed-{}-{job}", std::process::id());
        sandbox.sendoff(&["submit", "--no-tracking", "--job-id", &id])
    };
    // Who may not, hears so, and nothing is left of the job.
    let refused = submit(&sandbox, "one").expect(245);
    assert!(
        refused.stderr.contains("error: could not push the image `") && refused.stderr.contains("`docker login "),
        "{}",
        refused.stderr
    );
    assert_eq!(sandbox.sendoff(&["list", "--output", "json"]).expect(0).json()["jobs"].as_array().map(Vec::len), Some(0));

    for (name, value) in log_in(&sandbox, &registry) {
        sandbox.set(name, &value);
    }
    let planned = |sandbox: &crate::support::Sandbox| {
        let text = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0).stdout;
        text.lines().find_map(|line| Some(line.strip_prefix("push ")?.trim().to_owned())).expect("it says so")
    };
    let plan = planned(&sandbox);
    assert!(plan.starts_with(&format!("the environment's image would be sent to `{repository}:")), "{plan}");
    assert!(plan.ends_with(", with what the helper `docker-credential-test` knows"), "{plan}");
    let pushed = submit(&sandbox, "one").expect(0);
    let name = format!("note: the environment's image is `{repository}@sha256:");
    assert!(pushed.stderr.contains(&name), "{}", pushed.stderr);
    assert!(!pushed.stderr.contains(PASSWORD), "{}", pushed.stderr);
    assert!(planned(&sandbox).ends_with("` was sent before"));
    // Once is enough.
    assert!(!submit(&sandbox, "two").expect(0).stderr.contains("pushing"));

    // Another machine has only the name.
    let listed = sandbox.sendoff(&["env", "list", "--output", "json"]).expect(0).json();
    let id = listed["environments"][0]["id"].as_str().expect("an environment").to_owned();
    let reference = format!("{repository}:{}", &id[..12]);
    crate::support::engine(async |engine| engine.remove_image(&reference).await.expect("its name goes"));
    sandbox.file("Dockerfile", &format!("FROM {reference}\nRUN echo made >/made\n"));
    sandbox.file("run.yaml", "compute_target: docker\nenvironment: {dockerfile: Dockerfile}\ncommand: cat /made\n");
    sandbox.set("DOCKER_BUILDKIT", "0");
    let ran = submit(&sandbox, "three").expect(0);
    assert!(ran.stdout.ends_with("made\n"), "{}\n{}", ran.stdout, ran.stderr);
    sandbox.remove_containers();
    for job in ["one", "two", "three"] {
        sandbox.sendoff(&["delete", &format!("pushed-{}-{job}", std::process::id())]).expect(0);
    }
    sandbox.sendoff(&["env", "prune"]).expect(0);
    crate::support::engine(async |engine| engine.remove_image(&reference).await.expect("its name goes"));
}
