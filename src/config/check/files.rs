//! `inputs` and `outputs`.

use std::collections::BTreeMap;
use std::path::Path;

use super::variables::is_variable;
use crate::config::document::{self, InputValue};
use crate::config::{Input, Output};
use crate::job::AssetType;
use crate::support::yaml::{Context, Map, Text};

/// Returns the inputs; local paths start at the run config's folder.
pub(super) fn inputs(map: Option<&Map<InputValue>>, folder: &Path, context: &Context) -> Vec<(String, Input)> {
    let mut inputs = Vec::new();
    names("input", map, context);
    for (Text { text: name, .. }, value) in map.iter().flat_map(|map| &map.entries) {
        match value {
            InputValue::Literal(text) => inputs.push((name.clone(), Input::Literal(text.text.clone()))),
            InputValue::File(file) => {
                // What is missing or wrong was found when it was read.
                let (Some(kind), Some(path)) = (&file.r#type, &file.path) else { continue };
                let kind = kind.value;
                let mode = file.mode.as_ref().map(|mode| mode.value);
                let there = path.text.strip_prefix("target:").or_else(|| is_address(&path.text).then_some(path.text.as_str()));
                let input = match there {
                    Some(path) => Input::OnTarget { kind, path: path.to_owned(), mode },
                    None => Input::Local { kind, path: folder.join(&path.text), mode },
                };
                inputs.push((name.clone(), input));
            }
        }
    }
    inputs
}

/// Returns whether a path is an address of a service's storage, or of what a service has registered.
pub(in crate::config) fn is_address(path: &str) -> bool {
    const SCHEMES: [&str; 8] = ["azureml", "http", "https", "wasb", "wasbs", "abfs", "abfss", "adl"];
    path.starts_with("azureml:") || path.split_once("://").is_some_and(|(scheme, _)| SCHEMES.contains(&scheme))
}

/// Returns the outputs.
pub(super) fn outputs(map: Option<&Map<document::Output>>, context: &Context) -> Vec<(String, Output)> {
    names("output", map, context);
    let entries = map.iter().flat_map(|map| &map.entries);
    for (Text { text: name, place }, _) in entries.clone() {
        if matches!(name.as_str(), "outputs" | "logs") {
            context.find(
                place,
                format!("`{name}` cannot name an output"),
                format!("what the job leaves in `./{name}` is kept under this name"),
                Some("choose another name; `./outputs` and `./logs` are always kept".to_owned()),
            );
        }
    }
    entries
        .map(|(key, document::Output(file))| {
            let text = |text: &Option<Text>| text.as_ref().map(|text| text.text.trim().to_owned()).filter(|text| !text.is_empty());
            let output = Output {
                kind: file.r#type.as_ref().map_or(AssetType::Folder, |kind| kind.value),
                mode: file.mode.as_ref().map(|mode| mode.value),
                uri: text(&file.path),
                name: text(&file.name),
                version: text(&file.version),
            };
            (key.text.clone(), output)
        })
        .collect()
}

/// Finds names that are no part of a variable's name, and two that make the same variable.
fn names<T>(what: &'static str, map: Option<&Map<T>>, context: &Context) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (Text { text: name, place }, _) in map.iter().flat_map(|map| &map.entries) {
        if !is_variable(name) {
            context.find(place, format!("`{name}` cannot name an {what}"), "letters, digits and `_` only, no digit first", None);
        } else if let Some(first) = seen.insert(name.to_uppercase(), name) {
            context.find(
                place,
                format!("the {what}s `{first}` and `{name}` differ in case only"),
                format!("both are `SENDOFF_{}_{}` in the job", what.to_uppercase(), name.to_uppercase()),
                Some("choose another name".to_owned()),
            );
        }
    }
}
