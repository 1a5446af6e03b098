//! Removes what a job has on its engine.

use crate::engine::{Engine, Removal};
use crate::job::attempt::Attempt;
use crate::target::Error;

use super::marks;

/// Removes the container of an attempt whose outcome, log and outputs are kept; what could not be collected stays.
pub(super) async fn container(engine: &Engine, attempt: &Attempt) -> Result<(), Error> {
    if let Some(id) = marks::container(attempt)
        && !marks::is_kept(attempt)
    {
        engine.remove(&id, Removal::Forced).await?;
        marks::forget(attempt);
    }
    Ok(())
}
