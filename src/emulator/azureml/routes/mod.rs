//! The routes, by plane.

mod aad;
pub(super) mod arm;
mod blob;
mod history;
pub(super) mod mlflow;

use super::route::Route;

/// Returns all routes.
pub(super) fn table() -> Vec<Route> {
    [aad::routes(), arm::routes(), history::routes(), mlflow::routes(), blob::routes()].into_iter().flatten().collect()
}
