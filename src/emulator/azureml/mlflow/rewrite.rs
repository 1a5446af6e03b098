//! Ids in requests and answers: exactly the typed fields that a route names are rewritten, inward to what the server behind has given, outward
//! to what Azure's clients see.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::filter::{self, Rewritten};
use super::ids::{Ids, Kind};
use super::{Asker, Error, shown, source};

/// What a field of a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The id of an MLflow run.
    RunId,
    /// The id of an experiment.
    ExperimentId,
    /// A search filter.
    Filter,
    /// A search filter of things that have names of this kind.
    NameFilter(Kind),
    /// The name of something of this kind.
    Name(Kind),
    /// The name that something of this kind is to have.
    NewName(Kind),
    /// A list of `{key, value}`, of which some name runs.
    Tags,
    /// One `{key, value}`.
    Tag,
    /// MLflow's `RunInfo`.
    Info,
    /// MLflow's `Run`.
    Run,
    /// MLflow's `Experiment`.
    Experiment,
    /// The id of a logged model.
    ModelId,
    /// MLflow's `LoggedModel`.
    Model,
    /// Where a version of a registered model comes from.
    Source,
    /// MLflow's `ModelVersion`.
    ModelVersion,
    /// MLflow's `RegisteredModel`.
    RegisteredModel,
    /// What Azure decides by itself: nothing may stand here.
    Decided,
}

/// A field of a message: the path that leads to it (`runs[].info`; empty is the message itself), and what it is.
pub(super) type Typed = (&'static str, Shape);

/// Why a request is not asked behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The workspace has no such thing.
    Unknown {
        /// What it is.
        kind: Kind,
        /// Its id, as it was given.
        id: String,
    },
    /// The request wants what cannot be had, for this reason.
    Unsupported(String),
}

/// Puts the ids of the server behind into a request; `Some` when that cannot be.
pub(super) fn inward(body: &mut Value, fields: &[Typed], ids: &Ids) -> Result<Option<Refusal>, Error> {
    for (path, shape) in fields {
        let refusal = visit(body, path, &mut |value| match shape {
            Shape::RunId => one_inward(value, Kind::Run, ids),
            Shape::ExperimentId => one_inward(value, Kind::Experiment, ids),
            Shape::ModelId => one_inward(value, Kind::Model, ids),
            Shape::Filter => filter_inward(value, None, ids),
            Shape::NameFilter(kind) => filter_inward(value, Some(*kind), ids),
            Shape::Name(kind) => name_inward(value, *kind, ids),
            Shape::NewName(kind) => new_name_inward(value, *kind, ids),
            Shape::Source => source::inward(value, ids),
            Shape::Tag => shown::tag(value, &mut |id| ids.inner(Kind::Run, id)).map(|()| None),
            Shape::Tags => shown::tags(value, &mut |id| ids.inner(Kind::Run, id)).map(|()| None),
            Shape::Decided if is_blank(value) => Ok(None),
            Shape::Decided => Ok(Some(Refusal::Unsupported(format!("`{path}` is Azure's to decide")))),
            Shape::Info | Shape::Run | Shape::Experiment | Shape::Model | Shape::ModelVersion | Shape::RegisteredModel => Ok(None),
        })?;
        if refusal.is_some() {
            return Ok(refusal);
        }
    }
    Ok(None)
}

