//! The target azureml through its emulation: the same code as to the service, with another address and other credentials.

mod faults;

use std::path::Path;

use serde_json::Value;

use crate::support::{Run, Sandbox, wait_until};

/// A sandbox whose target `aml` is emulated, and whose emulator ends with it.
struct Emulated(Sandbox);

impl Emulated {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.file("sendoff.yaml", "compute_targets:\n  aml: {type: azureml, compute: cpu-cluster}\n");
        Self(sandbox)
    }

    /// Writes a run config of a shell line, in an environment that needs no building.
    fn command(&self, line: &str) -> &Self {
        let line = serde_json::to_string(line).expect("a text is plain data");
        let text = format!("command: {line}\ncompute_target: aml\nenvironment: {{image: 'python:3.11-slim'}}\ntracking: {{uri: none}}\n");
        self.0.file("run.yaml", &text);
        self
    }

    fn submit(&self, more: &[&str]) -> Run {
        self.0.sendoff(&[&["submit", "--emulate"][..], more].concat())
    }

    fn state(&self, job: &str) -> String {
        let status = self.0.sendoff(&["status", job, "--output", "json"]).expect(0).json();
        status["state"].as_str().expect("it has one").to_owned()
    }

    /// Returns the emulator's log.
    fn log(&self) -> String {
        std::fs::read_to_string(self.0.home().join("data/emulator/azureml/emulator.log")).unwrap_or_default()
    }

    /// Returns the request that was sent for a job.
    fn request(&self, job: &str) -> Value {
        let bytes = std::fs::read(self.0.attempt(job, "azureml.json")).expect("it was kept");
        serde_json::from_slice(&bytes).expect("JSON")
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        if self.0.home().join("data/emulator").exists() {
            let _ = self.0.command(&["emulator", "down", "azureml"]).output();
        }
    }
}

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/digits");

#[test]
#[ignore = "needs a container engine"]
fn the_example_digits_trains_and_tracks_in_an_emulated_workspace_on_the_engine() {
    let emulated = Emulated::new();
    let target = "compute_target={type: azureml, compute: cpu-cluster}";
    let example = format!("{EXAMPLE}/run.yaml");
    emulated.submit(&[&example, "--set", target, "--job-id", "digits-aml"]).expect(0);
    emulated.0.sendoff(&["download", "digits-aml"]).expect(0);
    let model = std::fs::read_dir(emulated.0.project().join("digits-aml/model")).expect("the model was downloaded");
    assert!(model.count() > 0);
    let open = emulated.0.sendoff(&["open", "--print", "digits-aml"]).expect(0);
    assert!(open.stdout.contains("digits-aml"), "{}", open.stdout);
    let status = emulated.0.sendoff(&["status", "digits-aml", "--output", "json"]).expect(0).json();
    assert_eq!(status["mlflow_run_id"], "digits-aml");
    // What it measured is read from the workspace, and what made it is kept there with its MLflow run.
    let gate = |condition: &str| emulated.0.sendoff(&["metrics", "digits-aml", "--require", condition]);
    assert!(gate("accuracy>=0.5").expect(0).stdout.contains("accuracy"));
    assert!(gate("accuracy>=1.5").expect(1).stderr.contains("is not met"));
    let state = rusqlite::Connection::open(emulated.0.home().join("data/emulator/azureml/state.db")).expect("it is there");
    for name in ["request.json", "run-config.yaml", "requirements.lock"] {
        let query = "SELECT count(*) FROM blobs WHERE name LIKE '%/dcid.digits-aml/sendoff/' || ?1";
        let count: u32 = state.query_row(query, [name], |row| row.get(0)).expect("a count");
        assert_eq!(count, 1, "{name}");
    }
}

#[test]
#[ignore = "needs a container engine"]
fn two_nodes_train_together_and_the_failure_of_one_ends_both_on_the_engine() {
    let emulated = Emulated::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nodes/azureml.yaml");
    // Nothing is built for it: the training needs no packages.
    let image = "environment={image: 'python:3.11-slim'}";
    emulated.submit(&[example, "--no-tracking", "--set", image, "--job-id", "together"]).expect(0);
    for (node, rank) in [("0", 0), ("1", 2)] {
        let log = emulated.0.sendoff(&["logs", "together", "--node", node]).expect(0).stdout;
        assert!(log.contains(&format!("process {rank} of 4 on")) && log.contains("y = 3.0"), "{node}: {log}");
    }
    emulated.0.sendoff(&["download", "together"]).expect(0);
    let line = std::fs::read_to_string(emulated.0.project().join("together/model/line.json")).expect("it was downloaded");
    assert!(line.contains("slope"), "{line}");
    let scope = emulated.request("together")["properties"]["computeId"].to_string();
    assert!(scope.contains("/workspaces/vision/computes/cpu-cluster"), "{scope}");
    let line = "test \"$NODE_RANK\" = 0 || exit 7; sleep 600";
    emulated.command(line).submit(&["--set", "resources={nodes: 2}", "--set", "distribution={type: pytorch}"]).expect(7);
}

