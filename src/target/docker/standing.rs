//! How far an attempt has come on its engine, for whoever comes after a supervisor that died.

use crate::engine::{Container, Engine};
use crate::job::attempt::Attempt;
use crate::target::Error;

use super::{marks, place};

/// What the engine has of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// No container, or one that was never started: nothing of the job has run.
    Unbegun,
    /// A container that has been started.
    Begun,
    /// No container any more, and there was one.
    Gone,
}

/// Asks the engine of an attempt.
pub(super) async fn of(attempt: &Attempt) -> Result<Standing, Error> {
    on(&Engine::connect(&marks::endpoint(attempt)?).await?, attempt).await
}

/// Asks the engine, and remembers a container whose maker died before it could.
pub(super) async fn on(engine: &Engine, attempt: &Attempt) -> Result<Standing, Error> {
    let found = match marks::container(attempt) {
        Some(id) => match engine.inspect(&id).await? {
            Some(found) => found,
            // Removed by hand, or by a clean-up of what does not run. Whether it had run nobody knows any more.
            None => return Ok(Standing::Gone),
        },
        None => match unremembered(engine, attempt).await? {
            Some(found) => found,
            None => return Ok(Standing::Unbegun),
        },
    };
    Ok(if found.has_run() { Standing::Begun } else { Standing::Unbegun })
}

async fn unremembered(engine: &Engine, attempt: &Attempt) -> Result<Option<Container>, Error> {
    let Some(spec) = attempt.spec()? else { return Ok(None) };
    let wanted = place::labels(&spec, &marks::owner(attempt));
    let found = engine.inspect(&place::name(&spec.id, spec.attempt)).await?;
    let found = found.filter(|found| wanted.iter().all(|(label, value)| found.labels.get(label) == Some(value)));
    if let Some(found) = &found {
        marks::remember(attempt, &found.id)?;
    }
    Ok(found)
}