/// Puts Azure's ids into an answer.
///
/// The names of the experiments whose runs it shows must be noted before: see [`experiments`].
pub(super) fn outward(body: &mut Value, fields: &[Typed], ids: &Ids, asker: &Asker) -> Result<(), Error> {
    for (path, shape) in fields {
        let done: Option<()> = visit(body, path, &mut |value| {
            match shape {
                Shape::RunId => one_outward(value, Kind::Run, ids)?,
                Shape::ExperimentId => one_outward(value, Kind::Experiment, ids)?,
                Shape::Info => shown::info(value, ids, asker)?,
                Shape::Run => shown::run(value, ids, asker)?,
                Shape::Experiment => shown::experiment(value, ids)?,
                Shape::Model => shown::model(value, ids, asker)?,
                Shape::ModelVersion => shown::version(value, ids, asker)?,
                Shape::RegisteredModel => shown::registered(value, ids, asker)?,
                Shape::Source => source::outward(value, ids, asker)?,
                Shape::Tags => shown::tags(value, &mut |id| ids.known(Kind::Run, id))?,
                Shape::ModelId
                | Shape::Tag
                | Shape::Filter
                | Shape::NameFilter(_)
                | Shape::Name(_)
                | Shape::NewName(_)
                | Shape::Decided => {}
            }
            Ok(None)
        })?;
        debug_assert!(done.is_none());
    }
    Ok(())
}

/// Takes what belongs to other workspaces out of an answer's lists; `Some` when the answer is one such thing.
///
/// A list shows what the workspace has made or used; what is asked for by its name may also be something that nobody has used yet.
pub(super) fn hide(body: &mut Value, fields: &[Typed], ids: &Ids) -> Result<Option<Refusal>, Error> {
    for (path, shape) in fields {
        let (kind, key, named) = match shape {
            Shape::Experiment => (Kind::Experiment, "experiment_id", Kind::ExperimentName),
            Shape::ModelVersion | Shape::RegisteredModel => (Kind::RegisteredModel, "name", Kind::RegisteredModel),
            _ => continue,
        };
        let id_of = |value: &Value| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(items) = path.strip_suffix("[]").and_then(|path| body.get_mut(path)).and_then(Value::as_array_mut) {
            let mut kept = Vec::new();
            for item in items.drain(..) {
                if ids.known(kind, &id_of(&item))?.is_some() {
                    kept.push(item);
                }
            }
            *items = kept;
        } else if let Some(one) = body.get(*path)
            && ids.is_foreign(kind, &id_of(one))?
        {
            let id = one.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Ok(Some(Refusal::Unknown { kind: named, id }));
        }
    }
    Ok(None)
}

/// Returns the experiments, by their ids behind, whose runs an answer shows: their names are part of the runs' artifact URIs.
pub(super) fn experiments(body: &mut Value, fields: &[Typed]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, shape) in fields {
        let _ = visit::<()>(body, path, &mut |value| {
            let info = match shape {
                Shape::Info => Some(&*value),
                Shape::Run | Shape::Model => value.get("info"),
                _ => None,
            };
            found.extend(info.and_then(|info| Some(info.get("experiment_id")?.as_str()?.to_owned())));
            Ok(None)
        });
    }
    found
}

/// Gives the top-level fields of a request the names that MLflow's messages have: JSON of protocol buffers may be written in camel case.
pub(super) fn canonical(body: Map<String, Value>) -> Map<String, Value> {
    body.into_iter()
        .map(|(key, value)| {
            let snake = key.chars().fold(String::new(), |mut snake, character| {
                if character.is_ascii_uppercase() {
                    snake.push('_');
                }
                snake.push(character.to_ascii_lowercase());
                snake
            });
            (snake, value)
        })
        .collect()
}

