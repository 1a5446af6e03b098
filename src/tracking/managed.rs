//! The managed server: a real MLflow in a venv of its own, started once as a daemon and used by every job after.
//!
//! ```text
//! data/tracking/venv       the server's venv, `.complete` written last
//!              /server.json  process, port, version of the running server; starting.json until it answers
//!              /mlflow.db, artifacts/, work/ (its empty working directory), server.log
//! ```

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Client, Connection, Error};
use crate::job::{TrackingRecord, remains};
use crate::support::dirs::Dirs;
use crate::support::fs::{self, Context};
use crate::support::lock::Lock;
use crate::support::platform::{self, Signal};
use crate::support::uv::Uv;
use crate::support::{clock, command, process};

/// The name of the file that tells of a server which does not answer yet.
const STARTING: &str = "starting.json";

/// The version that is installed: one that resolved, since the newest may not.
pub const VERSION: &str = "3.17.2";

/// A server that runs, or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The leader of its process group and session.
    #[serde(flatten)]
    pub process: process::Identity,
    /// Its port on the loopback interface, kept over restarts.
    pub port: u16,
    /// Its MLflow's version.
    pub version: String,
    /// When it was started.
    pub started_at: jiff::Timestamp,
}

impl Server {
    /// Returns its address.
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// What an observer hears.
pub trait Progress: Sync {
    /// Is called when the server's packages are being installed.
    fn installing(&self);

    /// Is called when the server is being started.
    fn starting(&self);
}

/// The managed server of this user.
#[derive(Debug, Clone)]
pub struct Managed {
    folder: PathBuf,
    data: PathBuf,
}

impl Managed {
    /// Names its folder; creates nothing.
    pub fn new(dirs: &Dirs) -> Self {
        Self { folder: dirs.data.join("tracking"), data: dirs.data.clone() }
    }

    /// Returns its log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// Returns its database.
    pub fn database(&self) -> PathBuf {
        self.folder.join("mlflow.db")
    }

    fn state(&self) -> Option<Server> {
        serde_json::from_slice(&std::fs::read(self.folder.join("server.json")).ok()?).ok()
    }

    /// Returns the server if it runs.
    pub fn running(&self) -> Option<Server> {
        self.state().filter(|server| server.process.is_alive())
    }

    /// Returns the server's address: where it runs, or where it ran last and will run again if nobody has taken the port.
    pub fn address(&self) -> Option<String> {
        self.state().map(|server| server.uri())
    }

    /// Gives a record the server's present address, which may be another one than when its job was submitted.
    pub fn readdress(&self, record: &mut TrackingRecord) {
        if let Some(uri) = self.address().filter(|uri| record.managed && *uri != record.uri) {
            record.url = Connection::managed(uri.clone()).run_url(&record.experiment_id, &record.run_id);
            record.uri = uri;
        }
    }

    /// Returns the processes of a server whose main process is dead: a worker that was left alone goes on serving, and writing.
    pub fn remains(&self) -> Vec<i32> {
        if self.running().or_else(|| self.starting()).is_some() { Vec::new() } else { self.processes() }
    }

    fn processes(&self) -> Vec<i32> {
        platform::processes_with(remains::OWNER, &self.owner()).into_iter().map(|process| process.pid).collect()
    }

    /// Returns what the server's processes are known by.
    fn owner(&self) -> PathBuf {
        self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone())
    }

    /// Returns whether the server's packages are installed.
    pub fn is_installed(&self) -> bool {
        let mark = std::fs::read_to_string(self.folder.join("venv").join(".complete"));
        mark.is_ok_and(|version| version == VERSION) && self.program().exists()
    }

    fn program(&self) -> PathBuf {
        self.folder.join("venv").join("bin").join("mlflow")
    }

