//! The emulator's process: found, started once, ended.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Error;
use super::serve::Order;
use super::store::Store;
use crate::job::remains;
use crate::support::azure::Scope;
use crate::support::daemon;
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use crate::support::platform::{self, Signal};
use crate::support::process;
use crate::support::secret::Secret;

/// The file that tells of it.
pub(super) const STATE: &str = "running.json";

/// How long it may take to end: its jobs are ended first.
const END: Duration = Duration::from_mins(2);

/// What is wanted of the emulator.
#[derive(Debug, Clone)]
pub struct Options {
    /// sendoff's own binary, which is started.
    pub program: PathBuf,
    /// The workspace to serve, which is made when it does not exist.
    pub scope: Scope,
    /// A compute that it is to have, made as a small cluster when it does not exist; every workspace has `cpu-cluster`.
    pub compute: Option<String>,
    /// Whether it speaks plain HTTP.
    pub http: bool,
}

impl Options {
    /// Returns the workspace that is served when nobody names one.
    pub fn default_scope() -> Scope {
        Scope {
            subscription_id: "00000000-0000-0000-0000-000000000001".to_owned(),
            resource_group: "emulated".to_owned(),
            workspace_name: "emulated".to_owned(),
        }
    }
}

/// An emulator that runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    #[serde(flatten)]
    pub process: process::Identity,
    /// Its address for programs of this machine: `https://127.0.0.1:4711`. Control plane, tokens and everything else is below it.
    pub base_url: String,
    /// Its address for containers of jobs; none without a container engine.
    pub gateway_url: Option<String>,
    /// The certificate (PEM) of the authority to trust.
    pub certificate_authority: PathBuf,
    /// The workspace that was asked for.
    pub scope: Scope,
    /// The tenant in which clients get tokens: `{base_url}/{tenant_id}/oauth2/v2.0/token`.
    pub tenant_id: String,
    /// The application that they are.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// When it was started.
    pub started_at: jiff::Timestamp,
}

/// Returns where the emulator of a data folder keeps everything.
pub fn folder(data: &Path) -> PathBuf {
    data.join("emulator").join("azureml")
}

/// Returns its log.
pub fn log(data: &Path) -> PathBuf {
    folder(data).join("emulator.log")
}

/// Returns the emulator of a data folder if it runs.
pub fn running(data: &Path) -> Option<Running> {
    let bytes = std::fs::read(folder(data).join(STATE)).ok()?;
    serde_json::from_slice::<Running>(&bytes).ok().filter(|running| running.process.is_alive())
}

/// Returns the emulator of a data folder, starting it when it does not run; once, whoever else asks. It serves the workspace that is asked for
/// when this returns.
pub async fn ensure_up(data: &Path, options: &Options) -> Result<Running, Error> {
    let (data, options) = (data.to_owned(), options.clone());
    match tokio::task::spawn_blocking(move || up(&data, &options)).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn up(data: &Path, options: &Options) -> Result<Running, Error> {
    let folder = folder(data);
    fs::create_private_dir_all(&folder)?;
    let _lock = Lock::exclusive(&folder.join("start.lock"))?;
    let mut running = match running(data) {
        Some(running) => running,
        None => launch(data, &folder, options)?,
    };
    let http = running.base_url.starts_with("http:");
    if http != options.http {
        return Err(Error::OtherScheme { http });
    }
    // Several processes may use the database at once.
    let store = Store::open(&folder)?;
    running.scope = store.ensure_workspace(&options.scope)?;
    for name in ["cpu-cluster"].into_iter().chain(options.compute.as_deref()) {
        if store.get(&running.scope, "computes", name, "")?.is_none() {
            store.put(&running.scope, "computes", name, "", &cluster())?;
        }
    }
    Ok(running)
}

/// Returns the properties of a small cluster.
fn cluster() -> serde_json::Value {
    json!({ "computeType": "AmlCompute", "properties": {
        "vmSize": "STANDARD_DS3_V2", "vmPriority": "Dedicated", "osType": "Linux",
        "scaleSettings": { "minNodeCount": 0, "maxNodeCount": 2, "nodeIdleTimeBeforeScaleDown": "PT120S" },
    } })
}

fn launch(data: &Path, folder: &Path, options: &Options) -> Result<Running, Error> {
    fs::remove_file(folder.join(STATE))?;
    let log = fs::append(log(data))?;
    let order = Order { folder: folder.to_owned(), http: options.http, scope: options.scope.clone() };
    // One that is started from inside a job outlives it.
    let mut command = Command::new(&options.program);
    let started = daemon::start(command.arg("emulate").env(remains::OWNER, folder), log, &order).map_err(Error::Start)?;
    if let (true, Some(running)) = (started.is_ready, running(data)) {
        started.release();
        return Ok(running);
    }
    started.end();
    let said = std::fs::read_to_string(self::log(data)).unwrap_or_default();
    Err(Error::Stillborn { said_last: said.trim().lines().last().unwrap_or_default().to_owned(), log: self::log(data) })
}

/// Ends the emulator of a data folder with the jobs that it runs; returns whether one ran. What it keeps stays.
pub fn stop(data: &Path) -> Result<bool, Error> {
    let folder = folder(data);
    if !folder.exists() {
        return Ok(false);
    }
    let _lock = Lock::exclusive(&folder.join("start.lock"))?;
    let Some(running) = running(data) else {
        // One that was killed has said where it ran, and left its network and the jobs that ran.
        if folder.join(STATE).exists() {
            sweep(&folder)?;
            fs::remove_file(folder.join(STATE))?;
        }
        return Ok(false);
    };
    platform::signal_process(running.process.pid, Signal::Term);
    let begun = Instant::now();
    while running.process.is_alive() {
        if begun.elapsed() > END {
            platform::signal_process(running.process.pid, Signal::Kill);
        }
        if begun.elapsed() > END + Duration::from_secs(10) {
            return Err(Error::Stubborn(running.process.pid));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::remove_file(folder.join(STATE))?;
    Ok(true)
}

/// Removes what a killed emulator has left on the container engine.
fn sweep(folder: &Path) -> Result<(), Error> {
    let folder = folder.to_owned();
    let swept = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
        runtime.block_on(super::run::sweep(&folder));
        Ok(())
    });
    swept.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Forgets everything that the emulator of a data folder keeps. It must not run.
pub fn delete(data: &Path) -> Result<(), Error> {
    let folder = folder(data);
    if !folder.exists() {
        return Ok(());
    }
    let _lock = Lock::exclusive(&folder.join("start.lock"))?;
    if let Some(running) = running(data) {
        return Err(Error::Stubborn(running.process.pid));
    }
    for entry in std::fs::read_dir(&folder).context("read", &folder)?.flatten() {
        // A lock file that others may wait for stays.
        if entry.file_name() == "start.lock" {
            continue;
        }
        if entry.path().is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
