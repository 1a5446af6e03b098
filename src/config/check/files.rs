//! `inputs` and `outputs`.

use std::path::Path;

use super::variables::is_variable;
use crate::config::document::{self, InputValue};
use crate::config::{Input, Output, PathKind};
use crate::support::yaml::{Context, Map};

/// Returns the inputs; local paths start at the run config's folder.
pub(super) fn inputs(map: Option<&Map<InputValue>>, folder: &Path, context: &Context) -> Vec<(String, Input)> {
    let mut inputs = Vec::new();
    for (key, value) in map.iter().flat_map(|map| &map.entries) {
        let name = &key.text;
        if !is_variable(name) {
            context.find(&key.place, format!("`{name}` cannot name an input"), "letters, digits and `_` only, no digit first", None);
        }
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
    map.iter()
        .flat_map(|map| &map.entries)
        .map(|(key, output)| {
            let name = &key.text;
            if !is_variable(name) {
                context.find(&key.place, format!("`{name}` cannot name an output"), "letters, digits and `_` only, no digit first", None);
            }
            (name.clone(), Output { kind: output.0.r#type.as_ref().map_or(PathKind::Folder, |kind| kind.value) })
        })
        .collect()
}
