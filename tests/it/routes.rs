//! How a job reaches its tracker where no address of this machine means anything to it.

use std::process::Command;

use crate::engine::own_daemon::OwnEngine;
use crate::support::{Sandbox, wait_until};
use crate::tracker::Tracker;

/// Asks the tracker three times, the second and the third time once a file is there. A call that breaks off is made again, as MLflow's
/// client does.
const SCRIPT: &str = r#"
import base64, json, os, time, urllib.request

pair = os.environ["MLFLOW_TRACKING_USERNAME"] + ":" + os.environ["MLFLOW_TRACKING_PASSWORD"]
headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/get?run_id=" + os.environ["MLFLOW_RUN_ID"]


def ask():
    for _ in range(300):
        try:
            answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
            return json.load(answer)["run"]["info"]["status"]
        except OSError as error:
            print(error)
            time.sleep(0.2)


for word in os.environ.get("WORDS", "").split():
    print(word, ask(), flush=True)
    while not os.path.exists("/tmp/" + word):
        time.sleep(0.05)
print("last", ask())
"#;

/// Makes a project, and an engine in a network of its own that has the images for it.
///
/// That engine's bridge has the same address as the one of this machine's own engine: who believes addresses is misled.
async fn elsewhere(tracker: &Tracker) -> (Sandbox, OwnEngine) {
    let sandbox = Sandbox::new().env("MLFLOW_TRACKING_URI", &tracker.uri());
    sandbox.file("train.py", SCRIPT).file("run.yaml", "script: train.py\ncompute_target: docker\nenvironment: {python: 3.11}\n");
    // No other test's job has this name.
    let job = tracker.uri().replace("http://127.0.0.1:", "here-");
    let here = sandbox.sendoff(&["submit", "--quiet", "--job-id", &job]).expect(0);
    assert_eq!(tracker.statuses(&job), ["FINISHED"], "{here:?}");
    let environments = sandbox.sendoff(&["env", "list"]).expect(0).stdout;
    let image = environments.split_whitespace().find(|word| word.starts_with("sendoff/env:")).expect("it was built").to_owned();
    let (own, _) = OwnEngine::start("BRIDGE=").await;
    let copy = "docker save \"$0\" python:3.11-slim | docker -H \"$1\" load";
    let output = Command::new("sh").args(["-c", copy, &image, &own.host()]).output().expect("a shell runs");
    assert!(output.status.success(), "{output:?}");
    (sandbox, own)
}

/// Runs Docker's client on an engine.
fn docker(own: &OwnEngine, arguments: &[&str]) -> String {
    let output = Command::new("docker").arg("-H").arg(own.host()).args(arguments).output().expect("docker runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built").block_on(test)
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_in_another_network_leads_a_job_to_its_tracker_through_a_second_container() {
    let tracker = Tracker::start();
    let (sandbox, own) = run(elsewhere(&tracker));
    for (network, route) in [("bridge", "it is tried when the job starts"), ("none", "the network `none` leads nowhere")] {
        let target = format!("compute_target={{type: docker, host: '{}', network: {network}}}", own.host());
        let plan = sandbox.sendoff(&["plan", "--set", &target]).expect(0).stdout;
        assert!(plan.lines().any(|line| line.starts_with("route ") && line.contains(route)), "{network}: {plan}");
        let job = format!("on-{network}");
        let run = sandbox.sendoff(&["submit", "--job-id", &job, "--set", &target]).expect(0);
        assert!(run.stdout.contains("last RUNNING"), "{run:?}");
        assert_eq!(tracker.statuses(&job), ["FINISHED"]);
        assert_eq!(docker(&own, &["ps", "--all", "--quiet"]), "", "a container is left");
    }
}

#[test]
#[ignore = "needs dockerd and root"]
fn own_daemon_a_job_goes_on_when_what_leads_to_its_tracker_is_removed_or_dies() {
    let tracker = Tracker::start();
    let (sandbox, own) = run(elsewhere(&tracker));
    let target = format!("compute_target={{type: docker, host: '{}'}}", own.host());
    let words = "environment_variables={WORDS: one two three}";
    sandbox.sendoff(&["submit", "--detach", "--job-id", "the-job", "--set", &target, "--set", words]).expect(0);
    let heard = |word: &str| {
        wait_until(|| {
            let log = sandbox.sendoff(&["logs", "the-job"]).stdout;
            if log.contains(&format!("{word} RUNNING")) { Ok(()) } else { Err(log) }
        });
    };
    let link = || docker(&own, &["ps", "--quiet", "--filter", "name=the-job-link"]);
    heard("one");
    let first = link();
    docker(&own, &["rm", "--force", &first]);
    wait_until(|| if matches!(link(), id if !id.is_empty() && id != first) { Ok(()) } else { Err("no other one".to_owned()) });
    docker(&own, &["exec", "the-job", "touch", "/tmp/one"]);
    heard("two");
    sandbox.kill_supervisor("the-job");
    docker(&own, &["exec", "the-job", "touch", "/tmp/two"]);
    // The next command that asks for it puts another supervisor in its place.
    sandbox.sendoff(&["status", "the-job"]).expect(0);
    heard("three");
    docker(&own, &["exec", "the-job", "touch", "/tmp/three"]);
    sandbox.sendoff(&["wait", "the-job"]).expect(0);
    assert_eq!(tracker.statuses("the-job"), ["FINISHED"]);
    wait_until(|| match docker(&own, &["ps", "--all", "--quiet"]) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    });
}
