//! Jobs: made by PUT, which may come twice, read, listed, ended, forgotten.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::call::Call;
use super::super::super::identity::guid;
use super::super::super::job::{Job, Status, is_name};
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::run::{self, pool::Scale};
use super::super::super::service::{SHOWN_STATUS, Service};
use super::operations;
use crate::support::azure::{AssetId, Scope};
use crate::support::clock;

/// How many jobs a page of a list has.
const PAGE: usize = 30;

pub(super) fn routes() -> Vec<Route> {
    let one = "{scope}/jobs/{name}";
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/jobs", |service, call| at_once(list(&service, &call)))
            .approximated("filters by type, tag and archive; no others"),
        Route::new(Plane::Arm, Method::GET, one, |service, call| at_once(get(&service, &call))),
        Route::new(Plane::Arm, Method::PUT, one, |service, call| Box::pin(put(service, call)))
            .approximated("command jobs; sweeps, pipelines, Spark and AutoML are refused"),
        Route::new(Plane::Arm, Method::DELETE, one, |service, call| at_once(delete(&service, &call))).approximated("done at once"),
        Route::new(Plane::Arm, Method::POST, "{scope}/jobs/{name}/cancel", |service, call| at_once(cancel(&service, &call)))
            .approximated("asks to be asked again after a second, where the service says ten and more"),
    ]
}

fn unknown(name: &str) -> Refusal {
    Refusal::missing(format!("Run {name} was not found."))
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let job = service.store.job(&call.scope(), call.part("name"))?.ok_or_else(|| unknown(call.part("name")))?;
    let mut shown = job.shown(&call.origin, &service.identity.tenant_id);
    if !call.part(SHOWN_STATUS).is_empty() {
        shown["properties"]["status"] = call.part(SHOWN_STATUS).into();
    }
    Ok(reply::json(StatusCode::OK, &shown))
}

fn list(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let view = call.asked("listViewType").unwrap_or("ActiveOnly");
    let fits = |job: &Job| {
        let archived = match view {
            "All" => true,
            "ArchivedOnly" => job.hidden,
            _ => !job.hidden,
        };
        let kind = call.asked("jobType").is_none_or(|kind| job.text("jobType").eq_ignore_ascii_case(kind));
        let tag = call.asked("tag").is_none_or(|tag| has_tag(job, tag));
        archived && kind && tag
    };
    let skip: usize = call.asked("$skip").and_then(|count| count.parse().ok()).unwrap_or_default();
    let found: Vec<Job> = service.store.jobs(&call.scope())?.into_iter().filter(fits).collect();
    let tenant = &service.identity.tenant_id;
    let page: Vec<Value> = found.iter().skip(skip).take(PAGE).map(|job| job.shown(&call.origin, tenant)).collect();
    let mut answer = json!({ "value": page });
    if skip + PAGE < found.len() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(call.query.iter().filter(|(name, _)| name != "$skip"));
        query.append_pair("$skip", &(skip + PAGE).to_string());
        answer["nextLink"] = format!("{}{}/jobs?{}", call.origin, call.scope(), query.finish()).into();
    }
    Ok(reply::json(StatusCode::OK, &answer))
}

/// Returns whether a job has a tag, which is asked for as `name` or `name=value`.
fn has_tag(job: &Job, tag: &str) -> bool {
    let (name, value) = tag.split_once('=').map_or((tag, None), |(name, value)| (name, Some(value)));
    job.properties["tags"].get(name).is_some_and(|found| value.is_none_or(|value| found.as_str() == Some(value)))
}

