//! What is acknowledged is delivered, once, whatever breaks.

use std::time::Duration;

use sendoff::auth::Credentials;
use sendoff::relay::{Cause, Finish, Limits, Task, pending, sync};
use sendoff::support::platform::{self, Signal};
use sendoff::support::secret::Secret;
use serde_json::json;

use super::proxy::{Fault, Proxy};
use super::strict::Strict;
use super::{Relayed, limits, log, same};
use crate::support::wait_until;

#[test]
fn every_fault_in_the_middle_leaves_exactly_what_was_logged() {
    for fault in [
        Fault::Refuse,
        Fault::Reset,
        Fault::Stall,
        Fault::Truncate,
        Fault::Page,
        Fault::Status(500),
        Fault::Status(503),
        Fault::Status(429),
    ] {
        let strict = Strict::start();
        let proxy = Proxy::start(strict.port());
        let relayed = Relayed::new(&strict, &proxy.uri());
        let mut logged: Vec<_> = (0..20).map(|step| relayed.log("a", step)).collect();
        proxy.set(fault);
        logged.extend((20..60).map(|step| relayed.log("a", step)));
        // The relay has run into it at least once before it is over.
        wait_until(|| {
            let health = sendoff::relay::health(&relayed.folder.path().join("relay"));
            if health.away_since.is_some() { Ok(()) } else { Err(format!("{fault:?}: {health:?}")) }
        });
        logged.extend((60..80).map(|step| relayed.log("a", step)));
        proxy.set(Fault::None);
        logged.extend((80..90).map(|step| relayed.log("a", step)));
        let run_id = relayed.run_id.clone();
        relayed.finish();
        let run = &strict.runs()[&run_id];
        same(&run.history, &logged);
        assert_eq!(run.statuses, ["FINISHED"], "{fault:?}");
    }
}

#[test]
fn a_value_that_was_logged_twice_is_there_twice() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    let first = relayed.log("a", 1);
    relayed.read();
    // The second is delivered, and its answer is lost.
    proxy.set(Fault::Reset);
    let second = relayed.log("a", 1);
    let run_id = relayed.run_id.clone();
    wait_until(|| {
        let count = strict.runs()[&run_id].history.len();
        if count == 2 { Ok(()) } else { Err(format!("{count} there")) }
    });
    proxy.set(Fault::None);
    relayed.finish();
    same(&strict.runs()[&run_id].history, &[first, second]);
}

#[test]
fn a_killed_relay_loses_nothing_and_refuses_nobody() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let mut logged = Vec::new();
    for round in 0..5 {
        for step in 0..40 {
            logged.push(relayed.log("a", round * 40 + step));
            if step == 17 {
                let pid = relayed.keeper.pid().expect("it runs");
                platform::signal_process(pid, Signal::Kill);
            }
        }
    }
    let run_id = relayed.run_id.clone();
    relayed.finish();
    same(&strict.runs()[&run_id].history, &logged);
}

#[test]
fn a_script_reads_what_it_wrote() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    for step in 0..10 {
        relayed.log("a", step);
        let (status, seen) = relayed.read();
        assert_eq!((status, &seen["run"]["data"]["metrics"][0]["step"]), (200, &json!(step)));
    }
    let run = &relayed.run_id;
    relayed.post("runs/log-parameter", &json!({ "run_id": run, "key": "p", "value": "1" }));
    relayed.post("runs/set-tag", &json!({ "run_id": run, "key": "t", "value": "v" }));
    assert_eq!(relayed.read().1["run"]["data"]["params"], json!([{ "key": "p", "value": "1" }]));
    // The same while the tracker is away: then the relay answers.
    proxy.set(Fault::Refuse);
    relayed.log("a", 77);
    let (status, seen) = relayed.read();
    assert_eq!((status, &seen["run"]["data"]["metrics"][0]["step"]), (200, &json!(77)));
    assert_eq!(relayed.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=e").1["experiment"]["experiment_id"], "0");
    proxy.set(Fault::None);
    relayed.finish();
}

