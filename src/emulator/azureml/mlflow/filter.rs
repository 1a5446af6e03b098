//! Ids in MLflow's search filters: `attributes.run_id IN ('job-1', 'job-2') AND tags.mlflow.parentRunId = 'job-0'`.
//!
//! Only the values that an id is compared with are replaced; everything else stays as it was written, mistakes included, which the server
//! behind explains itself.

use super::Error;
use super::grammar::parse;
use super::ids::{Ids, Kind};

/// Stands for an id that the workspace has not: it equals none that the server behind gives.
const NOWHERE: &str = "not-in-this-workspace";

/// Tags whose values are ids of runs.
pub(super) const RUN_TAGS: [&str; 2] = ["mlflow.parentRunId", "mlflow.rootRunId"];

/// What became of a filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rewritten {
    /// It can be asked behind.
    Filter(String),
    /// It compares ids in a way that cannot be carried over, for this reason.
    Refused(String),
}

/// Puts the ids of the server behind in the place of Azure's; and its names, where the things that are searched have some of this kind.
pub(super) fn rewrite(filter: &str, names: Option<Kind>, ids: &Ids) -> Result<Rewritten, Error> {
    let Some(comparisons) = parse(filter) else {
        // Half understood, an id might get through as it is, and mean another run there.
        let named = ["run_id", "experiment_id", "artifact_uri", "RunId"].iter().any(|word| filter.contains(word));
        return Ok(if named {
            Rewritten::Refused(format!("the filter `{filter}` cannot be read, and ids in it must be"))
        } else {
            Rewritten::Filter(filter.to_owned())
        });
    };
    let mut text = String::new();
    let mut copied = 0;
    for comparison in comparisons {
        let Some(subject) = subject(&filter[comparison.left.clone()], names) else { continue };
        let by_equality = matches!(comparison.operator.as_str(), "=" | "!=" | "IN" | "NOT IN");
        let (kind, is_text) = match subject {
            Subject::Id(kind) if by_equality || comparison.values.is_empty() => (kind, false),
            Subject::RunTag if by_equality || comparison.values.is_empty() => (Kind::Run, true),
            // A name by pattern finds too much, of which only the workspace's own is shown.
            Subject::Name(_) if !by_equality => continue,
            Subject::Name(kind) => (kind, true),
            _ => {
                let (key, operator) = (&filter[comparison.left], &comparison.operator);
                return Ok(Rewritten::Refused(format!("`{key}` cannot be compared by `{operator}`: ids here are others than behind")));
            }
        };
        for value in comparison.values {
            let quoted = &filter[value.clone()];
            // Without quotes it is an error, and the server's to explain.
            let Some(id) = unquoted(quoted) else { continue };
            // A tag or a name is the user's text: what is not in the map stays as it was stored.
            let inner = ids.inner(kind, id)?.unwrap_or_else(|| if is_text { id.to_owned() } else { NOWHERE.to_owned() });
            text.push_str(&filter[copied..value.start]);
            let quote = &quoted[..1];
            text.push_str(&format!("{quote}{inner}{quote}"));
            copied = value.end;
        }
    }
    text.push_str(&filter[copied..]);
    Ok(Rewritten::Filter(text))
}

/// What the left side of a comparison names, as far as it has to do with ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Id(Kind),
    RunTag,
    ArtifactUri,
    Name(Kind),
}

fn subject(left: &str, names: Option<Kind>) -> Option<Subject> {
    let (entity, key) = left.split_once('.').unwrap_or(("attribute", left));
    let key = bare(key);
    match bare(entity) {
        "attribute" | "attributes" | "attr" | "run" => match key {
            "run_id" | "source_run_id" => Some(Subject::Id(Kind::Run)),
            "experiment_id" => Some(Subject::Id(Kind::Experiment)),
            "artifact_uri" => Some(Subject::ArtifactUri),
            "name" => names.map(Subject::Name),
            _ => None,
        },
        "tag" | "tags" => RUN_TAGS.contains(&key).then_some(Subject::RunTag),
        _ => None,
    }
}

