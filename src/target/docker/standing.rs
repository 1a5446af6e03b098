//! How far an attempt has come on its engine, for whoever comes after a supervisor that died.

use crate::engine::{Container, Engine};
use crate::job::JobSpec;
use crate::job::attempt::Attempt;
use crate::support::fs;
use crate::target::Error;

use super::nodes::{self, Node};
use super::{marks, place};

/// What the engine has of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// A node without a container, or with one that was never started: nothing of the job has run, since none of its nodes does anything
    /// before all are started.
    Unbegun,
    /// Containers that have been started.
    Begun,
    /// No container any more, and there were some.
    Gone,
}

/// What the engine has of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Unstarted,
    Started,
    /// Removed by hand, or by a clean-up of what does not run. Whether it had run nobody knows any more.
    Removed,
}

/// Asks the engine of an attempt.
pub(super) async fn of(attempt: &Attempt) -> Result<Standing, Error> {
    on(&Engine::connect(&marks::endpoint(attempt)?).await?, attempt).await
}

/// Asks the engine, and remembers containers whose maker died before it could.
pub(super) async fn on(engine: &Engine, attempt: &Attempt) -> Result<Standing, Error> {
    let Some(spec) = attempt.spec()? else { return Ok(Standing::Unbegun) };
    let all = nodes::all(attempt, &spec);
    let asked = futures_util::future::join_all(all.iter().map(|node| node_on(engine, attempt, &spec, node))).await;
    let found: Vec<Of> = asked.into_iter().collect::<Result<_, _>>()?;
    Ok(if found.contains(&Of::Unstarted) {
        Standing::Unbegun
    } else if found.contains(&Of::Started) {
        Standing::Begun
    } else {
        Standing::Gone
    })
}

async fn node_on(engine: &Engine, attempt: &Attempt, spec: &JobSpec, node: &Node) -> Result<Of, Error> {
    let found = match marks::container(&node.folder) {
        Some(id) => match engine.inspect(&id).await? {
            Some(found) => found,
            None => return Ok(Of::Removed),
        },
        None => match unremembered(engine, attempt, spec, node).await? {
            Some(found) => found,
            None => return Ok(Of::Unstarted),
        },
    };
    Ok(if found.has_run() { Of::Started } else { Of::Unstarted })
}

async fn unremembered(engine: &Engine, attempt: &Attempt, spec: &JobSpec, node: &Node) -> Result<Option<Container>, Error> {
    let wanted = place::labels(spec, &marks::owner(attempt));
    let found = engine.inspect(&node.name).await?;
    let found = found.filter(|found| wanted.iter().all(|(label, value)| found.labels.get(label) == Some(value)));
    if let Some(found) = &found {
        fs::create_private_dir_all(node.folder.folder())?;
        marks::remember(&node.folder, &found.id)?;
    }
    Ok(found)
}
