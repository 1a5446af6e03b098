//! `inputs` and `outputs`.

use std::collections::BTreeMap;
use std::path::Path;

use super::variables::is_variable;
use crate::config::document::{self, InputValue};
use crate::config::{Input, Output, PathKind};
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
                let input = match path.text.strip_prefix("target:") {
                    Some(path) => Input::OnTarget { kind, path: path.to_owned() },
                    None => Input::Local { kind, path: folder.join(&path.text) },
                };
                inputs.push((name.clone(), input));
            }
        }
    }
    inputs
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
        .map(|(key, output)| (key.text.clone(), Output { kind: output.0.r#type.as_ref().map_or(PathKind::Folder, |kind| kind.value) }))
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
