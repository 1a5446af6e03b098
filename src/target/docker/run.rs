//! Runs a job in containers, one for each node, for its supervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Runtime;

use crate::engine::{Container, Engine, Input};
use crate::job::attempt::Attempt;
use crate::job::remains;
use crate::support::secret::Secret;
use crate::support::{causes, fault, shell};
use crate::target::Error;
use crate::target::supervised::{Acts, Evidence, Given, Job, Runner, Stop};

use super::link::{self, Goal, Link};
use super::nodes::{self, Made};
use super::route::{self, Way};
use super::standing::{self, Standing};
use super::{collect, create, elsewhere, marks, remove, watch, watcher};

/// The bootstrap as the first process of each container.
#[derive(Debug, Default)]
pub struct InContainer {
    runtime: OnceLock<Runtime>,
}

impl InContainer {
    fn runtime(&self) -> &Runtime {
        self.runtime
            .get_or_init(|| tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has a file to spare"))
    }

    fn engine(&self, attempt: &Attempt) -> Result<Engine, Error> {
        let endpoint = marks::endpoint(attempt)?;
        Ok(self.runtime().block_on(Engine::connect(&endpoint))?)
    }
}

impl Runner for InContainer {
    fn run(&self, job: &Job<'_>, acts: &Acts<'_>) -> Result<Evidence, Error> {
        let engine = self.engine(job.attempt)?;
        self.runtime().block_on(async {
            if marks::is_watched_only(job.attempt) {
                return watcher::run(&engine, &nodes::made(job.attempt, job.spec), job, acts).await;
            }
            let standing = standing::on(&engine, job.attempt).await?;
            let known = nodes::made(job.attempt, job.spec);
            let (made, _links) = if standing != Standing::Unbegun && known.len() == job.spec.nodes as usize {
                // An earlier supervisor has started them, and given them their secrets. One that has ended is in no network any more; where
                // its relay was, is written down. A job is not ended because its tracker cannot be reached.
                let seen = &running(&engine, &known).await?.id;
                let way = route::found(&engine, seen, job).await.unwrap_or(Way::Loopback);
                let links = match attach(&engine, &known, job, acts, &way).await {
                    Ok((_, links)) => links,
                    Err(error) => {
                        marks::say(job.attempt, &causes::in_one_line(&error));
                        Vec::new()
                    }
                };
                (known, links)
            } else {
                match start(&engine, job, acts).await {
                    // Another store on this engine may have been asked for the same job at the same moment.
                    Err(taken @ (Error::NameTaken { .. } | Error::NetworkTaken { .. })) => {
                        let made = elsewhere::give_way(&engine, job.attempt, job.spec, taken).await?;
                        return watcher::run(&engine, &made, job, acts).await;
                    }
                    Ok(None) => return Ok(Evidence { stop: Some(Stop::Cancelled), ..Evidence::default() }),
                    Ok(Some(started)) => started,
                    Err(error) => return Err(error),
                }
            };
            (acts.started)();
            Ok(watch::watch(&engine, &made, job).await)
        })
    }

    fn has_begun(&self, attempt: &Attempt) -> Result<bool, Error> {
        let engine = self.engine(attempt)?;
        Ok(self.runtime().block_on(standing::on(&engine, attempt))? != Standing::Unbegun)
    }

    fn end(&self, job: &Job<'_>) {
        let made = nodes::made(job.attempt, job.spec);
        if made.is_empty() {
            return;
        }
        let Ok(engine) = self.engine(job.attempt) else { return };
        if !marks::is_watched_only(job.attempt) {
            // After a failure the containers may still run.
            let kills = made.iter().map(|made| engine.kill(&made.id, "KILL"));
            self.runtime().block_on(join_all(kills));
        }
        for Made { node, id } in &made {
            if let Err(error) = collect::outputs(self.runtime(), &engine, id, &node.folder) {
                marks::note(job.attempt, &format!("what the job left stays in its container `{id}`: {error}"));
            }
        }
        remains::end_own(job.attempt.folder(), BTreeSet::new(), Duration::ZERO);
    }

    fn clear(&self, job: &Job<'_>) {
        let Ok(engine) = self.engine(job.attempt) else { return };
        let _ = self.runtime().block_on(remove::collected(&engine, job.attempt, job.spec));
    }
}

/// Makes and starts the containers of all nodes. None of them does anything before all run and have a name in their network: a bootstrap
/// waits for its input. Nothing is started of a job that was cancelled meanwhile.
///
/// The first node's container comes first: its name says whose the job is, for all stores that share the engine.
async fn start(engine: &Engine, job: &Job<'_>, acts: &Acts<'_>) -> Result<Option<(Vec<Made>, Vec<Link>)>, Error> {
    // An earlier supervisor may have died before it had started them all: its own end of their inputs is gone.
    remove::containers(engine, job.attempt, job.spec).await?;
    nodes::make_network(engine, job).await?;
    let all = nodes::all(job.attempt, job.spec);
    let first = create::create(engine, job, &all[0]).await;
    let others = join_all(all[1..].iter().filter(|_| first.is_ok()).map(|node| create::create(engine, job, node))).await;
    let ids: Vec<String> = std::iter::once(first).chain(others).collect::<Result<_, _>>()?;
    if job.attempt.path("cancel").exists() {
        return Ok(None);
    }
    let made: Vec<Made> = all.into_iter().zip(ids).map(|(node, id)| Made { node, id }).collect();
    fault::point("supervisor.before-command");
    let started = join_all(made.iter().map(|made| engine.start_attached(&made.id))).await;
    let inputs: Vec<Input> = started.into_iter().collect::<Result<_, _>>()?;
    // So that the network can be looked at which they are really on.
    let way = route::found(engine, &made[0].id, job).await?;
    let (given, links) = attach(engine, &made, job, acts, &way).await?;
    let secrets = script(&given.secrets);
    let sent = join_all(inputs.into_iter().map(|input| input.send(secrets.as_bytes()))).await;
    sent.into_iter().collect::<Result<(), _>>()?;
    Ok(Some((made, links)))
}

/// Returns a node that runs, if there is one: one that has ended is in no network any more.
async fn running<'a>(engine: &Engine, made: &'a [Made]) -> Result<&'a Made, Error> {
    let found = nodes::inspect(engine, made).await?;
    let runs = |found: &Option<Container>| found.as_ref().is_some_and(|container| !container.has_ended());
    Ok(found.iter().position(runs).map_or(&made[0], |index| &made[index]))
}

/// Starts what the job talks to, and the way to it from each node.
async fn attach(engine: &Engine, made: &[Made], job: &Job<'_>, acts: &Acts<'_>, way: &Way) -> Result<(Given, Vec<Link>), Error> {
    let given = (acts.secrets)(way.vicinity())?;
    let (Way::Link(_), Some(relay)) = (way, given.relay) else { return Ok((given, Vec::new())) };
    let mut links = Vec::with_capacity(made.len());
    for Made { node, id } in made {
        let goal = Goal { container: id.clone(), name: node.name.clone(), relay };
        links.push(link::open(engine, job.spec, job.attempt, goal).await?);
    }
    Ok((given, links))
}

/// Returns the shell text that the bootstrap reads from its standard input. Its last line tells the bootstrap that nothing is missing.
fn script(secrets: &BTreeMap<String, Secret>) -> String {
    let mut text: String = secrets.iter().map(|(name, value)| format!("export {name}={}\n", shell::quote(value.expose()))).collect();
    text.push_str("# complete\n");
    text
}
