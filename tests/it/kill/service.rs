//! On a service: who has no record of a job finds it there, and the job is there whatever becomes of the service's machine for a while.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::OnceLock;

use sendoff::support::platform::{Signal, signal_process};
use sendoff::support::process::Identity;

use super::Ground;
use crate::support::{Run, Sandbox, lines, wait_until};
use crate::workspace::{IMAGE, Workspace};

/// Returns the program with which a job tells that it runs: it gives a name, and this process writes a line into the file of that name.
pub(super) fn tells() -> String {
    static PORT: OnceLock<u16> = OnceLock::new();
    let gateway = Workspace::gateway();
    let port = PORT.get_or_init(|| {
        let listener = TcpListener::bind((gateway.as_str(), 0)).expect("it is an address of this machine");
        let port = listener.local_addr().expect("it has one").port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut name = String::new();
                let _ = stream.read_to_string(&mut name);
                // A test that has failed has no folder any more.
                let file = std::fs::OpenOptions::new().create(true).append(true).open(name);
                let _ = file.and_then(|mut file| file.write_all(b"ran\n")).and_then(|()| stream.write_all(b"."));
            }
        });
        port
    });
    format!(
        "python -c \"import socket, sys; s = socket.create_connection(('{gateway}', {port})); s.sendall(sys.argv[1].encode()); s.shutdown(1); s.recv(1) or sys.exit(9)\""
    )
}

/// Untracked or not, the way is the same: one point shows that the job is its own MLflow run.
pub(super) fn a_client_that_is_killed_leaves_one_job_which_is_its_own_mlflow_run() {
    let world = Ground::AzureMl.world();
    let id = world.id("the-job");
    let (witness, set) = world.witness(&id);
    let submit = world.submit(&["--job-id", &id, "--set", &set]);
    let killed = world.sandbox.armed("submit.handed-over", &submit);
    assert_eq!(killed.code, None, "{killed:?}");
    world.sandbox.sendoff(&submit).expect(0);
    let status = world.sandbox.sendoff(&["status", &id, "--output", "json"]).expect(0).json();
    assert_eq!(status["mlflow_run_id"], id.as_str());
    assert_eq!((lines(&witness), world.workspace().jobs().len()), (1, 1));
    world.has_whole_log(&id);
    world.nothing_runs();
}

pub(super) fn a_workspace_that_takes_no_job_for_a_while_has_none_of_it() {
    let world = Ground::AzureMl.world();
    let id = world.id("the-job");
    let (witness, set) = world.witness(&id);
    // As often as a request is sent.
    let path = world.workspace().path(&format!("/jobs/{id}"));
    world.workspace().fault(&path, &["throttled", "--method", "PUT", "--times", "8"]);
    let submit = world.submit(&["--job-id", &id, "--set", &set]);
    let failed = world.sandbox.sendoff(&submit).expect(245);
    assert!(failed.stderr.contains("429"), "{}", failed.stderr);
    assert_eq!((world.workspace().jobs().len(), world.workspace().faults(&path)), (0, 0));
    assert!(world.sandbox.sendoff(&["list"]).expect(0).stdout.is_empty(), "a job that never was is listed");
    world.sandbox.sendoff(&submit).expect(0);
    assert_eq!((lines(&witness), world.workspace().jobs().len()), (1, 1));
    world.nothing_runs();
}

