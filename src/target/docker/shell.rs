//! A shell in a job's container, or in a fresh one of the same image and snapshot that is gone after.
//!
//! ```text
//! running   exec -> attend
//! ended     create, put the bundle, start, exec unpack -> exec -> attend -> remove
//! kept      create, put what is in the kept container, start -> exec -> attend -> remove
//! ```
//!
//! What is interrupted is ended there, with all that it started: the engine ends no process that was added to a container, whoever goes away.
//! Its processes are known by a variable of theirs, because what the engine calls their ids are those of its machine.
//!
//! What runs is always one more process in a container that does nothing else, so that its variables are in no description. A fresh
//! container ends by itself when this process does: its own process waits for the end of an input that is ours.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use tokio::io::AsyncWrite;

use super::archive::pack;
use super::{create, marks, place};
use crate::engine::{Container, ContainerSpec, Engine, Error as EngineError, Exec, ExecSpec, Input, Piece, Removal, State, Tar, Terminal};
use crate::job::JobSpec;
use crate::job::attempt::Attempt;
use crate::support::lock::Lock;
use crate::target::Error;
use crate::target::shell::{Door, Room, Shell, Visit};
use crate::target::supervised::{self, UNPACK};

/// Sends a signal to the processes that have a variable of ours.
const SIGNAL: &str = include_str!("../../../templates/signal_marked.py");

/// The variable that the processes of a shell have, with a word that no other shell has.
const MARK: &str = "SENDOFF_SHELL";

/// A process in a container, with its ends.
pub struct Inside {
    /// The process.
    pub guest: Guest,
    /// What it writes.
    pub output: Pin<Box<dyn Stream<Item = Result<Piece, EngineError>> + Send>>,
    /// What it reads.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// A process in a container, which is one more there or alone in it.
pub struct Guest {
    engine: Engine,
    exec: String,
    /// The container that it is in.
    container: String,
    /// The word that its processes are known by.
    mark: String,
    /// The program that can tell them.
    python: String,
    fresh: Option<Fresh>,
}

/// A container that is there for a shell alone.
struct Fresh {
    container: String,
    /// Its end ends the container.
    _tie: Input,
    /// Keeps the image.
    _leases: Vec<Lock>,
}

impl Guest {
    /// Tells the process how big its terminal is now; one that has ended does not mind.
    pub async fn resize(&mut self, size: Terminal) {
        let _ = self.engine.resize(&self.exec, size).await;
    }

    /// Returns the code of the process, whose output has ended; `None` when that is not known, since its container is gone.
    pub async fn code(&mut self) -> Option<i32> {
        code(&self.engine, &self.exec).await
    }

    /// Returns whether it is in a container of its own, which goes with it.
    pub fn is_alone(&self) -> bool {
        self.fresh.is_some()
    }

    /// Asks the process, with all that it started, to end, or ends them. In a container of its own that is left to [`Guest::leave`].
    pub async fn end(&mut self, how: Ending) -> Result<(), Error> {
        if self.fresh.is_some() {
            return Ok(());
        }
        let signal = match how {
            Ending::Asked => "SIGTERM",
            Ending::Forced => "SIGKILL",
        };
        let words = [&self.python, "-I", "-S", "-c", SIGNAL, signal, &format!("{MARK}={}", self.mark)].map(str::to_owned);
        let (code, said) = run(&self.engine, &self.container, words.to_vec()).await?;
        if code == Some(0) { Ok(()) } else { Err(Error::StillThere { container: self.container.clone(), reason: said }) }
    }

    /// Removes what was made for the shell.
    pub async fn leave(self) -> Result<(), Error> {
        match &self.fresh {
            Some(fresh) => Ok(self.engine.remove(&fresh.container, Removal::Forced).await?),
            None => Ok(()),
        }
    }
}

/// How a process is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is asked to.
    Asked,
    /// It has no choice.
    Forced,
}

/// Opens a shell beside an attempt.
pub(super) async fn open(engine: Engine, attempt: &Attempt, spec: &JobSpec, visit: &Visit) -> Result<Shell, Error> {
    let there = match marks::container(&attempt.node(visit.node)) {
        Some(id) => engine.inspect(&id).await?,
        None => None,
    };
    let mark = random();
    let wanted = shell(spec, visit, &mark);
    let inside = |exec: Exec, container: &str, fresh: Option<Fresh>| {
        let python = Some(spec.python.display().to_string()).filter(|path| !path.is_empty()).unwrap_or_else(|| "python3".to_owned());
        let guest = Guest { engine: engine.clone(), exec: exec.id, container: container.to_owned(), mark: mark.clone(), python, fresh };
        Door::Inside(Inside { guest, output: exec.output, input: exec.input }.into())
    };
    if let Some(container) = there.as_ref().filter(|container| container.state == State::Running) {
        let exec = engine.exec(&container.id, &wanted).await?;
        return Ok(Shell { room: Room::TheJobs, missing: Vec::new(), door: inside(exec, &container.id, None) });
    }
    let left = there.filter(|container| container.has_ended() && attempt.is_kept());
    let room = if left.is_some() { Room::AsLeft } else { Room::Fresh };
    let (fresh, mut missing) = furnish(&engine, attempt, spec, left).await?;
    missing.extend((spec.nodes > 1).then(|| "the other nodes".to_owned()));
    match engine.exec(&fresh.container, &wanted).await {
        Ok(exec) => Ok(Shell { room, missing, door: inside(exec, &fresh.container.clone(), Some(fresh)) }),
        Err(error) => {
            let _ = engine.remove(&fresh.container, Removal::Forced).await;
            Err(error.into())
        }
    }
}

