//! What only the tracker can answer is held while it is away, and done once.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Relayed;
use super::proxy::{Fault, Proxy};
use super::strict::Strict;

#[test]
fn a_child_run_is_made_once_whatever_breaks() {
    for fault in [Fault::Refuse, Fault::Reset, Fault::Stall, Fault::Truncate, Fault::Status(503), Fault::Status(429)] {
        let strict = Strict::start();
        let proxy = Proxy::start(strict.port());
        let relayed = Relayed::new(&strict, &proxy.uri());
        let before = strict.runs().len();
        proxy.set(fault);
        let begun = Instant::now();
        let child = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(1500));
                proxy.set(Fault::None);
            });
            relayed.post(
                "runs/create",
                &json!({ "experiment_id": "0", "start_time": 5, "run_name": "child", "tags": [{ "key": "t", "value": "v" }] }),
            )
        });
        assert_eq!(child.0, 200, "{fault:?}: {child:?}");
        assert!(begun.elapsed() >= Duration::from_millis(1400), "{fault:?}: it was not held");
        assert_eq!(
            child.1["run"]["data"]["tags"].as_array().map(|tags| tags.iter().any(|tag| tag["key"] == "sendoff.request")),
            Some(false)
        );
        assert_eq!(strict.runs().len() - before, 1, "{fault:?}: one run, and no other");
        relayed.finish();
    }
}

#[test]
fn a_tracker_that_is_away_too_long_ends_the_wait() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::with(&strict, Some(&proxy.uri()), |task| task.limits.outage = Duration::from_secs(1));
    proxy.set(Fault::Refuse);
    let (status, refusal) = relayed.post("runs/search", &json!({ "experiment_ids": ["0"] }));
    assert_eq!((status, &refusal["error_code"]), (503, &json!("TEMPORARILY_UNAVAILABLE")));
    // Writes go on all the same.
    relayed.log("a", 1);
    proxy.set(Fault::None);
    relayed.finish();
}

#[test]
fn the_preflight_is_answered_at_once_and_hears_the_cause() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    let ask = |uri: &str| {
        let program = format!("{}/templates/preflight.py", env!("CARGO_MANIFEST_DIR"));
        let output = std::process::Command::new("python3")
            .args(["-I", "-S", &program])
            .env("MLFLOW_TRACKING_URI", uri)
            .env("MLFLOW_TRACKING_TOKEN", super::TOKEN)
            .env("HOME", relayed.folder.path())
            .output()
            .expect("python3 runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let uri = relayed.keeper.uri();
    assert_eq!(ask(&uri), (Some(0), String::new()));
    for (fault, part) in
        [(Fault::Refuse, "cannot be used now"), (Fault::Stall, "does not answer in time"), (Fault::Status(503), "answers 503")]
    {
        proxy.set(fault);
        let (code, said) = ask(&uri);
        assert!(code == Some(0) && said.contains(part) && said.contains("delivered later"), "{fault:?}: {said}");
    }
    for (fault, part) in
        [(Fault::Status(401), "wants credentials"), (Fault::Status(403), "refuses access"), (Fault::Status(404), "not an MLflow server's")]
    {
        proxy.set(fault);
        let (code, said) = ask(&uri);
        assert!(code == Some(1) && said.contains(part) && said.contains("hint: "), "{fault:?}: {said}");
    }
    proxy.set(Fault::None);
    // What MLflow's client would present instead is named.
    std::fs::write(relayed.folder.path().join(".netrc"), "machine 127.0.0.1 login me password x\n").expect("writable");
    let (code, said) = ask(&uri);
    assert!(code == Some(1) && said.contains(".netrc` has an entry for the tracker's host"), "{said}");
    relayed.finish();
}
