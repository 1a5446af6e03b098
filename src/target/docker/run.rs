//! Runs a job in a container, for its supervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Runtime;

use super::archive::{Pull, pack};
use super::{marks, place};
use crate::engine::{self, ContainerSpec, Engine, Follow, GpuRequest, Removal};
use crate::job::attempt::Attempt;
use crate::job::{Container, JobSpec, remains};
use crate::support::fs::{self, Context};
use crate::support::secret::Secret;
use crate::support::{fault, shell};
use crate::target::Error;
use crate::target::supervised::{Acts, Evidence, Exit, Job, PROGRAMS, Runner, Stop, Vicinity};

/// How often it is looked whether the job is to be ended.
const TICK: Duration = Duration::from_millis(50);

/// How long an engine that does not answer is left alone.
const AWAY: Duration = Duration::from_secs(1);

/// Bytes of what a bootstrap may have written down.
const STATE_LIMIT: u64 = 1 << 20;

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
            let id = match marks::container(job.attempt) {
                // An earlier supervisor has started it, and given it its secrets.
                Some(id) => {
                    (acts.secrets)(vicinity(&engine, &id, job).await?)?;
                    id
                }
                None => {
                    let id = create(&engine, job).await?;
                    fault::point("supervisor.before-command");
                    let input = engine.start_attached(&id).await?;
                    // The bootstrap waits for its input, so that the network can be looked at which it is really on.
                    let secrets = (acts.secrets)(vicinity(&engine, &id, job).await?)?;
                    input.send(script(&secrets).as_bytes()).await?;
                    id
                }
            };
            (acts.started)();
            watch(&engine, &id, job).await
        })
    }

    fn end(&self, job: &Job<'_>) {
        let Some(id) = marks::container(job.attempt) else { return };
        let Ok(engine) = self.engine(job.attempt) else { return };
        // After a failure the container may still run.
        let _ = self.runtime().block_on(engine.kill(&id, "KILL"));
        let collected = collect(self.runtime(), &engine, &id, job.attempt);
        if let Err(error) = collected {
            marks::note(job.attempt, &format!("what the job left stays in its container `{id}`: {error}"));
        }
    }

    fn clear(&self, job: &Job<'_>) {
        let Ok(engine) = self.engine(job.attempt) else { return };
        let _ = self.runtime().block_on(clear(&engine, job.attempt));
    }
}

/// Removes the container of an attempt whose outcome, log and outputs are kept; what could not be collected stays.
pub(super) async fn clear(engine: &Engine, attempt: &Attempt) -> Result<(), Error> {
    if let Some(id) = marks::container(attempt)
        && !marks::is_kept(attempt)
    {
        engine.remove(&id, Removal::Forced).await?;
        marks::forget(attempt);
    }
    Ok(())
}

fn of(spec: &JobSpec) -> &Container {
    spec.container.as_ref().expect("a job of this target has a container")
}

/// Returns where this machine is for a container that runs: at the gateway of its network, if that address is ours.
async fn vicinity(engine: &Engine, id: &str, job: &Job<'_>) -> Result<Vicinity, Error> {
    if !job.is_tracked || of(job.spec).network.as_deref() == Some("host") {
        return Ok(Vicinity::Beside);
    }
    let networks = engine.inspect(id).await?.map(|container| container.networks).unwrap_or_default();
    let (name, gateway) = networks.into_iter().next().map(|(name, attached)| (name, attached.gateway)).unwrap_or_default();
    let unreachable = |reason: String| Error::NoGateway { network: name.clone(), reason };
    let gateway = gateway.and_then(|text| text.parse::<Ipv4Addr>().ok()).ok_or_else(|| unreachable("it has no gateway".to_owned()))?;
    // Of a rootless or remote engine it is an address of another network namespace.
    match TcpListener::bind((IpAddr::V4(gateway), 0)) {
        Ok(_) => Ok(Vicinity::Gateway(gateway)),
        Err(_) => Err(unreachable(format!("its gateway {gateway} is not an address of this machine"))),
    }
}

