//! What happens seldom: a request that never succeeds, a damaged file, a client that goes away, somebody else's word on the run.

use std::io::Write;
use std::time::{Duration, Instant};

use sendoff::relay::pending;
use sendoff::support::platform::{self, Signal};
use serde_json::json;

use super::proxy::{Fault, Proxy};
use super::strict::Strict;
use super::{Relayed, same};
use crate::support::wait_until;

#[test]
fn a_request_at_which_the_server_always_fails_does_not_hold_up_the_rest() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let run = relayed.run_id.clone();
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/boom.txt");
    assert_eq!(relayed.send(|| relayed.request(reqwest::Method::PUT, &path).body("its bytes")).0, 200);
    let logged = [relayed.log("a", 1)];
    let folder = relayed.finish();
    same(&strict.runs()[&run].history, &logged);
    assert_eq!(strict.runs()[&run].statuses, ["FINISHED"]);
    // It is kept, with its bytes.
    let folder = folder.path().join("relay");
    assert_eq!(pending(&folder).expect("a spool").refused, 1);
    let refused: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("refused.jsonl")).expect("it is kept")).expect("JSON");
    let bytes = std::fs::read(folder.join(refused["body"]["kept_in"].as_str().expect("a file"))).expect("they are kept");
    assert_eq!((bytes.as_slice(), &refused["status"]), (b"its bytes".as_slice(), &json!(500)));
}

#[test]
fn a_damaged_record_costs_itself_and_no_other() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    proxy.set(Fault::Refuse);
    let mut logged: Vec<_> = (0..10).map(|step| relayed.log("a", step)).collect();
    let spool = relayed.folder.path().join("relay/spool-000000000001");
    let mut bytes = std::fs::read(&spool).expect("it is there");
    let mut at = 0;
    for _ in 0..3 {
        at += 8 + u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    }
    // The length of the third value's record.
    bytes[at + 2] ^= 1;
    std::fs::write(&spool, &bytes).expect("writable");
    let dead = relayed.keeper.pid().expect("it runs");
    platform::signal_process(dead, Signal::Kill);
    wait_until(|| match relayed.keeper.pid() {
        Some(pid) if pid != dead => Ok(()),
        pid => Err(format!("{pid:?}")),
    });
    proxy.set(Fault::None);
    logged.push(relayed.log("a", 10));
    logged.remove(2);
    let run = relayed.run_id.clone();
    let folder = relayed.finish();
    same(&strict.runs()[&run].history, &logged);
    assert_eq!(pending(&folder.path().join("relay")).expect("a spool").damaged, 1);
}

#[test]
fn one_refused_value_among_thousands_costs_little_time() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    proxy.set(Fault::Refuse);
    let mut logged: Vec<_> = (0..1500).map(|step| relayed.log("a", step)).collect();
    relayed.log("poison", 1);
    logged.extend((1500..2000).map(|step| relayed.log("a", step)));
    proxy.set(Fault::None);
    let (run, begun) = (relayed.run_id.clone(), Instant::now());
    relayed.finish();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}", begun.elapsed());
    same(&strict.runs()[&run].history, &logged);
    assert_eq!(strict.runs()[&run].statuses, ["FINISHED"]);
}

#[test]
fn a_run_that_was_made_by_a_relay_that_died_is_not_made_again() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let body = json!({ "experiment_id": "0", "start_time": 5, "run_name": "child" });
    let before = strict.runs().len();
    let first = relayed.post("runs/create", &body).1;
    let dead = relayed.keeper.pid().expect("it runs");
    platform::signal_process(dead, Signal::Kill);
    // As the client does that has not heard the answer.
    let again = relayed.post("runs/create", &body).1;
    assert_eq!(first["run"]["info"]["run_id"], again["run"]["info"]["run_id"]);
    assert_eq!(strict.runs().len() - before, 1);
    // Another that means the same is another.
    let other = relayed.post("runs/create", &body).1;
    assert_ne!(first["run"]["info"]["run_id"], other["run"]["info"]["run_id"]);
    relayed.finish();
}

#[test]
fn a_run_whose_client_went_away_while_it_was_made_ends_with_the_job() {
    let strict = Strict::start();
    let proxy = Proxy::start(strict.port());
    let relayed = Relayed::new(&strict, &proxy.uri());
    proxy.set(Fault::Refuse);
    let text = json!({ "experiment_id": "0", "start_time": 5, "run_name": "orphan" }).to_string();
    let mut client = std::net::TcpStream::connect(relayed.keeper.uri().replace("http://", "")).expect("it listens");
    let head = format!("Host: x\r\nContent-Length: {}\r\nAuthorization: Bearer {}", text.len(), super::TOKEN);
    write!(client, "POST /api/2.0/mlflow/runs/create HTTP/1.1\r\n{head}\r\n\r\n{text}").expect("it takes it");
    wait_until(|| {
        let health = sendoff::relay::health(&relayed.folder.path().join("relay"));
        if health.away_since.is_some() { Ok(()) } else { Err(format!("{health:?}")) }
    });
    drop(client);
    proxy.set(Fault::None);
    let orphan = wait_until(|| {
        let runs = strict.runs();
        let found = runs.iter().find(|(_, run)| run.info["run_name"] == "orphan").map(|(id, _)| id.clone());
        found.ok_or_else(|| format!("{} runs", runs.len()))
    });
    // What is asked next comes after the run was noted.
    wait_until(|| if strict.runs()[&orphan].tags.contains_key("sendoff.request") { Err("it is marked".to_owned()) } else { Ok(()) });
    relayed.finish();
    assert_eq!(strict.runs()[&orphan].statuses, ["FINISHED"]);
}

#[test]
fn what_others_say_of_the_runs_status_is_not_its_end() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let run = relayed.run_id.clone();
    // Another rank, or a person in the browser.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let body = json!({ "run_id": run, "status": "FAILED" });
    let url = format!("{}/api/2.0/mlflow/runs/update", strict.uri());
    runtime.block_on(async { relayed.http.post(url).json(&body).send().await }).expect("an answer");
    assert_eq!(relayed.read().1["run"]["info"]["status"], "FAILED");
    relayed.finish();
    assert_eq!(strict.runs()[&run].statuses, ["FAILED", "FINISHED"]);
}

#[test]
fn a_client_that_goes_on_after_its_end_reads_that_it_goes_on() {
    let strict = Strict::start();
    let relayed = Relayed::new(&strict, &strict.uri());
    let run = relayed.run_id.clone();
    relayed.post("runs/update", &json!({ "run_id": run, "status": "FINISHED", "end_time": 5 }));
    let (_, resumed) = relayed.post("runs/update", &json!({ "run_id": run, "status": "RUNNING" }));
    assert_eq!((&resumed["run_info"]["status"], &relayed.read().1["run"]["info"]["status"]), (&json!("RUNNING"), &json!("RUNNING")));
    relayed.finish();
    assert_eq!(strict.runs()[&run].statuses, ["RUNNING", "FINISHED"]);
}

#[test]
fn through_passes_on_what_an_update_says_beside_the_end() {
    let strict = Strict::start();
    let relayed = Relayed::with(&strict, Some(&strict.uri()), |task| task.spools = false);
    let run = relayed.run_id.clone();
    let (status, _) = relayed.post("runs/update", &json!({ "run_id": run, "status": "FAILED", "end_time": 5, "run_name": "named" }));
    assert_eq!((status, &strict.runs()[&run].info["run_name"]), (200, &json!("named")));
    assert_eq!(strict.runs()[&run].statuses, Vec::<String>::new());
    relayed.finish();
}
