//! The preflight that the bootstrap runs on the target, against trackers of every kind.

use std::process::Command;

use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn ask(uri: &str) -> (Option<i32>, String) {
    let program = format!("{}/templates/preflight.py", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3").args(["-I", "-S", &program]).env("MLFLOW_TRACKING_URI", uri).output().expect("python3 runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn permanent_causes_end_the_job_and_passing_ones_do_not() {
    let json = || ResponseTemplate::new(200).set_body_string("{}");
    let host = || ResponseTemplate::new(403).set_body_string("Invalid Host header - possible DNS rebinding attack detected");
    for (answer, code, part) in [
        (json(), 0, ""),
        (ResponseTemplate::new(401), 1, "wants credentials"),
        (host(), 1, "--allowed-hosts"),
        (ResponseTemplate::new(403), 1, "refuses access"),
        (ResponseTemplate::new(404).set_body_string("<html>"), 1, "is not an MLflow server's"),
        (ResponseTemplate::new(200).set_body_string("<html>"), 1, "is not an MLflow server's"),
        (ResponseTemplate::new(503), 0, "answers 503"),
    ] {
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        let uri = server.uri();
        let (seen, said) = tokio::task::spawn_blocking(move || ask(&uri)).await.expect("it ends");
        assert!(seen == Some(code) && said.contains(part), "{code} and `{part}` expected, got {seen:?}: {said}");
    }
    let (code, said) = ask("http://127.0.0.1:9");
    assert!(code == Some(0) && said.contains("cannot be reached now"), "{said}");
}
