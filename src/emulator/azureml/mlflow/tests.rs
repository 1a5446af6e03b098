//! The plane before a scripted server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use wiremock::matchers::{body_json, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use async_trait::async_trait;

use super::super::{Hear, Image, ImageRequest};
use super::*;

fn scope() -> Scope {
    ids::tests::workspace("w")
}

/// Addresses of a server that moves, one per question.
struct Moving(Vec<String>, AtomicUsize);

#[async_trait]
impl Host for Moving {
    async fn image(&self, _request: ImageRequest<'_>, _say: &Hear<'_>) -> Result<Image, String> {
        Err("no test of the plane needs one".to_owned())
    }

    async fn tracker(&self) -> Result<String, String> {
        let at = self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(at).cloned().ok_or_else(|| "it does not start".to_owned())
    }
}

struct Files;

impl Artifacts for Files {
    fn of_run(&self, _scope: &Scope, run: &str) -> Vec<Artifact> {
        if run == "job-1" { vec![Artifact { path: "outputs/m.pkl".to_owned(), size: 3 }] } else { Vec::new() }
    }
}

fn plane(addresses: &[String]) -> Plane {
    let tracker = Moving(addresses.to_vec(), AtomicUsize::new(0));
    let plane = Plane::open(Path::new(":memory:"), Arc::new(tracker)).expect("memory can be used");
    let ids = plane.maps.of(&scope());
    ids.enter(Kind::Run, "job-1", "aaaa").expect("written");
    ids.enter(Kind::Experiment, "9a-guid", "3").expect("written");
    ids.note_name("3", "iris").expect("written");
    plane
}

async fn ask(plane: &Plane, verb: Method, target: &str, body: Value) -> Answer {
    let asker = Asker { host: "127.0.0.1:4433".to_owned(), scope: scope() };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let query: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    plane
        .answer(&Ask { method: &verb, path: &format!("/api/2.0/{path}"), query: &query, body: &body, asker: &asker, artifacts: &Files })
        .await
}

fn run() -> Value {
    json!({ "run": { "info": { "run_id": "aaaa", "experiment_id": "3", "run_name": "n", "status": "RUNNING", "artifact_uri": "x" }, "data": {} } })
}

#[tokio::test]
async fn a_request_and_its_answer_change_their_ids() {
    let server = MockServer::start().await;
    let get = Mock::given(method("GET")).and(path("/api/2.0/mlflow/runs/get")).and(query_param("run_id", "aaaa"));
    get.respond_with(ResponseTemplate::new(200).set_body_json(run())).expect(1).mount(&server).await;
    let answer = ask(&plane(&[server.uri()]), Method::GET, "mlflow/runs/get?run_id=job-1&api-version=v1.0", Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["run"]["info"]["run_id"], "job-1");
    assert_eq!(answer.body["run"]["info"]["experiment_id"], "9a-guid");
}

#[tokio::test]
async fn an_unknown_id_or_route_never_reaches_the_server_behind() {
    let server = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
    let plane = plane(&[server.uri()]);
    for (verb, target, body, status, code) in [
        (Method::GET, "mlflow/runs/get?run_id=aaaa", Value::Null, 404, "RESOURCE_DOES_NOT_EXIST"),
        (Method::POST, "mlflow/runs/search", json!({ "experiment_ids": ["3"] }), 404, "RESOURCE_DOES_NOT_EXIST"),
        (
            Method::POST,
            "mlflow/runs/search",
            json!({ "experiment_ids": ["9a-guid"], "filter": "run_id LIKE 'a%'" }),
            400,
            "INVALID_PARAMETER_VALUE",
        ),
        (Method::POST, "mlflow/traces", json!({ "experiment_id": "9a-guid" }), 501, "NOT_IMPLEMENTED"),
        (Method::GET, "mlflow/logged-models/m-0", Value::Null, 404, "RESOURCE_DOES_NOT_EXIST"),
        (Method::GET, "mlflow/registered-models/get?name=m", Value::Null, 404, "RESOURCE_DOES_NOT_EXIST"),
        (Method::GET, "mlflow/no/such", Value::Null, 404, "ENDPOINT_NOT_FOUND"),
        (Method::DELETE, "mlflow/runs/get", Value::Null, 404, "ENDPOINT_NOT_FOUND"),
        (Method::POST, "mlflow/runs/set-tag", json!(["no object"]), 400, "INVALID_PARAMETER_VALUE"),
    ] {
        let answer = ask(&plane, verb, target, body).await;
        assert_eq!((answer.status.as_u16(), answer.body["error_code"].as_str()), (status, Some(code)), "{target}: {answer:?}");
    }
}

