//! A relay for a person: a notebook or an editor on this machine tracks through it, into any tracker.
//!
//! ```text
//! sendoff tracking env -> keeper (a daemon in a session of its own) -> relay
//!
//! data/tracking/relays/<hash of the tracker>/relay.json   port, token, process; 0600, and kept for the next one
//!                                           /used          when it was last asked for something
//!                                           /spool-..., keeper.log, relay.log
//!                     /<hash of the tracker>.lock          held while one is started or ended
//! ```
//!
//! It has no MLflow run of its own: everything is passed on, statuses included. It ends when it is told to, after a time without a request, and
//! soon after a managed server that was stopped. What it has not delivered then waits for the next one.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, Keeper, Limits, Pending, Task, used};
use crate::auth::Credentials;
use crate::job::remains;
use crate::support::lock::{self, Lock};
use crate::support::platform::{self, Signal};
use crate::support::secret::Secret;
use crate::support::{clock, daemon, fs, process};

/// After this time without a request it ends.
const IDLE: Duration = Duration::from_hours(12);
/// After this time without a request it follows the managed server that was stopped.
const IDLE_WITHOUT_SERVER: Duration = Duration::from_mins(5);
/// How often the daemon looks whether it is still needed.
const LOOK: Duration = Duration::from_secs(10);
/// The file that tells of it.
const STATE: &str = "relay.json";

/// A tracker that a person's relay leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its address, without credentials.
    pub uri: String,
    /// Whether it is the managed server of this machine.
    pub managed: bool,
}

/// A person's relay that runs, or ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// The daemon that keeps it.
    #[serde(flatten)]
    pub process: process::Identity,
    /// Its port on the loopback interface, kept for the next one.
    pub port: u16,
    /// What clients present to it, kept for the next one.
    pub token: Secret,
    /// Where it leads to.
    pub upstream: Upstream,
    /// Tells whether other credentials are the same ones.
    identity: String,
    /// When it was started.
    pub started_at: jiff::Timestamp,
}

impl Running {
    /// Returns its address.
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns whether it does what is wanted. Who has no credentials at hand takes it with those it has.
    fn serves(&self, upstream: &Upstream, credentials: &Credentials) -> bool {
        let same = matches!(credentials, Credentials::None) || self.identity == identity(&self.token, credentials);
        self.upstream == *upstream && same
    }
}

/// Returns what tells credentials apart, and tells nothing of them to who does not have the token.
fn identity(token: &Secret, credentials: &Credentials) -> String {
    let text = serde_json::to_string(credentials).expect("plain data of ours always serialises");
    hex(&Sha256::digest(format!("{} {text}", token.expose())))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the daemon is told over a pipe.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    folder: PathBuf,
    upstream: Upstream,
    credentials: Credentials,
    /// The port of the one before.
    port: Option<u16>,
    token: Secret,
}

/// The relay of this user for one tracker.
#[derive(Debug, Clone)]
pub struct Personal {
    folder: PathBuf,
}

impl Personal {
    /// Names its folder; creates nothing. The managed server is the same tracker whatever its port.
    pub fn new(data: &Path, upstream: &Upstream) -> Self {
        let name = if upstream.managed { "managed" } else { &upstream.uri };
        Self { folder: all_in(data).join(&hex(&Sha256::digest(name))[..16]) }
    }

    /// Returns all that there are, and were.
    pub fn all(data: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(all_in(data)).into_iter().flatten().flatten();
        let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.sort();
        folders.into_iter().map(|folder| Self { folder }).collect()
    }

    /// Returns its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the lock that is held while it is started or ended.
    pub fn lock(&self) -> PathBuf {
        self.folder.with_extension("lock")
    }

    /// Returns what is known of it, or of the last one.
    pub fn last(&self) -> Option<Running> {
        serde_json::from_slice(&std::fs::read(self.folder.join(STATE)).ok()?).ok()
    }

    /// Returns it if it runs.
    pub fn running(&self) -> Option<Running> {
        self.last().filter(|running| running.process.is_alive())
    }

    /// Returns it if it runs and serves these.
    pub fn serving(&self, upstream: &Upstream, credentials: &Credentials) -> Option<Running> {
        self.running().filter(|running| running.serves(upstream, credentials))
    }

    /// Returns what waits to be delivered.
    pub fn pending(&self) -> Pending {
        super::pending(&self.folder).unwrap_or_default()
    }

    /// Returns one that runs and serves these, starting it, or another in place of one that serves others.
    ///
    /// `program` is sendoff's own binary, which is started without the variables that are `withheld`. Port and token stay those of the one before,
    /// so that programs that have them go on; what that one left is delivered.
    pub fn ensure(&self, program: &Path, upstream: &Upstream, credentials: &Credentials, withheld: &[&str]) -> Result<Running, Error> {
        let _lock = Lock::exclusive(&self.lock())?;
        if let Some(running) = self.serving(upstream, credentials) {
            return Ok(running);
        }
        if let Some(running) = self.running() {
            // What it has not delivered is in its files.
            platform::signal_process(running.process.pid, Signal::Kill);
            self.wait_for_the_end(&running, Duration::from_secs(10))?;
        }
        fs::create_private_dir_all(&self.folder)?;
        let last = self.last();
        let order = Order {
            folder: self.folder.clone(),
            upstream: upstream.clone(),
            credentials: credentials.clone(),
            port: last.as_ref().map(|last| last.port),
            token: last.map_or_else(|| Secret::new(super::token()), |last| last.token),
        };
        let log = fs::append(self.folder.join("keeper.log"))?;
        let mut command = Command::new(program);
        for name in withheld {
            command.env_remove(name);
        }
        // One that is started from inside a job outlives it.
        let started = daemon::start(command.arg("keep-relay").env(remains::OWNER, &self.folder), log, &order).map_err(Error::Start)?;
        if let (true, Some(running)) = (started.is_ready, self.running()) {
            started.release();
            return Ok(running);
        }
        started.end();
        let said = std::fs::read_to_string(self.folder.join("keeper.log")).unwrap_or_default();
        Err(Error::Stillborn(said.trim().lines().last().unwrap_or_default().to_owned()))
    }

