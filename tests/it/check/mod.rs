//! What a run config means: layers, trust, aliases, overrides.

mod layers;
mod names;
mod overrides;
mod script;
mod trust;
mod words;

use crate::support::Sandbox;

/// Returns `(value, origin)` of a key as `config show` explains it.
#[track_caller]
fn explained(sandbox: &Sandbox, arguments: &[&str], key: &str) -> (String, String) {
    let report = sandbox.sendoff(&[&["config", "show", "--output", "json"], arguments].concat()).expect(0).json();
    let values = report["values"].as_array().expect("a list");
    let value = values.iter().find(|value| value["key"] == key).unwrap_or_else(|| panic!("`{key}` is not among {values:#?}"));
    let text = value["value"].as_str().or(value["absent"].as_str()).expect("one of both");
    (text.to_owned(), sandbox.plain(value["origin"].as_str().expect("a text")))
}

/// Checks, expects that it is refused, and returns what was said.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let run = sandbox.sendoff(&[&["check"], arguments].concat()).expect(244);
    sandbox.plain(&run.stderr)
}

fn user_settings(sandbox: &Sandbox, text: &str) {
    let folder = sandbox.home().join("config");
    std::fs::create_dir_all(&folder).expect("writable");
    std::fs::write(folder.join("sendoff.yaml"), text).expect("writable");
}
