//! The examples: each is right as it stands, and each runs (the tracked ones below one server, in `tracked`).

use std::path::{Path, PathBuf};

use crate::support::Sandbox;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

/// Returns every run config, settings file and script with a metadata block of the examples.
pub(crate) fn files() -> Vec<PathBuf> {
    let is_one = |path: &Path| match path.extension().and_then(|end| end.to_str()) {
        Some("yaml") => true,
        Some("py") => std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("# /// script")),
        _ => false,
    };
    let mut files: Vec<PathBuf> =
        walkdir::WalkDir::new(EXAMPLES).into_iter().flatten().map(walkdir::DirEntry::into_path).filter(|path| is_one(path)).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    files
}

#[test]
fn every_example_is_checked_planned_and_explained() {
    let sandbox = Sandbox::new();
    for file in files().iter().filter(|file| !file.ends_with("sendoff.yaml")) {
        let file = file.display().to_string();
        // Asks the engine, which not every machine has.
        let asks_an_engine = std::fs::read_to_string(&file).expect("it is there").contains("compute_target: docker");
        for command in [&["check"][..], &["config", "show"], &["plan"]].iter().filter(|command| !asks_an_engine || ***command != ["plan"]) {
            sandbox.sendoff(&[*command, &[&file]].concat()).expect(0);
        }
    }
    assert!(!sandbox.home().exists(), "a plan changed something");
}

/// Runs `examples/uv-project`, of which the lock holds an older version than its project would accept today.
pub(crate) fn a_project_runs_with_the_versions_of_its_lock(sandbox: &Sandbox) {
    let lock: toml::Table = std::fs::read_to_string(format!("{EXAMPLES}/uv-project/uv.lock")).expect("it is there").parse().expect("TOML");
    let packages = lock["package"].as_array().expect("a list");
    let numpy = packages.iter().find(|package| package["name"].as_str() == Some("numpy")).expect("it is locked");
    let run = sandbox.sendoff(&["submit", &format!("{EXAMPLES}/uv-project/run.yaml"), "--job-id", "spirals-job"]).expect(0);
    let line = format!("numpy {}\n", numpy["version"].as_str().expect("a version"));
    assert!(run.stdout.contains(&line), "{}", run.stdout);
    sandbox.sendoff(&["metrics", "spirals-job", "--require", "accuracy>=0.95"]).expect(0);
    sandbox.sendoff(&["download", "spirals-job"]).expect(0);
    assert!(sandbox.project().join("spirals-job/model/network.npz").is_file());
}

/// Runs `examples/notebook`.
pub(crate) fn a_notebook_comes_back_with_what_its_cells_have_shown(sandbox: &Sandbox) {
    sandbox.sendoff(&["submit", &format!("{EXAMPLES}/notebook/run.yaml"), "--job-id", "notebook-job"]).expect(0);
    sandbox.sendoff(&["metrics", "notebook-job", "--require", "test_mse<0.05"]).expect(0);
    sandbox.sendoff(&["download", "notebook-job"]).expect(0);
    let text = std::fs::read_to_string(sandbox.project().join("notebook-job/search.ipynb")).expect("it is collected");
    let notebook: serde_json::Value = serde_json::from_str(&text).expect("a notebook is JSON");
    let last = notebook["cells"].as_array().and_then(|cells| cells.last()).expect("it has cells");
    let shown = last["outputs"][0]["text"].to_string();
    assert!(shown.contains("the best degree is"), "{last}");
}

#[test]
#[ignore = "needs a container engine"]
fn the_example_digits_runs_unchanged_on_the_target_docker() {
    let sandbox = Sandbox::new();
    let example = format!("{EXAMPLES}/digits/run.yaml");
    // The Python of the image that the tests have.
    let python = ["--set", "environment.python=3.11"];
    let submit = [&["submit", &example, "--target", "docker", "--job-id", "digits-docker"][..], &python].concat();
    let run = sandbox.sendoff(&submit).expect(0);
    assert!(run.stderr.contains("succeeded with exit code 0"), "{}", run.stderr);
    let metrics = sandbox.sendoff(&["metrics", "digits-docker", "--require", "accuracy>=0.8", "--output", "json"]).expect(0).json();
    assert_eq!(metrics["metrics"]["accuracy"].as_array().map(Vec::len), Some(8));
    sandbox.sendoff(&["download", "digits-docker"]).expect(0);
    let model = sandbox.project().join("digits-docker/model/model.joblib");
    assert!(std::fs::metadata(&model).is_ok_and(|file| file.len() > 0), "{model:?}");
    let shown = sandbox.sendoff(&["status", "digits-docker"]).expect(0).stdout;
    assert!(shown.contains("succeeded") && !shown.contains("not delivered"), "{shown}");
    sandbox.sendoff(&["delete", "digits-docker"]).expect(0);
    sandbox.sendoff(&["env", "prune"]).expect(0);
    sandbox.sendoff(&["tracking", "stop"]).expect(0);
}