    /// Ends it once it has delivered what it can, within about a minute; returns what is left, and `None` when none ran.
    pub fn stop(&self) -> Result<Option<Pending>, Error> {
        if !self.folder.exists() {
            return Ok(None);
        }
        let _lock = Lock::exclusive(&self.lock())?;
        let Some(running) = self.running() else { return Ok(None) };
        platform::signal_process(running.process.pid, Signal::Term);
        self.wait_for_the_end(&running, Limits::default().drain + Duration::from_secs(30))?;
        Ok(Some(self.pending()))
    }

    /// Waits until neither daemon nor relay is there, and ends them when that takes too long.
    fn wait_for_the_end(&self, running: &Running, limit: Duration) -> Result<(), Error> {
        let begun = Instant::now();
        // The relay ends with the daemon, and holds its spool until then.
        while running.process.is_alive() || lock::is_held(&self.folder.join("lock"))? {
            if begun.elapsed() > limit {
                platform::signal_process(running.process.pid, Signal::Kill);
            }
            if begun.elapsed() > limit + Duration::from_secs(10) {
                return Err(Error::InUse(self.folder.display().to_string()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn all_in(data: &Path) -> PathBuf {
    data.join("tracking").join("relays")
}

/// Returns the tracker behind an address, when that and the token beside it are those of a person's relay, whether that runs or not.
pub fn behind(data: &Path, uri: &str, token: &str) -> Option<Upstream> {
    let uri = uri.trim_end_matches('/');
    let mut all = Personal::all(data).into_iter().filter_map(|personal| personal.last());
    // An address alone may be somebody else's by now.
    all.find(|last| last.uri() == uri && last.token.expose() == token).map(|last| last.upstream)
}

/// Runs the daemon in this process: reads what it has to do from standard input, says when its relay answers, and keeps that until nobody
/// needs it any more. `has_server` says whether the managed server runs.
pub fn keep(has_server: impl Fn() -> bool) -> Result<(), Error> {
    platform::new_session();
    let order: Order = daemon::order().map_err(Error::Listen)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Listen)?;
    let mut asked = {
        let _context = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(Error::Listen)?
    };
    let bind = |port| TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    let listener = order.port.and_then(|port| bind(port).ok()).map_or_else(|| bind(0), Ok).map_err(Error::Listen)?;
    let port = listener.local_addr().map_err(Error::Listen)?.port();
    fs::create_private_dir_all(&order.folder)?;
    used::begin(&order.folder)?;
    let identity = identity(&order.token, &order.credentials);
    let task = Task {
        folder: order.folder.clone(),
        uri: Some(order.upstream.uri.clone()),
        credentials: order.credentials,
        token: order.token.clone(),
        injected: None,
        spools: true,
        limits: Limits::default(),
    };
    let program = std::env::current_exe().map_err(Error::Start)?;
    let keeper = Keeper::on(program, listener, task)?;
    let running = Running {
        process: process::Identity::of(platform::own_pid()),
        port,
        token: order.token,
        upstream: order.upstream,
        identity,
        started_at: clock::now(),
    };
    let text = serde_json::to_vec_pretty(&running).expect("plain data of ours always serialises");
    fs::write_private(order.folder.join(STATE), &text)?;
    daemon::is_ready();
    runtime.block_on(async {
        loop {
            tokio::select! {
                _ = asked.recv() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let alone = running.upstream.managed && !has_server();
            if is_over(used::idle(&order.folder), alone) {
                return;
            }
        }
    });
    // What is left stays in the spool, for the next one.
    keeper.drain();
    Ok(())
}

/// Returns whether a relay that was not asked for anything for this long has done its work; `alone`: the managed server behind it was stopped.
fn is_over(idle: Duration, alone: bool) -> bool {
    idle > if alone { IDLE_WITHOUT_SERVER } else { IDLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_half_a_day_and_not_long_after_the_managed_server() {
        let hours = Duration::from_hours;
        assert!(!is_over(hours(11), false) && is_over(hours(13), false));
        assert!(!is_over(Duration::from_mins(4), true) && is_over(Duration::from_mins(6), true));
    }

    #[test]
    fn one_that_runs_serves_the_same_credentials_and_who_has_none() {
        let token = |text: &str| Credentials::Token { token: Secret::new(text) };
        let upstream = Upstream { uri: "http://t".into(), managed: false };
        let own = Secret::new("own");
        let running = Running {
            process: process::Identity::of(platform::own_pid()),
            port: 1,
            identity: identity(&own, &token("a")),
            token: own,
            upstream: upstream.clone(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
        };
        assert!(running.serves(&upstream, &token("a")) && running.serves(&upstream, &Credentials::None));
        assert!(!running.serves(&upstream, &token("b")));
        assert!(!running.serves(&Upstream { uri: "http://u".into(), managed: false }, &token("a")));
    }

    #[test]
    fn the_managed_server_is_one_tracker_whatever_its_port() {
        let of = |uri: &str, managed| Personal::new(Path::new("/d"), &Upstream { uri: uri.into(), managed }).folder;
        assert_eq!(of("http://127.0.0.1:1", true), of("http://127.0.0.1:2", true));
        assert_ne!(of("http://127.0.0.1:1", false), of("http://127.0.0.1:2", false));
    }
}
