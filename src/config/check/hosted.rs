//! Keys that mean nothing where a service runs the job: each is refused, never accepted and ignored.

use crate::config::{Origin, Sourced, document};
use crate::support::yaml::{Context, Place};
use crate::target::config::{TargetConfig, TargetSpec};

/// Tags that the service sets by itself.
const SET_THERE: [&str; 3] = ["mlflow.user", "mlflow.source.name", "mlflow.source.type"];
const NO_RELAY: &str = "the job speaks to its workspace itself, and no relay of ours is beside it";
const NO_IMAGE_OF_OURS: &str = "the service builds the environment, and no image is made here";

/// Finds the keys that a service does not honour.
pub(super) fn check(document: &document::RunConfig, target: Option<&TargetSpec>, max_jobs: Option<&Place>, context: &Context) {
    if !target.is_some_and(|target| matches!(target.config, TargetConfig::AzureMl(_))) {
        return;
    }
    let tracking = document.tracking.as_ref();
    let environment = document.environment.as_ref();
    let found = [
        ("grace", document.grace.as_ref().map(|key| &key.place), "the service itself decides how long a job has to end"),
        ("compute_target.max_jobs", max_jobs, "the compute has a queue of its own, and as many nodes as it was given"),
        ("tracking.relay", tracking.and_then(|section| section.relay.as_ref()).map(|key| &key.place), NO_RELAY),
        ("tracking.outage", tracking.and_then(|section| section.outage.as_ref()).map(|key| &key.place), NO_RELAY),
        ("tracking.drain", tracking.and_then(|section| section.drain.as_ref()).map(|key| &key.place), NO_RELAY),
        ("tracking.spool_size", tracking.and_then(|section| section.spool_size.as_ref()).map(|key| &key.place), NO_RELAY),
        (
            "tracking.attach",
            tracking
                .and_then(|section| section.attach.as_ref())
                .filter(|attach| attach.value == crate::tracking::Attach::Parent)
                .map(|key| &key.place),
            "the job is an MLflow run of the service's, and that is the one that a script resumes",
        ),
        ("environment.push", environment.and_then(|section| section.push.as_ref()).map(|key| &key.place), NO_IMAGE_OF_OURS),
    ];
    for (key, place, reason) in found {
        if let Some(place) = place {
            let fix = format!("remove `{key}`, or choose another target");
            context.find(place, format!("Azure ML does not honour `{key}`"), reason, Some(fix));
        }
    }
    for (name, _) in document.tags.iter().flat_map(|map| &map.entries) {
        if SET_THERE.contains(&name.text.as_str()) {
            let fix = "choose another name".to_owned();
            context.find(&name.place, format!("`{}` cannot name a tag", name.text), "the workspace sets it by itself", Some(fix));
        }
    }
}

/// Says of a default for all targets that this one has its own.
pub(super) fn note_grace(grace: &Sourced<std::time::Duration>, target: Option<&TargetSpec>, context: &Context) {
    let hosted = target.is_some_and(|target| matches!(target.config, TargetConfig::AzureMl(_)));
    if hosted && matches!(grace.origin, Origin::ProjectSettings { .. } | Origin::UserSettings { .. }) {
        context.note(format!("`grace` of {} is not for this target: the service itself decides how long a job has to end", grace.origin));
    }
}
