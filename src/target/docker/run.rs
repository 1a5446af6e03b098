//! Runs a job in a container, for its supervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::engine::Engine;
use crate::job::attempt::Attempt;
use crate::job::remains;
use crate::support::secret::Secret;
use crate::support::{causes, fault, shell};
use crate::target::Error;
use crate::target::supervised::{Acts, Evidence, Job, Runner, Vicinity};

use super::standing::{self, Standing};
use super::{collect, create, marks, remove, route, watch};

/// The bootstrap as the first process of a container.
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
            let standing = standing::on(&engine, job.attempt).await?;
            let id = match marks::container(job.attempt) {
                // An earlier supervisor has started it, and given it its secrets.
                Some(id) if standing != Standing::Unbegun => {
                    // One that has ended is in no network any more; where its relay was, is written down. A job is not ended because
                    // its tracker cannot be reached.
                    let vicinity = route::vicinity(&engine, &id, job).await.unwrap_or(Vicinity::Beside);
                    if let Err(error) = (acts.secrets)(vicinity) {
                        marks::say(job.attempt, &causes::in_one_line(&error));
                    }
                    id
                }
                _ => {
                    let id = create::create(&engine, job).await?;
                    fault::point("supervisor.before-command");
                    let input = engine.start_attached(&id).await?;
                    // The bootstrap waits for its input, so that the network can be looked at which it is really on.
                    let secrets = (acts.secrets)(route::vicinity(&engine, &id, job).await?)?;
                    input.send(script(&secrets).as_bytes()).await?;
                    id
                }
            };
            (acts.started)();
            watch::watch(&engine, &id, job).await
        })
    }

    fn has_begun(&self, attempt: &Attempt) -> Result<bool, Error> {
        let engine = self.engine(attempt)?;
        Ok(self.runtime().block_on(standing::on(&engine, attempt))? != Standing::Unbegun)
    }

    fn end(&self, job: &Job<'_>) {
        let Some(id) = marks::container(job.attempt) else { return };
        let Ok(engine) = self.engine(job.attempt) else { return };
        // After a failure the container may still run.
        let _ = self.runtime().block_on(engine.kill(&id, "KILL"));
        let collected = collect::outputs(self.runtime(), &engine, &id, job.attempt);
        if let Err(error) = collected {
            marks::note(job.attempt, &format!("what the job left stays in its container `{id}`: {error}"));
        }
        remains::end_own(job.attempt.folder(), BTreeSet::new(), Duration::ZERO);
    }

    fn clear(&self, job: &Job<'_>) {
        let Ok(engine) = self.engine(job.attempt) else { return };
        let _ = self.runtime().block_on(remove::container(&engine, job.attempt));
    }
}

/// Returns the shell text that the bootstrap reads from its standard input. Its last line tells the bootstrap that nothing is missing.
fn script(secrets: &BTreeMap<String, Secret>) -> String {
    let mut text: String = secrets.iter().map(|(name, value)| format!("export {name}={}\n", shell::quote(value.expose()))).collect();
    text.push_str("# complete\n");
    text
}