/// Returns a name without its backticks or quotes.
fn bare(name: &str) -> &str {
    unquoted(name).or_else(|| name.strip_prefix('`')?.strip_suffix('`')).unwrap_or(name)
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::azureml::mlflow::ids::tests::map;

    fn ids() -> Ids {
        let ids = map();
        ids.enter(Kind::Run, "job-1", "aaaa").expect("written");
        ids.enter(Kind::Run, "job-2", "bbbb").expect("written");
        ids.enter(Kind::Experiment, "9a-guid", "3").expect("written");
        ids
    }

    #[track_caller]
    fn becomes(filter: &str, expected: &str) {
        assert_eq!(rewrite(filter, None, &ids()).expect("the map can be read"), Rewritten::Filter(expected.to_owned()), "{filter}");
    }

    #[track_caller]
    fn is_refused(filter: &str) {
        let rewritten = rewrite(filter, None, &ids()).expect("the map can be read");
        assert!(matches!(rewritten, Rewritten::Refused(_)), "{filter} became {rewritten:?}");
    }

    #[test]
    fn ids_are_replaced_where_they_are_compared() {
        becomes("run_id = 'job-1'", "run_id = 'aaaa'");
        becomes("attributes.run_id != \"job-1\"", "attributes.run_id != \"aaaa\"");
        becomes("attribute.`run_id`='job-1'", "attribute.`run_id`='aaaa'");
        becomes("run_id IN ('job-1','job-2')", "run_id IN ('aaaa','bbbb')");
        becomes("attr.run_id not in ('job-2') AND metrics.loss < 0.5", "attr.run_id not in ('bbbb') AND metrics.loss < 0.5");
        becomes("experiment_id = '9a-guid'", "experiment_id = '3'");
        becomes("source_run_id='job-2'", "source_run_id='bbbb'");
    }

    #[test]
    fn tags_that_name_runs_are_ids_however_they_are_quoted() {
        becomes("tags.mlflow.parentRunId = 'job-1'", "tags.mlflow.parentRunId = 'aaaa'");
        becomes("tags.`mlflow.parentRunId` = 'job-1'", "tags.`mlflow.parentRunId` = 'aaaa'");
        becomes("tag.\"mlflow.rootRunId\" = 'job-1'", "tag.\"mlflow.rootRunId\" = 'aaaa'");
        becomes("tags.mlflow.parentRunId = 'a text'", "tags.mlflow.parentRunId = 'a text'");
    }

    #[test]
    fn names_are_replaced_where_the_things_that_are_searched_have_names_of_their_own() {
        let ids = ids();
        ids.enter(Kind::RegisteredModel, "iris", "iris (w)").expect("written");
        for (filter, expected) in [
            ("name = 'iris' AND run_id = 'job-1'", "name = 'iris (w)' AND run_id = 'aaaa'"),
            ("attributes.name != 'other'", "attributes.name != 'other'"),
            ("name LIKE 'ir%'", "name LIKE 'ir%'"),
            ("tags.name = 'iris'", "tags.name = 'iris'"),
        ] {
            let rewritten = rewrite(filter, Some(Kind::RegisteredModel), &ids).expect("the map can be read");
            assert_eq!(rewritten, Rewritten::Filter(expected.to_owned()), "{filter}");
        }
    }

    #[test]
    fn what_only_looks_like_an_id_stays() {
        for filter in [
            "tags.name = 'job-1'",
            "params.run_id = 'job-1'",
            "tags.run_id = 'job-1' and params.`a b` = 'x = ''job-1'' and'",
            "attributes.run_name LIKE 'job-%'",
            "metrics.loss > -1.5e3 AND attributes.status = 'RUNNING'",
            "tags.mlflow.parentRunId IS NULL",
            "params.x IS NOT NULL",
            "datasets.name = 'run_id'",
            "",
            "  ",
        ] {
            becomes(filter, filter);
        }
    }

    #[test]
    fn an_unknown_id_finds_nothing_rather_than_what_has_that_id_behind() {
        becomes("run_id = 'aaaa'", "run_id = 'not-in-this-workspace'");
        becomes("run_id IN ('job-1', '3')", "run_id IN ('aaaa', 'not-in-this-workspace')");
    }

    #[test]
    fn what_cannot_be_carried_over_is_refused() {
        for filter in [
            "run_id LIKE 'job-%'",
            "attributes.run_id ILIKE '%1'",
            "tags.mlflow.parentRunId LIKE 'job%'",
            "run_id > 'job-1'",
            "artifact_uri = 'azureml://x'",
            "run_id = 'job-1",
            "run_id = 'job-1' OR run_id = 'job-2'",
            "(run_id = 'job-1')",
        ] {
            is_refused(filter);
        }
    }

    #[test]
    fn mistakes_without_ids_are_left_to_the_server() {
        for filter in ["metrics.loss <", "params.x = 'a' OR params.x = 'b'", "params.x = 'a", "=", "a b c", "x = 'a' AND"] {
            becomes(filter, filter);
        }
    }
}
