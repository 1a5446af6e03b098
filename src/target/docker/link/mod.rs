//! A way from a container to the relay on the submitting machine where the container reaches no address of that machine: a second container,
//! which shares the first one's network and whose standard input and output lead here through the engine.
//!
//! ```text
//! job -> 127.0.0.1 of its own network -> forward.py in the second container -> engine -> supervisor -> relay
//! ```
//!
//! It needs nothing but the engine: not a network, not a port, not a binary of ours there. Credentials and spool stay on this machine.

mod frames;
mod traffic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::create::of;
use super::{marks, place};
use crate::engine::{ContainerSpec, Ends, Engine, Removal};
use crate::job::JobSpec;
use crate::job::attempt::Attempt;
use crate::target::Error;

/// What runs in the second container.
const FORWARD: &str = include_str!("../../../../templates/forward.py");
/// How long it may take to listen.
const LISTEN: Duration = Duration::from_mins(1);
/// How long is waited before one that broke is made again.
const PAUSE: Duration = Duration::from_millis(500);

/// A link that is kept as long as this value is there. Its container is removed by [`remove`].
#[derive(Debug)]
pub(super) struct Link {
    keeping: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

/// The container that a link leads to.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// Its id.
    pub(super) container: String,
    /// Its name.
    pub(super) name: String,
    /// Where the relay listens, on this machine and with the same port on the container's loopback.
    pub(super) relay: SocketAddr,
}

/// Makes a link and returns once it can be used; one that breaks is made again until its container has ended.
pub(super) async fn open(engine: &Engine, spec: &JobSpec, attempt: &Attempt, goal: Goal) -> Result<Link, Error> {
    let wanted = described(spec, attempt, &goal);
    if let Some(found) = engine.inspect(&wanted.name).await?.filter(|found| !is_ours(&found.labels, attempt)) {
        return Err(Error::NameTaken { name: wanted.name, id: found.id.to_string() });
    }
    marks::remember_link(attempt, &wanted.name)?;
    let ends = begin(engine, &wanted).await?;
    let (ready, is_ready) = oneshot::channel();
    let engine = engine.clone();
    let keeping = tokio::spawn(async move { keep(&engine, &wanted, &goal, ends, ready).await });
    match tokio::time::timeout(LISTEN, is_ready).await {
        Ok(Ok(Ok(()))) => Ok(Link { keeping }),
        Ok(Ok(Err(said))) => Err(Error::NoLink { reason: said }),
        Ok(Err(_)) | Err(_) => {
            keeping.abort();
            Err(Error::NoLink { reason: "it does not listen".to_owned() })
        }
    }
}

/// Removes the second containers of an attempt, whatever became of the first ones.
pub(super) async fn remove(engine: &Engine, attempt: &Attempt) -> Result<(), Error> {
    for name in marks::links(attempt) {
        if let Some(found) = engine.inspect(&name).await?.filter(|found| is_ours(&found.labels, attempt)) {
            engine.remove(&found.id, Removal::Forced).await?;
        }
    }
    marks::forget_links(attempt);
    Ok(())
}

/// Returns whether a container of a link's name is one, and of a job of this home.
fn is_ours(labels: &BTreeMap<String, String>, attempt: &Attempt) -> bool {
    let has = |label: &str, value: &str| labels.get(label).is_some_and(|found| found == value);
    has(place::ROLE, place::LINK) && has(place::OWNER, &marks::owner(attempt))
}

async fn keep(engine: &Engine, wanted: &ContainerSpec, goal: &Goal, ends: Ends, ready: oneshot::Sender<Result<(), String>>) {
    let (mut ready, mut ends) = (Some(ready), Some(ends));
    loop {
        if let Some(ends) = ends.take() {
            let said = traffic::pass(ends, goal.relay, || {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(Ok(()));
                }
            });
            let said = said.await;
            if let Some(ready) = ready.take() {
                let _ = ready.send(Err(said.unwrap_or_else(|| "it ended at once".to_owned())));
                return;
            }
        }
        // The engine was away, or somebody has removed the container. Clients of MLflow ask again.
        tokio::time::sleep(PAUSE).await;
        match engine.inspect(&goal.container).await {
            Ok(Some(container)) if !container.has_ended() => ends = begin(engine, wanted).await.ok(),
            Ok(_) => return,
            Err(_) => {}
        }
    }
}

/// Makes the container and starts it, in the place of one that was there.
async fn begin(engine: &Engine, wanted: &ContainerSpec) -> Result<Ends, Error> {
    engine.remove(&wanted.name, Removal::Forced).await?;
    let container = engine.create(wanted).await?;
    match engine.start_with_ends(&container).await {
        Ok(ends) => Ok(ends),
        Err(error) => {
            let _ = engine.remove(&container, Removal::Forced).await;
            Err(error.into())
        }
    }
}

/// Returns what the second container is to be.
fn described(spec: &JobSpec, attempt: &Attempt, goal: &Goal) -> ContainerSpec {
    let container = of(spec);
    let mut labels = place::labels(spec, &marks::owner(attempt));
    labels.insert(place::ROLE.to_owned(), place::LINK.to_owned());
    let python = spec.python.display().to_string();
    let port = goal.relay.port().to_string();
    ContainerSpec {
        name: format!("{}-{}", goal.name, place::LINK),
        image: container.image.clone(),
        entrypoint: Some([python.as_str(), "-I", "-S", "-c", FORWARD, port.as_str()].map(str::to_owned).to_vec()),
        labels,
        user: Some(format!("{}:{}", container.user.uid, container.user.gid)),
        network: Some(format!("container:{}", goal.container)),
        no_new_privileges: true,
        open_stdin: true,
        // What passes through is nobody's log.
        unlogged: true,
        platform: container.options.platform.as_ref().map(|platform| platform.0.clone()),
        ..ContainerSpec::default()
    }
}
