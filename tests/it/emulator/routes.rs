//! What every client meets: tokens, versions, workspaces, storage.

use reqwest::Method;
use serde_json::json;

use super::Emulator;
use super::client::Client;

#[test]
fn only_who_has_a_token_of_the_emulator_is_let_in() {
    let emulator = Emulator::up();
    let mut client = Client::of(&emulator);
    let state: serde_json::Value = serde_json::from_slice(&std::fs::read(emulator.state_file()).expect("it runs")).expect("JSON");
    let text = |name: &str| state[name].as_str().expect("a text");
    let refused = client.ask_for_token(text("tenant_id"), text("client_id"), "guess").expect(401);
    assert_eq!(refused.json["error"], "invalid_client");
    assert!(refused.json["error_description"].as_str().is_some_and(|said| said.starts_with("AADSTS7000215")), "{}", refused.text);
    let path = format!("{}?api-version=2024-04-01", client.scope);
    let answer = client.bare(Method::GET, &path, &[], "").expect(401);
    assert_eq!(answer.code(), "AuthenticationFailed");
    client.token = format!("{}x", client.token);
    let answer = client.arm(Method::GET, "", None).expect(401);
    assert_eq!(answer.code(), "InvalidAuthenticationToken");
    assert!(answer.header("www-authenticate").starts_with("Bearer "));
    emulator.down();
}

#[test]
fn versions_workspaces_and_routes_that_are_not_there_are_refused_as_the_service_refuses_them() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let ask = |path: &str| client.try_ask(Method::GET, path, None).expect("it answers");
    let workspace = ask(&format!("{}?api-version=2025-01-01-preview", client.scope)).expect(200).json;
    assert_eq!(workspace["id"], client.scope);
    let uri = workspace["properties"]["mlFlowTrackingUri"].as_str().expect("a text");
    assert!(uri.starts_with("azureml://127.0.0.1:") && uri.ends_with(&client.scope), "{uri}");
    assert_eq!(ask(&client.scope).expect(400).code(), "MissingApiVersionParameter");
    assert_eq!(ask(&format!("{}?api-version=2024", client.scope)).expect(400).code(), "InvalidApiVersionParameter");
    let elsewhere = format!("{}x?api-version=2024-04-01", client.scope);
    assert_eq!(ask(&elsewhere).expect(404).code(), "ResourceNotFound");
    let unknown = ask(&format!("{}/onlineEndpoints?api-version=2024-04-01", client.scope)).expect(404);
    assert!(unknown.text.contains("sendoff emulator parity azureml"), "{}", unknown.text);
    // Words are read in any case, and ids are written in one.
    let shouted = ask(&format!("{}?api-version=2024-04-01", client.scope.to_uppercase())).expect(200);
    assert_eq!(shouted.json["id"], client.scope);
    let named = [("host", "example.test")];
    client.bare(Method::GET, "/discovery", &named, "").expect(400);
    emulator.down();
}

#[test]
fn a_blob_is_written_once_read_in_parts_and_shown_to_who_has_its_address() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let (container, signature) = client.upload("c");
    let blob = format!("{container}/project/a%20b%23%C3%A4.txt?{signature}");
    let kind = ("x-ms-blob-type", "BlockBlob");
    let meta = ("x-ms-meta-upload_status", "completed");
    client.bare(Method::HEAD, &blob, &[], "").expect(404);
    client.bare(Method::PUT, &blob, &[kind, ("if-none-match", "*")], "hello world").expect(201);
    let again = client.bare(Method::PUT, &blob, &[kind, ("if-none-match", "*")], "other").expect(409);
    assert_eq!(again.header("x-ms-error-code"), "BlobAlreadyExists");
    client.bare(Method::PUT, &format!("{blob}&comp=metadata"), &[meta], "").expect(200);
    let head = client.bare(Method::HEAD, &blob, &[], "").expect(200);
    assert_eq!((head.header("content-length"), head.header("x-ms-meta-upload_status")), ("11", "completed"));
    let part = client.bare(Method::GET, &blob, &[("range", "bytes=6-")], "").expect(206);
    assert_eq!((part.text.as_str(), part.header("content-range")), ("world", "bytes 6-10/11"));
    client.bare(Method::GET, &blob, &[("x-ms-range", "bytes=11-")], "").expect(416);
    let (first, second) = ("YQ%3D%3D", "Yg%3D%3D");
    client.bare(Method::PUT, &format!("{container}/big?comp=block&blockid={first}&{signature}"), &[], "one ").expect(201);
    client.bare(Method::PUT, &format!("{container}/big?comp=block&blockid={second}&{signature}"), &[], "two").expect(201);
    let list = "<BlockList><Latest>YQ==</Latest><Latest>Yg==</Latest></BlockList>";
    client.bare(Method::PUT, &format!("{container}/big?comp=blocklist&{signature}"), &[], list).expect(201);
    assert_eq!(client.bare(Method::GET, &format!("{container}/big?{signature}"), &[], "").expect(200).text, "one two");
    let listed =
        client.bare(Method::GET, &format!("{container}?restype=container&comp=list&prefix=project/&{signature}"), &[], "").expect(200);
    assert!(listed.text.contains("<Name>project/a b#ä.txt</Name>") && !listed.text.contains("big"), "{}", listed.text);
    // Without the signature, with one that was changed, and with a token beside it.
    let (address, _) = blob.split_once('?').expect("it has one");
    client.bare(Method::GET, address, &[], "").expect(403);
    client.bare(Method::GET, &blob.replace("sp=rcwl", "sp=racwdl"), &[], "").expect(403);
    client.bare(Method::GET, &blob, &[("authorization", "Bearer x")], "").expect(403);
    emulator.down();
}

#[test]
fn an_asset_is_found_by_its_hash_and_does_not_change() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let (container, _) = client.upload("one");
    // The official client sends the version as a number.
    let of = |uri: &str| json!({ "properties": { "codeUri": uri, "properties": { "hash_sha256": "ab12", "hash_version": 202_208 } } });
    let path = "/codes/one/versions/1";
    client.arm(Method::PUT, path, Some(&of(&format!("{container}/x")))).expect(201);
    client.arm(Method::PUT, path, Some(&of(&format!("{container}/x")))).expect(200);
    let refused = client.arm(Method::PUT, path, Some(&of(&format!("{container}/y")))).expect(400);
    assert_eq!(refused.code(), "UserError");
    let found = client.arm(Method::GET, "/codes/fresh-name/versions?hash=ab12&hashVersion=202208", None).expect(200).json;
    assert_eq!(found["value"][0]["id"], format!("{}{path}", client.scope));
    let none = client.arm(Method::GET, "/codes/fresh-name/versions?hash=ab13&hashVersion=202208", None).expect(200).json;
    assert_eq!(none["value"], json!([]));
    emulator.down();
}