#[test]
fn what_the_server_would_refuse_is_refused_at_once_or_kept_and_told() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let run = relayed.run_id.clone();
    let parameter = |value: &str| relayed.post("runs/log-parameter", &json!({ "run_id": run, "key": "p", "value": value }));
    assert_eq!(parameter("1").0, 200);
    assert_eq!(parameter("1").0, 200);
    let (status, refusal) = parameter("2");
    assert_eq!((status, &refusal["error_code"]), (400, &json!("INVALID_PARAMETER_VALUE")));
    let long = json!({ "run_id": run, "key": "k".repeat(251), "value": 1, "timestamp": 1 });
    assert_eq!(relayed.post("runs/log-metric", &long).0, 400);
    // A value that only the server knows to be wrong, in the middle of a batch: the others are not lost with it.
    let mut logged: Vec<_> = (0..5).map(|step| relayed.log("a", step)).collect();
    relayed.log("poison", 5);
    logged.extend((6..10).map(|step| relayed.log("a", step)));
    let folder = relayed.finish();
    same(&strict.runs()[&run].history, &logged);
    assert_eq!(pending(&folder.path().join("relay")).expect("a spool").refused, 1);
    let kept = std::fs::read_to_string(folder.path().join("relay/refused.jsonl")).expect("it is kept");
    assert!(kept.contains("poison") && kept.contains("INVALID_PARAMETER_VALUE"), "{kept}");
}

#[test]
fn the_final_status_is_not_the_clients_to_say() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let run = relayed.run_id.clone();
    let child = relayed.post("runs/create", &json!({ "experiment_id": "0", "start_time": 1, "run_name": "child" })).1;
    let child = child["run"]["info"]["run_id"].as_str().expect("an id").to_owned();
    let (_, ended) = relayed.post("runs/update", &json!({ "run_id": run, "status": "FAILED", "end_time": 5 }));
    assert_eq!(ended["run_info"]["status"], "FAILED");
    // Its own client reads back what it wrote; the tracker has not heard of it.
    let (_, seen) = relayed.read();
    assert_eq!((&seen["run"]["info"]["status"], &seen["run"]["info"]["end_time"]), (&json!("FAILED"), &json!(5)));
    assert_eq!(strict.runs()[&run].statuses, Vec::<String>::new());
    relayed.finish();
    assert_eq!(strict.runs()[&run].statuses, ["FINISHED"]);
    // A child that its client left open ends like its parent, and keeps no trace of how it was made.
    assert_eq!(strict.runs()[&child].statuses, ["FINISHED"]);
    assert!(!strict.runs()[&child].tags.contains_key("sendoff.request"), "{:?}", strict.runs()[&child].tags);
}

#[test]
fn a_full_spool_holds_the_caller_and_lets_it_go_on() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::with(&strict, Some(&proxy.uri()), |task| task.limits.spool = 20_000);
    proxy.set(Fault::Refuse);
    let logged = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| {
            for step in 0..200 {
                let point = relayed.log("a", step);
                logged.lock().expect("no panic").push(point);
            }
        });
        let held = wait_until(|| {
            let before = logged.lock().expect("no panic").len();
            std::thread::sleep(Duration::from_millis(500));
            let after = logged.lock().expect("no panic").len();
            if before == after && before > 0 { Ok(after) } else { Err(format!("{before} and then {after}")) }
        });
        assert!(held < 200, "the spool took everything");
        proxy.set(Fault::None);
        caller.join().expect("no panic");
    });
    let (run, logged) = (relayed.run_id.clone(), logged.into_inner().expect("no panic"));
    relayed.finish();
    same(&strict.runs()[&run].history, &logged);
}

#[test]
fn artifacts_of_any_size_pass_in_little_memory() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    let large: Vec<u8> = (0..64_u32 << 20).map(|number| (number % 251) as u8).collect();
    let path = |name: &str| format!("/api/2.0/mlflow-artifacts/artifacts/0/{}/artifacts/{name}", relayed.run_id);
    proxy.set(Fault::Refuse);
    for (name, content) in [("large.bin", &large), ("empty.txt", &Vec::new())] {
        let (status, _) = relayed.send(|| relayed.request(reqwest::Method::PUT, &path(name)).body(content.clone()));
        assert_eq!(status, 200);
    }
    proxy.set(Fault::None);
    // Reading it back waits until it is there.
    let (status, _) = relayed.get(&path("empty.txt"));
    assert_eq!(status, 200);
    let peak = peak_memory(relayed.keeper.pid().expect("it runs"));
    assert!(peak < 30 << 20, "the relay took {} MiB", peak >> 20);
    let run = relayed.run_id.clone();
    relayed.finish();
    assert_eq!(strict.artifacts()[&format!("0/{run}/artifacts/large.bin")], large);
}

