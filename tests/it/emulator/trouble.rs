//! Trouble that was ordered meets the request that it is for, and nothing else.

use reqwest::Method;
use serde_json::json;

use super::Emulator;
use super::client::Client;

fn order(emulator: &Emulator, words: &[&str]) {
    let all: Vec<&str> = ["emulator", "fault", "azureml"].into_iter().chain(words.iter().copied()).collect();
    emulator.sandbox.sendoff(&all).expect(0);
}

#[test]
fn trouble_comes_as_often_as_it_was_ordered() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let get = |path: &str| client.arm(Method::GET, path, None);
    order(&emulator, &["throttled", "--times", "2", "--path", "/computes"]);
    get("/datastores").expect(200);
    for _ in 0..2 {
        let throttled = get("/computes").expect(429);
        assert_eq!((throttled.header("retry-after"), throttled.code()), ("1", "TooManyRequests"));
    }
    get("/computes").expect(200);
    order(&emulator, &["expired-token"]);
    assert_eq!(get("/computes").expect(401).code(), "ExpiredAuthenticationToken");
    get("/computes").expect(200);
    order(&emulator, &["server-error", "--method", "GET"]);
    get("/computes").expect(500);
    let (container, signature) = client.upload("c");
    order(&emulator, &["stale-signature"]);
    let blob = format!("{container}/x?{signature}");
    let kind = [("x-ms-blob-type", "BlockBlob")];
    assert_eq!(client.bare(Method::PUT, &blob, &kind, "1").expect(403).header("x-ms-error-code"), "AuthenticationFailed");
    client.bare(Method::PUT, &blob, &kind, "1").expect(201);
    emulator.down();
}

#[test]
fn of_a_lost_reply_the_request_is_carried_out_all_the_same() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let compute =
        json!({ "location": "emulated", "properties": { "computeType": "AmlCompute", "properties": { "vmSize": "STANDARD_DS1_V2" } } });
    let path = format!("{}/computes/lost?api-version=2024-04-01", client.scope);
    client.arm(Method::GET, "/computes/lost", None).expect(404);
    order(&emulator, &["lost-reply", "--method", "PUT", "--path", "/computes/lost"]);
    let broken = client.try_ask(Method::PUT, &path, Some(&compute)).expect_err("nothing comes back");
    assert!(broken.is_request(), "{broken:?}");
    client.arm(Method::GET, "/computes/lost", None).expect(200);
    client.arm(Method::PUT, "/computes/lost", Some(&compute)).expect(200);
    emulator.down();
}
