//! Another store on the same engine: it finds the job of the same key, or of a handle, and takes part in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sendoff::support::platform;

use super::{Ground, World};
use crate::support::{Run, engine, lines, wait_until};

/// The home of somebody who has no record of the job.
struct Other<'a> {
    world: &'a World,
    home: PathBuf,
}

impl<'a> Other<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, home: world.sandbox.home().with_file_name("other") }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.sandbox.command(arguments);
        command.env("SENDOFF_HOME", &self.home);
        command
    }

    fn sendoff(&self, arguments: &[&str]) -> Run {
        Run::from(self.command(arguments).output().expect("it starts"))
    }

    fn jobs(&self) -> usize {
        std::fs::read_dir(self.home.join("data/jobs")).map_or(0, Iterator::count)
    }
}

/// Starts a job that writes half of its lines, waits for a file, and leaves an output.
fn start(world: &World, name: &str, more: &str) -> (String, Vec<String>) {
    let command = "echo ran >> ${{inputs.witness}}; for i in $(seq 20); do echo line $i; done; \
                   while [ ! -e /witness/go ]; do sleep 0.05; done; for i in $(seq 21 40); do echo line $i; done; \
                   mkdir -p outputs; echo left > outputs/left.txt";
    let config = format!("command: {command}; {more}\ninputs: {{witness: W}}\ncompute_target: one\nexperiment_name: e\ngrace: 1s\n");
    world.sandbox.file("long.yaml", &config);
    let id = world.id(name);
    let (_, set) = world.witness(&id);
    let submit = ["submit", "long.yaml", "--no-tracking", "--job-id", &id, "--set", &set].map(str::to_owned).to_vec();
    world.sandbox.sendoff(&[&words(&submit)[..], &["--detach"]].concat()).expect(0);
    wait_until(|| {
        let log = world.sandbox.sendoff(&["logs", &id]).stdout;
        if log.contains("line 20\n") { Ok(()) } else { Err(log) }
    });
    (id, submit)
}

fn words(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn go(world: &World) {
    std::fs::write(world.witness("go").0, "").expect("writable");
}

fn whole(log: &str) {
    let lines: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    let expected: Vec<String> = (1..=40).map(|number| number.to_string()).collect();
    assert_eq!(lines, expected, "{log}");
}

fn left(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("outputs/left.txt")).unwrap_or_default()
}