#[test]
fn only_the_job_may_use_it_and_only_for_mlflow() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let url = format!("{}/api/2.0/mlflow/experiments/search", relayed.keeper.uri());
    let ask =
        |request: reqwest::RequestBuilder| relayed.runtime.block_on(async { request.send().await.expect("an answer").status().as_u16() });
    assert_eq!(ask(relayed.http.get(&url)), 401);
    assert_eq!(ask(relayed.http.get(&url).bearer_auth("another")), 401);
    assert_eq!(ask(relayed.http.get(&url).basic_auth("anybody", Some(TOKEN_OF_THE_JOB))), 200);
    assert_eq!(ask(relayed.http.get(format!("{}/version", relayed.keeper.uri()))), 200);
    assert_eq!(relayed.get("/api/2.0/clusters/list").0, 404);
    relayed.finish();
}

const TOKEN_OF_THE_JOB: &str = super::TOKEN;

#[test]
fn through_passes_each_write_on_before_it_is_acknowledged() {
    let strict = Strict::start();
    let relayed = Relayed::with(&strict, Some(&strict.uri()), |task| task.spools = false);
    let run = relayed.run_id.clone();
    for step in 0..5 {
        relayed.log("a", step);
        assert_eq!(i64::try_from(strict.runs()[&run].history.len()), Ok(step + 1));
    }
    relayed.post("runs/update", &json!({ "run_id": run, "status": "FAILED", "end_time": 5 }));
    relayed.finish();
    assert_eq!(strict.runs()[&run].statuses, ["FINISHED"]);
}

#[test]
fn without_a_way_out_everything_is_kept_and_delivered_from_elsewhere() {
    let strict = Strict::start();
    let relayed = Relayed::with(&strict, None, |_| {});
    let logged: Vec<_> = (0..30).map(|step| relayed.log("a", step)).collect();
    assert_eq!(relayed.read().1["run"]["data"]["metrics"][0]["step"], 29);
    let (status, refusal) = relayed.post("runs/create", &json!({ "experiment_id": "0", "start_time": 1 }));
    assert!(status == 503 && refusal["message"].as_str().is_some_and(|text| text.contains("no way")), "{refusal}");
    let (run, folder) = (relayed.run_id.clone(), relayed.folder.path().join("relay"));
    let finish = Finish { run_id: run.clone(), status: "FAILED".to_owned(), end_time: 7 };
    let Relayed { keeper, folder: kept, .. } = relayed;
    keeper.finish(finish.clone());
    assert_eq!(pending(&folder).expect("a spool").records, 31);
    assert_eq!(Cause::NoWayOut.word(), "no-way-out");
    let task = Task {
        folder: folder.clone(),
        uri: Some(strict.uri()),
        credentials: Credentials::None,
        token: Secret::new(""),
        injected: None,
        spools: true,
        limits: Limits { drain: Duration::from_secs(10), ..limits() },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for _ in 0..2 {
        // The relay that has said what is left may take a moment to be gone.
        let left = wait_until(|| match runtime.block_on(sync(&task, Some(&finish))) {
            Err(error @ sendoff::relay::Error::InUse(_)) => Err(error.to_string()),
            answer => Ok(answer),
        });
        let left = left.expect("the tracker takes it");
        assert_eq!(left.records, 0, "{}", log(&kept));
    }
    same(&strict.runs()[&run].history, &logged);
    assert_eq!(strict.runs()[&run].statuses, ["FAILED"]);
}

/// Returns the most memory that a process has held of its own, in bytes: without the pages of its program, of which a debug build has five
/// times as many.
fn peak_memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
    };
    bytes("VmHWM:") - bytes("RssFile:")
}
