//! `environment_variables`, `inherit` and `secrets`.

use std::collections::BTreeMap;

use crate::config::document;
use crate::support::yaml::{Context, List, Map, Text};
use crate::target::config::{TargetConfig, TargetSpec};

/// Returns whether a text can name a variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns whether sendoff itself sets a variable.
fn is_reserved(name: &str) -> bool {
    name.starts_with("SENDOFF_")
        || matches!(
            name,
            "MLFLOW_TRACKING_URI" | "MLFLOW_RUN_ID" | "MLFLOW_EXPERIMENT_ID" | "MLFLOW_EXPERIMENT_NAME" | "MLFLOW_RUN_CONTEXT"
        )
}

/// Returns variables with their values.
pub(super) fn pairs(map: Option<&Map<Text>>, context: &Context) -> Vec<(String, String)> {
    map.iter().flat_map(|map| &map.entries).for_each(|(name, _)| check(name, context));
    super::pairs(map)
}

/// Returns the names of variables.
pub(super) fn names(list: Option<&List<Text>>, context: &Context) -> Vec<String> {
    list.iter().flat_map(|list| &list.items).for_each(|name| check(name, context));
    super::texts(list)
}

/// Finds variables that more than one of the three keys sets.
pub(super) fn once(document: &document::RunConfig, context: &Context) {
    let pairs = document.environment_variables.iter().flat_map(|map| &map.entries).map(|(name, _)| ("environment_variables", name));
    let inherit = document.inherit.iter().flat_map(|list| &list.items).map(|name| ("inherit", name));
    let secrets = document.secrets.iter().flat_map(|list| &list.items).map(|name| ("secrets", name));
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, name) in pairs.chain(inherit).chain(secrets) {
        match seen.insert(&name.text, key) {
            Some(first) if first != key => context.find(
                &name.place,
                format!("the variable `{}` is set twice", name.text),
                format!("`{first}` sets it too"),
                Some(format!("keep it in `{first}` or in `{key}`")),
            ),
            _ => {}
        }
    }
}

/// Finds secrets for a target that would keep them where others can read them, unless the user said that this may be.
pub(super) fn in_clear(document: &document::RunConfig, target: Option<&TargetSpec>, context: &Context) {
    let hosted = target.is_some_and(|target| matches!(target.config, TargetConfig::AzureMl(_)));
    let may = document.secrets_in_clear.as_ref().is_some_and(|flag| flag.value);
    let Some(list) = document.secrets.as_ref().filter(|list| hosted && !may && !list.items.is_empty()) else { return };
    context.find(
        &list.place,
        "Azure ML has no place for secrets of a job",
        "its variables can be read by everybody who reads the workspace",
        Some("let the script read them from the workspace's key vault, or accept it with `secrets_in_clear: true`".to_owned()),
    );
}

fn check(name: &Text, context: &Context) {
    let Text { text, place } = name;
    if !is_variable(text) {
        context.find(place, format!("`{text}` cannot name a variable"), "letters, digits and `_` only, no digit first", None);
    } else if is_reserved(text) {
        let fix = match text.as_str() {
            "MLFLOW_TRACKING_URI" => "write `tracking: {uri: ...}`",
            "MLFLOW_EXPERIMENT_NAME" | "MLFLOW_EXPERIMENT_ID" => "write `experiment_name:`",
            _ => "choose another name",
        };
        context.find(place, format!("`{text}` is set by sendoff"), "it cannot be set here", Some(fix.to_owned()));
    }
}
