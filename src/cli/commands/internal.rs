//! The commands that sendoff calls itself.

use std::path::{Path, PathBuf};

use clap::Args;
use sendoff::relay::personal;
use sendoff::submit::EmulatorHost;
use sendoff::support::dirs::Dirs;
use sendoff::support::http;
use sendoff::target::local;
use sendoff::target::supervised::Turn;
use sendoff::tracking::managed::Managed;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Enter {
    /// The script
    script: PathBuf,
    /// The supervisor's process id
    #[arg(long)]
    parent: i32,
    /// CPUs that the job may use
    #[arg(long)]
    cpus: Option<u32>,
    /// The cgroup's file to join
    #[arg(long)]
    join: Option<PathBuf>,
}

pub(crate) fn supervise(folder: &Path, again: bool) -> Result<Exit, Failure> {
    http::install_tls();
    sendoff::submit::supervise(folder, if again { Turn::Again } else { Turn::First })?;
    Ok(Exit::Success)
}

pub(crate) fn relay() -> Result<Exit, Failure> {
    http::install_tls();
    sendoff::relay::run().map_err(|error| Failure::Command(error.into()))?;
    Ok(Exit::Success)
}

pub(crate) fn keep_relay() -> Result<Exit, Failure> {
    http::install_tls();
    let dirs = Dirs::from_environment().map_err(Failure::Dirs)?;
    personal::keep(|| Managed::new(&dirs).running().is_some()).map_err(|error| Failure::Command(error.into()))?;
    Ok(Exit::Success)
}

pub(crate) fn emulate() -> Result<Exit, Failure> {
    http::install_tls();
    let world = World::new()?;
    let host = std::sync::Arc::new(EmulatorHost::new(&world.dirs, &world.variables));
    sendoff::emulator::azureml::serve(host).map_err(|error| Failure::Command(error.into()))?;
    Ok(Exit::Success)
}

pub(crate) fn enter(arguments: &Enter) -> Result<Exit, Failure> {
    let shim =
        local::Shim { parent: arguments.parent, cpus: arguments.cpus, join: arguments.join.clone(), script: arguments.script.clone() };
    Err(Failure::Runtime(local::enter(&shim)))
}
