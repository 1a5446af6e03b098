//! What a user reads when the engine, or the way to it, fails. Those of a real engine are its own words under ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sendoff::engine::{Address, ContainerSpec, Endpoint, Engine, Error, GpuRequest, Mount, Port, Protocol, Source};

use super::{World, shown, with_engine};

/// Returns the error of choosing and reaching an engine.
fn reached(host: Option<&str>, variables: &[(&str, &str)], home: &Path) -> String {
    let variables: BTreeMap<_, _> = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    let connect = |endpoint| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        runtime.block_on(async { Engine::connect(&endpoint).await })
    };
    shown(&Endpoint::choose(host, &variables, home).and_then(connect).expect_err("there is no engine"))
}

#[test]
fn an_address_that_is_none() {
    insta::assert_snapshot!(reached(Some("docker.example:2375"), &[], Path::new("/")), @r"
    error: `docker.example:2375` is not the address of a container engine (from the target's `host`)
    hint: write `unix:///path/of/the.sock`, `tcp://host:port` or `ssh://user@host`
    ");
}

#[test]
fn a_socket_that_is_missing() {
    insta::assert_snapshot!(reached(Some("unix:///nowhere/docker.sock"), &[], Path::new("/")), @r"
    error: could not reach the container engine at `/nowhere/docker.sock` (from the target's `host`)
      caused by: there is no such socket
    hint: start the engine that listens there, or correct the address
    ");
}

#[test]
fn a_socket_that_nobody_listens_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let shown = reached(None, &[("DOCKER_HOST", &format!("unix://{}", socket.display()))], Path::new("/"));
    insta::assert_snapshot!(shown.replace(&folder.path().display().to_string(), "[FOLDER]"), @r"
    error: could not reach the container engine at `[FOLDER]/docker.sock` (from `DOCKER_HOST`)
      caused by: Connection refused (os error 111)
    hint: start the engine that listens there, or correct the address
    ");
}

#[test]
fn a_port_that_nobody_listens_on() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let shown = reached(None, &[("DOCKER_HOST", &format!("tcp://127.0.0.1:{port}"))], Path::new("/"));
    insta::assert_snapshot!(shown.replace(&port.to_string(), "[PORT]"), @r"
    error: could not reach the container engine at `tcp://127.0.0.1:[PORT]` (from `DOCKER_HOST`)
      caused by: Connection refused (os error 111)
    hint: check the address, and whether that engine wants a secured connection (`DOCKER_TLS_VERIFY=1` and `DOCKER_CERT_PATH`)
    ");
}

#[test]
fn certificates_that_are_missing() {
    let variables = [("DOCKER_HOST", "tcp://127.0.0.1:1"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/nowhere")];
    insta::assert_snapshot!(reached(None, &variables, Path::new("/")), @r"
    error: could not reach the container engine at `tcp://127.0.0.1:1` (from `DOCKER_HOST`)
      caused by: Cannot open/read certificate with path: /nowhere/ca.pem
    hint: check the address and the certificates in `DOCKER_CERT_PATH`
    ");
}

#[test]
fn an_engine_behind_a_host_that_is_not_known() {
    // A name that no resolver has: `ssh` gives up at once.
    let shown = reached(Some("ssh://me@gpu-box.invalid:2222"), &[], Path::new("/"));
    let (before, after) = shown.split_once("Could not resolve").expect("ssh says so");
    let hint = after.lines().last().expect("a hint");
    insta::assert_snapshot!(format!("{before}...\n{hint}"), @r"
    error: could not reach the container engine at `ssh://me@gpu-box.invalid:2222` (from the target's `host`)
      caused by: ssh: ...
    hint: see that `ssh -p 2222 me@gpu-box.invalid docker version` works, and asks for nothing
    ");
}

#[test]
fn a_context_that_is_misspelled() {
    let home = tempfile::tempdir().expect("a folder");
    // The folder's name is what Docker makes of the context's: the SHA-256 of `lab`.
    let folder = home.path().join(".docker/contexts/meta/a51146d38077ff992eba84cf1d5e9b249073503eb74868699016153b031a38f7");
    std::fs::create_dir_all(&folder).expect("a folder");
    let meta = r#"{"Name":"lab","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://lab:2376"}}}"#;
    std::fs::write(folder.join("meta.json"), meta).expect("a file");
    insta::assert_snapshot!(reached(None, &[("DOCKER_CONTEXT", "lap")], home.path()), @r"
    error: there is no Docker context `lap` (from the context `lap` that `DOCKER_CONTEXT` names)
    hint: did you mean `lab`?
    ");
}

#[test]
fn a_configuration_of_docker_that_is_broken() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".docker")).expect("a folder");
    std::fs::write(home.path().join(".docker/config.json"), "{").expect("a file");
    let shown = reached(None, &[], home.path());
    insta::assert_snapshot!(shown.replace(&home.path().display().to_string(), "[HOME]"), @r"
    error: could not read `[HOME]/.docker/config.json`
      caused by: EOF while parsing an object at line 1 column 1
    hint: repair the file, or set `DOCKER_HOST`, which goes before it
    ");
}

#[test]
fn no_engine_anywhere_and_no_permission() {
    let tried = ["/var/run/docker.sock", "/home/me/.docker/run/docker.sock"].map(PathBuf::from).to_vec();
    insta::assert_snapshot!(shown(&Error::NoEngine { tried }), @r"
    error: there is no container engine on this machine: looked for `/var/run/docker.sock` and `/home/me/.docker/run/docker.sock`
    hint: install Docker or Podman and start it, or name an engine elsewhere with `DOCKER_HOST`
    ");
    let endpoint = Endpoint { address: Address::Local("/var/run/docker.sock".into()), source: Source::Usual };
    insta::assert_snapshot!(shown(&Error::Denied { endpoint: Box::new(endpoint) }), @r#"
    error: no permission to use the container engine at `/var/run/docker.sock` (the usual place)
    hint: join the group that owns the socket (`sudo usermod -aG docker "$USER"`, then log in again), or use Docker or Podman without root
    "#);
}

/// Returns the error of making a container and starting it.
async fn refused(world: &World, spec: ContainerSpec) -> String {
    let started = async {
        world.engine.create(&spec).await?;
        world.engine.start(&spec.name).await
    };
    let error = started.await.expect_err("it cannot be had");
    world.clean().await;
    shown(&error).replace(&world.name, "[NAME]")
}

#[test]
#[ignore = "needs a container engine"]
fn what_a_container_cannot_have() {
    with_engine("refused", async |world| {
        let spec = || ContainerSpec { network: None, ..world.spec(&["true"]) };
        let image = "sendoff/no-such-image:1".to_owned();
        insta::assert_snapshot!(refused(&world, ContainerSpec { image, ..spec() }).await, @r"
        error: the container engine has no image `sendoff/no-such-image:1`
        hint: `docker pull sendoff/no-such-image:1` brings it, if a registry has it
        ");
        let gpus = Some(GpuRequest::All);
        insta::assert_snapshot!(refused(&world, ContainerSpec { gpus, ..spec() }).await, @r#"
        error: could not start the container `[NAME]`
          caused by: could not select device driver "" with capabilities: [[gpu]]
        hint: install NVIDIA's container toolkit where the engine runs and restart the engine, or ask for no GPUs
        "#);
        let mounts = vec![Mount::Bind { source: "/nowhere/data".to_owned(), target: "/data".to_owned(), read_only: true }];
        insta::assert_snapshot!(refused(&world, ContainerSpec { mounts, ..spec() }).await, @r#"
        error: could not create the container `[NAME]`
          caused by: invalid mount config for type "bind": bind source path does not exist: /nowhere/data
        hint: the path must exist where the engine runs, which may be another machine than this one, or a virtual one
        "#);
        let memory = Some(1 << 20);
        insta::assert_snapshot!(refused(&world, ContainerSpec { memory, ..spec() }).await, @r"
        error: could not create the container `[NAME]`
          caused by: Minimum memory limit allowed is 6MB
        hint: ask for more memory: a container needs a few megabytes
        ");
        let user = Some("nobody-of-that-name".to_owned());
        insta::assert_snapshot!(refused(&world, ContainerSpec { user, ..spec() }).await, @r"
        error: could not start the container `[NAME]`
          caused by: unable to find user nobody-of-that-name: no matching entries in passwd file
        hint: give the user by its number, or name one that the image has
        ");
        let network = Some("sendoff-no-such-network".to_owned());
        insta::assert_snapshot!(refused(&world, ContainerSpec { network, ..spec() }).await, @"error: the container engine has no network `sendoff-no-such-network`");
        let command = vec!["no-such-program".to_owned()];
        insta::assert_snapshot!(refused(&world, ContainerSpec { command, init: false, ..spec() }).await, @r#"
        error: could not start the container `[NAME]`
          caused by: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "no-such-program": executable file not found in $PATH: unknown
        hint: see that the image has this program, that it can be executed, and that its interpreter is there too
        "#);
        let command = vec!["/etc/passwd".to_owned()];
        insta::assert_snapshot!(refused(&world, ContainerSpec { command, init: false, ..spec() }).await, @r#"
        error: could not start the container `[NAME]`
          caused by: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/etc/passwd": permission denied: unknown
        hint: see that the image has this program, that it can be executed, and that its interpreter is there too
        "#);
    });
}

#[test]
#[ignore = "needs a container engine"]
fn more_cpus_than_there_are() {
    with_engine("cpus", async |world| {
        let cpus = world.engine.about().await.expect("it describes itself").cpus;
        let error = refused(&world, ContainerSpec { cpus: Some(f64::from(cpus) + 1.0), ..world.spec(&["true"]) }).await;
        insta::assert_snapshot!(error.replace(&format!("{cpus}.00"), "[CPUS]").replace(&format!("only {cpus} "), "only [CPUS] "), @r"
        error: could not create the container `[NAME]`
          caused by: Range of CPUs is from 0.01 to [CPUS], as there are only [CPUS] CPUs available
        hint: ask for no more CPUs than the engine's machine has
        ");
    });
}

#[test]
#[ignore = "needs a container engine"]
fn a_port_that_is_taken() {
    with_engine("taken", async |world| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").port();
        let port = Port { address: [127, 0, 0, 1].into(), host, container: 80, protocol: Protocol::Tcp };
        let error = refused(&world, ContainerSpec { network: None, ports: vec![port], ..world.spec(&["true"]) }).await;
        let error = error.replace(&host.to_string(), "[PORT]");
        let ids =
            error.find(" on endpoint").map_or(error.as_str(), |at| error[at..].split_once("): ").map_or(&error[at..], |(_, rest)| rest));
        insta::assert_snapshot!(format!("{}\n{ids}", error.lines().next().unwrap_or_default()), @r"
        error: could not start the container `[NAME]`
        Error starting userland proxy: listen tcp4 127.0.0.1:[PORT]: bind: address already in use
        hint: choose another port, or end what uses this one
        ");
    });
}

#[test]
#[ignore = "needs a container engine"]
fn names_that_are_taken_or_none() {
    with_engine("names", async |world| {
        world.engine.create(&world.spec(&["true"])).await.expect("it is created");
        let error = shown(&world.engine.create(&world.spec(&["true"])).await.expect_err("the name is taken"));
        let id = error.split('"').nth(3).expect("the engine names the container").to_owned();
        insta::assert_snapshot!(error.replace(&id, "[ID]").replace(&world.name, "[NAME]"), @r#"
        error: could not create the container `[NAME]`
          caused by: Conflict. The container name "/[NAME]" is already in use by container "[ID]". You have to remove (or rename) that container to be able to reuse that name.
        "#);
        let error = world.engine.inspect("../images/json?all=1").await.expect_err("that is no name");
        insta::assert_snapshot!(shown(&error), @r"
        error: `../images/json?all=1` is not a valid container name
        hint: use letters, digits, `_`, `.` and `-`, and one of the first two in front
        ");
        let error = world.engine.image("UPPER CASE").await.expect_err("that is no name");
        insta::assert_snapshot!(shown(&error), @r"
        error: `UPPER CASE` is not a valid image name
        hint: write an image as `name:tag`, in lower case
        ");
        let pieces = world.engine.get(&world.name, "/no/such/file").expect("a name that fits");
        let error = futures_util::TryStreamExt::try_collect::<Vec<_>>(pieces).await.expect_err("there is no such file");
        insta::assert_snapshot!(shown(&error).replace(&world.name, "[NAME]"), @"error: the container has no file or folder `/no/such/file`");
    });
}

#[test]
#[ignore = "needs a container engine"]
fn an_image_that_no_registry_has() {
    with_engine("pull", async |world| {
        // A registry of this machine that nobody runs.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let error = world.engine.pull(&format!("127.0.0.1:{port}/team/base:1"), None, None, &|_| ()).await.expect_err("nobody answers");
        insta::assert_snapshot!(shown(&error).replace(&port.to_string(), "[PORT]"), @r#"
        error: could not pull the image `127.0.0.1:[PORT]/team/base:1`
          caused by: Get "http://127.0.0.1:[PORT]/v2/": dial tcp 127.0.0.1:[PORT]: connect: connection refused
        hint: see that the engine's machine reaches the registry, by a proxy of the engine's own if need be
        "#);
    });
}