    /// Returns the running server, starting (and installing) it when it does not run; once, whoever else asks.
    pub async fn ensure(&self, progress: &dyn Progress) -> Result<Server, Error> {
        if let Some(server) = self.running() {
            return Ok(server);
        }
        fs::create_private_dir_all(&self.folder)?;
        let lock = self.folder.join("start.lock");
        let mut lock =
            tokio::task::spawn_blocking(move || Lock::exclusive(&lock)).await.map_err(|_| Error::Start { tail: String::new() })??;
        if let Some(server) = self.running() {
            return Ok(server);
        }
        if !self.is_installed() {
            progress.installing();
            let this = self.clone();
            // On a thread of its own: whoever waits may be interrupted meanwhile.
            let installed = tokio::task::spawn_blocking(move || this.install(&lock).map(|()| lock)).await;
            lock = installed.map_err(|_| Error::Start { tail: String::new() })??;
        }
        progress.starting();
        // One that a dead or interrupted client has started is as good as a new one.
        let server = match self.starting() {
            Some(server) => server,
            None => {
                self.end_remains()?;
                self.launch()?
            }
        };
        let deadline = Instant::now() + Duration::from_mins(2);
        let client = Client::new(&Connection::managed(server.uri()))?;
        loop {
            if client.preflight().await.is_ok() {
                break;
            }
            if !server.process.is_alive() || Instant::now() > deadline {
                end(server.process.pid, Duration::from_secs(5));
                fs::remove_file(self.folder.join(STARTING))?;
                return Err(Error::Start { tail: self.tail() });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Only a server that answers is recorded.
        let text = serde_json::to_vec_pretty(&server).expect("plain data of ours always serialises");
        fs::write_private(self.folder.join("server.json"), &text)?;
        fs::remove_file(self.folder.join(STARTING))?;
        drop(lock);
        Ok(server)
    }

    /// Returns a server that was started and is not known to answer yet.
    fn starting(&self) -> Option<Server> {
        let bytes = std::fs::read(self.folder.join(STARTING)).ok()?;
        serde_json::from_slice::<Server>(&bytes).ok().filter(|server| server.process.is_alive())
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn install(&self, held: &Lock) -> Result<(), Error> {
        let uv = Uv::find_or_install(&self.data)?;
        let venv = self.folder.join("venv");
        fs::remove_dir_all(&venv)?;
        let made = crate::support::uv::install(&uv, &venv, &[&format!("mlflow=={VERSION}")], held);
        if let Err(error) = made {
            let _ = fs::remove_dir_all(&venv);
            return Err(Error::Install(error));
        }
        self.upgrade_database()?;
        Ok(fs::write_atomic(venv.join(".complete"), VERSION.as_bytes())?)
    }

    /// Brings a database of another version up to date, a copy kept beside it.
    fn upgrade_database(&self) -> Result<(), Error> {
        let database = self.database();
        if !database.exists() {
            return Ok(());
        }
        let copy = self.folder.join("mlflow.db.before-upgrade");
        std::fs::copy(&database, &copy).context("copy", &database)?;
        let mut command = self.command();
        command.args(["db", "upgrade", &format!("sqlite:///{}", database.display())]);
        command::capture(&mut command, Duration::from_mins(10)).map_err(Error::Install)?;
        Ok(())
    }

    /// Returns a command line of the server's `mlflow` with a clean environment, in its empty working directory (which goes on Python's path).
    fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.current_dir(self.folder.join("work")).env_clear().stdin(Stdio::null());
        for name in ["HOME", "USER", "LANG", "TMPDIR", "TZ"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let bin = self.folder.join("venv").join("bin");
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
        command.envs([
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false"),
            ("GIT_PYTHON_REFRESH", "quiet"),
        ]);
        // A server that is started from inside a job outlives it.
        command.env(remains::OWNER, self.owner());
        command
    }

    fn launch(&self) -> Result<Server, Error> {
        let work = self.folder.join("work");
        fs::remove_dir_all(&work)?;
        fs::create_private_dir_all(&work)?;
        let port = self.state().map(|server| server.port).filter(|port| is_free(*port)).map_or_else(free_port, Ok)?;
        let log = fs::append(self.log())?;
        let errors = log.try_clone().context("open", self.log())?;
        let mut command = self.command();
        command
            .arg("server")
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--workers", "1"])
            .arg("--backend-store-uri")
            .arg(format!("sqlite:///{}", self.database().display()))
            .arg("--artifacts-destination")
            .arg(self.folder.join("artifacts"))
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(errors));
        // A session of its own keeps it alive when the terminal closes; `setsid` does it between fork and exec.
        let mut detached = match which::which("setsid") {
            Ok(setsid) => {
                let mut outer = Command::new(setsid);
                outer.arg(command.get_program()).args(command.get_args()).env_clear().current_dir(&work);
                outer.envs(command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
                let log = fs::append(self.log())?;
                let errors = log.try_clone().context("open", self.log())?;
                outer.stdin(Stdio::null()).stdout(Stdio::from(log)).stderr(Stdio::from(errors));
                outer
            }
            Err(_) => {
                platform::own_group(&mut command);
                command
            }
        };
        let child = detached.spawn().context("start", self.program())?;
        let server = Server {
            process: process::Identity::of(i32::try_from(child.id()).unwrap_or(0)),
            port,
            version: VERSION.to_owned(),
            started_at: clock::now(),
        };
        // Reaped while this process lives, so that a server that dies at once is seen to be dead.
        let mut child = child;
        std::thread::spawn(move || child.wait());
        let text = serde_json::to_vec_pretty(&server).expect("plain data of ours always serialises");
        fs::write_private(self.folder.join(STARTING), &text)?;
        Ok(server)
    }

    /// Ends the server and all of its processes; returns whether one ran.
    pub fn stop(&self) -> Result<bool, Error> {
        let _lock = Lock::exclusive(&self.folder.join("start.lock"))?;
        let server = self.running().or_else(|| self.starting());
        if let Some(server) = &server {
            end(server.process.pid, Duration::from_secs(10));
        }
        Ok(self.end_remains()? || server.is_some())
    }

    /// Ends what a dead server has left, so that no two write to one database; returns whether there was something. The lock must be held.
    fn end_remains(&self) -> Result<bool, Error> {
        let left = self.processes();
        if left.is_empty() {
            return Ok(false);
        }
        if remains::end(|| self.processes(), BTreeSet::new(), Duration::from_secs(5)) { Ok(true) } else { Err(Error::Remains(left)) }
    }
}

/// Ends a process group: TERM, a grace, KILL; the group, since a killed parent leaves its worker serving.
fn end(group: i32, grace: Duration) {
    let begun = Instant::now();
    platform::signal_group(group, Signal::Term);
    while !platform::session_members(group).is_empty() {
        if begun.elapsed() > grace {
            platform::signal_group(group, Signal::Kill);
        }
        if begun.elapsed() > grace + Duration::from_secs(5) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn free_port() -> Result<u16, Error> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    Ok(address.context("find a free port for", Path::new("the managed MLflow server"))?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_server_has_left_is_found_and_ended() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let managed = Managed::new(&Dirs::below(home.path()));
        assert!(!managed.stop().expect("nothing is there"));
        let mut worker = Command::new("sleep").arg("600").env(remains::OWNER, managed.owner()).spawn().expect("`sleep` exists");
        let pid = i32::try_from(worker.id()).expect("process ids are small");
        // Between fork and exec the child still has this process's variables.
        while platform::variable(pid, remains::OWNER).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(managed.remains(), [pid]);
        assert!(managed.stop().expect("it can be ended"));
        assert_eq!(managed.remains(), Vec::<i32>::new());
        worker.wait().expect("it ended");
    }
}
