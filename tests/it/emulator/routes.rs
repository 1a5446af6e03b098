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
    // A token for something else opens nothing; one that the emulator gave to be exchanged is as good as the secret, and no other is.
    let application = (text("tenant_id"), text("client_id"));
    let storage =
        client.token_by(application, &[("client_secret", text("client_secret"))], "https://storage.azure.com/.default").expect(200);
    let own = std::mem::replace(&mut client.token, storage.json["access_token"].as_str().expect("a token").to_owned());
    let answer = client.arm(Method::GET, "", None).expect(401);
    assert!(answer.text.contains("wrong audience"), "{}", answer.text);
    let federated = |assertion: &str| {
        let kind = ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        client.token_by(application, &[kind, ("client_assertion", assertion)], "https://management.azure.com/.default")
    };
    let exchanged = client.token_by(application, &[("client_secret", text("client_secret"))], "api://AzureADTokenExchange/.default");
    let exchanged = exchanged.expect(200).json["access_token"].as_str().expect("a token").to_owned();
    let token = federated(&exchanged).expect(200).json["access_token"].as_str().expect("a token").to_owned();
    for (assertion, words) in [(own.as_str(), "AADSTS700212"), ("a.b.c", "AADSTS700211")] {
        let refused = federated(assertion).expect(401);
        assert!(refused.text.contains(words), "{}", refused.text);
    }
    client.token = token;
    client.arm(Method::GET, "", None).expect(200);
    client.token = format!("{own}x");
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

#[test]
fn data_assets_have_versions_that_do_not_change_and_can_be_archived() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let of = |uri: &str| json!({ "properties": { "dataType": "uri_folder", "dataUri": uri, "tags": { "from": "here" } } });
    let uri = "azureml://datastores/workspaceblobstore/paths/iris/";
    client.arm(Method::GET, "/data/iris", None).expect(404);
    for version in ["1", "2"] {
        client.arm(Method::PUT, &format!("/data/iris/versions/{version}"), Some(&of(uri))).expect(201);
    }
    let again = client.arm(Method::PUT, "/data/iris/versions/1", Some(&of(uri))).expect(200).json;
    assert_eq!(again["id"], format!("{}/data/iris/versions/1", client.scope));
    let moved =
        client.arm(Method::PUT, "/data/iris/versions/1", Some(&of("azureml://datastores/workspaceblobstore/paths/other"))).expect(400);
    assert!(moved.text.contains("Asset paths cannot be updated."), "{}", moved.text);
    client.arm(Method::PUT, "/data/iris/versions/3", Some(&json!({ "properties": {} }))).expect(400);
    let name = client.arm(Method::GET, "/data/iris", None).expect(200).json;
    assert_eq!((&name["properties"]["latestVersion"], &name["properties"]["nextVersion"]), (&json!("2"), &json!("3")));
    let mut archived = of(uri);
    archived["properties"]["isArchived"] = true.into();
    client.arm(Method::PUT, "/data/iris/versions/1", Some(&archived)).expect(200);
    let versions = |query: &str| {
        let listed = client.arm(Method::GET, &format!("/data/iris/versions{query}"), None).expect(200).json;
        listed["value"].as_array().expect("a list").iter().filter_map(|each| Some(each["name"].as_str()?.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(
        (versions(""), versions("?listViewType=ArchivedOnly"), versions("?listViewType=All&$top=1")),
        (vec!["2".into()], vec!["1".into()], vec!["2".into()])
    );
    client.arm(Method::PUT, "/data/iris", Some(&json!({ "properties": { "isArchived": true } }))).expect(200);
    let names = |query: &str| client.arm(Method::GET, &format!("/data{query}"), None).expect(200).json["value"].as_array().map(Vec::len);
    assert_eq!((names(""), names("?listViewType=ArchivedOnly")), (Some(0), Some(1)));
    client.arm(Method::DELETE, "/data/iris/versions/2", None).expect(200);
    client.arm(Method::GET, "/data/iris/versions/2", None).expect(404);
    client.arm(Method::DELETE, "/data/iris", None).expect(200);
    client.arm(Method::GET, "/data/iris", None).expect(404);
    // Shares of files are named, and have a secret.
    let files = client.arm(Method::GET, "/datastores/workspacefilestore", None).expect(200).json;
    assert_eq!(files["properties"]["datastoreType"], "AzureFile");
    let secret = client.arm(Method::POST, "/datastores/workspacefilestore/listSecrets", Some(&json!({}))).expect(200).json;
    assert_eq!(secret["secretsType"], "AccountKey");
    emulator.down();
}

#[test]
fn clusters_are_resized_and_compute_instances_are_stopped_and_started() {
    let emulator = Emulator::up();
    let client = Client::of(&emulator);
    let sized = json!({ "properties": { "properties": { "scaleSettings": { "minNodeCount": 0, "maxNodeCount": 7 } } } });
    let cluster = client.arm(Method::PATCH, "/computes/cpu-cluster", Some(&sized)).expect(200).json;
    assert_eq!(cluster["properties"]["properties"]["scaleSettings"]["maxNodeCount"], 7);
    assert!(client.arm(Method::POST, "/computes/cpu-cluster/stop", None).expect(400).text.contains("no compute instance"));
    let machine = json!({ "properties": { "computeType": "ComputeInstance", "properties": { "vmSize": "STANDARD_DS3_V2" } } });
    client.arm(Method::PUT, "/computes/mine", Some(&machine)).expect(201);
    let state = || client.arm(Method::GET, "/computes/mine", None).expect(200).json["properties"]["properties"]["state"].clone();
    assert_eq!(state(), "Running");
    for (act, then) in [("stop", "Stopped"), ("start", "Running"), ("restart", "Running")] {
        let asked = client.arm(Method::POST, &format!("/computes/mine/{act}"), None).expect(202);
        client.try_ask(Method::GET, asked.header("location"), None).expect("it answers").expect(200);
        assert_eq!(state(), then);
    }
    client.arm(Method::PUT, "/computes/mine", Some(&json!({ "properties": { "computeType": "AKS", "properties": {} } }))).expect(400);
    emulator.down();
}
