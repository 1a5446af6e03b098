//! Jobs that really run.

use reqwest::Method;
use sendoff::support::platform::{Signal, signal_process};
use serde_json::{Value, json};

use super::Emulator;
use super::client::Client;
use crate::support::{engine, wait_until};

/// A job that makes what the service collects, and ends with its argument.
const SCRIPT: &str = "\
import os, sys
print('in', os.path.basename(os.getcwd()), 'with', sys.argv[1:2], os.environ['GREETING'], os.environ['AZUREML_RUN_ID'], flush=True)
os.makedirs('outputs/deep', exist_ok=True)
open('outputs/deep/model.txt', 'w').write('weights')
open(os.path.join(sys.argv[2], 'result.txt'), 'w').write('42')
print('to stderr', file=sys.stderr)
sys.exit(int(sys.argv[3]))
";

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_a_job_runs_once_and_leaves_its_log_its_outputs_and_its_code() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let mut job = client.job("first", SCRIPT);
    job["properties"]["command"] = "python train.py ${{inputs.alpha}} ${{outputs.out}} ${{inputs.code}}".into();
    job["properties"]["inputs"] = json!({
        "alpha": { "jobInputType": "literal", "value": "0.5" }, "code": { "jobInputType": "literal", "value": "0" },
    });
    job["properties"]["outputs"] = json!({ "out": { "jobOutputType": "uri_folder" } });
    job["properties"]["environmentVariables"] = json!({ "GREETING": "it's \"here\"\n$HOME" });
    job["properties"]["properties"] = json!({ "origin": "first" });
    client.submit("first", &job);
    // A reply that was lost: the same again changes what describes the job, and starts nothing.
    job["properties"]["tags"] = json!({ "team": "vision" });
    job["properties"]["properties"] = json!({ "origin": "second", "more": "1" });
    let kept = client.arm(Method::PUT, "/jobs/first", Some(&job)).expect(200).json["properties"]["properties"].clone();
    assert_eq!((&kept["origin"], &kept["more"]), (&json!("first"), &json!("1")), "properties are added only");
    let details = client.wait("first");
    assert_eq!((&details["status"], &details["error"], &details["tags"]["team"]), (&json!("Completed"), &Value::Null, &json!("vision")));
    let log = client.log(&details, "user_logs/std_log.txt");
    assert_eq!(log, "in wd with ['0.5'] it's \"here\"\n$HOME first\nto stderr\n");
    let artifacts = client.try_ask(Method::GET, &format!("/history/v1.0{}/experiments/trials/runs/first/artifacts", client.scope), None);
    let artifacts = artifacts.expect("it answers").expect(200).text;
    assert!(artifacts.contains("ExperimentRun/dcid.first/outputs/deep/model.txt"), "{artifacts}");
    // What one job has written, the next reads.
    let mut next = client.job("second", "import sys; print(open(sys.argv[1] + '/result.txt').read()); sys.exit(7)");
    next["properties"]["command"] = "python train.py ${{inputs.former}} $[[ --unset ${{inputs.unset}} ]]".into();
    next["properties"]["inputs"] =
        json!({ "former": { "jobInputType": "uri_folder", "uri": "azureml://jobs/first/outputs/out/paths/", "mode": "Download" } });
    client.submit("second", &next);
    let details = client.wait("second");
    assert_eq!((&details["status"], client.log(&details, "user_logs/std_log.txt").as_str()), (&json!("Failed"), "42\n"));
    let said = "Execution failed. User process 'python' exited with status code 7. Please check log file 'user_logs/std_log.txt' for error details.";
    assert_eq!((&details["error"]["error"]["code"], &details["error"]["error"]["message"]), (&json!("UserError"), &json!(said)));
    // The job is its own MLflow run, closed as the job ended.
    for (name, status) in [("first", "FINISHED"), ("second", "FAILED")] {
        let path = format!("/mlflow/v2.0{}/api/2.0/mlflow/runs/get?run_id={name}", client.scope);
        let run = client.try_ask(Method::GET, &path, None).expect("it answers").expect(200).json;
        assert_eq!((&run["run"]["info"]["run_id"], &run["run"]["info"]["status"]), (&json!(name), &json!(status)));
    }
    let listed = client.arm(Method::GET, "/jobs", None).expect(200).json;
    let names: Vec<&str> = listed["value"].as_array().expect("a list").iter().filter_map(|job| job["name"].as_str()).collect();
    assert_eq!(names, ["second", "first"]);
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_a_job_is_cancelled_when_its_operation_says_so_or_its_time_is_up() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let script = "import time; print('begun', flush=True); time.sleep(600)";
    let endless = client.job("endless", script);
    client.submit("endless", &endless);
    client.wait_for("endless", &["Running"]);
    let asked = client.arm(Method::POST, "/jobs/endless/cancel", None).expect(202);
    let operation = asked.header("location").to_owned();
    assert_ne!(asked.header("retry-after"), "");
    wait_until(|| match client.try_ask(Method::GET, &operation, None).expect("it answers").status.as_u16() {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(client.status("endless"), "Canceled");
    assert_eq!(client.arm(Method::POST, "/jobs/endless/cancel", None).expect(200).text, "");
    let mut limited = client.job("limited", script);
    limited["properties"]["limits"] = json!({ "jobLimitsType": "Command", "timeout": "PT2S" });
    client.submit("limited", &limited);
    let details = client.wait("limited");
    assert_eq!(details["status"], "Canceled");
    assert!(details["error"]["error"]["message"].as_str().is_some_and(|said| said.contains("limit of 2 seconds")), "{details}");
    assert_eq!(client.arm(Method::DELETE, "/jobs/limited", None).expect(200).text, "");
    client.arm(Method::GET, "/jobs/limited", None).expect(404);
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_a_killed_emulator_goes_on_with_its_jobs_where_they_are() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let script = "import time\nfor i in range(200):\n    print('line', i, flush=True)\n    time.sleep(0.05)\n";
    let job = client.job("survivor", script);
    client.submit("survivor", &job);
    client.wait_for("survivor", &["Running"]);
    signal_process(emulator.pid(), Signal::Kill);
    wait_until(|| if emulator.is_alive() { Err("it lives".to_owned()) } else { Ok(()) });
    emulator.sandbox.sendoff(&["emulator", "up", "azureml"]).expect(0);
    let client = Client::of(&emulator);
    let details = client.wait("survivor");
    assert_eq!(details["status"], "Completed");
    let expected: String = (0..200).map(|number| format!("line {number}\n")).collect();
    assert_eq!(client.log(&details, "user_logs/std_log.txt"), expected, "it ran once, and nothing of its log is lost");
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_jobs_queue_for_nodes_and_processes_know_their_ranks() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let cluster = json!({ "location": "emulated", "properties": { "computeType": "AmlCompute", "properties": {
        "vmSize": "STANDARD_DS1_V2", "scaleSettings": { "minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT1S" } } } });
    client.arm(Method::PUT, "/computes/pair", Some(&cluster)).expect(201);
    let script = "\
import os, socket, time
print(os.environ['RANK'], os.environ['LOCAL_RANK'], os.environ['WORLD_SIZE'], flush=True)
socket.gethostbyname(os.environ['MASTER_ADDR'])
time.sleep(3)
";
    let mut wide = client.job("wide", script);
    wide["properties"]["computeId"] = format!("{}/computes/pair", client.scope).into();
    wide["properties"]["resources"] = json!({ "instanceCount": 2 });
    wide["properties"]["distribution"] = json!({ "distributionType": "PyTorch", "processCountPerInstance": 2 });
    let mut narrow = client.job("narrow", "print('my turn')");
    narrow["properties"]["computeId"] = wide["properties"]["computeId"].clone();
    client.submit("wide", &wide);
    client.wait_for("wide", &["Running"]);
    client.submit("narrow", &narrow);
    client.wait_for("narrow", &["Queued"]);
    let compute = client.arm(Method::GET, "/computes/pair", None).expect(200).json;
    assert_eq!(compute["properties"]["properties"]["nodeStateCounts"]["runningNodeCount"], 2);
    let details = client.wait("wide");
    assert_eq!((&details["status"], &details["error"]), (&json!("Completed"), &Value::Null));
    for rank in 0..4 {
        let log = client.log(&details, &format!("user_logs/std_log_process_{rank}.txt"));
        assert_eq!(log, format!("{rank} {} 4\n", rank % 2));
    }
    assert_eq!(client.wait("narrow")["status"], "Completed");
    wait_until(|| {
        let compute = client.arm(Method::GET, "/computes/pair", None).expect(200).json;
        let left = compute["properties"]["properties"]["currentNodeCount"].clone();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    });
    wide["properties"]["resources"] = json!({ "instanceCount": 3 });
    let refused = client.arm(Method::PUT, "/jobs/too-wide", Some(&wide)).expect(400);
    assert!(refused.text.contains("at most 2"), "{}", refused.text);
    // One process of many fails: the others do not wait for it.
    let mut broken = client.job("broken", "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit(3)\ntime.sleep(600)\n");
    broken["properties"]["distribution"] = json!({ "distributionType": "PyTorch", "processCountPerInstance": 2 });
    client.submit("broken", &broken);
    let details = client.wait("broken");
    assert!(details["error"]["error"]["message"].as_str().is_some_and(|said| said.contains("status code 3")), "{details}");
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_a_job_that_is_preempted_begins_again_and_one_whose_compute_is_deleted_fails() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let cluster = json!({ "location": "emulated", "properties": { "computeType": "AmlCompute", "properties": {
        "vmSize": "STANDARD_DS1_V2", "vmPriority": "LowPriority", "scaleSettings": { "minNodeCount": 0, "maxNodeCount": 1 } } } });
    client.arm(Method::PUT, "/computes/cheap", Some(&cluster)).expect(201);
    // What it reads is a data asset; it waits for its second beginning.
    let (container, signature) = client.upload("data");
    client.bare(Method::PUT, &format!("{container}/in/a.txt?{signature}"), &[("x-ms-blob-type", "BlockBlob")], "data").expect(201);
    let asset = json!({ "properties": { "dataType": "uri_folder", "dataUri": format!("{container}/in") } });
    client.arm(Method::PUT, "/data/small/versions/1", Some(&asset)).expect(201);
    let mut job =
        client.job("cheap", "import sys, time; print('begun with', open(sys.argv[1] + '/a.txt').read(), flush=True); time.sleep(600)");
    job["properties"]["command"] = "python train.py ${{inputs.data}}".into();
    job["properties"]["computeId"] = format!("{}/computes/cheap", client.scope).into();
    job["properties"]["inputs"] =
        json!({ "data": { "jobInputType": "uri_folder", "uri": format!("{}/data/small/versions/1", client.scope) } });
    client.submit("cheap", &job);
    let log = |wanted: &str| {
        wait_until(|| {
            let details = client.run("cheap", "/details").expect(200).json;
            let text = details["logFiles"]["user_logs/std_log.txt"].as_str().map(|url| client.bare(Method::GET, url, &[], "").text);
            if text.as_deref() == Some(wanted) { Ok(details) } else { Err(format!("{text:?}, {details}")) }
        })
    };
    log("begun with data\n");
    emulator.sandbox.sendoff(&["emulator", "fault", "azureml", "preempted", "--path", "/jobs/cheap"]).expect(0);
    let details = log("begun with data\nbegun with data\n");
    assert_eq!(details["status"], "Running", "{details}");
    assert!(details["warnings"].to_string().contains("preempted"), "{details}");
    client.submit("behind", &job);
    client.wait_for("behind", &["Queued"]);
    client.arm(Method::DELETE, "/computes/cheap", None).expect(200);
    for name in ["cheap", "behind"] {
        let details = client.wait(name);
        let said = &details["error"]["error"]["message"];
        assert_eq!((&details["status"], said), (&json!("Failed"), &json!("The compute 'cheap' was deleted.")), "{details}");
    }
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_logs_are_there_while_a_job_runs_and_an_emulator_that_goes_down_ends_its_jobs_and_leaves_nothing() {
    let mut emulator = Emulator::up();
    let client = Client::of(&emulator);
    let script = "\
import os, time
for folder in ('logs', 'outputs'):
    os.makedirs(folder)
    open(f'{folder}/first.txt', 'w').write('one')
time.sleep(600)
";
    let job = client.job("live", script);
    client.submit("live", &job);
    client.wait_for("live", &["Running"]);
    let details = wait_until(|| {
        let details = client.run("live", "/details").expect(200).json;
        if details["logFiles"]["logs/first.txt"].is_string() { Ok(details) } else { Err(details.to_string()) }
    });
    assert_eq!(client.log(&details, "logs/first.txt"), "one");
    assert!(client.log(&details, "system_logs/lifecycler/lifecycler.log").contains("the job is Running"), "{details}");
    assert!(client.log(&details, "system_logs/lifecycler/execution-wrapper.log").contains("runs on node 0"), "{details}");
    let artifacts = client.artifacts("live");
    assert!(artifacts.contains(&"logs/first.txt".to_owned()) && !artifacts.contains(&"outputs/first.txt".to_owned()), "{artifacts:?}");
    let folder = emulator.state_file().parent().expect("it has a folder").canonicalize().expect("it is there").display().to_string();
    let left = || {
        engine(async |engine| {
            let label = [("sendoff.emulator", folder.as_str())];
            let containers = engine.list(&label).await.expect("they are listed").len();
            (containers, engine.networks(&label).await.expect("they are listed").len())
        })
    };
    assert_eq!(left(), (1, 1));
    emulator.sandbox.sendoff(&["emulator", "down", "azureml"]).expect(0);
    assert_eq!(left(), (0, 0));
    // What it keeps stays.
    emulator.sandbox.sendoff(&["emulator", "up", "azureml"]).expect(0);
    let client = Client::of(&emulator);
    assert_eq!(client.status("live"), "Canceled");
    assert!(client.artifacts("live").contains(&"outputs/first.txt".to_owned()));
    // One that is killed leaves its network, until it is told to be down.
    emulator.look_again();
    signal_process(emulator.pid(), Signal::Kill);
    wait_until(|| if emulator.is_alive() { Err("it lives".to_owned()) } else { Ok(()) });
    assert_eq!(left(), (0, 1));
    emulator.down();
    assert_eq!(left(), (0, 0));
}