/// Makes the container, or takes the one that an earlier supervisor of this attempt made, and puts the bundle into it.
async fn create(engine: &Engine, job: &Job<'_>) -> Result<String, Error> {
    let (attempt, spec) = (job.attempt, job.spec);
    let owner = marks::owner(attempt);
    let wanted = described(spec, job, &owner);
    if let Some(found) = engine.inspect(&wanted.name).await? {
        let is_ours = wanted.labels.iter().all(|(label, value)| found.labels.get(label) == Some(value));
        if !is_ours || found.has_run() {
            return Err(Error::NameTaken { name: wanted.name.clone(), id: found.id.to_string() });
        }
        // Half made: nobody knows which files are in it.
        engine.remove(&found.id, Removal::Forced).await?;
    }
    let id = engine.create(&wanted).await?;
    marks::remember(attempt, &id)?;
    let container = of(spec).clone();
    let (folder, image_user) = (attempt.folder().to_owned(), container.user);
    let bundle = pack(image_user, move |archive| {
        archive.folder("sendoff", 0o755)?;
        for name in ["state", "home", "work", "collected", "inputs"] {
            archive.folder(&format!("sendoff/{name}"), 0o755)?;
        }
        archive.bytes("sendoff/bootstrap.sh", &std::fs::read(folder.join("bootstrap.sh"))?, 0o644)?;
        for (name, text) in PROGRAMS {
            archive.bytes(&format!("sendoff/{name}"), text.as_bytes(), 0o644)?;
        }
        archive.tree("sendoff/snapshot.zip", &folder.join("snapshot.zip"))?;
        for (source, goal) in &container.copied {
            archive.tree(goal.trim_start_matches('/'), source)?;
        }
        Ok(())
    });
    engine.put(&id, "/", bundle).await?;
    Ok(id.to_string())
}

/// Returns what the container is to be.
fn described(spec: &JobSpec, job: &Job<'_>, owner: &str) -> ContainerSpec {
    let container = of(spec);
    let gpus = match (spec.gpus, &job.devices) {
        (None | Some(0), _) => None,
        (Some(count), None) => Some(GpuRequest::Count(count)),
        (Some(_), Some(devices)) => Some(GpuRequest::Devices(devices.iter().map(u32::to_string).collect())),
    };
    let mounts = container.mounts.iter().map(|mount| {
        let (target, read_only) = (mount.target.clone(), mount.read_only);
        if mount.is_bind() {
            engine::Mount::Bind { source: mount.source.clone(), target, read_only }
        } else {
            engine::Mount::Volume { name: mount.source.clone(), target, read_only }
        }
    });
    ContainerSpec {
        name: place::name(&spec.id, spec.attempt),
        image: container.image.clone(),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        command: vec![format!("{}/bootstrap.sh", place::HOME)],
        // Docker's init passes TERM on to the whole group of the bootstrap.
        environment: [("TINI_KILL_PROCESS_GROUP".to_owned(), "1".to_owned())].into(),
        labels: place::labels(spec, owner),
        user: Some(format!("{}:{}", container.user.uid, container.user.gid)),
        working_directory: Some(place::HOME.to_owned()),
        cpus: spec.cpus.map(f64::from),
        memory: spec.memory,
        shared_memory: container.shared_memory,
        pids: container.pids,
        gpus,
        init: true,
        no_new_privileges: true,
        open_stdin: true,
        network: container.network.clone(),
        hostname: Some(spec.id.to_string()),
        mounts: mounts.collect(),
        platform: container.platform.clone(),
        ..ContainerSpec::default()
    }
}

/// Returns the shell text that the bootstrap reads from its standard input. Its last line tells the bootstrap that nothing is missing.
fn script(secrets: &BTreeMap<String, Secret>) -> String {
    let mut text: String = secrets.iter().map(|(name, value)| format!("export {name}={}\n", shell::quote(value.expose()))).collect();
    text.push_str("# complete\n");
    text
}

/// Copies the log, waits for the end, and ends the container when asked or when its time is up.
async fn watch(engine: &Engine, id: &str, job: &Job<'_>) -> Result<Evidence, Error> {
    let (attempt, spec) = (job.attempt, job.spec);
    let copying = tokio::spawn(copy_log(engine.clone(), id.to_owned(), attempt.path("log")));
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    let mut stopped: Option<(Stop, Instant)> = None;
    let mut killed = false;
    let mut ending = Box::pin(ended(engine, id));
    let end = loop {
        tokio::select! {
            end = &mut ending => break end,
            _ = ticks.tick() => {}
        }
        match stopped {
            None => {
                let reason = if attempt.path("cancel").exists() {
                    Some(Stop::Cancelled)
                } else {
                    spec.max_duration.filter(|limit| begun.elapsed() >= *limit).map(|_| Stop::TimedOut)
                };
                if let Some(reason) = reason {
                    let _ = engine.kill(id, "TERM").await;
                    stopped = Some((reason, Instant::now()));
                }
            }
            Some((_, since)) if !killed && since.elapsed() >= attempt.grace(spec.grace) => {
                killed = engine.kill(id, "KILL").await.is_ok();
            }
            Some(_) => {}
        }
    };
    let stop = stopped.map(|(reason, _)| reason);
    let Some(end) = end else {
        copying.abort();
        let gone = Some("its container was removed while it ran".to_owned());
        return Ok(Evidence { gone: gone.filter(|_| stop.is_none()), stop, ..Evidence::default() });
    };
    // What it wrote last is still on its way.
    let _ = copying.await;
    finish_log(engine, id, &attempt.path("log")).await?;
    let state = state(engine, id).await;
    let read = |name: &str| state.get(name).map(|(text, _)| text.trim().to_owned()).filter(|text| !text.is_empty());
    let started_at = state.get("started").map(|(_, time)| (*time).max(end.started_at.unwrap_or(*time)));
    Ok(Evidence {
        exit: end.exit_code.map(Exit::Code),
        code: read("code").and_then(|code| code.parse().ok()),
        started_at,
        failed_step: read("failed-step"),
        last_step: read("step"),
        kills: u64::from(end.oom_killed),
        stop,
        is_full: false,
        gone: None,
    })
}