/// Returns the code of a process, whose output may end a moment before it does.
async fn code(engine: &Engine, exec: &str) -> Option<i32> {
    for _ in 0..50 {
        match engine.exec_code(exec).await {
            Ok(Some(code)) => return Some(code),
            Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(_) => return None,
        }
    }
    None
}

fn shell(spec: &JobSpec, visit: &Visit, mark: &str) -> ExecSpec {
    let mut environment = visit.variables(&spec.variables);
    environment.insert(MARK.to_owned(), mark.to_owned());
    ExecSpec {
        command: visit.words(),
        environment,
        user: None,
        working_directory: Some(format!("{}/work", place::HOME)),
        terminal: visit.terminal,
    }
}

/// Makes a container as the job's was when its command started, or with all of ours that is in the one that was left; returns what it
/// lacks, too. A failure leaves none.
async fn furnish(engine: &Engine, attempt: &Attempt, spec: &JobSpec, left: Option<Container>) -> Result<(Fresh, Vec<String>), Error> {
    let leases: Vec<Lock> = spec.leases.iter().filter_map(|file| Lock::shared(file).ok()).collect();
    let image = &create::of(spec).image;
    if engine.image(image).await?.is_none() {
        return Err(Error::EnvironmentGone { id: spec.id.to_string(), what: image.clone() });
    }
    let archive = supervised::archive(attempt, spec)?;
    let (copied, gone): (Vec<_>, Vec<_>) = create::of(spec).copied.iter().cloned().partition(|(source, _)| source.exists());
    let mut missing: Vec<String> = gone.iter().map(|(source, _)| format!("the input `{}`, which is gone", source.display())).collect();
    missing.extend(spec.gpus.filter(|count| *count > 0).map(|_| "GPUs".to_owned()));
    let container = engine.create(&described(spec, attempt)).await?;
    let made = async {
        if let Some(left) = left {
            let pieces = engine.get(&left.id, place::HOME)?.map(|piece| piece.map_err(std::io::Error::other));
            engine.put(&container, "/", Tar::Stream(pieces.boxed())).await?;
            return Ok(engine.start_attached(&container).await?);
        }
        let bundle = pack(create::of(spec).user, move |tar| {
            tar.folder("sendoff", 0o755)?;
            for name in ["state", "home", "work", "collected", "inputs"] {
                tar.folder(&format!("sendoff/{name}"), 0o755)?;
            }
            tar.tree("sendoff/snapshot.zip", &archive)?;
            for (source, goal) in &copied {
                tar.input(goal.trim_start_matches('/'), source)?;
            }
            Ok(())
        });
        engine.put(&container, "/", bundle).await?;
        let tie = engine.start_attached(&container).await?;
        unpack(engine, &container, spec).await?;
        Ok(tie)
    };
    match made.await {
        Ok(tie) => Ok((Fresh { container: container.to_string(), _tie: tie, _leases: leases }, missing)),
        Err(error) => {
            let _ = engine.remove(&container, Removal::Forced).await;
            Err(error)
        }
    }
}

fn described(spec: &JobSpec, attempt: &Attempt) -> ContainerSpec {
    ContainerSpec {
        name: format!("{}-shell-{}", spec.id, random()),
        entrypoint: Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), "cat >/dev/null".to_owned()]),
        labels: [(place::SHELL.to_owned(), spec.id.to_string())].into_iter().chain(place::owned(&marks::owner(attempt))).collect(),
        network: create::of(spec).options.network.clone(),
        hostname: Some(spec.id.to_string()),
        ..create::place_of(spec)
    }
}

/// Returns a word that no other shell has.
fn random() -> String {
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the system has random numbers");
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a command in a container, and returns its code with what it wrote.
async fn run(engine: &Engine, container: &str, command: Vec<String>) -> Result<(Option<i32>, String), Error> {
    let mut exec = engine.exec(container, &ExecSpec { command, ..ExecSpec::default() }).await?;
    let mut said = Vec::new();
    while let Some(piece) = exec.output.next().await {
        let (Piece::Out(bytes) | Piece::Err(bytes)) = piece?;
        said.extend_from_slice(&bytes);
    }
    Ok((code(engine, &exec.id).await, String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Unpacks the snapshot, and makes the folders of the outputs.
async fn unpack(engine: &Engine, container: &str, spec: &JobSpec) -> Result<(), Error> {
    let failed = |reason: String| Error::Unpack { id: spec.id.to_string(), reason };
    let home = place::HOME;
    let python = spec.python.display().to_string();
    let archive = format!("{home}/snapshot.zip");
    let work = format!("{home}/work");
    let unpack = [&python, "-I", "-S", "-c", UNPACK, &archive, &spec.snapshot, &work].map(str::to_owned).to_vec();
    let folders = spec.outputs.iter().filter(|(_, is_folder)| *is_folder).map(|(name, _)| format!("{home}/collected/{name}"));
    let tidy = ["rm", "-f", &archive].map(str::to_owned).to_vec();
    let make: Vec<String> = ["mkdir", "-p", &work].map(str::to_owned).into_iter().chain(folders).collect();
    for command in [unpack, tidy, make] {
        match run(engine, container, command).await? {
            (Some(0), _) => {}
            (_, said) => return Err(failed(said)),
        }
    }
    Ok(())
}