fn handle(id: &str) -> String {
    format!("sendoff://docker/{}/{id}", platform::host_name())
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_is_found_from_an_empty_home_by_whoever_submits_the_same() {
    let world = Ground::Docker.world();
    let (id, submit) = start(&world, "the-job", "exit 3");
    let other = Other::new(&world);
    let mut client = other.command(&words(&submit));
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until(|| {
        let status = other.sendoff(&["status", &id]);
        if status.stdout.contains("running") { Ok(()) } else { Err(format!("{status:?}")) }
    });
    go(&world);
    let run = client.wait_with_output().expect("it ends");
    assert_eq!(run.status.code(), Some(3), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stderr).contains(&format!("job:      {id} (was submitted before)")), "{run:?}");
    whole(&String::from_utf8_lossy(&run.stdout));
    world.sandbox.sendoff(&["wait", &id]).expect(3);
    let both = [world.sandbox.sendoff(&["logs", &id]).expect(0).stdout, other.sendoff(&["logs", &id]).expect(0).stdout];
    whole(&both[0]);
    assert_eq!(both[0], both[1]);
    other.sendoff(&["download", &id, "--to", "theirs"]).expect(0);
    assert_eq!(left(&world.sandbox.project().join("theirs")), "left\n");
    assert_eq!(lines(&world.witness(&id).0), 1);
    world.nothing_runs();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_is_not_another_request_of_its_name_from_an_empty_home() {
    let world = Ground::Docker.world();
    let (id, submit) = start(&world, "the-job", "exit 0");
    let other = Other::new(&world);
    let run = other.sendoff(&[&words(&submit)[..6], &["inputs.witness=/dev/null"]].concat()).expect(244);
    assert!(run.stderr.contains(&format!("the job `{id}` exists already and differs in `run config`")), "{}", run.stderr);
    world.sandbox.file("more.txt", "x");
    let run = other.sendoff(&words(&submit)).expect(244);
    assert!(run.stderr.contains(&format!("the job `{id}` exists already and differs in `snapshot`")), "{}", run.stderr);
    assert_eq!(other.jobs(), 0, "nothing half made is left");
    go(&world);
    world.sandbox.sendoff(&["wait", &id]).expect(0);
    assert_eq!(lines(&world.witness(&id).0), 1);
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_handle_works_where_there_is_no_record_of_its_job() {
    let world = Ground::Docker.world();
    let (id, _) = start(&world, "the-job", "exit 5");
    let other = Other::new(&world);
    let handle = handle(&id);
    // Whichever is asked first.
    let log = other.sendoff(&["logs", &handle]).expect(0).stdout;
    assert!(log.contains("line 20\n"), "{log}");
    let status = other.sendoff(&["status", &handle]).expect(0).stdout;
    assert!(status.contains(&id), "{status}");
    let waiting = other.command(&["wait", &handle]).stderr(Stdio::piped()).spawn().expect("it starts");
    let follows = other.command(&["logs", &handle, "--follow"]).stdout(Stdio::piped()).spawn().expect("it starts");
    go(&world);
    let waited = waiting.wait_with_output().expect("it ends");
    assert_eq!(waited.status.code(), Some(5), "{waited:?}");
    let followed = follows.wait_with_output().expect("it ends");
    whole(&String::from_utf8_lossy(&followed.stdout));
    other.sendoff(&["download", &handle, "--to", "theirs"]).expect(0);
    assert_eq!(left(&world.sandbox.project().join("theirs")), "left\n");
    world.sandbox.sendoff(&["wait", &id]).expect(5);
    world.nothing_runs();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_that_is_cancelled_by_its_handle_is_cancelled_for_all() {
    let world = Ground::Docker.world();
    let (id, _) = start(&world, "the-job", "exit 0");
    let other = Other::new(&world);
    other.sendoff(&["cancel", &handle(&id)]).expect(0);
    other.sendoff(&["wait", &id]).expect(241);
    world.sandbox.sendoff(&["wait", &id]).expect(241);
    world.nothing_runs();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_job_whose_supervisor_and_home_are_gone_still_tells_its_end_by_its_handle() {
    let world = Ground::Docker.world();
    let (id, _) = start(&world, "the-job", "exit 9");
    world.sandbox.kill_supervisor(&id);
    std::fs::remove_dir_all(world.sandbox.home().join("data")).expect("writable");
    go(&world);
    let other = Other::new(&world);
    other.sendoff(&["wait", &handle(&id)]).expect(9);
    whole(&other.sendoff(&["logs", &id]).expect(0).stdout);
    other.sendoff(&["download", &id, "--to", "theirs"]).expect(0);
    assert_eq!(left(&world.sandbox.project().join("theirs")), "left\n");
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_handle_of_what_the_engine_does_not_have_says_where_else_to_look() {
    let world = Ground::Docker.world();
    let other = Other::new(&world);
    let run = other.sendoff(&["status", "sendoff://docker/another-machine/no-such-job"]).expect(244);
    let address = run.stderr.split('`').nth(1).expect("an address").to_owned();
    insta::assert_snapshot!(run.stderr.replace(&address, "[ENGINE]"), @r"
    error: the container engine at `[ENGINE]` has nothing of the job `no-such-job`
    hint: when it has ended, what it left is with who submitted it: `ssh another-machine sendoff status no-such-job`
    hint: when it runs on another engine, name that: `export DOCKER_HOST=ssh://MACHINE`
    ");
    assert_eq!(other.jobs(), 0);
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_docker_container_of_somebody_else_is_not_taken_for_a_job() {
    let world = Ground::Docker.world();
    let id = world.id("foreign");
    let spec = sendoff::engine::ContainerSpec {
        name: id.clone(),
        image: "python:3.11-slim".to_owned(),
        command: vec!["true".to_owned()],
        ..sendoff::engine::ContainerSpec::default()
    };
    engine(async |engine| engine.create(&spec).await.expect("it is created"));
    let (witness, set) = world.witness(&id);
    let run = world.sandbox.sendoff(&["submit", "--no-tracking", "--job-id", &id, "--set", &set]);
    let listed = world.sandbox.sendoff(&["list", "--output", "json"]).expect(0).json();
    engine(async |engine| engine.remove(&id, sendoff::engine::Removal::Ended).await.expect("it is still there"));
    assert_eq!(run.code, Some(245), "{run:?}");
    assert!(run.stderr.contains(&format!("there is a container `{id}` already, and it is not this job's")), "{}", run.stderr);
    assert_eq!(listed["jobs"].as_array().map(Vec::len), Some(0), "{listed}");
    assert_eq!(lines(&witness), 0);
}

#[test]
#[ignore = "needs a Docker engine"]
fn docker_jobs_of_one_id_that_two_stores_were_asked_for_before_either_had_made_it_run_once() {
    let world = Ground::Docker.world();
    let settings = std::fs::read_to_string(world.sandbox.project().join("sendoff.yaml")).expect("it is there");
    let command = "echo ran >> ${{inputs.witness}}; for i in $(seq 40); do echo line $i; done; \
                   while [ ! -e /witness/go ]; do sleep 0.05; done; exit 3";
    let config = format!("command: {command}\nsource_directory: src\ninputs: {{witness: W}}\ncompute_target: one\nexperiment_name: e\n");
    world.sandbox.file("race.yaml", &config).file("src/data.txt", "the same for both");
    let (same, other_one) = (world.id("same"), world.id("other"));
    let submit = |id: &str, witness: &str| {
        let set = format!("inputs.witness={witness}");
        ["submit", "race.yaml", "--no-tracking", "--detach", "--job-id", id, "--set", &set].map(str::to_owned).to_vec()
    };
    let (witness, inside) = (world.witness(&same).0, format!("/witness/{same}"));
    // The slower store asks first, finds nothing, and has to wait for its turn.
    let slow = Other::new(&world);
    let blocker = world.id("blocker");
    slow.sendoff(&["submit", "blocker.yaml", "--no-tracking", "--detach", "--job-id", &blocker]).expect(0);
    slow.sendoff(&words(&submit(&other_one, "/dev/null"))).expect(0);
    slow.sendoff(&words(&submit(&same, &inside))).expect(0);
    world.sandbox.file("sendoff.yaml", &settings.replace(", max_jobs: 1", ""));
    for id in [&same, &other_one] {
        world.sandbox.sendoff(&words(&submit(id, &inside))).expect(0);
    }
    wait_until(|| match lines(&witness) {
        2 => Ok(()),
        count => Err(format!("{count} of 2 run")),
    });
    slow.sendoff(&["cancel", &blocker]).expect(0);
    let refused = slow.sendoff(&["wait", &other_one]).expect(240);
    let reason = format!("another store submitted `{other_one}` meanwhile, and differs in `run config`");
    assert!(refused.stderr.contains(&reason), "{}", refused.stderr);
    wait_until(|| {
        let status = slow.sendoff(&["status", &same, "--output", "json"]).expect(0).json();
        if status["state"] == "running" { Ok(()) } else { Err(status.to_string()) }
    });
    go(&world);
    world.sandbox.sendoff(&["wait", &other_one]).expect(3);
    world.sandbox.sendoff(&["wait", &same]).expect(3);
    slow.sendoff(&["wait", &same]).expect(3);
    whole(&slow.sendoff(&["logs", &same]).expect(0).stdout);
    assert_eq!(lines(&witness), 2, "each ran once");
    world.nothing_runs();
}