/// Waits until the container has ended, over restarts of the engine; `None` when it is gone.
async fn ended(engine: &Engine, id: &str) -> Option<engine::Container> {
    loop {
        match engine.wait(id).await {
            Ok(Some(container)) if !container.has_ended() && container.error.is_none() => tokio::time::sleep(TICK).await,
            Ok(end) => return end,
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
}

/// Appends what the container writes to the log, from where the log ends, until the container ends.
async fn copy_log(engine: Engine, id: String, log: std::path::PathBuf) {
    loop {
        match follow(&engine, &id, &log, Follow::Yes).await {
            Ok(()) => return,
            // A disk that is full, or an engine that is away: what is missing is copied later.
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
}

/// Copies what is missing from the log of a container that has ended.
async fn finish_log(engine: &Engine, id: &str, log: &Path) -> Result<(), Error> {
    let mut last = Ok(());
    for _ in 0..5 {
        last = follow(engine, id, log, Follow::No).await;
        match last {
            Ok(()) => break,
            Err(_) => tokio::time::sleep(AWAY).await,
        }
    }
    last
}

async fn follow(engine: &Engine, id: &str, log: &Path, follow: Follow) -> Result<(), Error> {
    let file = fs::append(log)?;
    let skip = file.metadata().context("read", log)?.len();
    let mut file = tokio::fs::File::from_std(file);
    let mut pieces = std::pin::pin!(engine.logs(id, skip, follow)?);
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).await.context("write", log)?;
        file.flush().await.context("write", log)?;
    }
    Ok(())
}

/// Returns what the bootstrap wrote down, with the times of its files.
async fn state(engine: &Engine, id: &str) -> BTreeMap<String, (String, Timestamp)> {
    let mut bytes = Vec::new();
    if let Ok(stream) = engine.get(id, &format!("{}/state", place::HOME)) {
        let mut stream = std::pin::pin!(stream);
        while let Some(Ok(piece)) = stream.next().await {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > STATE_LIMIT {
                break;
            }
        }
    }
    let mut found = BTreeMap::new();
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries().into_iter().flatten().flatten() {
        let name = entry.path().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        let time = entry.header().mtime().ok().and_then(|time| Timestamp::from_second(i64::try_from(time).ok()?).ok());
        let mut text = String::new();
        let is_file = entry.header().entry_type().is_file();
        if let (true, Some(name), Some(time), Ok(_)) = (is_file, name, time, entry.take(4096).read_to_string(&mut text)) {
            found.insert(name, (text, time));
        }
    }
    found
}

/// Brings what the job left into the attempt's folder.
fn collect(runtime: &Runtime, engine: &Engine, id: &str, attempt: &Attempt) -> Result<(), Error> {
    // Into the places where a local job has them, from where they are kept.
    for (from, into) in [("collected", ""), ("work/outputs", "work"), ("work/logs", "work")] {
        let path = format!("{}/{from}", place::HOME);
        let stream = engine.get(id, &path)?;
        let goal = attempt.path(into);
        fs::create_private_dir_all(&goal)?;
        match unpack(Pull::new(runtime, stream), &goal) {
            Ok(()) => {}
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(Err::<(), _>(error).context("write", &goal).expect_err("it is an error").into()),
        }
    }
    remains::end_own(attempt.folder(), BTreeSet::new(), Duration::ZERO);
    Ok(())
}

/// Unpacks files, folders and links, none of them outside of the folder. Pipes and devices are no outputs.
fn unpack(from: Pull<'_>, into: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_dir() || kind.is_symlink() || kind.is_hard_link() {
            entry.unpack_in(into)?;
        }
    }
    Ok(())
}

fn is_missing(error: &std::io::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if matches!(error.downcast_ref(), Some(engine::Error::Missing { .. })) {
            return true;
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = inner.map(|inner| inner as _).or_else(|| error.source());
    }
    false
}
