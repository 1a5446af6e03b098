//! Azure's own clients against the emulator: what they do is what makes it an emulator.

use serde_json::{Value, json};

use super::Emulator;
use super::client::Client;
use super::clients::Script;
use super::proxy::Proxy;

const IMAGE: &str = "python:3.11-slim";

/// What a job needs to track by Azure's plug-in.
const CONDA: &str = "name: tracked\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pip:\n  - azureml-mlflow==1.62.0.post6\n  - mlflow-skinny==3.15.0\n  - scikit-learn==1.9.1\n  - pandas==3.1.1\n";

/// Submits `project/train.py` by Azure's client, whose log reader insists on Azure's names for storage.
fn submit(emulator: &Emulator, proxy: &Proxy) -> Script {
    Script::new(emulator, "submit.py").env("IMAGE", IMAGE).through(proxy)
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_azures_client_submits_code_streams_the_log_to_its_end_and_reads_the_outputs_back() {
    let emulator = Emulator::up();
    let proxy = Proxy::to(emulator.port());
    // The client prints the log of a job that it meets while it runs, and of no other.
    let (run, answer) = submit(&emulator, &proxy).argument("--sleep=15").run();
    assert_eq!(answer["status"], "Completed", "{answer}\n{}", run.stdout);
    assert_eq!(answer["failure"], Value::Null);
    assert_eq!(answer["tags"]["team"], "vision");
    let log = run.stdout.split("Streaming user_logs/std_log.txt").nth(1).unwrap_or_default();
    let log = log.split("Execution Summary").next().unwrap_or_default();
    let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty() && !line.starts_with('=')).collect();
    assert_eq!(lines, ["alpha is 0.25", "done"], "{}", run.stdout);
    let download = Script::new(&emulator, "download.py").argument(answer["name"].as_str().expect("it has a name"));
    let (_, answer) = download.through(&proxy).run();
    let found = answer["found"].as_object().expect("files");
    assert!(found.iter().any(|(path, text)| path.ends_with("outputs/alpha.txt") && text == "0.25"), "{found:?}");
    assert!(found.iter().any(|(path, text)| path.ends_with("user_logs/std_log.txt") && text == "alpha is 0.25\ndone\n"), "{found:?}");
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|(_, good)| *good), "nothing else is looked for elsewhere: {asked:?}");
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_azures_client_says_with_which_code_a_job_failed() {
    let emulator = Emulator::up();
    let proxy = Proxy::to(emulator.port());
    let (run, answer) = submit(&emulator, &proxy).argument("--code=7").run();
    assert_eq!(answer["status"], "Failed", "{answer}\n{}", run.stdout);
    let failure = answer["failure"].as_str().unwrap_or_default();
    assert!(failure.contains("exited with status code 7"), "{failure}");
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_azures_client_cancels_archives_and_lists() {
    let emulator = Emulator::up();
    let (_, answer) = Script::new(&emulator, "manage.py").env("IMAGE", IMAGE).run();
    let (endless, short) = (&answer["endless"], &answer["short"]);
    assert_eq!(
        (&answer["started"], &answer["cancelled"], &answer["completed"]),
        (&json!("Running"), &json!("Canceled"), &json!("Completed"))
    );
    assert_eq!((&answer["without"], &answer["archived"]), (&json!([endless]), &json!([short])), "{answer}");
    let mut both = [endless.as_str(), short.as_str()];
    both.sort_unstable();
    assert_eq!(answer["restored"], json!(both));
    assert_eq!(answer["same_code"], true, "unchanged code is not uploaded again: {answer}");
    emulator.down();
}

#[test]
#[ignore = "needs a container engine; tests/run runs it where there is one"]
fn engine_azures_plugin_tracks_inside_a_job_and_outside_of_any() {
    let emulator = Emulator::up();
    let conda = emulator.sandbox.home().join("conda.yaml");
    std::fs::write(&conda, CONDA).expect("writable");
    let proxy = Proxy::to(emulator.port());
    let (run, submitted) = submit(&emulator, &proxy).env("CONDA_FILE", &conda.display().to_string()).argument("--track").run();
    let name = submitted["name"].as_str().expect("it has a name");
    assert_eq!(submitted["status"], "Completed", "{submitted}\n{}", run.stdout);
    assert!(run.stdout.contains(&format!("the run is {name}")), "the job is its own MLflow run:\n{}", run.stdout);
    let (_, tracked) = Script::new(&emulator, "track.py").argument(name).run();
    let inside = &tracked["inside"];
    assert_eq!((&inside["status"], &inside["experiment"]), (&json!("FINISHED"), &json!("official")), "{inside}");
    assert_eq!((&inside["params"], &inside["metrics"]["loss"]), (&json!({ "alpha": "0.25" }), &json!(1.0 / 3.0)), "{inside}");
    assert_eq!(inside["tags"], json!({ "from": "inside", "team": "vision" }));
    assert_eq!(inside["artifacts"], json!(["notes/inside.txt"]));
    // What most training scripts end with leaves a model among the artifacts of the run, and a warning that the service may not take it.
    // (Beside them MLflow lists what else its logged model's place begins.)
    let listed = inside["model"].as_array().expect("a list");
    for name in ["MLmodel", "conda.yaml", "model.pkl", "python_env.yaml", "requirements.txt"] {
        assert!(listed.contains(&json!(format!("model/{name}"))), "{name}: {listed:?}");
    }
    assert_eq!(tracked["models"]["registered"], json!(["inside", "official"]));
    let details = Client::of(&emulator).run(name, "/details").expect(200).json;
    assert!(details["warnings"].to_string().contains("as MLflow 3 does it"), "{details}");
    emulator.down();
}

#[test]
fn azures_plugin_tracks_without_any_job() {
    let emulator = Emulator::up();
    let (_, tracked) = Script::new(&emulator, "track.py").run();
    let ids = &tracked["ids"];
    let is_guid = |id: &Value| id.as_str().is_some_and(|id| id.len() == 36 && id.matches('-').count() == 4);
    assert!(is_guid(&ids["run"]) && is_guid(&ids["experiment"]), "{ids}");
    assert_eq!((&ids["by_name"], &ids["parent"]), (&ids["experiment"], &ids["run"]));
    let uri = ids["artifact_uri"].as_str().unwrap_or_default();
    assert!(
        uri.starts_with("azureml://127.0.0.1:") && uri.ends_with(&format!("/runs/{}/artifacts", ids["run"].as_str().unwrap_or_default())),
        "{uri}"
    );
    assert_eq!((&tracked["name"], &tracked["status"]), (&json!("outside"), &json!("FINISHED")));
    assert_eq!(tracked["params"], json!({ "depth": "3", "late": "yes" }));
    assert_eq!(tracked["metrics"], json!({ "accuracy": 0.75, "later": 1.5, "loss": 0.25 }));
    assert_eq!(tracked["text"], "run_id = 'x'");
    let searches = json!({
        "all": ["below", "outside"], "equal": ["outside"], "several": ["below"], "not": ["below"], "below": ["below"], "unknown": [],
    });
    assert_eq!(tracked["searches"], searches);
    assert_eq!(tracked["history"], json!([[1, 0.5], [2, 0.25]]));
    assert_eq!(tracked["artifacts"], json!(["deep", "notes", "top.txt"]));
    models_are_logged_and_registered(&tracked["models"]);
    for (what, words) in [("pattern", "cannot be compared"), ("unknown run", "not found"), ("registry", "sendoff emulator parity azureml")]
    {
        let said = tracked["refused"][what].as_str().unwrap_or_default();
        assert!(said.contains(words), "{what}: {said}");
    }
    emulator.down();
}

/// Logged models have the ids that they got, the runs and experiments of Azure, and their files among the artifacts of the run.
#[track_caller]
fn models_are_logged_and_registered(models: &Value) {
    let (run, second) = (models["run"].as_str().expect("an id"), models["second"].as_str().expect("an id"));
    assert_eq!(models["artifacts"], json!([second, "model", "old"]));
    let logged = &models["logged"];
    assert_eq!(
        (&logged["name"], &logged["run"], &logged["experiment"], &logged["status"], &logged["params"]),
        (&json!("model"), &models["run"], &models["experiment"], &json!("READY"), &json!({ "depth": "3" }))
    );
    assert_eq!((&models["found"], &models["outputs"]), (&models["both"], &models["both"]));
    assert_eq!(models["versions"], json!([["1", run, "best", ""], ["2", run, null, "as before MLflow 3"]]));
    assert_eq!((&models["version"], &models["by_run"]), (&json!("2"), &json!(["1", "2"])));
    let ends: Vec<Option<&str>> = models["places"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|place| place.as_str()?.split_once("/runs/"))
        .map(|place| Some(place?.1))
        .collect();
    assert_eq!(ends, [Some(format!("{run}/artifacts/model").as_str()), Some(format!("{run}/artifacts/old").as_str())]);
}

#[test]
fn the_recorded_routes_of_mlflow_are_those_of_the_clients() {
    let recorded = std::fs::read_to_string(super::clients::scripts().join("mlflow-routes.txt")).expect("readable");
    assert_eq!(super::clients::output_of("routes.py"), recorded, "record them again: each is to be served or refused by name");
}