/// Calls an act with every value that a path leads to, until one gives an answer.
fn visit<T>(value: &mut Value, path: &str, act: &mut dyn FnMut(&mut Value) -> Result<Option<T>, Error>) -> Result<Option<T>, Error> {
    if path.is_empty() {
        return act(value);
    }
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let Some(found) = value.get_mut(first.trim_end_matches("[]")) else { return Ok(None) };
    if !first.ends_with("[]") {
        return visit(found, rest, act);
    }
    for item in found.as_array_mut().into_iter().flatten() {
        if let Some(answer) = visit(item, rest, act)? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn one_inward(value: &mut Value, kind: Kind, ids: &Ids) -> Result<Option<Refusal>, Error> {
    if is_blank(value) {
        return Ok(None);
    }
    let id = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match ids.inner(kind, &id)? {
        Some(inner) => *value = inner.into(),
        None => return Ok(Some(Refusal::Unknown { kind, id })),
    }
    Ok(None)
}

/// Puts Azure's id in the place of one of the server's; what it has not yet gets one.
pub(super) fn one_outward(value: &mut Value, kind: Kind, ids: &Ids) -> Result<(), Error> {
    if let Some(inner) = value.as_str().filter(|inner| !inner.is_empty()) {
        *value = ids.azure(kind, inner)?.into();
    }
    Ok(())
}

fn name_inward(value: &mut Value, kind: Kind, ids: &Ids) -> Result<Option<Refusal>, Error> {
    let Some(name) = value.as_str().filter(|name| !name.is_empty()).map(str::to_owned) else { return Ok(None) };
    match ids.inner(kind, &name)? {
        Some(inner) => *value = inner.into(),
        // An experiment may be there without having been used in a workspace yet.
        None if kind == Kind::ExperimentName && !ids.is_foreign(kind, &name)? => {}
        None => return Ok(Some(Refusal::Unknown { kind, id: name })),
    }
    Ok(None)
}

fn new_name_inward(value: &mut Value, kind: Kind, ids: &Ids) -> Result<Option<Refusal>, Error> {
    if let Some(name) = value.as_str().filter(|name| !name.is_empty()) {
        *value = ids.new_name(kind, name)?.into();
    }
    Ok(None)
}

fn filter_inward(value: &mut Value, names: Option<Kind>, ids: &Ids) -> Result<Option<Refusal>, Error> {
    let Some(text) = value.as_str() else { return Ok(None) };
    match filter::rewrite(text, names, ids)? {
        Rewritten::Filter(text) => *value = text.into(),
        Rewritten::Refused(reason) => return Ok(Some(Refusal::Unsupported(reason))),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::emulator::azureml::mlflow::ids::tests::{map, workspace};
    use crate::emulator::azureml::mlflow::job::MARK;

    fn ids() -> Ids {
        let ids = map();
        ids.enter(Kind::Run, "job-1", "aaaa").expect("written");
        ids.enter(Kind::Run, "job-2", "bbbb").expect("written");
        ids.enter(Kind::Experiment, "9a-guid", "3").expect("written");
        ids.note_name("3", "iris 100%").expect("written");
        ids
    }

    fn asker() -> Asker {
        Asker { host: "127.0.0.1:4433".to_owned(), scope: workspace("w") }
    }

    #[test]
    fn requests_get_the_ids_behind_in_their_typed_fields_only() {
        let mut body =
            json!({ "run_id": "job-1", "run_uuid": "job-1", "key": "job-1", "metrics": [{ "run_id": "job-2", "key": "job-2" }] });
        let fields = [("run_id", Shape::RunId), ("run_uuid", Shape::RunId), ("metrics[].run_id", Shape::RunId)];
        assert_eq!(inward(&mut body, &fields, &ids()).expect("read"), None);
        let expected = json!({ "run_id": "aaaa", "run_uuid": "aaaa", "key": "job-1", "metrics": [{ "run_id": "bbbb", "key": "job-2" }] });
        assert_eq!(body, expected);
    }

    #[test]
    fn tags_that_name_runs_go_both_ways_and_others_stay() {
        let tags = json!([{ "key": "mlflow.parentRunId", "value": "job-1" }, { "key": "note", "value": "job-1" }]);
        let mut body = json!({ "tags": tags });
        let fields = [("tags", Shape::Tags)];
        assert_eq!(inward(&mut body, &fields, &ids()).expect("read"), None);
        assert_eq!(body["tags"][0]["value"], "aaaa");
        assert_eq!(body["tags"][1]["value"], "job-1");
        outward(&mut body, &fields, &ids(), &asker()).expect("read");
        assert_eq!(body, json!({ "tags": tags }));
        let mut one = json!({ "key": "mlflow.parentRunId", "value": "nobody" });
        assert_eq!(inward(&mut one, &[("", Shape::Tag)], &ids()).expect("read"), None);
        assert_eq!(one["value"], "nobody");
    }

    #[test]
    fn an_unknown_id_is_refused_also_when_it_is_one_of_those_behind() {
        for (id, kind, shape) in [("aaaa", Kind::Run, Shape::RunId), ("3", Kind::Experiment, Shape::ExperimentId)] {
            let refusal = inward(&mut json!({ "id": [id] }), &[("id[]", shape)], &ids()).expect("read");
            assert_eq!(refusal, Some(Refusal::Unknown { kind, id: id.to_owned() }));
        }
    }

    #[test]
    fn absent_and_empty_ids_are_left_to_the_server() {
        let mut body = json!({ "run_id": "", "experiment_ids": [], "run_uuid": null });
        let fields =
            [("run_id", Shape::RunId), ("experiment_ids[]", Shape::ExperimentId), ("run_uuid", Shape::RunId), ("none", Shape::RunId)];
        assert_eq!(inward(&mut body, &fields, &ids()).expect("read"), None);
    }

    #[test]
    fn a_run_is_shown_as_azure_shows_it() {
        let mut body = json!({ "run": {
            "info": { "run_id": "aaaa", "run_uuid": "aaaa", "experiment_id": "3", "artifact_uri": "mlflow-artifacts:/3/aaaa/artifacts", "run_name": "3" },
            "data": { "tags": [{ "key": MARK, "value": "x" }, { "key": "mlflow.parentRunId", "value": "bbbb" }], "metrics": [{ "key": "aaaa", "value": 3, "run_id": "aaaa" }] },
        } });
        let fields = [("run", Shape::Run)];
        assert_eq!(experiments(&mut body, &fields), BTreeSet::from(["3".to_owned()]));
        outward(&mut body, &fields, &ids(), &asker()).expect("read");
        let uri = "azureml://127.0.0.1:4433/artifact/v2.0/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/experiments/iris 100%25/runs/job-1/artifacts";
        let expected = json!({ "run": {
            "info": { "run_id": "job-1", "run_uuid": "job-1", "experiment_id": "9a-guid", "artifact_uri": uri, "run_name": "3" },
            "data": { "tags": [{ "key": "mlflow.parentRunId", "value": "job-2" }], "metrics": [{ "key": "aaaa", "value": 3, "run_id": "job-1" }] },
        } });
        assert_eq!(body, expected);
    }

    #[test]
    fn an_experiment_gets_a_guid_when_it_is_first_shown_and_keeps_it() {
        let ids = ids();
        let show = || {
            let mut body =
                json!({ "experiments": [{ "experiment_id": "0", "name": "Default", "artifact_location": "mlflow-artifacts:/0" }] });
            outward(&mut body, &[("experiments[]", Shape::Experiment)], &ids, &asker()).expect("read");
            body["experiments"][0].clone()
        };
        let shown = show();
        assert_eq!(shown["artifact_location"], "");
        assert_eq!(shown["experiment_id"].as_str().map(str::len), Some(36));
        assert_eq!(show(), shown);
        assert_eq!(ids.name("0").expect("read").as_deref(), Some("Default"));
    }

    #[test]
    fn what_azure_decides_is_refused_when_it_is_given() {
        let fields = [("artifact_location", Shape::Decided)];
        for (body, refused) in
            [(json!({ "artifact_location": "s3://b" }), true), (json!({ "artifact_location": "" }), false), (json!({}), false)]
        {
            assert_eq!(inward(&mut body.clone(), &fields, &ids()).expect("read").is_some(), refused, "{body}");
        }
    }

    #[test]
    fn camel_case_is_read_as_the_same_fields() {
        let Value::Object(body) = json!({ "runId": "job-1", "experimentIds": ["9a-guid"], "max_results": 1 }) else {
            unreachable!("it is an object")
        };
        let keys: Vec<String> = canonical(body).into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["run_id", "experiment_ids", "max_results"]);
    }
}
