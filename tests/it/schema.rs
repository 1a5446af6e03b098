//! The JSON Schema says of files what the program says of them, asked of a validator that we did not write.

use std::path::Path;

use serde_json::Value;

use crate::support::Sandbox;

fn validator(of: &str) -> jsonschema::Validator {
    let schema = Sandbox::new().sendoff(&["schema", of]).expect(0).json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::validator_for(&schema).expect("it is a schema")
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("it is there");
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn assert_valid(validator: &jsonschema::Validator, path: &Path) {
    let document = yaml(path);
    let errors: Vec<String> = validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
}

#[test]
fn every_example_and_what_init_writes_are_valid() {
    let (run_config, settings) = (validator("run-config"), validator("settings"));
    for path in crate::examples::files() {
        if path.extension().is_some_and(|end| end == "py") {
            continue;
        }
        let is_settings = path.file_name().is_some_and(|name| name == "sendoff.yaml");
        assert_valid(if is_settings { &settings } else { &run_config }, &path);
    }
    let sandbox = Sandbox::new();
    sandbox.file("train.py", "print()\n");
    sandbox.sendoff(&["init"]).expect(0);
    assert_valid(&run_config, &sandbox.project().join("run.yaml"));
}

#[test]
fn every_key_has_a_description() {
    fn undescribed(schema: &Value, path: &str, into: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            if property["description"].as_str().is_none_or(str::is_empty) && property.get("const").is_none() {
                into.push(path.clone());
            }
            undescribed(property, &path, into);
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            undescribed(definition, name, into);
            definition["oneOf"].as_array().into_iter().flatten().for_each(|kind| undescribed(kind, name, into));
        }
    }
    for of in ["run-config", "settings"] {
        let mut missing = Vec::new();
        undescribed(&Sandbox::new().sendoff(&["schema", of]).expect(0).json(), "", &mut missing);
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn any_scalar_is_a_text_and_every_alias_is_a_key() {
    let validator = validator("run-config");
    for (text, right) in [
        ("script: a.py\nenvironment: {python: 3.10}\ntags: {a: 1, b: no, c: true, d: 1e-4}\narguments: one\n", true),
        ("script: a.py\ncode: src\ncompute: gpu-box\nlimits: {timeout: 60}\nresources: {instance_count: 1}\n", true),
        ("command: x\ncompute_target: {type: ssh, host: h, resources: {cpus: 2}}\n", true),
        ("command: x\ncompute_target: {type: ssh, partition: h}\n", false),
        ("command: x\nscript: a.py\n", false),
        ("tags: {a: 1}\n", false),
        ("command: x\nresources: {memory: lots}\n", false),
        ("command: x\nresources: {cpus: 0}\n", false),
        ("command: x\nscirpt: a.py\n", false),
        ("command: x\ninputs: {d: {type: uri_file}}\n", false),
    ] {
        let document: Value = serde_yaml::from_str(text).expect("it is YAML");
        assert_eq!(validator.is_valid(&document), right, "{text}");
    }
}

#[test]
fn what_a_schema_can_tell_of_the_bad_run_configs_it_tells() {
    // What is written is right in itself: only the program, which sees files, settings and machines, can tell.
    let beyond = [
        "script-missing",
        "script-outside",
        "script-of-another-kind",
        "source-directory-missing",
        "bad-requirements",
        // The validator gets the last of both.
        "duplicate-key",
        "requirements-file-missing",
        "reference-to-nothing",
        "secret-not-set",
        "not-built-yet",
        "containers-on-this-machine",
        "target-unknown",
        "target-not-built-yet",
        "too-many-cpus",
    ];
    let validator = validator("run-config");
    for file in crate::bad_input::fixtures() {
        let name = file.file_stem().and_then(|name| name.to_str()).expect("a name");
        let text = std::fs::read_to_string(&file).expect("it is there");
        let Ok(document) = serde_yaml::from_str::<Value>(&text) else { continue };
        assert_eq!(validator.is_valid(&document), beyond.contains(&name), "{name}");
    }
}

#[test]
fn the_readme_names_every_key_and_its_run_config_is_right() {
    let readme = include_str!("../../README.md");
    let schemas = ["run-config", "settings"].map(|of| Sandbox::new().sendoff(&["schema", of]).expect(0).json());
    for schema in &schemas {
        for (key, property) in schema["properties"].as_object().expect("it has keys") {
            // Azure's words are named together.
            let named = readme.contains(&format!("`{key}`")) || key == "limits";
            assert!(named || property["deprecated"] == true, "`{key}` is not in the README");
        }
    }
    let yaml = readme.split("```yaml\n").nth(1).and_then(|text| text.split("```").next()).expect("it shows a run config");
    let document: Value = serde_yaml::from_str(yaml).expect("it is YAML");
    assert!(validator("run-config").is_valid(&document));
    let sandbox = Sandbox::new().env("HF_TOKEN", "set");
    sandbox.file("run.yaml", yaml).file("train.py", "").file("data/iris.csv", "");
    sandbox.sendoff(&["check"]).expect(0);
}
