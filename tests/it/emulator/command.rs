//! `sendoff emulator` itself.

use super::Emulator;
use crate::support::Sandbox;

#[test]
fn one_emulator_serves_a_data_folder_and_says_where_it_is_without_its_secret() {
    let emulator = Emulator::up();
    let sandbox = &emulator.sandbox;
    let first = sandbox.sendoff(&["emulator", "status", "azureml", "--output", "json"]).expect(0).json();
    let again = sandbox.sendoff(&["emulator", "up", "azureml", "--workspace", "ws-train", "--output", "json"]).expect(0).json();
    assert_eq!((&first["pid"], &first["base_url"]), (&again["pid"], &again["base_url"]));
    assert_eq!((&again["workspace_name"], &again["client_secret"]), (&"ws-train".into(), &serde_json::Value::Null));
    let shown = sandbox.sendoff(&["emulator", "up", "azureml", "--show-secret", "--output", "json"]).expect(0).json();
    let secret = shown["client_secret"].as_str().expect("it is asked for");
    for text in [sandbox.sendoff(&["emulator", "logs", "azureml"]).stdout, sandbox.sendoff(&["emulator", "status", "azureml"]).stdout] {
        assert!(!text.contains(secret), "{text}");
    }
    let other = sandbox.sendoff(&["emulator", "up", "azureml", "--http"]).expect(245);
    assert!(other.stderr.contains("an emulator runs already, with HTTPS"), "{}", other.stderr);
    emulator.down();
}

#[test]
fn nothing_has_to_run_to_be_ended_looked_at_or_forgotten() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.sendoff(&["emulator", "down", "azureml", "--delete"]).expect(0).stdout, "it did not run\n");
    let status = sandbox.sendoff(&["emulator", "status", "azureml"]).expect(0);
    assert!(status.stdout.starts_with("state        stopped\n"), "{}", status.stdout);
    sandbox.sendoff(&["emulator", "logs", "azureml"]).expect(0);
    assert!(!sandbox.home().join("data/emulator").exists(), "looking makes nothing");
}

#[test]
fn the_parity_report_names_each_route_with_its_faith() {
    let sandbox = Sandbox::new();
    let text = sandbox.sendoff(&["emulator", "parity", "azureml"]).expect(0).stdout;
    for line in ["  faithful      GET /{scope}/jobs/{name}", "  approximated  PUT /{scope}/jobs/{name}: command jobs", "  absent        "] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let json = sandbox.sendoff(&["emulator", "parity", "azureml", "--output", "json"]).expect(0).json();
    let rows = json["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|row| (row["faith"] == "faithful") == row["note"].is_null()), "what differs is said");
}
