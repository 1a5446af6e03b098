//! What the server behind answers, as Azure shows it: runs, experiments, logged models, the registry.

use serde_json::Value;

use super::filter::RUN_TAGS;
use super::ids::{Ids, Kind};
use super::job::MARK;
use super::rewrite::one_outward;
use super::{Asker, Error, source};

/// Rewrites the value of a tag that names a run. What no id belongs to is the user's text and stays.
pub(super) fn tag(value: &mut Value, translate: &mut dyn FnMut(&str) -> Result<Option<String>, Error>) -> Result<(), Error> {
    let names_a_run = value.get("key").and_then(Value::as_str).is_some_and(|key| RUN_TAGS.contains(&key));
    if let Some(text) = value.get_mut("value").filter(|_| names_a_run)
        && let Some(other) = translate(text.as_str().unwrap_or_default())?
    {
        *text = other.into();
    }
    Ok(())
}

/// Rewrites the values of the tags that name runs.
pub(super) fn tags(value: &mut Value, translate: &mut dyn FnMut(&str) -> Result<Option<String>, Error>) -> Result<(), Error> {
    value.as_array_mut().into_iter().flatten().try_for_each(|one| tag(one, translate))
}

/// Shows a run.
pub(super) fn run(value: &mut Value, ids: &Ids, asker: &Asker) -> Result<(), Error> {
    if let Some(of_it) = value.get_mut("info") {
        info(of_it, ids, asker)?;
    }
    if let Some(data) = value.get_mut("data") {
        if let Some(list) = data.get_mut("tags") {
            // The emulator's own mark is nobody's tag.
            list.as_array_mut().into_iter().for_each(|list| list.retain(|tag| tag.get("key").and_then(Value::as_str) != Some(MARK)));
            tags(list, &mut |id| ids.known(Kind::Run, id))?;
        }
        of_runs(data, "metrics", ids)?;
    }
    Ok(())
}

/// Shows the runs that the entries of a list name.
fn of_runs(value: &mut Value, list: &str, ids: &Ids) -> Result<(), Error> {
    for entry in value.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(id) = entry.get_mut("run_id") {
            one_outward(id, Kind::Run, ids)?;
        }
    }
    Ok(())
}

/// Shows what a run is, without what it has logged.
pub(super) fn info(value: &mut Value, ids: &Ids, asker: &Asker) -> Result<(), Error> {
    let experiment = value.get("experiment_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    for (key, kind) in [("run_id", Kind::Run), ("run_uuid", Kind::Run), ("experiment_id", Kind::Experiment)] {
        if let Some(id) = value.get_mut(key) {
            one_outward(id, kind, ids)?;
        }
    }
    let id = ["run_id", "run_uuid"].iter().find_map(|key| value.get(key)?.as_str()).unwrap_or_default();
    let name = ids.name(&experiment)?.unwrap_or_default();
    let uri = asker.artifact_uri(&name, id);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("artifact_uri".to_owned(), uri.into());
    }
    Ok(())
}

/// Shows an experiment, whose id the workspace has from now on.
pub(super) fn experiment(value: &mut Value, ids: &Ids) -> Result<(), Error> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if let (Some(inner), Some(behind)) = (text("experiment_id"), text("name")) {
        let name = ids.azure_name(Kind::ExperimentName, &behind)?;
        ids.note_name(&inner, &name)?;
        value["name"] = name.into();
    }
    if let Some(id) = value.get_mut("experiment_id") {
        one_outward(id, Kind::Experiment, ids)?;
    }
    if let Some(location) = value.get_mut("artifact_location") {
        // Azure's experiments have none: each of their runs has its own place.
        *location = "".into();
    }
    Ok(())
}

/// Shows a logged model, whose files are among the artifacts of the run that made it. One that no run made has a place of its own.
pub(super) fn model(value: &mut Value, ids: &Ids, asker: &Asker) -> Result<(), Error> {
    if let Some(data) = value.get_mut("data") {
        of_runs(data, "metrics", ids)?;
    }
    let Some(info) = value.get_mut("info") else { return Ok(()) };
    let text = |info: &Value, key: &str| info.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, name, experiment) = (text(info, "model_id"), text(info, "name"), text(info, "experiment_id"));
    ids.enter(Kind::Model, &id, &id)?;
    for (key, kind) in [("source_run_id", Kind::Run), ("experiment_id", Kind::Experiment)] {
        if let Some(of_it) = info.get_mut(key) {
            one_outward(of_it, kind, ids)?;
        }
    }
    let run = Some(text(info, "source_run_id")).filter(|run| !run.is_empty()).unwrap_or_else(|| id.clone());
    // Several models of a run may have one name, as checkpoints have: the first has the place that is called so. The others have one whose
    // name does not begin with it, since Azure's plug-in takes what does for a part of it.
    let place = format!("{run}/{name}");
    ids.enter(Kind::Place, &place, &id)?;
    let folder = if ids.inner(Kind::Place, &place)?.as_deref() == Some(&id) { name } else { id };
    let root = asker.artifact_uri(&ids.name(&experiment)?.unwrap_or_default(), &run);
    info["artifact_uri"] = format!("{root}/{folder}").into();
    Ok(())
}

/// Shows a version of a registered model.
pub(super) fn version(value: &mut Value, ids: &Ids, asker: &Asker) -> Result<(), Error> {
    of_runs(value, "model_metrics", ids)?;
    for place in ["/run_id", "/deployment_job_state/run_id"] {
        if let Some(run) = value.pointer_mut(place) {
            one_outward(run, Kind::Run, ids)?;
        }
    }
    if let Some(from) = value.get_mut("source") {
        source::outward(from, ids, asker)?;
    }
    name(value, ids)
}

/// Shows a registered model.
pub(super) fn registered(value: &mut Value, ids: &Ids, asker: &Asker) -> Result<(), Error> {
    for latest in value.get_mut("latest_versions").and_then(Value::as_array_mut).into_iter().flatten() {
        version(latest, ids, asker)?;
    }
    name(value, ids)
}

fn name(value: &mut Value, ids: &Ids) -> Result<(), Error> {
    if let Some(name) = value.get_mut("name")
        && let Some(shown) = ids.known(Kind::RegisteredModel, name.as_str().unwrap_or_default())?
    {
        *name = shown.into();
    }
    Ok(())
}