async fn put(service: Arc<Service>, mut call: Call) -> Result<Reply, Refusal> {
    let body = call.json().await?;
    let (scope, name) = (call.scope(), call.part("name").to_owned());
    let properties = &body["properties"];
    let tenant = service.identity.tenant_id.clone();
    // What it runs is fixed: only what describes it changes.
    let again = || service.store.change_job(&scope, &name, |job| update(job, properties));
    if let Some(changed) = again()? {
        return Ok(reply::json(StatusCode::OK, &changed.shown(&call.origin, &tenant)));
    }
    check(&service, &scope, &name, properties)?;
    let job = Job {
        experiment: properties["experimentName"].as_str().filter(|name| !name.is_empty()).unwrap_or("Default").to_owned(),
        scope: scope.clone(),
        name: name.clone(),
        uuid: guid(),
        properties: properties.clone(),
        status: Status::Starting,
        created_at: clock::now(),
        started_at: None,
        ended_at: None,
        error: None,
        cancelled: false,
        hidden: properties["isArchived"].as_bool().unwrap_or(false),
        warnings: Vec::new(),
        log_begins: std::collections::BTreeMap::new(),
    };
    // The job is its own MLflow run: it is there when the job is.
    run::open(&service, &job).await.map_err(|reason| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceError", reason))?;
    // A client that went away and came again while the run was made finds the job, and so does another client.
    if let Some(changed) = again()? {
        return Ok(reply::json(StatusCode::OK, &changed.shown(&call.origin, &tenant)));
    }
    service.store.put_job(&job)?;
    run::start(&service, &job);
    Ok(reply::json(StatusCode::CREATED, &job.shown(&call.origin, &tenant)))
}

/// Replaces tags, adds properties, and takes what else may change.
fn update(job: &mut Job, properties: &Value) {
    for field in ["displayName", "description", "tags"] {
        if let Some(value) = properties.get(field).filter(|value| !value.is_null()) {
            job.properties[field] = value.clone();
        }
    }
    if let Some(added) = properties["properties"].as_object() {
        if !job.properties["properties"].is_object() {
            job.properties["properties"] = json!({});
        }
        for (name, value) in added {
            if job.properties["properties"][name].is_null() {
                job.properties["properties"][name] = value.clone();
            }
        }
    }
    if let Some(archived) = properties["isArchived"].as_bool() {
        job.hidden = archived;
    }
}

/// Refuses a job that could not run.
fn check(service: &Service, scope: &Scope, name: &str, properties: &Value) -> Result<(), Refusal> {
    let text = |field: &str| properties[field].as_str().unwrap_or_default();
    if !is_name(name) {
        return Err(Refusal::user(format!("The job name '{name}' is not valid.")));
    }
    if text("jobType") != "Command" {
        return Err(Refusal::user(format!("this emulator runs command jobs, not jobs of the type '{}'", text("jobType"))));
    }
    if !text("command").chars().any(char::is_alphanumeric) {
        return Err(Refusal::user("The field command is required."));
    }
    let exists = |kind: &str, id: &str| -> Result<bool, Refusal> {
        let Ok(id) = id.parse::<AssetId>() else { return Ok(false) };
        Ok(id.collection.eq_ignore_ascii_case(kind) && service.store.get(scope, kind, &id.name, &id.version)?.is_some())
    };
    if !exists("environments", text("environmentId"))? {
        return Err(Refusal::user(format!("The environment '{}' was not found.", text("environmentId"))));
    }
    if !text("codeId").is_empty() && !exists("codes", text("codeId"))? {
        return Err(Refusal::user(format!("The code asset '{}' was not found.", text("codeId"))));
    }
    let nodes = properties["resources"]["instanceCount"].as_u64().unwrap_or(1);
    match text("computeId").rsplit('/').next().filter(|name| !name.is_empty()) {
        Some(name) => {
            let compute = service.store.get(scope, "computes", name, "")?;
            let compute = compute.ok_or_else(|| Refusal::user(format!("The compute '{name}' was not found.")))?;
            // A compute instance that is stopped has its node when it is started.
            let most = Scale::of(&compute.body).max.max(1);
            if nodes > most as u64 {
                return Err(Refusal::user(format!("The job wants {nodes} nodes, and the compute '{name}' has at most {most}.")));
            }
            Ok(())
        }
        None if properties["resources"]["instanceType"].as_str().is_none() => {
            Err(Refusal::user("A job without a compute needs `resources.instanceType`."))
        }
        _ => Ok(()),
    }
}

fn delete(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (scope, name) = (call.scope(), call.part("name"));
    match service.store.job(&scope, name)? {
        None => Ok(reply::empty(StatusCode::NO_CONTENT)),
        Some(job) if !job.status.is_terminal() => {
            Err(Refusal::new(StatusCode::CONFLICT, "Conflict", format!("Run {name} has not ended: cancel it first.")))
        }
        Some(_) => {
            service.store.delete_job(&scope, name)?;
            Ok(reply::empty(StatusCode::OK))
        }
    }
}

fn cancel(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let (scope, name) = (call.scope(), call.part("name"));
    let job = service.store.job(&scope, name)?.ok_or_else(|| unknown(name))?;
    if job.status.is_terminal() {
        return Ok(reply::empty(StatusCode::OK));
    }
    run::cancel(service, &job)?;
    let mut pending = reply::empty(StatusCode::ACCEPTED);
    let version = call.asked("api-version").unwrap_or_default();
    reply::set(&mut pending, "location", &operations::of_job(&call.origin, &scope, name, version));
    reply::set(&mut pending, "retry-after", "1");
    Ok(pending)
}
