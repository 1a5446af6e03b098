//! A job on two nodes: two containers that find each other, live together and end together.

use sendoff::engine::Removal;

use crate::support::{Run, Sandbox, engine, wait_until};

/// A sandbox whose run configs ask for two nodes, and whose jobs have names of their own: containers of all tests share one engine.
struct World {
    sandbox: Sandbox,
    job: String,
}

impl World {
    fn new(test: &str) -> Self {
        Self { sandbox: Sandbox::new(), job: format!("nodes-{test}-{}", std::process::id()) }
    }

    fn config(&self, text: &str) -> &Self {
        self.sandbox.file("run.yaml", &format!("compute_target: docker\nresources: {{nodes: 2}}\ngrace: 2s\n{text}"));
        self
    }

    fn submit(&self, more: &[&str]) -> Run {
        self.sandbox.sendoff(&[&["submit", "--no-tracking", "--job-id", &self.job][..], more].concat())
    }

    fn log(&self, node: &str) -> String {
        self.sandbox.sendoff(&["logs", &self.job, "--node", node]).expect(0).stdout
    }

    fn wait_for(&self, text: &str) {
        for node in ["0", "1"] {
            wait_until(|| {
                let log = self.log(node);
                if log.contains(text) { Ok(()) } else { Err(log) }
            });
        }
    }

    fn status(&self) -> serde_json::Value {
        self.sandbox.sendoff(&["status", &self.job, "--output", "json"]).expect(0).json()
    }

    /// Returns the states of the nodes, with their exit codes.
    fn nodes(&self) -> Vec<(String, Option<i64>)> {
        let status = self.status();
        let nodes = status["nodes"].as_array().expect("it has nodes").iter();
        nodes.map(|node| (node["state"].as_str().expect("a word").to_owned(), node["exit_code"].as_i64())).collect()
    }

    fn name(&self, rank: u32) -> String {
        format!("{}-n{rank}", self.job)
    }

