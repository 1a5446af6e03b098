//! Keys of jobs that a service runs: what it does not honour is refused there, and what only it does is refused elsewhere. None is accepted
//! and ignored.

use super::files::is_address;
use crate::config::document::{self, InputValue};
use crate::config::{Origin, Sourced};
use crate::environment::is_named;
use crate::job::{Asked, Identity, JobService, ServiceKind};
use crate::support::words;
use crate::support::yaml::{Context, Map, Place, Text};
use crate::target::config::{TargetConfig, TargetSpec, hosted};
use crate::tracking::Attach;

/// Tags that the service sets by itself.
const SET_THERE: [&str; 3] = ["mlflow.user", "mlflow.source.name", "mlflow.source.type"];
const NO_RELAY: &str = "the job speaks to its workspace itself, and no relay of ours is beside it";
const NO_IMAGE_OF_OURS: &str = "the service builds the environment, and no image is made here";

fn is_hosted(target: Option<&TargetSpec>) -> bool {
    target.is_some_and(|target| matches!(target.config, TargetConfig::AzureMl(_)))
}

/// Returns what is asked that only a service does; finds keys that the target does not honour.
pub(super) fn check(document: &document::RunConfig, target: Option<&TargetSpec>, max_jobs: Option<&Place>, context: &Context) -> Asked {
    let description = document.description.as_ref().map(|text| text.text.trim().to_owned()).filter(|text| !text.is_empty());
    if !is_hosted(target) {
        only_there(document, target, context);
        return Asked { description, ..Asked::default() };
    }
    not_there(document, max_jobs, context);
    let queue = document.queue_settings.as_ref();
    let asked = Asked {
        description,
        distribution: document.distribution.as_ref().and_then(|section| distribution(section, context)),
        identity: document.identity.as_ref().and_then(|section| identity(section, context)),
        services: services(document.services.as_ref(), context),
        tier: queue.and_then(|queue| queue.job_tier.as_ref()).map(|tier| tier.value),
        priority: queue.and_then(|queue| queue.priority.as_ref()).map(|priority| priority.value),
        properties: super::pairs(document.properties.as_ref()),
    };
    if target.is_some_and(|target| target.emulated) {
        let absent = [("identity", asked.identity.is_some()), ("services", !asked.services.is_empty())];
        for (key, _) in absent.into_iter().filter(|(_, is_asked)| *is_asked) {
            context.note(format!("the emulation takes `{key}` and does nothing about it"));
        }
    }
    asked
}

