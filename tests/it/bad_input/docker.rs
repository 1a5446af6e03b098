//! What a container engine, an image or a Dockerfile makes impossible.

use insta::assert_snapshot;

use super::ends;
use crate::engine::own_daemon::OwnEngine;
use crate::support::{Sandbox, engine};

/// Makes a project whose job runs on the engine of this machine.
fn docker(environment: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print()\n");
    sandbox.file("run.yaml", &format!("script: train.py\ncompute_target: docker\nenvironment: {environment}\n"));
    sandbox
}

/// Submits, expects an exit code and that nothing was made here nor on the engine, and returns what was said.
#[track_caller]
fn leaves_nothing(sandbox: &Sandbox, code: i32) -> String {
    let before = images();
    let said = ends(sandbox, &["--no-tracking"], code);
    assert_eq!(sandbox.containers(), [""; 0]);
    let made: Vec<String> = images().into_iter().filter(|image| !before.contains(image) && image.contains("dockerfile")).collect();
    assert_eq!(made, [""; 0], "an image was made");
    said
}

/// Names the images of the engine.
fn images() -> Vec<String> {
    let listed = engine(async |engine| engine.images(&[]).await.expect("images are listed"));
    listed.into_iter().flat_map(|image| image.tags).collect()
}

#[test]
#[ignore = "needs a container engine"]
fn all_that_an_engine_cannot_give_is_named_at_once_before_anything_is_made() {
    let sandbox = docker("{python: 3.11}");
    sandbox.file(
        "run.yaml",
        "script: train.py\nresources: {cpus: 4000, memory: 1000TiB, gpus: 1, shared_memory: 1000TiB}\ncompute_target:\n  type: docker\n  \
         network: sendoff-test-missing\n  mounts: [\"/sendoff-test/one:/a\", \"/sendoff-test/two:/b\", \"/tmp:/c\", \"/tmp:/c/\"]\n",
    );
    let said = leaves_nothing(&sandbox, 244);
    let lines = said.lines().map(|line| match line.split_once("it has ") {
        // What differs from machine to machine.
        Some((start, rest)) => format!("{start}it has [...]{}", rest.find(';').map_or("", |at| &rest[at..])),
        None => line.to_owned(),
    });
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    error: the compute target `inline` cannot honour what is asked
      `resources.cpus`: it has [...]
      `resources.memory`: it has [...]
      `resources.gpus`: the container engine shows none; NVIDIA's container toolkit, installed where it runs, brings them
      `resources.shared_memory`: it has [...]
      `compute_target.network`: the container engine has no network `sendoff-test-missing`; it has [...]; `docker network create` makes one
      `compute_target.mounts`: `/c/` in the container is named twice
      `compute_target.mounts`: the container engine's machine has no `/sendoff-test/one`, or does not share it with containers
      `compute_target.mounts`: the container engine's machine has no `/sendoff-test/two`, or does not share it with containers
    hint: change or remove `resources.cpus`, `resources.memory`, `resources.gpus`, `resources.shared_memory`, `compute_target.network` and `compute_target.mounts`, or choose another target
    ");
    // A key that is set makes a mapping of the target's name.
    sandbox.file("run.yaml", "script: train.py\ncompute_target: docker\n");
    let run = sandbox.sendoff(&["plan", "--no-tracking", "--set", "compute_target.network=sendoff-test-missing"]).expect(244);
    assert!(run.stderr.contains("`compute_target.network`: the container engine has no network"), "{}", run.stderr);
    // Nodes share one machine: its memory cannot be promised to each, its CPUs they can take in turns.
    let (memory, cpus) = engine(async |engine| engine.about().await.map(|about| (about.memory, about.cpus)).expect("it answers"));
    let nodes = format!("resources={{nodes: 2, memory: {}MiB, cpus: {cpus}}}", (memory * 6 / 10) >> 20);
    let run = sandbox.sendoff(&["plan", "--no-tracking", "--set", &nodes]).expect(244);
    let reason = run.stderr.lines().next().and_then(|line| line.split_once("cannot honour `resources.memory`: it has "));
    assert!(reason.is_some_and(|(_, text)| text.contains(", and the 2 nodes together ask for ")), "{}", run.stderr);
    let run = sandbox.sendoff(&["plan", "--no-tracking", "--set", &format!("resources={{nodes: 2, cpus: {cpus}}}")]).expect(0);
    assert!(run.stderr.contains(&format!("note: the 2 nodes together ask for {} CPUs", cpus * 2)), "{}", run.stderr);
    sandbox.file("run.yaml", "script: train.py\ncompute_target: docker\nresources: {memory: 1MiB}\n");
    assert_snapshot!(leaves_nothing(&sandbox, 244), @r"
    error: the compute target `docker` cannot honour `resources.memory`: 6.0 MiB is the least that a job can be limited to
    hint: change or remove `resources.memory`, or choose another target
    ");
}

#[test]
fn an_engine_that_is_not_there_or_not_for_us_is_said_with_the_socket() {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print()\n");
    let socket = sandbox.project().join("engine.sock");
    sandbox.file("run.yaml", &format!("script: train.py\ncompute_target: {{type: docker, host: 'unix://{}'}}\n", socket.display()));
    assert_snapshot!(ends(&sandbox, &["--no-tracking"], 245), @r"
    error: could not reach the container engine at `[SANDBOX]/project/engine.sock` (from the target's `host`)
      caused by: there is no such socket
    hint: start the engine that listens there, or correct the address
    ");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    std::fs::set_permissions(&socket, closed).expect("ours");
    let mut command = sandbox.command(&["submit", "--quiet", "--no-tracking"]);
    if sendoff::support::platform::own_user().0 == 0 {
        // Root may do everything unless it gives that up.
        let mut without = std::process::Command::new("setpriv");
        without.args(["--bounding-set=-dac_override", "--"]).arg(command.get_program()).args(command.get_args());
        without.current_dir(sandbox.project()).env_clear();
        without.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(std::process::Stdio::null());
        command = without;
    }
    let output = command.output().expect("it starts");
    assert_eq!((output.status.code(), sandbox.home().join("data/jobs").exists()), (Some(245), false), "{output:?}");
    assert_snapshot!(sandbox.plain(&String::from_utf8_lossy(&output.stderr)), @r#"
    error: no permission to use the container engine at `[SANDBOX]/project/engine.sock` (from the target's `host`)
    hint: join the group that owns the socket (`sudo usermod -aG docker "$USER"`, then log in again), or use Docker or Podman without root
    "#);
}

#[test]
#[ignore = "needs mounts"]
fn own_mounts_without_any_engine_the_sockets_that_were_tried_are_named() {
    let sandbox = docker("{python: 3.11}");
    let run = sandbox.with_mounts("mount -t tmpfs tmpfs /run", &["submit", "--no-tracking"]).expect(245);
    assert_snapshot!(sandbox.plain(&run.stderr), @r"
    error: there is no container engine on this machine: looked for `/var/run/docker.sock`, `[SANDBOX]/home/.docker/run/docker.sock`, `[SANDBOX]/home/.docker/desktop/docker.sock` and `/run/podman/podman.sock`
    hint: install Docker or Podman and start it, or name an engine elsewhere with `DOCKER_HOST`
    ");
}

#[test]
#[ignore = "needs a container engine"]
fn an_image_that_no_registry_has_is_named_with_what_the_engine_says() {
    // Nobody listens there.
    assert_snapshot!(leaves_nothing(&docker("{image: 'localhost:1/none:1'}"), 245), @r#"
    error: could not pull the image `localhost:1/none:1`
      caused by: Get "http://localhost:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused
    hint: see that the engine's machine reaches the registry, by a proxy of the engine's own if need be
    "#);
}

#[test]
#[ignore = "needs a container engine"]
fn images_without_a_python_that_packages_are_made_for_are_refused_and_removed() {
    let sandbox = docker("{dockerfile: Dockerfile}");
    sandbox.file("Dockerfile", "FROM python:3.11-slim\nRUN rm /usr/bin/python /usr/bin/python3\n");
    assert_snapshot!(leaves_nothing(&sandbox, 245), @r"
    error: could not find a Python in the image of `[SANDBOX]/project/Dockerfile`: neither `python3` nor `python` is on its PATH
    hint: take an image with Python, such as `python:3.11-slim`
    ");
    // What Alpine is, as far as it matters: BusyBox, and a Python that knows of no glibc.
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].map(std::path::Path::new).into_iter().find(|path| path.exists());
    let busybox = busybox.expect("`tests/engine start` brings it");
    std::fs::copy(busybox, sandbox.project().join("busybox")).expect("writable");
    let alpine = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"/bin\"]\n";
    sandbox.file("Dockerfile", alpine);
    assert_snapshot!(leaves_nothing(&sandbox, 245), @r"
    error: could not find a Python in the image of `[SANDBOX]/project/Dockerfile`: neither `python3` nor `python` is on its PATH
    hint: take an image with Python, such as `python:3.11-slim`
    ");
    let answer = r#"{"program": "/usr/bin/python3", "version": "3.11.2", "platform": "linux-x86_64", "glibc": null, "packages": {}}"#;
    sandbox.file("python3", &format!("#!/bin/sh\necho '{answer}'\n"));
    sandbox.file("Dockerfile", &format!("{alpine}COPY python3 /bin/python3\nRUN chmod 755 /bin/python3\n"));
    assert_snapshot!(leaves_nothing(&sandbox, 245), @r"
    error: packages cannot be installed into the image of `[SANDBOX]/project/Dockerfile`: its C library is not glibc (Alpine's is musl)
    hint: take an image made of Debian packages, such as `python:3.11-slim`
    ");
}

#[test]
#[ignore = "needs a container engine"]
fn an_image_of_another_processor_is_refused_with_both_their_names() {
    let own = engine(async |engine| engine.about().await.expect("it answers").architecture);
    // The head of a program, for a processor that this one is not.
    let (foreign, machine) = if own == "arm64" { ("amd64", 62_u8) } else { ("arm64", 183) };
    let sandbox = docker("{dockerfile: Dockerfile}");
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    program.extend([machine, 0, 1, 0, 0, 0]);
    program.resize(4096, 0);
    std::fs::write(sandbox.project().join("sh"), program).expect("writable");
    sandbox.file("Dockerfile", "FROM scratch\nCOPY --chmod=755 sh /bin/sh\n");
    sandbox.file(
        "run.yaml",
        &format!(
            "script: train.py\ncompute_target: {{type: docker, platform: linux/{foreign}}}\nenvironment: {{dockerfile: Dockerfile}}\n"
        ),
    );
    let plan = sandbox.sendoff(&["plan", "--no-tracking"]).expect(0);
    let note =
        format!("note: the container engine's machine is `linux/{own}`: it runs `linux/{foreign}` (`compute_target.platform`) only where");
    assert!(plan.stderr.contains(&note), "{}", plan.stderr);
    let said = leaves_nothing(&sandbox, 245).replace(&format!("linux/{own}"), "linux/[OWN]").replace(foreign, "[FOREIGN]");
    assert_snapshot!(said, @r"
    error: the container engine's machine is `linux/[OWN]` and does not run the programs of the image of `[SANDBOX]/project/Dockerfile`, which are for `linux/[FOREIGN]`
    hint: take an image for `linux/[OWN]`, and remove `compute_target.platform` or set it to that
    hint: or have the engine's machine emulate it: its packages `qemu-user-static` and `binfmt-support`
    ");
}

#[test]
#[ignore = "needs a container engine"]
fn a_dockerfile_that_fails_shows_the_step_and_what_it_printed() {
    let sandbox = docker("{dockerfile: Dockerfile}");
    sandbox.file("Dockerfile", "FROM python:3.11-slim\nRUN echo first; echo second; exit 3\n");
    assert_snapshot!(leaves_nothing(&sandbox, 245), @r"
    error: could not build `[SANDBOX]/project/Dockerfile`
      caused by: the step `[2/2] RUN echo first; echo second; exit 3` of the build failed: exit code 3
    first
    second
    hint: correct that step of `[SANDBOX]/project/Dockerfile`; `docker build` shows all that it prints
    ");
}

#[test]
#[ignore = "needs a container engine"]
fn a_debian_package_that_does_not_exist_is_told_from_a_build_that_fails() {
    let sandbox = docker("{system_packages: [sendoff-no-such-package]}");
    let said = leaves_nothing(&sandbox, 245);
    let said: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("error: could not build")).collect();
    assert_snapshot!(said.join("\n"), @r"
    error: could not build the image of the environment
      caused by: the step `installing Debian packages` of the build failed: exit code 100
    E: Unable to locate package sendoff-no-such-package
    hint: correct the package in `environment.system_packages`: the image's Debian release has none of this name
    ");
}

#[test]
#[ignore = "needs a container engine"]
fn odd_names_and_values_arrive_in_a_container_unchanged() {
    let odd = "it's \"a\nb\" $(id) \\ -x";
    let sandbox = Sandbox::new();
    sandbox
        .file("show.py", "import os, sys; print(ascii([sys.argv[1], os.environ['ODD'], open(os.environ['SENDOFF_INPUT_FILE']).read()]))\n");
    sandbox.file(&format!("data/{odd}"), odd);
    let text = serde_json::to_string(odd).expect("a string");
    let path = serde_json::to_string(&format!("data/{odd}")).expect("a string");
    sandbox.file(
        "run.yaml",
        &format!(
            "script: show.py\ncompute_target: docker\ndisplay_name: {text}\nexperiment_name: {text}\narguments: [{text}]\n\
             environment_variables: {{ODD: {text}}}\ninputs: {{file: {{type: uri_file, path: {path}}}}}\nenvironment: {{python: 3.11}}\n"
        ),
    );
    let run = sandbox.sendoff(&["submit", "--no-tracking", "--quiet"]).expect(0);
    let shown = sandbox.sendoff(&["logs", "@last"]).expect(0).stdout;
    let expected = r#"'it\'s "a\nb" $(id) \\ -x'"#;
    let last = shown.lines().last().unwrap_or_default();
    assert_eq!(last, format!("[{expected}, {expected}, {expected}]"), "{run:?}");
    assert_eq!(sandbox.containers(), [""; 0]);
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_whose_disk_is_full_in_the_middle_of_a_build_says_so_and_keeps_nothing_of_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let full = r#"BRIDGE=; mkdir -p "$DIR/data"; mount -t tmpfs -o size=60m tmpfs "$DIR/data""#;
    let (own, engine) = runtime.block_on(OwnEngine::start(full));
    let sandbox = docker("{dockerfile: Dockerfile}");
    sandbox.file("Dockerfile", "FROM tiny\nRUN cat /dev/zero >/big\n");
    let target = format!("compute_target={{type: docker, host: '{}'}}", own.host());
    assert_snapshot!(ends(&sandbox, &["--no-tracking", "--set", &target], 245), @r"
    error: could not build `[SANDBOX]/project/Dockerfile`
      caused by: the disk of the container engine is full (`[2/2] RUN cat /dev/zero >/big`)
    hint: free some: `docker builder prune`, `docker image prune`, `sendoff env prune`
    ");
    runtime.block_on(async {
        assert_eq!(engine.list(&[]).await.expect("they are listed"), []);
        let images = engine.images(&[]).await.expect("they are listed");
        assert_eq!(images.into_iter().flat_map(|image| image.tags).collect::<Vec<_>>(), ["tiny:latest"]);
    });
}