#[tokio::test]
async fn a_batch_of_azures_own_kind_is_written_at_once() {
    let server = MockServer::start().await;
    let (metrics, params) = (json!([{ "key": "loss", "value": 0.5, "timestamp": 1, "step": 2 }]), json!([{ "key": "a", "value": "b" }]));
    for body in [json!({ "run_id": "aaaa", "metrics": metrics }), json!({ "run_id": "aaaa", "params": params })] {
        let batch = Mock::given(method("POST")).and(path("/api/2.0/mlflow/runs/log-batch")).and(body_json(body));
        batch.respond_with(ResponseTemplate::new(200).set_body_json(json!({}))).expect(1).mount(&server).await;
    }
    let plane = plane(&[server.uri()]);
    let target = "preview/mlflow/runs/log-batch-async";
    let word = ask(&plane, Method::POST, target, json!({ "run_id": "job-1", "metrics": metrics })).await.body["batch_tracking_id"].clone();
    assert_eq!(word.as_str().map(str::len), Some(36), "{word}");
    let status = format!("preview/mlflow/runs/get-run-data-status?run_id=job-1&batch_tracking_id={}", word.as_str().unwrap_or_default());
    assert_eq!(ask(&plane, Method::GET, &status, Value::Null).await.body, json!({ "is_complete": true }));
    let without = ask(&plane, Method::POST, target, json!({ "run_id": "job-1", "params": params })).await;
    assert_eq!(without.body, json!({ "batch_tracking_id": "" }));
}

#[tokio::test]
async fn a_server_that_moved_is_found_again_and_one_that_is_gone_is_trouble_for_a_while() {
    let server = MockServer::start().await;
    let restore = Mock::given(method("POST")).and(path("/api/2.0/mlflow/runs/restore")).and(body_json(json!({ "run_id": "aaaa" })));
    restore.respond_with(ResponseTemplate::new(200).set_body_json(json!({}))).expect(2).mount(&server).await;
    let nobody = "http://127.0.0.1:1".to_owned();
    let moved = plane(&[nobody.clone(), server.uri()]);
    for _ in 0..2 {
        assert_eq!(ask(&moved, Method::POST, "mlflow/runs/restore", json!({ "runId": "job-1" })).await.status, 200);
    }
    let answer = ask(&plane(&[nobody]), Method::POST, "mlflow/runs/restore", json!({ "run_id": "job-1" })).await;
    assert_eq!((answer.status.as_u16(), answer.body["error_code"].as_str()), (503, Some("TEMPORARILY_UNAVAILABLE")), "{answer:?}");
}

#[tokio::test]
async fn artifacts_are_those_of_the_workspace() {
    let server = MockServer::start().await;
    let get = Mock::given(method("GET")).and(path("/api/2.0/mlflow/runs/get"));
    get.respond_with(ResponseTemplate::new(200).set_body_json(run())).mount(&server).await;
    let answer = ask(&plane(&[server.uri()]), Method::GET, "mlflow/artifacts/list?run_id=job-1&path=outputs", Value::Null).await;
    let root = "azureml://127.0.0.1:4433/artifact/v2.0/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/experiments/iris/runs/job-1/artifacts";
    let files = json!([{ "path": "outputs/m.pkl", "is_dir": false, "file_size": 3 }]);
    assert_eq!(answer.body, json!({ "root_uri": root, "files": files }));
}

#[tokio::test]
async fn the_run_of_a_job_is_made_once_also_when_its_maker_died_before_it_was_entered() {
    let server = MockServer::start().await;
    let experiment = json!({ "experiment": { "experiment_id": "3", "name": "iris", "lifecycle_stage": "active" } });
    let answers = [
        ("GET", "experiments/get-by-name", experiment),
        ("POST", "runs/search", json!({ "runs": [{ "info": { "run_id": "bbbb" } }] })),
        ("POST", "runs/update", json!({})),
        ("GET", "runs/get", run()),
    ];
    for (verb, act, body) in answers {
        let mock = Mock::given(method(verb)).and(path(format!("/api/2.0/mlflow/{act}")));
        mock.respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    }
    let plane = plane(&[server.uri()]);
    let job = JobRun {
        scope: scope(),
        job: "job-2".to_owned(),
        experiment_name: "iris".to_owned(),
        run_name: "n".to_owned(),
        tags: BTreeMap::new(),
    };
    let shown = plane.open_job(&job).await.expect("it is found");
    assert_eq!((shown.run_id.as_str(), shown.experiment_name.as_str()), ("job-2", "iris"));
    assert_eq!(plane.maps.of(&scope()).inner(Kind::Run, "job-2").expect("read").as_deref(), Some("bbbb"));
    let asked = server.received_requests().await.expect("they are recorded");
    assert!(!asked.iter().any(|request| request.url.path().ends_with("runs/create")), "{asked:?}");
}

