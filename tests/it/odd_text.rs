//! Texts with spaces, quotes, line ends, `$()`, a leading dash and emoji arrive as written, wherever a run config takes a text.

use serde_json::{Value, json};

use crate::support::Sandbox;

const ODD: [&str; 12] = [
    "  two  words ",
    "it's \"quoted\"",
    "a\nb\n",
    "$(touch trapped) `touch trapped` ${HOME}",
    "-dash",
    "--",
    "é \u{1f600}",
    "",
    "back\\slash\\n",
    "tab\there",
    "* ? [a] ~",
    "; touch trapped #",
];

/// Prints its arguments and the variables that start with `ODD` or an input's name as JSON, one line.
const SHOW: &str = "import json, os, sys\nprint(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if k.startswith(('ODD', 'SENDOFF_INPUT'))}]))\n";

/// Submits a run config, written as JSON, and returns what the script has shown.
fn shown(sandbox: &Sandbox, config: &Value) -> Value {
    sandbox.file("show.py", SHOW).file("run.yaml", &config.to_string());
    let run = sandbox.sendoff(&["submit", "--no-tracking"]).expect(0);
    assert!(!sandbox.project().join("trapped").exists());
    let line = run.stdout.lines().find(|line| line.starts_with("[[")).unwrap_or_else(|| panic!("{}", run.stdout));
    serde_json::from_str(line).expect("it is JSON")
}

fn named(values: impl IntoIterator<Item = &'static str>, name: &str) -> Value {
    values.into_iter().enumerate().map(|(index, text)| (format!("{name}{index}"), json!(text))).collect::<serde_json::Map<_, _>>().into()
}

#[test]
fn odd_arguments_variables_and_inputs_of_a_script() {
    let sandbox = Sandbox::new();
    // An argument that is an input arrives like any other.
    let inputs: Vec<String> = (0..ODD.len()).map(|index| format!("${{{{inputs.in{index}}}}}")).collect();
    let config = json!({
        "script": "show.py",
        "arguments": ODD.iter().map(|text| (*text).to_owned()).chain(inputs).collect::<Vec<_>>(),
        "environment_variables": named(ODD, "ODD"),
        "inputs": named(ODD, "in"),
    });
    let seen = shown(&sandbox, &config);
    assert_eq!(seen[0], json!(ODD.iter().chain(&ODD).collect::<Vec<_>>()));
    for (index, text) in ODD.iter().enumerate() {
        assert_eq!(seen[1][format!("ODD{index}")], *text);
        assert_eq!(seen[1][format!("SENDOFF_INPUT_IN{index}")], *text);
    }
}

#[test]
fn odd_arguments_and_inputs_of_a_command() {
    let sandbox = Sandbox::new();
    let words: Vec<String> = (0..ODD.len()).map(|index| format!("${{{{inputs.in{index}}}}}")).collect();
    let config = json!({ "command": format!("python show.py {}", words.join(" ")), "arguments": ODD, "inputs": named(ODD, "in") });
    assert_eq!(shown(&sandbox, &config)[0], json!(ODD.iter().chain(&ODD).collect::<Vec<_>>()));
}

#[test]
fn odd_names_of_keys_experiments_and_runs_are_kept_as_written() {
    let sandbox = Sandbox::new();
    for (index, text) in ODD.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let config = json!({ "command": "true", "experiment_name": text, "display_name": text, "tags": { "odd": text } });
        sandbox.file("run.yaml", &config.to_string());
        let key = format!("{text} {index}");
        let job = sandbox
            .sendoff(&["submit", "--no-tracking", "--output", "json", "--quiet", "--detach", &format!("--key={key}")])
            .expect(0)
            .json();
        assert_eq!((job["name"].as_str(), job["experiment"].as_str()), (Some(*text), Some(*text)));
        let again =
            sandbox.sendoff(&["submit", "--no-tracking", "--output", "json", "--quiet", "--detach", &format!("--key={key}")]).expect(0);
        assert_eq!(again.json()["id"], job["id"]);
        sandbox.sendoff(&["wait", job["id"].as_str().expect("a text")]).expect(0);
    }
    assert!(!sandbox.project().join("trapped").exists());
}

/// Tracks jobs whose names are odd, by a real server.
pub(crate) fn odd_names_reach_a_real_tracker(sandbox: &Sandbox) {
    for (index, text) in ODD.iter().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let config = json!({ "command": "true", "experiment_name": text, "display_name": text, "tags": { "größe a/b.c": text } });
        sandbox.file("odd.yaml", &config.to_string());
        sandbox.sendoff(&["submit", "odd.yaml", "--quiet", "--job-id", &format!("odd-{index}-job")]).expect(0);
    }
}

#[test]
fn names_that_mlflow_would_refuse_are_found_before() {
    let sandbox = Sandbox::new();
    let config = json!({ "command": "true", "experiment_name": "e".repeat(501), "tags": { "$(id)": 1, "sendoff.job_id": 2, "a//b": 3 } });
    sandbox.file("run.yaml", &serde_yaml::to_string(&config).expect("it is plain data"));
    let run = sandbox.sendoff(&["submit"]).expect(244);
    let said = sandbox.plain(&run.stderr).replace(&"e".repeat(300), "");
    insta::assert_snapshot!(said, @r"
    error: the name of the experiment is too long
     --> run.yaml:2:18
      |
    2 | ...e: eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee...eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^...^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ 501 characters, and MLflow keeps 500

    error: `$(id)` cannot name a tag
     --> run.yaml:4:3
      |
    4 |   $(id): 1
      |   ^^^^^ letters, digits, spaces and `_ - . : /` only
      |
      = help: choose another name; its value may be any text

    error: `sendoff.job_id` cannot name a tag
     --> run.yaml:5:3
      |
    5 |   sendoff.job_id: 2
      |   ^^^^^^^^^^^^^^ sendoff sets it
      |
      = help: choose another name; `display_name:` names the MLflow run

    error: `a//b` cannot name a tag
     --> run.yaml:6:3
      |
    6 |   a//b: 3
      |   ^^^^ a part between the `/` is empty or made of dots
      |
      = help: choose another name

    error: found 4 problems in `run.yaml`
    ");
}
