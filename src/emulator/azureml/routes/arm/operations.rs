//! Acts that take a while, asked after by an address that the act's answer gave.

use hyper::{Method, StatusCode};

use super::super::super::call::Call;
use super::super::super::reply::{self, Refusal, Reply};
use super::super::super::route::{Plane, Route, at_once};
use super::super::super::service::{LOCATION, Service};
use crate::support::azure::Scope;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::new(Plane::Arm, Method::GET, "{scope}/locations/{location}/mfeOperationResults/{operation}", |service, call| {
            at_once(get(&service, &call))
        })
        .approximated("below the workspace, where the service has it below the subscription"),
    ]
}

/// Returns the address at which the end of a job is asked after.
pub(super) fn of_job(origin: &str, scope: &Scope, job: &str, version: &str) -> String {
    format!("{origin}{scope}/locations/{LOCATION}/mfeOperationResults/jc:{job}?api-version={version}")
}

fn get(service: &Service, call: &Call) -> Result<Reply, Refusal> {
    let unknown = || Refusal::missing("The operation was not found.");
    let job = call.part("operation").strip_prefix("jc:").ok_or_else(unknown)?;
    let job = service.store.job(&call.scope(), job)?.ok_or_else(unknown)?;
    if job.status.is_terminal() {
        return Ok(reply::empty(StatusCode::OK));
    }
    let mut pending = reply::empty(StatusCode::ACCEPTED);
    let version = call.asked("api-version").unwrap_or_default();
    reply::set(&mut pending, "location", &of_job(&call.origin, &job.scope, &job.name, version));
    reply::set(&mut pending, "retry-after", "1");
    Ok(pending)
}
