//! Podman in the place of Docker, by its compatible interface: its own service, in a folder of the test's own. It needs root.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Sandbox, wait_until};

/// What Podman needs where control groups are of the first version, or of both.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"#;

struct Podman {
    folder: tempfile::TempDir,
    service: Child,
}

impl Podman {
    /// Starts Podman's service, and gives it the image that the other engine has.
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("containers.conf"), SETTINGS).expect("writable");
        let socket = format!("unix://{}/podman.sock", folder.path().display());
        let service = podman(folder.path()).args(["system", "service", "--time", "0", &socket]).spawn().expect("podman runs");
        let podman = Self { folder, service };
        let image = "docker save python:3.11-slim | podman --root \"$0/root\" --runroot \"$0/run\" load";
        let mut load = Command::new("sh");
        load.args(["-ec", image]).arg(podman.folder.path()).env("CONTAINERS_CONF", podman.folder.path().join("containers.conf"));
        assert!(load.stdout(Stdio::null()).status().expect("a shell runs").success());
        wait_until(|| if podman.folder.path().join("podman.sock").exists() { Ok(()) } else { Err("no socket".to_owned()) });
        podman
    }

    fn address(&self) -> String {
        format!("unix://{}/podman.sock", self.folder.path().display())
    }

    /// Returns the names of all containers.
    fn containers(&self) -> String {
        let output = podman(self.folder.path()).args(["ps", "--all", "--format", "{{.Names}}"]).stdout(Stdio::piped()).output();
        String::from_utf8(output.expect("podman runs").stdout).expect("it is UTF-8")
    }

    fn nothing_is_left(&self) {
        wait_until(|| Some(self.containers()).filter(|names| !names.is_empty()).map_or(Ok(()), Err));
    }
}

fn podman(folder: &Path) -> Command {
    let mut command = Command::new("podman");
    command.arg("--root").arg(folder.join("root")).arg("--runroot").arg(folder.join("run"));
    command.env("CONTAINERS_CONF", folder.join("containers.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Its monitor of a container leaves a file in its working directory when memory was short.
    command.current_dir(folder);
    command
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = podman(self.folder.path()).args(["rm", "--all", "--force", "--time", "0"]).status();
        let _ = self.service.kill();
        let _ = self.service.wait();
        // Its layers are mounts.
        let _ = podman(self.folder.path()).args(["system", "reset", "--force"]).status();
    }
}

#[test]
#[ignore = "needs podman and root"]
fn own_podman_runs_a_job_ends_it_when_asked_and_keeps_nothing() {
    let podman = Podman::start();
    let sandbox = Sandbox::new().env("DOCKER_HOST", &podman.address());
    let script = "import mlflow, pathlib\nwith mlflow.start_run():\n    mlflow.log_metric('answer', 42)\n\
                  pathlib.Path('outputs').mkdir()\npathlib.Path('outputs/made.txt').write_text('made')\nraise SystemExit(7)\n";
    sandbox.file("train.py", script);
    sandbox.file("run.yaml", "script: train.py\ncompute_target: {type: docker}\nenvironment: {image: 'python:3.11-slim'}\n");
    let run = sandbox.sendoff(&["submit", "run.yaml", "--job-id", "one"]).expect(7);
    assert!(run.stderr.contains("failed with exit code 7"), "{}", run.stderr);
    // The relay was reached at the gateway of Podman's network.
    let metrics = sandbox.sendoff(&["metrics", "one", "--require", "answer==42"]);
    metrics.expect(0);
    sandbox.sendoff(&["download", "one", "--to", "got"]).expect(0);
    assert_eq!(std::fs::read_to_string(sandbox.project().join("got/outputs/made.txt")).expect("it came"), "made");
    podman.nothing_is_left();

    // An end that is asked for reaches the command, though Podman's init tells only its child.
    let waits = "command: \"trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.1; done\"\n\
                 compute_target: {type: docker}\nenvironment: {image: 'python:3.11-slim'}\ntracking: {uri: none}\n";
    sandbox.file("waits.yaml", waits);
    sandbox.sendoff(&["submit", "waits.yaml", "--detach", "--job-id", "two"]).expect(0);
    wait_until(|| {
        let log = sandbox.sendoff(&["logs", "two"]).stdout;
        if log.contains("\nup") { Ok(()) } else { Err(log) }
    });
    let begun = Instant::now();
    sandbox.sendoff(&["cancel", "two"]).expect(0);
    assert!(begun.elapsed() < Duration::from_secs(25), "it waited for the whole grace");
    let log = sandbox.sendoff(&["logs", "two"]).expect(0).stdout;
    assert!(log.contains("asked"), "{log}");
    podman.nothing_is_left();
    // With the first version of control groups, Podman does not tell why a process was killed.
    let eats = "command: \"exec python -c 'x = bytearray(400 << 20)'\"\nresources: {memory: 64MiB}\n\
                compute_target: {type: docker}\nenvironment: {image: 'python:3.11-slim'}\ntracking: {uri: none}\n";
    sandbox.file("eats.yaml", eats);
    let run = sandbox.sendoff(&["submit", "eats.yaml", "--job-id", "three"]);
    let is_told = run.stderr.contains("it was killed at its memory limit of 64.0 MiB");
    let is_supposed = run.stderr.contains("it was killed, probably out of memory: its limit was 64.0 MiB, and this engine does not tell");
    assert!((run.code == Some(240) && is_told) || (run.code == Some(137) && is_supposed), "{run:?}");
    podman.nothing_is_left();

    // Nodes have a network of their own there too.
    let pair = "command: 'echo node $RANK of $WORLD_SIZE; exit $RANK'\nresources: {nodes: 2}\n\
                compute_target: {type: docker}\nenvironment: {image: 'python:3.11-slim'}\ntracking: {uri: none}\ngrace: 1s\n";
    sandbox.file("pair.yaml", pair);
    sandbox.sendoff(&["submit", "pair.yaml", "--job-id", "four"]).expect(1);
    for rank in ["0", "1"] {
        let log = sandbox.sendoff(&["logs", "four", "--node", rank]).expect(0).stdout;
        assert!(log.contains(&format!("node {rank} of 2\n")), "{log}");
    }
    podman.nothing_is_left();
}