    fn nothing_is_left(&self) {
        self.sandbox.nothing_runs();
        wait_until(|| {
            let left = [self.sandbox.containers(), self.sandbox.networks()].concat();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.sandbox.remove_containers();
    }
}

#[test]
#[ignore = "needs a Docker engine"]
fn nodes_meet_and_each_keeps_what_it_has_written() {
    let world = World::new("meet");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nodes/run.yaml");
    let python = ["--set", "environment.python=3.11"];
    let (job, name) = (world.job.as_str(), world.name(1));
    world.sandbox.sendoff(&[&["plan", example, "--no-tracking"][..], &python].concat()).expect(0);
    let run = world.sandbox.sendoff(&[&["submit", example, "--no-tracking", "--job-id", job][..], &python].concat()).expect(0);
    assert!(run.stdout.contains(&format!("process 0 of 2 on {}\ny = 3.00 x + 1.00\n", world.name(0))), "{}", run.stdout);
    assert!(world.log("1").contains(&format!("process 1 of 2 on {name}\ny = 3.00 x + 1.00\n")), "{}", world.log("1"));
    let line = world.sandbox.sendoff(&["logs", job, "--node", "1", "--follow", "--output", "json"]).expect(0).stdout;
    assert!(line.lines().next().is_some_and(|line| line.contains(r#""node":1"#)), "{line}");
    assert_eq!(world.nodes(), [("ended".to_owned(), Some(0)), ("ended".to_owned(), Some(0))]);
    let status = world.sandbox.sendoff(&["status", &world.job, "--output", "json"]).expect(0).json();
    let time = |key: &str| status["nodes"][1][key].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    assert!(time("started_at").is_some_and(|started| Some(started) < time("ended_at")), "{status}");
    let shown = world.sandbox.sendoff(&["status", job]).expect(0).stdout;
    assert!(shown.contains(&format!("1 ({name}) ended with exit code 0 after ")), "{shown}");
    world.sandbox.sendoff(&["download", job]).expect(0);
    for (folder, rank) in [("", 0), ("node-1", 1)] {
        let folder = world.sandbox.project().join(job).join(folder);
        let text = std::fs::read_to_string(folder.join("model/line.json")).expect("each has its own");
        assert!(text.contains(&format!(r#""node": {rank}"#)) && folder.join("log.txt").is_file(), "{text}");
    }
    let fresh = world.sandbox.sendoff(&["shell", job, "--node", "1", "--", "true"]).expect(0);
    assert!(fresh.stderr.contains("warning: it is without `the other nodes`"), "{}", fresh.stderr);
    let refused = world.sandbox.sendoff(&["logs", job, "--node", "2"]).expect(244);
    insta::assert_snapshot!(refused.stderr.replace(job, "[JOB]"), @r"
    error: the job `[JOB]` has the nodes 0 to 1
    hint: choose one of them: `--node 1`
    ");
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn the_mlflow_run_of_all_nodes_is_one() {
    let world = World::new("tracked");
    world
        .sandbox
        .file("train.py", "import mlflow, os\nwith mlflow.start_run():\n    mlflow.log_metric('rank_' + os.environ['RANK'], 1.5)\n");
    world.config("script: train.py\nenvironment: {python: '3.11'}\n");
    world.sandbox.sendoff(&["submit", "--job-id", &world.job]).expect(0);
    let metrics = world.sandbox.sendoff(&["metrics", &world.job, "--output", "json"]).expect(0).json();
    for name in ["rank_0", "rank_1"] {
        assert_eq!(metrics["metrics"][name].as_array().map(Vec::len), Some(1), "{metrics}");
    }
    assert!(world.log("1").contains("[sendoff] preflight: "), "each node asks the tracker itself");
    world.sandbox.sendoff(&["tracking", "stop"]).expect(0);
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn the_node_that_fails_first_ends_the_others_and_its_code_is_the_jobs() {
    let world = World::new("fails");
    // The first node loses the other, and fails with a code of its own when it is ended.
    world.sandbox.file(
        "train.py",
        "import os, signal, socket, sys, time\nmaster = (os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT']))\n\
         if os.environ['RANK'] == '0':\n    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n\
         \x20   peer = socket.create_server(('', master[1])).accept()[0]\n    peer.recv(1)\n    time.sleep(600)\n\
         while True:\n    try:\n        peer = socket.create_connection(master)\n        break\n    except OSError:\n        time.sleep(0.05)\n\
         sys.exit(3)\n",
    );
    let run = world.config("script: train.py\n").submit(&[]).expect(3);
    let reason = format!("reason: node 1 failed first, with exit code 3; `sendoff logs {} --node 1` shows its log", world.job);
    assert!(run.stderr.contains(&reason), "{}", run.stderr);
    assert_eq!(world.nodes().into_iter().map(|node| node.1).collect::<Vec<_>>(), [Some(9), Some(3)]);
    world.nothing_is_left();

    let world = World::new("hangs");
    world
        .config("command: \"[ $RANK = 0 ] && exit 4; trap 'echo goodbye; exit 0' TERM; while :; do sleep 0.05; done\"\n")
        .submit(&[])
        .expect(4);
    assert!(world.log("1").contains("goodbye\n"), "it was asked first: {}", world.log("1"));
    world.nothing_is_left();

    let world = World::new("stubborn");
    let run = world.config("command: \"[ $RANK = 0 ] && exit 5; trap '' TERM; sleep 600; sleep 600\"\n").submit(&[]).expect(5);
    assert!(run.stderr.contains("node 0 failed first, with exit code 5"), "{}", run.stderr);
    assert_eq!(world.nodes()[1], ("ended".to_owned(), Some(137)));
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_node_that_does_not_come_to_its_command_or_is_out_of_memory_is_named() {
    let world = World::new("setup");
    let run = world.config("command: sleep 600\nsetup: \"[ $RANK = 0 ] || exit 0\"\n").submit(&[]).expect(240);
    assert!(run.stderr.contains("reason: node 1: `setup` ended with `exit 0`, so the command did not start; "), "{}", run.stderr);
    world.nothing_is_left();

    let world = World::new("memory");
    world.sandbox.file("train.py", "import os, time\nif os.environ['RANK'] == '1':\n    b'x' * (1 << 30)\ntime.sleep(600)\n");
    world.config("script: train.py\n");
    let run = world.submit(&["--set", "resources.memory=64MiB"]).expect(240);
    assert!(run.stderr.contains("reason: node 1: it was killed at its memory limit of 64.0 MiB; "), "{}", run.stderr);
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_cancel_and_the_time_limit_reach_every_node() {
    let goodbye = "command: \"trap 'echo goodbye; exit 7' TERM; echo ready; while :; do sleep 0.05; done\"\n";
    let world = World::new("cancel");
    world.config(goodbye).submit(&["--detach"]).expect(0);
    world.wait_for("ready\n");
    assert_eq!(world.nodes(), [("running".to_owned(), None), ("running".to_owned(), None)]);
    let status = world.sandbox.sendoff(&["status", &world.job]).expect(0).stdout;
    assert_eq!(status.matches(" runs since ").count(), 2, "{status}");
    let rank = world.sandbox.sendoff(&["shell", &world.job, "--node", "1", "--", "sh", "-c", "echo $RANK on $(hostname)"]).expect(0).stdout;
    assert_eq!(rank, format!("1 on {}\n", world.name(1)));
    world.sandbox.sendoff(&["cancel", &world.job]).expect(0);
    world.sandbox.sendoff(&["wait", &world.job]).expect(241);
    let limited = World::new("limit");
    limited.config(goodbye).submit(&["--set", "resources.max_duration=1s"]).expect(242);
    for world in [world, limited] {
        for node in ["0", "1"] {
            assert_eq!(world.log(node).matches("goodbye\n").count(), 1, "{}", world.log(node));
        }
        world.nothing_is_left();
    }
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_node_whose_container_is_removed_takes_the_job_with_it() {
    let world = World::new("removed");
    world.config("command: echo ready; sleep 600\n").submit(&["--detach"]).expect(0);
    world.wait_for("ready\n");
    engine(async |engine| engine.remove(&world.name(1), Removal::Forced).await).expect("it is there");
    let run = world.sandbox.sendoff(&["wait", &world.job]).expect(240);
    assert!(run.stderr.contains("reason: node 1: its container was removed while it ran; "), "{}", run.stderr);
    assert_eq!(world.status()["state"], "lost");
    assert_eq!(world.nodes()[1], ("gone".to_owned(), None));
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn nodes_outlive_their_supervisor_and_are_watched_over_again() {
    let world = World::new("orphans");
    world.config("command: \"echo ready; while [ ! -e go ]; do sleep 0.05; done; exit 6\"\n").submit(&["--detach"]).expect(0);
    world.wait_for("ready\n");
    world.sandbox.kill_supervisor(&world.job);
    assert_eq!(world.status()["state"], "running");
    engine(async |engine| engine.kill(&world.name(1), "TERM").await).expect("it runs");
    let run = world.sandbox.sendoff(&["wait", &world.job]).expect(143);
    assert!(run.stderr.contains("reason: node 1 failed first, with exit code 143"), "{}", run.stderr);
    for node in ["0", "1"] {
        assert_eq!(world.log(node).matches("ready\n").count(), 1, "nothing is lost or doubled: {}", world.log(node));
    }
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn nodes_that_were_not_all_started_are_all_started_again() {
    let world = World::new("half");
    world.config("command: echo once\n");
    let armed = world.sandbox.armed("supervisor.before-command", &["submit", "--no-tracking", "--detach", "--job-id", &world.job]);
    armed.expect(0);
    world.sandbox.supervisor_is_dead(&world.job);
    // Its supervisor died between the two.
    engine(async |engine| engine.start(&world.name(0)).await).expect("it is there");
    world.sandbox.sendoff(&["wait", &world.job]).expect(0);
    for node in ["0", "1"] {
        assert_eq!(world.log(node).matches("\nonce\n").count(), 1, "{}", world.log(node));
    }
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_network_of_somebody_else_is_left_alone() {
    let world = World::new("taken");
    let made = engine(async |engine| engine.create_network(&world.job, &std::collections::BTreeMap::new()).await).expect("it is free");
    let run = world.config("command: echo never\n").submit(&[]).expect(240);
    let reason = format!("reason: there is a network `{}` already, and it is not this job's\n", world.job);
    assert!(run.stderr.contains(&reason), "{}", run.stderr);
    engine(async |engine| engine.remove_network(&made.id).await).expect("it is still there");
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_network_that_is_removed_under_nodes_does_not_change_how_they_end() {
    let world = World::new("unplugged");
    world.config("command: 'echo up; while [ ! -e go ]; do sleep 0.05; done; exit 4'\n").submit(&["--detach"]).expect(0);
    for rank in ["0", "1"] {
        wait_until(|| Some(world.log(rank)).filter(|log| !log.contains("\nup")).map_or(Ok(()), Err));
    }
    let script =
        r#"for name in "$0-n0" "$0-n1"; do docker network disconnect --force "$0" "$name"; done; docker network rm "$0" >/dev/null"#;
    assert!(std::process::Command::new("sh").args(["-ec", script, &world.job]).status().expect("a shell runs").success());
    assert_eq!(world.nodes(), [("running".to_owned(), None), ("running".to_owned(), None)]);
    for rank in ["0", "1"] {
        world.sandbox.sendoff(&["shell", &world.job, "--node", rank, "--", "touch", "go"]);
    }
    let waited = world.sandbox.sendoff(&["wait", &world.job]).expect(4);
    assert!(waited.stderr.contains("failed first, with exit code 4"), "{}", waited.stderr);
    world.nothing_is_left();
}

#[test]
#[ignore = "needs a Docker engine"]
fn a_network_without_names_is_refused_and_one_of_the_users_joined() {
    let world = World::new("joined");
    let config = |network: &str| {
        let target = format!("compute_target: {{type: docker, network: {network}}}");
        world.sandbox.file("run.yaml", &format!("{target}\nresources: {{nodes: 2}}\ncommand: getent hosts $MASTER_ADDR\n"));
    };
    config("host");
    let refused = world.submit(&[]).expect(244);
    assert!(refused.stderr.contains("`compute_target.network`: the nodes do not find each other by name in `host`"), "{}", refused.stderr);
    let made = engine(async |engine| engine.create_network(&world.name(9), &std::collections::BTreeMap::new()).await).expect("it is free");
    config(&made.name);
    let run = world.submit(&[]);
    engine(async |engine| engine.remove_network(&made.id).await).expect("no container is left in it");
    assert!(run.expect(0).stdout.contains(&world.name(0)));
    world.nothing_is_left();
}

#[test]
fn a_target_without_nodes_refuses_them_by_the_keys_name() {
    let sandbox = Sandbox::new();
    sandbox.file("run.yaml", "command: 'true'\nresources: {nodes: 2}\n");
    let refused = sandbox.sendoff(&["submit", "--no-tracking"]).expect(244);
    insta::assert_snapshot!(refused.stderr, @r"
    error: the compute target `local` cannot honour `resources.nodes`: it runs a job in one place only
    hint: change or remove `resources.nodes`, or choose another target
    ");
    sandbox.file("run.yaml", "command: 'true'\nresources: {nodes: 1}\n");
    sandbox.sendoff(&["submit", "--no-tracking", "--job-id", "the-job"]).expect(0);
    let refused = sandbox.sendoff(&["logs", "the-job", "--node", "1"]).expect(244);
    assert!(refused.stderr.contains("error: the job `the-job` has one node\nhint: leave out `--node 1`"), "{}", refused.stderr);
}
