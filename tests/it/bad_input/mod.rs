//! Bad input gets a clear error, and nothing is made of it.
//!
//! The bad run configs are `tests/fixtures/run-configs`, each named after its fault. Each message is here in full: one that you would not show a
//! user is a bug.

mod choice;
mod command_line;
mod docker;
mod document;
mod entry;
mod environment;
mod inputs;
mod source;
mod store;
mod target;
mod tracking;

use std::path::PathBuf;

use crate::support::Sandbox;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/run-configs");

/// Submits, expects 244 and that nothing was made, and returns what was said.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> String {
    ends(sandbox, arguments, 244)
}

/// Submits, expects an exit code and that nothing was made, and returns what was said.
#[track_caller]
fn ends(sandbox: &Sandbox, arguments: &[&str], code: i32) -> String {
    let run = sandbox.sendoff(&[&["submit", "--quiet"], arguments].concat()).expect(code);
    assert_eq!(run.stdout, "");
    assert!(!sandbox.home().join("data/jobs").exists(), "a job was made");
    assert!(!sandbox.home().join("cache/environments").exists(), "an environment was made");
    without_programs(&sandbox.plain(&run.stderr))
}

/// Returns the text with the paths of the programs that the tests found on this machine replaced.
fn without_programs(text: &str) -> String {
    let shown = |word: &str| match word.trim_start_matches('`').rsplit('/').next() {
        Some("uv") if word.contains('/') => word.split('/').next().unwrap_or_default().to_owned() + "[UV]",
        Some(name) if word.contains('/') && name.starts_with("python3") => "[PYTHON]".to_owned(),
        _ => word.to_owned(),
    };
    text.split_inclusive([' ', '\n'])
        .map(|word| {
            let bare = word.trim_end();
            shown(bare) + &word[bare.len()..]
        })
        .collect()
}

/// Submits one of the bad run configs beside a script.
#[track_caller]
fn fixture(name: &str) -> String {
    let sandbox = Sandbox::new();
    let file = format!("{name}.yaml");
    sandbox.file("train.py", "print()\n").file(&file, &std::fs::read_to_string(format!("{FIXTURES}/{file}")).expect("it is there"));
    refused(&sandbox, &[&file])
}

fn with_config(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print()\n").file("run.yaml", text);
    sandbox
}

/// Returns the bad run configs.
pub(crate) fn fixtures() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = std::fs::read_dir(FIXTURES).expect("it is there").flatten().map(|entry| entry.path()).collect();
    assert!(files.len() > 20, "{files:?}");
    files
}

#[test]
fn every_fixture_has_a_test_here() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/bad_input")).expect("it is there").flatten();
    let tests: String = folder.map(|file| std::fs::read_to_string(file.path()).expect("readable")).collect();
    for file in fixtures() {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(tests.contains(&format!("fixture(\"{name}\")")), "{name}");
    }
}
