//! Run history: what became of a run, its logs and its artifacts.

mod artifacts;
mod details;
mod runs;

use super::super::call::Call;
use super::super::job::Job;
use super::super::reply::Refusal;
use super::super::route::Route;
use super::super::service::Service;

pub(super) fn routes() -> Vec<Route> {
    [details::routes(), runs::routes(), artifacts::routes()].into_iter().flatten().collect()
}

/// Returns the job that is the run which the path names.
fn job_of(service: &Service, call: &Call) -> Result<Job, Refusal> {
    let run = call.part("run");
    let found = service.store.job(&call.scope(), run)?;
    found.ok_or_else(|| Refusal::missing(format!("Run {run} was not found.")))
}
