//! Makes what a submission needs: snapshot, environment and tracker, side by side. All of it may be made again at no harm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::plan::wanted;
use super::site::Site;
use super::{Error, Observer, Options, Plan, Tracker, capabilities, engines, garbage, targets};
use crate::environment::{self, Environment};
use crate::job;
use crate::snapshot::{self, git};
use crate::support::dirs::Dirs;
use crate::support::lock::Lock;
use crate::support::stop;
use crate::support::words::Count;
use crate::target::Ways;
use crate::target::config::TargetConfig;
use crate::tracking::managed::{self, Managed};
use crate::tracking::{Client, Connection};

/// What is ready before a job is named.
pub(super) struct Prepared {
    /// The snapshot's archive.
    pub(super) packed: snapshot::Packed,
    /// The environment, which cannot be pruned while this value lives.
    pub(super) environment: Environment,
    /// What git knows of the source directory, and what was not committed.
    pub(super) git: (Option<git::Facts>, Option<String>),
    /// Keeps what is made here from being taken for garbage until a job names it.
    pub(super) _in_use: Lock,
    /// The tracker, which has answered.
    pub(super) connection: Option<Connection>,
    /// How the job gets at what stays here.
    pub(super) ways: Ways,
}

/// Hands the steps of environment and managed server on to the observer.
struct Steps(Arc<dyn Observer>);

impl environment::Progress for Steps {
    fn step(&self, step: environment::Step) {
        match step {
            environment::Step::InstallingUv => self.0.step("installing uv"),
            environment::Step::Resolving => self.0.step("resolving the environment's packages"),
            environment::Step::Building { packages } => {
                self.0.step(&format!("building the environment ({})", Count(packages, "package")));
            }
            environment::Step::Pulling { image } => self.0.step(&format!("pulling the image `{image}`")),
            environment::Step::Asking { image } => self.0.step(&format!("asking the image {image} for its Python")),
            environment::Step::BuildingImage { packages } => {
                self.0.step(&format!("building the environment's image ({})", Count(packages, "package")));
            }
            environment::Step::ImageStep(name) => self.0.step(&format!("building the image: {name}")),
            environment::Step::ImageOutput(line) | environment::Step::Transfer(line) => self.0.output(&line),
            environment::Step::Pushed { image } => self.0.note(&format!("the environment's image is `{image}`")),
            environment::Step::Pushing { image } => self.0.step(&format!("pushing the image `{image}`")),
            environment::Step::AskingAgain => self.0.step("the package index denies what it offered a moment ago: asking it again"),
        }
    }
}

impl managed::Progress for Steps {
    fn installing(&self) {
        self.0.step("installing the managed MLflow server (once)");
    }

    fn starting(&self) {
        self.0.step("starting the managed MLflow server");
    }
}

/// Makes all three.
pub(super) async fn prepare(
    plan: &Arc<Plan>,
    options: &Options,
    dirs: &Dirs,
    variables: &BTreeMap<String, String>,
    observer: &Arc<dyn Observer>,
) -> Result<Prepared, Error> {
    let in_use = {
        let dirs = dirs.clone();
        tokio::task::spawn_blocking(move || garbage::in_use(&dirs)).await.map_err(|_| Error::Panicked)?.map_err(job::Error::File)?
    };
    let packing = {
        let (plan, cache) = (plan.clone(), dirs.cache.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(again) = &plan.again {
                return Ok(again.packed.clone());
            }
            let (spec, store) = (plan.snapshot_spec(), snapshot::Store::new(&cache));
            let manifest = store.scan(&spec, &plan.listing)?;
            store.pack(&spec, manifest).map(|(_, packed)| packed)
        })
    };
    let remote = match &plan.tracker {
        Tracker::Remote { connection, .. } => Some((**connection).clone()),
        _ => None,
    };
    let building = {
        let site = Site::of(&plan.run.target.value, dirs, variables).await?;
        if let Some(endpoint) = site.endpoint() {
            engines::remember(dirs, endpoint).map_err(job::Error::File)?;
        }
        let again = plan.again.as_ref().map(|again| again.kept.environment.clone());
        tokio::spawn(site.provision(plan.environment.clone(), again, options.upgrade, Steps(observer.clone())))
    };
    let tracking = async {
        if !plan.is_managed() {
            return Ok(remote);
        }
        let server = Managed::new(dirs).ensure(&Steps(observer.clone())).await?;
        let connection = Connection::managed(server.uri());
        Client::new(&connection)?.preflight().await?;
        Ok::<_, Error>(Some(connection))
    };
    let asking = {
        let plan = plan.clone();
        tokio::task::spawn_blocking(move || plan.git())
    };
    let (mut packing, mut building) = (packing, building);
    let work = async { tokio::join!(&mut packing, &mut building, asking, tracking) };
    let stopped = tokio::select! {
        done = work => Ok(done),
        () = options.stop.cancelled() => Err(Error::Interrupted),
    };
    if stopped.is_err() {
        // Threads cannot be cancelled: they are asked to, and clean up after themselves.
        stop::ask();
        if !packing.is_finished() {
            let _ = packing.await;
        }
        if !building.is_finished() {
            // A build on an engine ends with whoever waits for it.
            if matches!(plan.run.target.value.config, TargetConfig::Docker(_)) {
                building.abort();
            }
            let _ = building.await;
        }
        // The managed server may be being installed, on a thread that nobody holds any more.
        let _ = tokio::time::timeout(Duration::from_secs(5), async {
            while !stop::is_quiet() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
    let (packed, environment, git, connection) = stopped?;
    let environment = environment.map_err(|_| Error::Panicked)??;
    Ok(Prepared {
        packed: packed.map_err(|_| Error::Panicked)??,
        environment,
        ways: ways(plan, dirs, variables).await?,
        git: git.map_err(|_| Error::Panicked)?,
        _in_use: in_use,
        connection: connection?,
    })
}

/// Returns how the job gets at what stays here; what an engine without images could not tell the plan, it tells now.
async fn ways(plan: &Plan, dirs: &Dirs, variables: &BTreeMap<String, String>) -> Result<Ways, Error> {
    if !plan.ways.is_open {
        return Ok(plan.ways.clone());
    }
    let target = targets::chosen(&plan.run.target.value, dirs, variables)?;
    capabilities::check(&plan.run, target.as_ref()).await?;
    Ok(target.ways(&wanted(&plan.run)).await?)
}