/// Finds what a service does not honour.
fn not_there(document: &document::RunConfig, max_jobs: Option<&Place>, context: &Context) {
    let tracking = document.tracking.as_ref();
    let environment = document.environment.as_ref();
    let attach = tracking.and_then(|section| section.attach.as_ref()).filter(|attach| attach.value == Attach::Parent);
    let found = [
        ("grace", document.grace.as_ref().map(|key| &key.place), "the service itself decides how long a job has to end"),
        ("compute_target.max_jobs", max_jobs, "the compute has a queue of its own, and as many nodes as it was given"),
        ("tracking.relay", tracking.and_then(|section| section.relay.as_ref()).map(|key| &key.place), NO_RELAY),
        ("tracking.outage", tracking.and_then(|section| section.outage.as_ref()).map(|key| &key.place), NO_RELAY),
        ("tracking.drain", tracking.and_then(|section| section.drain.as_ref()).map(|key| &key.place), NO_RELAY),
        ("tracking.spool_size", tracking.and_then(|section| section.spool_size.as_ref()).map(|key| &key.place), NO_RELAY),
        (
            "tracking.attach",
            attach.map(|key| &key.place),
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
    for (name, path) in paths(document) {
        if let Some(there) = path.text.strip_prefix("target:").filter(|there| !is_address(there)) {
            let fix = "name a place of a datastore: `azureml://datastores/workspaceblobstore/paths/data/`".to_owned();
            let reason = "the machines of Azure ML are new for every job";
            context.find(&path.place, format!("the input `{name}` cannot be at `{there}` of the target"), reason, Some(fix));
        }
    }
    for (name, document::Output(file)) in document.outputs.iter().flat_map(|map| &map.entries) {
        if let Some(path) = file.path.as_ref().filter(|path| !is_address(&path.text)) {
            let fix = "write it like `azureml://datastores/workspaceblobstore/paths/models/`".to_owned();
            context.find(&path.place, format!("the output `{}` cannot go to `{}`", name.text, path.text), "not an address", Some(fix));
        }
        if let (Some(version), None) = (&file.version, &file.name) {
            let fix = "add `name:`".to_owned();
            context.find(
                &version.place,
                format!("`outputs.{}.version` has no name", name.text),
                "only what is registered has one",
                Some(fix),
            );
        }
    }
}

/// Finds what only a service does.
fn only_there(document: &document::RunConfig, target: Option<&TargetSpec>, context: &Context) {
    let Some(target) = target else { return };
    let refuse = |key: &str, place: &Place| {
        let reason = format!("`{}` is of the kind `{}`", target.name, target.config.kind().word());
        let fix = Some(format!("remove `{key}`, or choose a target of the kind `azureml`"));
        context.find(place, format!("only Azure ML honours `{key}`"), reason, fix);
    };
    let first = |section: &hosted::Distribution| {
        section.r#type.as_ref().map(|key| key.place.clone()).or_else(|| section.written().first().map(|(_, place)| (*place).clone()))
    };
    let queue = document.queue_settings.as_ref();
    let sections = [
        ("distribution", document.distribution.as_ref().and_then(first)),
        ("identity", document.identity.as_ref().and_then(identity_place).cloned()),
        ("services", document.services.as_ref().filter(|map| !map.entries.is_empty()).map(|map| map.place.clone())),
        ("queue_settings.job_tier", queue.and_then(|queue| queue.job_tier.as_ref()).map(|key| key.place.clone())),
        ("queue_settings.priority", queue.and_then(|queue| queue.priority.as_ref()).map(|key| key.place.clone())),
        ("properties", document.properties.as_ref().filter(|map| !map.entries.is_empty()).map(|map| map.place.clone())),
    ];
    for (key, place) in sections {
        if let Some(place) = place {
            refuse(key, &place);
        }
    }
    if let Some(image) = document.environment.as_ref().and_then(|section| section.image.as_ref()).filter(|image| is_named(&image.text)) {
        let reason = format!("`{}` is of the kind `{}`", target.name, target.config.kind().word());
        context.find(&image.place, format!("`{}` is an environment of a workspace", image.text), reason, Some("name an image".to_owned()));
    }
    for (name, value) in document.inputs.iter().flat_map(|map| &map.entries) {
        let InputValue::File(file) = value else { continue };
        if let Some(kind) = file.r#type.as_ref().filter(|kind| !kind.value.is_plain()) {
            refuse(&format!("inputs.{}.type: {}", name.text, kind.value.word()), &kind.place);
        }
        if let Some(mode) = &file.mode {
            refuse(&format!("inputs.{}.mode", name.text), &mode.place);
        }
        if let Some(path) = file.path.as_ref().filter(|path| is_address(path.text.strip_prefix("target:").unwrap_or(&path.text))) {
            let fix = "name a path of this machine, or of the target: `target:/scratch/x`".to_owned();
            let message = format!("the input `{}` is an address, which only jobs on Azure ML can read", name.text);
            context.find(&path.place, message, format!("`{}` is of the kind `{}`", target.name, target.config.kind().word()), Some(fix));
        }
    }
    for (name, document::Output(file)) in document.outputs.iter().flat_map(|map| &map.entries) {
        let keys = [
            ("type", file.r#type.as_ref().filter(|kind| !kind.value.is_plain()).map(|key| &key.place)),
            ("mode", file.mode.as_ref().map(|key| &key.place)),
            ("path", file.path.as_ref().map(|key| &key.place)),
            ("name", file.name.as_ref().map(|key| &key.place)),
            ("version", file.version.as_ref().map(|key| &key.place)),
        ];
        for (key, place) in keys {
            if let Some(place) = place {
                refuse(&format!("outputs.{}.{key}", name.text), place);
            }
        }
    }
}

/// Returns the paths of inputs, each with the input's name.
fn paths(document: &document::RunConfig) -> impl Iterator<Item = (&str, &Text)> {
    document.inputs.iter().flat_map(|map| &map.entries).filter_map(|(name, value)| match value {
        InputValue::File(file) => Some((name.text.as_str(), file.path.as_ref()?)),
        InputValue::Literal(_) => None,
    })
}

fn distribution(section: &hosted::Distribution, context: &Context) -> Option<crate::job::Distribution> {
    let written = section.written();
    let Some(kind) = &section.r#type else {
        if let Some((_, place)) = written.first() {
            let fix = "write `distribution: {type: pytorch}`, say".to_owned();
            context.find(place, "`distribution` has no `type`", "it says how the processes are told of each other", Some(fix));
        }
        return None;
    };
    for (key, place) in written {
        if !kind.value.keys().contains(&key) {
            let reason = format!("it has {}", words::all_of(kind.value.keys()));
            context.find(place, format!("a distribution of the type `{}` has no `{key}`", kind.text.trim()), reason, None);
        }
    }
    section.asked()
}

fn identity_place(section: &hosted::Identity) -> Option<&Place> {
    let ids = [&section.client_id, &section.object_id, &section.msi_resource_id];
    section.r#type.as_ref().map(|key| &key.place).or_else(|| ids.into_iter().flatten().map(|text| &text.place).next())
}

fn identity(section: &hosted::Identity, context: &Context) -> Option<Identity> {
    let asked = section.asked();
    let ids = [&section.client_id, &section.object_id, &section.msi_resource_id];
    let id = ids.into_iter().flatten().next();
    if let Some(text) = id.filter(|_| !matches!(asked, Some(Identity::Managed { .. }))) {
        let fix = "write `type: managed`, or remove the id".to_owned();
        context.find(&text.place, "only a `managed` identity has an id", "the others need none", Some(fix));
    }
    asked
}

fn services(map: Option<&Map<hosted::JobService>>, context: &Context) -> Vec<(String, JobService)> {
    let mut found = Vec::new();
    for (name, section) in map.iter().flat_map(|map| &map.entries) {
        let Some(service) = section.asked() else {
            let fix = format!("write `{}: {{type: jupyter_lab}}`, say", name.text);
            context.find(&name.place, format!("the service `{}` has no `type`", name.text), "it says what is started", Some(fix));
            continue;
        };
        let owned =
            [("ssh_public_keys", &section.ssh_public_keys, ServiceKind::Ssh), ("log_dir", &section.log_dir, ServiceKind::TensorBoard)];
        for (key, text, kind) in owned {
            if let Some(text) = text.as_ref().filter(|_| service.kind != kind) {
                let reason = format!("this one is a `{}`", service.kind.word());
                context.find(&text.place, format!("`{key}` is for a service of the type `{}`", kind.word()), reason, None);
            }
        }
        if service.kind == ServiceKind::Custom && service.port.is_none() {
            let fix = "add `port:`".to_owned();
            context.find(&name.place, format!("the service `{}` has no `port`", name.text), "a `custom` one needs it", Some(fix));
        }
        found.push((name.text.clone(), service));
    }
    found
}

/// Says of a default for all targets that this one has its own.
pub(super) fn note_grace(grace: &Sourced<std::time::Duration>, target: Option<&TargetSpec>, context: &Context) {
    if is_hosted(target) && matches!(grace.origin, Origin::ProjectSettings { .. } | Origin::UserSettings { .. }) {
        context.note(format!("`grace` of {} is not for this target: the service itself decides how long a job has to end", grace.origin));
    }
}