#[test]
#[ignore = "needs a container engine"]
fn the_jobs_own_exit_code_and_its_whole_log_come_back_from_the_engine() {
    let emulated = Emulated::new();
    let run = emulated.command("seq 1 2000; echo last >&2; exit 7").submit(&["--job-id", "seven"]).expect(7);
    let expected: String = (1..=2000).map(|number| format!("{number}\n")).chain(["last\n".to_owned()]).collect();
    assert_eq!(run.stdout, expected);
    assert_eq!(emulated.0.sendoff(&["logs", "seven"]).expect(0).stdout, expected);
    emulated.0.sendoff(&["wait", "seven"]).expect(7);
    // Nothing of it is asked of the service once it is known.
    emulated.0.sendoff(&["emulator", "down", "azureml"]).expect(0);
    assert_eq!(emulated.0.sendoff(&["logs", "seven"]).expect(0).stdout, expected);
    assert_eq!(emulated.state("seven"), "failed");
    assert!(!emulated.0.home().join("data/emulator/azureml/running.json").exists(), "the emulation was started again for nothing");
}

#[test]
#[ignore = "needs a container engine"]
fn a_job_on_the_engine_is_cancelled_for_good() {
    let emulated = Emulated::new();
    emulated.command("echo begun; sleep 600").submit(&["--detach", "--job-id", "slow"]).expect(0);
    wait_until(|| match emulated.0.sendoff(&["logs", "slow"]).stdout {
        log if log.contains("begun") => Ok(()),
        log => Err(log),
    });
    emulated.0.sendoff(&["cancel", "slow"]).expect(0);
    assert_eq!(emulated.state("slow"), "cancelled");
    emulated.0.sendoff(&["wait", "slow"]).expect(241);
    // Once more changes nothing.
    emulated.0.sendoff(&["cancel", "slow"]).expect(0);
}

#[test]
#[ignore = "needs a container engine"]
fn inputs_outputs_modes_and_odd_arguments_arrive_on_the_engine() {
    let emulated = Emulated::new();
    let project = emulated.0.project();
    emulated.0.file("data/numbers.csv", "1,2\n").file("tool.sh", "#!/bin/sh\nprintf 'tool %s\\n' \"$1\"\n");
    make_executable(&project.join("tool.sh"));
    std::os::unix::fs::symlink("data/numbers.csv", project.join("link.csv")).expect("writable");
    emulated.0.file(
        "run.yaml",
        "command: ./tool.sh ${{inputs.text}}; cat ${{inputs.data}} link.csv ${{inputs.folder}}/numbers.csv; echo kept > ${{outputs.model}}/m; mkdir -p outputs; echo o > outputs/o; echo \"$SENDOFF_INPUT_TEXT\"\n\
         compute_target: aml\nenvironment: {image: 'python:3.11-slim'}\ntracking: {uri: none}\n\
         inputs:\n  text: \"it's $HOME\"\n  data: {type: uri_file, path: data/numbers.csv}\n  folder: {type: uri_folder, path: data}\noutputs: {model: {}}\n",
    );
    let run = emulated.submit(&["--job-id", "inputs"]).expect(0);
    assert_eq!(run.stdout, "tool it's $HOME\n1,2\n1,2\n1,2\nit's $HOME\n");
    emulated.0.sendoff(&["download", "inputs"]).expect(0);
    for (path, text) in [("model/m", "kept\n"), ("outputs/o", "o\n"), ("log.txt", run.stdout.as_str())] {
        assert_eq!(std::fs::read_to_string(project.join("inputs").join(path)).expect("it was downloaded"), text, "{path}");
    }
    // What is there is not overwritten.
    let again = emulated.0.sendoff(&["download", "inputs"]).expect(245);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);
}

#[test]
#[ignore = "needs a container engine"]
fn an_unchanged_tree_uploads_nothing_and_the_same_request_is_the_same_job_on_the_engine() {
    let emulated = Emulated::new();
    emulated.command("echo once").submit(&["--key", "pipeline 1"]).expect(0);
    let again = emulated.submit(&["--key", "pipeline 1"]).expect(0);
    assert!(again.stderr.contains("was submitted before"), "{}", again.stderr);
    let first = emulated.0.sendoff(&["list", "--output", "json"]).expect(0).json();
    let first = first["jobs"][0]["id"].as_str().expect("an id").to_owned();
    emulated.submit(&["--job-id", "second"]).expect(0);
    let code = |job: &str| emulated.request(job)["properties"]["codeId"].clone();
    assert_eq!(code(&first), code("second"));
    emulated.command("echo other");
    let refused = emulated.submit(&["--key", "pipeline 1"]).expect(244);
    assert!(refused.stderr.contains("differs in"), "{}", refused.stderr);
}

