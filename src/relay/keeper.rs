//! Keeps a relay running: owns its socket and its credentials, starts it again when it dies, and tells it when the job has ended.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Error, Finish, Listen, Pending, Task};
use crate::job::remains;
use crate::support::fs;

/// What a keeper tells its relay after the task.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToRelay {
    /// The job has ended: deliver what is left, and end.
    Finish(Finish),
    /// Deliver what is left, and end; nothing is said of any MLflow run.
    Drain,
}

/// What a relay tells its keeper.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromRelay {
    /// It answers.
    Ready,
    /// It is done; this is left.
    Left(Pending),
}

/// What is left of a relay's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// This much, known exactly.
    Known(Pending),
    /// The relay gave no answer; the spool has what there is.
    Unknown,
}

/// Listens at an address that a job knows already.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(Error::Listen)
}

/// A relay that is kept running until it is told to finish, or this value is dropped.
#[derive(Debug)]
pub struct Keeper {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    left: Mutex<mpsc::Receiver<Pending>>,
    drain: Duration,
}

#[derive(Debug, Default)]
struct State {
    control: Option<UnixStream>,
    pid: Option<i32>,
    order: Option<ToRelay>,
    over: bool,
}

/// How a relay's process is started.
#[derive(Debug, Clone)]
struct Start {
    program: PathBuf,
    listener: Arc<TcpListener>,
    task: Arc<Task>,
    log: PathBuf,
}

impl Keeper {
    /// Starts a relay that listens on this address, at a port that the system chooses, and returns once it answers.
    ///
    /// `program` is sendoff's own binary. Nothing is left behind on failure.
    pub fn start(program: PathBuf, listen: Listen, task: Task) -> Result<Self, Error> {
        let listener = TcpListener::bind(SocketAddrV4::new(listen.address(), 0)).map_err(Error::Listen)?;
        Self::on(program, listener, task)
    }

    /// Starts a relay on a socket that listens already: see [`Keeper::start`].
    pub fn on(program: PathBuf, listener: TcpListener, task: Task) -> Result<Self, Error> {
        let address = listener.local_addr().map_err(Error::Listen)?;
        fs::create_private_dir_all(&task.folder)?;
        let (drain, log) = (task.limits.drain, task.folder.join("relay.log"));
        let start = Start { program, listener: Arc::new(listener), task: Arc::new(task), log };
        let state = Arc::new(Mutex::new(State::default()));
        let (ready, is_ready) = mpsc::channel();
        let (done, left) = mpsc::channel();
        let kept = state.clone();
        std::thread::spawn(move || keep(&start, &kept, &ready, &done));
        match is_ready.recv_timeout(Duration::from_secs(30)) {
            Ok(Ok(())) => Ok(Self { address, state, left: Mutex::new(left), drain }),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                stop(&state);
                Err(Error::Stillborn("it does not answer".to_owned()))
            }
        }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address for the job.
    pub fn uri(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the process that runs now.
    pub fn pid(&self) -> Option<i32> {
        lock(&self.state).pid
    }

    /// Tells the relay that the job has ended, and waits until it has delivered what it can in its time.
    pub fn finish(self, finish: Finish) -> Left {
        self.end(ToRelay::Finish(finish))
    }

    /// Tells a relay that has no MLflow run of its own to end, and waits until it has delivered what it can in its time.
    pub fn drain(self) -> Left {
        self.end(ToRelay::Drain)
    }

    fn end(self, order: ToRelay) -> Left {
        {
            let mut state = lock(&self.state);
            if let Some(control) = &mut state.control {
                say(control, &order);
            }
            state.order = Some(order);
        }
        let left = self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        left.recv_timeout(self.drain + Duration::from_secs(20)).map_or(Left::Unknown, Left::Known)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        stop(&self.state);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Ends the relay: it ends by itself when its control socket does.
fn stop(state: &Mutex<State>) {
    let mut state = lock(state);
    state.over = true;
    if let Some(control) = state.control.take() {
        let _ = control.shutdown(std::net::Shutdown::Both);
    }
}

fn say<T: Serialize>(control: &mut UnixStream, message: &T) {
    let mut line = serde_json::to_vec(message).expect("plain data of ours always serialises");
    line.push(b'\n');
    // A relay that is gone is started again and told then.
    let _ = control.write_all(&line);
}

/// Starts the relay, listens to it, and starts it again when it dies before it is done.
fn keep(start: &Start, state: &Mutex<State>, ready: &mpsc::Sender<Result<(), Error>>, done: &mpsc::Sender<Pending>) {
    let (mut quick_deaths, mut has_lived) = (0, false);
    loop {
        let begun = Instant::now();
        let (mut child, mut control) = match spawn(start) {
            Ok(started) => started,
            // Out of processes or files, say: what the job writes waits at the socket meanwhile.
            Err(_) if has_lived && !lock(state).over => {
                std::thread::sleep(Duration::from_secs(1));
                continue;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        say(&mut control, &*start.task);
        {
            let mut state = lock(state);
            if state.over {
                drop(control);
                let _ = child.wait();
                return;
            }
            state.pid = i32::try_from(child.id()).ok();
            if let Some(order) = &state.order {
                say(&mut control, order);
            }
            state.control = control.try_clone().ok();
        }
        let mut finished = false;
        for line in BufReader::new(control).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str(&line) {
                Ok(FromRelay::Ready) => {
                    has_lived = true;
                    let _ = ready.send(Ok(()));
                }
                Ok(FromRelay::Left(pending)) => {
                    finished = true;
                    let _ = done.send(pending);
                }
                Err(_) => {}
            }
        }
        lock(state).control = None;
        let _ = child.wait();
        lock(state).pid = None;
        if finished || lock(state).over {
            return;
        }
        // One that cannot live is not started for ever at full speed.
        quick_deaths = if begun.elapsed() < Duration::from_secs(2) { quick_deaths + 1 } else { 0 };
        if quick_deaths > 20 && !has_lived {
            let said = std::fs::read_to_string(&start.log).unwrap_or_default();
            let _ = ready.send(Err(Error::Stillborn(said.trim().lines().last().unwrap_or_default().to_owned())));
            return;
        }
        std::thread::sleep(Duration::from_millis((20 * quick_deaths * quick_deaths).min(5000)));
    }
}

fn spawn(start: &Start) -> Result<(Child, UnixStream), Error> {
    let (own, theirs) = UnixStream::pair().map_err(Error::Start)?;
    let listener = start.listener.try_clone().map_err(Error::Start)?;
    let log = fs::append(&start.log)?;
    let child = Command::new(&start.program)
        .arg0("sendoff")
        .arg("relay")
        .current_dir("/")
        // The relay outlives the job's processes: it is not one of them.
        .env(remains::OWNER, &start.task.folder)
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(Error::Start)?;
    Ok((child, own))
}
