//! Names that MLflow keeps: of tags and of the experiment. It refuses what it does not like only when the MLflow run is created.

use crate::config::document;
use crate::support::yaml::{Context, Text};

/// Characters that the name of a tag may have.
const TAG_NAME: usize = 250;
/// Characters that are kept of a tag's value.
const TAG_VALUE: usize = 8000;
/// Characters that the name of an experiment may have.
const EXPERIMENT: usize = 500;

/// Finds what MLflow would refuse, cut silently, or take for its own.
pub(super) fn check(document: &document::RunConfig, context: &Context) {
    for (name, value) in document.tags.iter().flat_map(|map| &map.entries) {
        if let Some((reason, fix)) = refusal(&name.text) {
            context.find(&name.place, format!("`{}` cannot name a tag", name.text), reason, Some(fix.to_owned()));
        }
        too_long(value, "the value of the tag", TAG_VALUE, context);
    }
    if let Some(name) = &document.experiment_name {
        too_long(name, "the name of the experiment", EXPERIMENT, context);
    }
}

/// Returns why MLflow has no tag of this name, and what to do.
fn refusal(name: &str) -> Option<(&'static str, &'static str)> {
    if name.starts_with("sendoff.") || name == "mlflow.runName" {
        return Some(("sendoff sets it", "choose another name; `display_name:` names the MLflow run"));
    }
    if name.is_empty() || name.chars().count() > TAG_NAME {
        return Some(("a name has 1 to 250 characters", "choose another name"));
    }
    if !name.chars().all(|c| c.is_alphanumeric() || "_-. :/".contains(c)) {
        return Some(("letters, digits, spaces and `_ - . : /` only", "choose another name; its value may be any text"));
    }
    // MLflow takes the name for a path, which must be as short as it can be.
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some(("a part between the `/` is empty or made of dots", "choose another name"));
    }
    None
}

fn too_long(text: &Text, what: &str, limit: usize, context: &Context) {
    let length = text.text.chars().count();
    if length > limit {
        context.find(&text.place, format!("{what} is too long"), format!("{length} characters, and MLflow keeps {limit}"), None);
    }
}

#[cfg(test)]
mod tests {
    use super::refusal;

    #[test]
    fn names_that_mlflow_takes_and_refuses() {
        for name in ["team", "a b", "größe", "a/b.c-d_e:f", "mlflow.note.content"] {
            assert_eq!(refusal(name), None, "{name}");
        }
        for name in ["", "$(id)", "it's", "a\nb", "\u{1f600}", "a//b", "../x", "/x", "sendoff.job_id", "mlflow.runName", &"a".repeat(251)] {
            assert!(refusal(name).is_some(), "{name}");
        }
    }
}
