//! `${{...}}`: every one of them names something, and stands where it is replaced.

use crate::config::{document, placeholders};
use crate::support::words;
use crate::support::yaml::{Context, Place, Text};

/// Finds references that name nothing, and references where nobody replaces them.
pub(super) fn check(document: &document::RunConfig, context: &Context) {
    // What is declared and wrong is still declared.
    let inputs = document.inputs.iter().flat_map(|map| &map.entries).map(|(name, _)| format!("inputs.{}", name.text));
    let outputs = document.outputs.iter().flat_map(|map| &map.entries).map(|(name, _)| format!("outputs.{}", name.text));
    let known: Vec<String> = inputs.chain(outputs).collect();
    for text in document.arguments.iter().flat_map(|list| &list.items).chain(&document.command) {
        for placeholder in placeholders::find(&text.text) {
            if known.contains(&placeholder.name) {
                continue;
            }
            let shown = &text.text[placeholder.range.clone()];
            let fix = crate::support::suggest::nearest(&placeholder.name, known.iter().map(String::as_str)).map_or_else(
                || match known.as_slice() {
                    [] => "declare it below `inputs:` or `outputs:`".to_owned(),
                    [only] => format!("only `{only}` is declared"),
                    known => format!("declared are {}", words::all_of(known)),
                },
                |near| format!("did you mean `${{{{{near}}}}}`?"),
            );
            context.find(&within(text, shown), format!("`{shown}` names nothing"), "no input or output of this name", Some(fix));
        }
    }
    let variables = document.environment_variables.iter().flat_map(|map| &map.entries).map(|(_, value)| value);
    for text in document.setup.iter().chain(variables) {
        if let Some(placeholder) = placeholders::find(&text.text).first() {
            let shown = &text.text[placeholder.range.clone()];
            let (before, name) = placeholder.name.split_once('.').unwrap_or(("inputs", "name"));
            let variable = format!("SENDOFF_{}_{}", before.trim_end_matches('s').to_uppercase(), name.to_uppercase());
            context.find(
                &within(text, shown),
                format!("`{shown}` is not replaced here"),
                "only `command` and `arguments` are searched for references",
                Some(format!("the job finds the value in `${variable}`")),
            );
        }
    }
}

/// Returns the place of a part of a text.
fn within(text: &Text, part: &str) -> Place {
    let Place { source, span } = &text.place;
    let start = span.start.min(source.text.len());
    let start = start + source.text[start..].find(part).unwrap_or(0);
    Place { source: source.clone(), span: start..start + part.len() }
}