#[test]
#[ignore = "needs a Docker engine"]
fn engine_a_job_in_a_workspace_is_found_from_an_empty_home_and_never_taken_for_another() {
    let world = Ground::AzureMl.world();
    let (id, key) = (world.id("the-job"), world.id("pipeline"));
    let (witness, set) = world.witness(&id);
    let home = world.sandbox.home().with_file_name("other");
    Workspace::link(&home);
    let other = |arguments: &[&str]| {
        let mut command = world.sandbox.command(arguments);
        Run::from(command.env("SENDOFF_HOME", &home).output().expect("it starts"))
    };
    world.config("run.yaml", "");
    let submit = world.submit(&["--no-tracking", "--job-id", &id, "--set", &set]);
    world.sandbox.sendoff(&[&submit[..], &["--detach"]].concat()).expect(0);
    let run = other(&submit).expect(0);
    assert!(run.stderr.contains(&format!("{id} (was submitted before)")), "{}", run.stderr);
    assert_eq!(other(&["logs", &id]).expect(0).stdout, world.sandbox.sendoff(&["logs", &id]).expect(0).stdout);
    world.has_whole_log(&id);
    // By what it asks for, not by its name alone.
    let refused = other(&world.submit(&["--no-tracking", "--job-id", &id, "--set", "inputs.witness=/dev/null"])).expect(244);
    assert!(refused.stderr.contains("differs in `run config`"), "{}", refused.stderr);
    // Whoever comes first from two homes at once, with one key.
    let (both, set) = world.witness("both");
    let submit = world.submit(&["--no-tracking", "--key", &key, "--set", &set]);
    let mut clients: Vec<_> = [world.sandbox.home(), home.clone()]
        .into_iter()
        .map(|home| {
            let mut client = world.sandbox.command(&submit);
            client.env("SENDOFF_HOME", home).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
        })
        .collect();
    for client in &mut clients {
        assert_eq!(client.wait().expect("it ends").code(), Some(0));
    }
    assert_eq!((lines(&witness), lines(&both), world.workspace().jobs().len()), (1, 1, 2));
    // Of two requests with one id one runs, and the other is refused, whether it sees the first before or after it sends its own.
    let id = world.id("contested");
    let asked = [world.witness("one"), world.witness("two")];
    let clients: Vec<_> = [world.sandbox.home(), home.clone()]
        .into_iter()
        .zip(&asked)
        .map(|(home, (_, set))| {
            let mut client = world.sandbox.command(&world.submit(&["--no-tracking", "--job-id", &id, "--set", set]));
            client.env("SENDOFF_HOME", home).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts")
        })
        .collect();
    let ended: Vec<Run> = clients.into_iter().map(|client| Run::from(client.wait_with_output().expect("it ends"))).collect();
    for (run, (witness, _)) in ended.iter().zip(&asked) {
        let is_first = run.code == Some(0);
        assert!(is_first || matches!(run.code, Some(244 | 245)) && run.stderr.contains(&id), "{ended:?}");
        assert_eq!(lines(witness), usize::from(is_first), "{ended:?}");
    }
    assert_eq!(ended.iter().filter(|run| run.code == Some(0)).count(), 1, "{ended:?}");
    world.nothing_runs();
}

/// A sandbox with an emulation of its own, which can be killed.
struct Mortal(Sandbox);

impl Mortal {
    fn identity(&self) -> Identity {
        let state = std::fs::read(self.0.home().join("data/emulator/azureml/running.json")).expect("it runs");
        serde_json::from_slice(&state).expect("it names its process")
    }

    fn kill(&self) {
        let identity = self.identity();
        signal_process(identity.pid, Signal::Kill);
        wait_until(|| if identity.is_alive() { Err("it lives".to_owned()) } else { Ok(()) });
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        let _ = self.0.command(&["emulator", "down", "azureml"]).output();
    }
}

#[test]
#[ignore = "needs a Docker engine"]
fn engine_an_emulation_that_is_killed_in_the_middle_is_found_again_by_whoever_waits() {
    let mortal = Mortal(Sandbox::new());
    // The server behind it takes a while.
    mortal.0.sendoff(&["tracking", "start"]).expect(0);
    let target = "{type: azureml, compute: nodes}";
    let command = "for i in $(seq 100); do echo line $i; sleep 0.05; done; exit 3";
    mortal.0.file("run.yaml", &format!("command: {command}\ncompute_target: {target}\nenvironment: {{image: '{IMAGE}'}}\n"));
    let mut client = mortal.0.command(&["submit", "--emulate", "--no-tracking", "--job-id", "the-job"]);
    client.stdout(Stdio::piped()).stderr(Stdio::piped());
    let client = client.spawn().expect("it starts");
    let shows = |line: &str| {
        wait_until(|| {
            let log = mortal.0.sendoff(&["logs", "the-job"]).stdout;
            if log.contains(line) { Ok(()) } else { Err(log) }
        });
    };
    shows("line 10\n");
    mortal.kill();
    // The next command finds another one in its place, and the same job.
    shows("line 20\n");
    let run = Run::from(client.wait_with_output().expect("it ends"));
    mortal.0.sendoff(&["wait", "the-job"]).expect(3);
    let expected: String = (1..=100).map(|number| format!("line {number}\n")).collect();
    assert_eq!(mortal.0.sendoff(&["logs", "the-job"]).expect(0).stdout, expected);
    // Whoever waited has heard of it, too: at the same address there is another one.
    run.expect(3);
}