#[test]
#[ignore = "needs a container engine"]
fn whenever_the_client_dies_there_is_one_job_on_the_engine_or_none() {
    let emulated = Emulated::new();
    emulated.command("echo ran; hostname");
    for (number, point) in ["reserve.after", "submit.after-intent", "submit.after-act", "submit.after-outcome"].into_iter().enumerate() {
        let id = format!("killed-{number}");
        let killed = emulated.0.armed(point, &["submit", "--emulate", "--job-id", &id]);
        assert_eq!(killed.code, None, "{point}: {}", killed.stderr);
        // It goes on, or is adopted; either way it is this job.
        emulated.submit(&["--job-id", &id]).expect(0);
        let log = emulated.0.sendoff(&["logs", &id]).expect(0).stdout;
        assert_eq!(log.matches("ran\n").count(), 1, "{point}: {log}");
        assert!(!emulated.0.attempt(&id, "").with_file_name("attempt-2").exists(), "{point}");
    }
    let puts = emulated.log();
    assert!(!puts.contains("panicked"), "{puts}");
}

#[test]
fn a_workspace_that_is_not_whole_is_named_where_it_is_chosen() {
    let emulated = Emulated::new();
    emulated.0.file("run.yaml", "command: x\ncompute_target: aml\n");
    let refused = emulated.0.sendoff(&["check"]).expect(244).stderr;
    assert!(refused.contains("the target names no workspace") && refused.contains("run.yaml:2:17"), "{refused}");
    emulated.0.sendoff(&["check", "--emulate"]).expect(0);
    // As the studio offers it for download.
    emulated.0.file(".azureml/config.json", r#"{"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}"#);
    let found = emulated.0.sendoff(&["check"]).expect(0);
    assert!(found.stderr.contains("config.json"), "{}", found.stderr);
}

#[test]
fn what_the_service_cannot_honour_is_refused_by_its_name() {
    let emulated = Emulated::new();
    let check = |text: &str| {
        emulated.0.file("run.yaml", &format!("command: x\ncompute_target: aml\n{text}\n"));
        emulated.0.sendoff(&["plan", "--emulate"]).expect(244).stderr
    };
    for (text, expected) in [
        ("secrets: [HF_TOKEN]", "Azure ML has no place for secrets of a job"),
        ("tracking: {uri: managed}", "the machines of Azure ML cannot reach a server on this one"),
        ("tracking: {uri: 'http://127.0.0.1:5000'}", "the machines of Azure ML cannot reach `127.0.0.1` of this one"),
        ("resources: {memory: 1GiB}", "`resources.memory`: the machine is as large as `compute` of the target says"),
        ("environment: {dockerfile: Dockerfile}", "is not built yet for this target"),
    ] {
        emulated.0.file("Dockerfile", "FROM scratch\n");
        let said = check(text);
        assert!(said.contains(expected), "{text}: {said}");
    }
    emulated.0.file("run.yaml", "command: x\ntracking: {uri: workspace}\n");
    let local = emulated.0.sendoff(&["check"]).expect(244).stderr;
    assert!(local.contains("only jobs of the kind `azureml` run in a workspace"), "{local}");
    let no_emulator = emulated.0.sendoff(&["check", "--emulate"]).expect(244).stderr;
    assert!(no_emulator.contains("there is no emulator of this target"), "{no_emulator}");
    assert!(!emulated.0.home().join("data/emulator").exists(), "a plan started the emulation");
}

#[test]
fn without_an_account_nothing_is_sent_and_the_ways_to_get_one_are_named() {
    let sandbox = Sandbox::new().env("AZURE_TENANT_ID", "t");
    let target = "{type: azureml, subscription_id: s, resource_group: g, workspace_name: w, compute: c}";
    sandbox.file("run.yaml", &format!("command: x\ncompute_target: {target}\nenvironment: {{image: 'python:3.11-slim'}}\n"));
    let plan = sandbox.sendoff(&["plan", "--show", "bootstrap"]).expect(0);
    assert!(plan.stdout.contains("/workspaces/w/jobs/new-job"), "{}", plan.stdout);
    let run = sandbox.sendoff(&["submit"]).expect(245);
    assert!(run.stderr.contains("found no way to authenticate to Azure") && run.stderr.contains("az login"), "{}", run.stderr);
    assert!(sandbox.sendoff(&["list"]).expect(0).stdout.is_empty());
}

fn make_executable(path: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("it is there");
}