#[tokio::test]
async fn a_logged_model_is_the_workspaces_own_and_lies_among_the_artifacts_of_its_run() {
    let server = MockServer::start().await;
    let model = |id: &str| {
        json!({ "model": {
            "info": { "model_id": id, "experiment_id": "3", "name": "best", "source_run_id": "aaaa", "artifact_uri": "mlflow-artifacts:/3/models/m" },
            "data": { "metrics": [{ "key": "loss", "run_id": "aaaa", "model_id": id }] },
        } })
    };
    let asked = json!({ "experiment_id": "3", "source_run_id": "aaaa", "name": "best" });
    let create = Mock::given(method("POST")).and(path("/api/2.0/mlflow/logged-models")).and(body_json(asked));
    create.respond_with(ResponseTemplate::new(200).set_body_json(model("m-1"))).mount(&server).await;
    for id in ["m-1", "m-2"] {
        let get = Mock::given(method("GET")).and(path(format!("/api/2.0/mlflow/logged-models/{id}")));
        get.respond_with(ResponseTemplate::new(200).set_body_json(model(id))).mount(&server).await;
    }
    let plane = plane(&[server.uri()]);
    let body = json!({ "experiment_id": "9a-guid", "source_run_id": "job-1", "name": "best" });
    let made = ask(&plane, Method::POST, "mlflow/logged-models", body).await;
    let root = "azureml://127.0.0.1:4433/artifact/v2.0/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/experiments/iris/runs/job-1/artifacts";
    let shown = |id: &str, folder: &str| {
        json!({ "model": {
            "info": { "model_id": id, "experiment_id": "9a-guid", "name": "best", "source_run_id": "job-1", "artifact_uri": format!("{root}/{folder}") },
            "data": { "metrics": [{ "key": "loss", "run_id": "job-1", "model_id": id }] },
        } })
    };
    assert_eq!(made.body, shown("m-1", "best"));
    assert_eq!(ask(&plane, Method::GET, "mlflow/logged-models/m-1", Value::Null).await.body, shown("m-1", "best"));
    // A second one of the name has a folder of its own; one of another workspace is not there.
    plane.maps.of(&scope()).enter(Kind::Model, "m-2", "m-2").expect("entered");
    assert_eq!(ask(&plane, Method::GET, "mlflow/logged-models/m-2", Value::Null).await.body, shown("m-2", "m-2"));
    plane.maps.of(&ids::tests::workspace("other")).enter(Kind::Model, "m-3", "m-3").expect("entered");
    assert_eq!(ask(&plane, Method::GET, "mlflow/logged-models/m-3", Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_another_workspace_has_made_behind_is_not_shown() {
    let server = MockServer::start().await;
    let experiment = |id: &str, name: &str| json!({ "experiment_id": id, "name": name, "lifecycle_stage": "active" });
    let all = json!({ "experiments": [experiment("3", "iris"), experiment("4", "theirs"), experiment("5", "nobodys")] });
    let search = Mock::given(method("POST")).and(path("/api/2.0/mlflow/experiments/search"));
    search.respond_with(ResponseTemplate::new(200).set_body_json(all)).mount(&server).await;
    for (id, name) in [("4", "theirs"), ("5", "nobodys")] {
        let get = Mock::given(method("GET")).and(path("/api/2.0/mlflow/experiments/get-by-name")).and(query_param("experiment_name", name));
        let found = json!({ "experiment": experiment(id, name) });
        get.respond_with(ResponseTemplate::new(200).set_body_json(found)).mount(&server).await;
    }
    let plane = plane(&[server.uri()]);
    // It was made before names were kept.
    plane.maps.of(&ids::tests::workspace("other")).enter(Kind::Experiment, "8b-guid", "4").expect("entered");
    let names = async || {
        let answer = ask(&plane, Method::POST, "mlflow/experiments/search", json!({ "max_results": 9 })).await;
        let found = answer.body["experiments"].as_array().expect("a list").clone();
        found.iter().map(|each| each["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["iris"]);
    let by_name =
        async |name: &str| ask(&plane, Method::GET, &format!("mlflow/experiments/get-by-name?experiment_name={name}"), Value::Null).await;
    assert_eq!(by_name("theirs").await.status, 404);
    assert_eq!(by_name("nobodys").await.body["experiment"]["name"], "nobodys");
    assert_eq!(names().await, ["iris", "nobodys"]);
}
