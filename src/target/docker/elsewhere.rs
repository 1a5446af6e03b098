//! Jobs of other stores on the same engine: found by their labels, watched over by whoever asks, and left to their owners.
//!
//! Who watches says so in the container, and when it has all that it wants; the owner removes the container after that. Who ends the
//! job says that there too, so that all others know why it ended:
//!
//! ```text
//! /sendoff/state/watched-NAME   a store that is not the owner copies the log and will want what the job leaves
//!               /done-NAME      it has it
//!               /stopped        why sendoff ended the job: `cancelled` or `timed out`
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::engine::{Container, Engine, Listed, Tar};
use crate::job::attempt::Attempt;
use crate::job::{self, Command, JobId, JobSpec, Request, User};
use crate::support::fs;
use crate::target::supervised::Stop;
use crate::target::{Error, Found};

use super::collect::state;
use super::nodes::Made;
use super::{log, marks, nodes, place, remove};

/// The file that says why the job was ended.
const STOPPED: &str = "stopped";

/// How long an owner waits for those who watch to have what they want.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns the newest attempt of a job that the engine has. A container of that name which is nobody's job is an error.
pub(super) async fn find(engine: &Engine, id: &JobId) -> Result<Option<Found>, Error> {
    let mut listed = engine.list(&[(place::JOB, id.as_str())]).await?;
    // What is beside a job's own containers says nothing of it.
    listed.retain(|container| !container.labels.contains_key(place::ROLE));
    let attempt = |container: &Listed| container.labels.get(place::ATTEMPT).and_then(|number| number.parse::<u32>().ok());
    let Some(newest) = listed.iter().filter_map(attempt).max() else {
        return match engine.inspect(&place::name(id, 1)).await? {
            Some(foreign) => Err(Error::NameTaken { name: foreign.name, id: foreign.id.to_string() }),
            None => Ok(None),
        };
    };
    let container = listed.iter().find(|container| attempt(container) == Some(newest));
    let labels = container.map(|container| container.labels.clone()).unwrap_or_default();
    let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
    Ok(Some(Found {
        id: id.clone(),
        attempt: newest,
        nodes: label(place::NODES).parse().unwrap_or(1),
        digest: label(place::DIGEST),
        request: Request { config: label(place::CONFIG), environment: label(place::ENVIRONMENT) },
        snapshot: label(place::SNAPSHOT),
        machine: label(place::MACHINE),
        store: label(place::OWNER),
    }))
}

/// Writes down, for a supervisor here, what is known of a job that was found, with its log so far: who asks for that next sees what there is.
pub(super) async fn take_part(engine: &Engine, attempt: &Attempt, found: &Found) -> Result<(), Error> {
    let container = made(engine, &place::names(&described(found, None))[0]).await?;
    let spec = described(found, container.as_ref());
    fs::create_private_dir_all(attempt.folder())?;
    marks::choose(attempt, engine.endpoint())?;
    marks::watch_only(attempt, &format!("{}:{}", found.machine, found.store))?;
    for node in nodes::all(attempt, &spec) {
        let container = made(engine, &node.name).await?.ok_or_else(|| Error::GivenUp { id: found.id.to_string() })?;
        fs::create_private_dir_all(node.folder.folder())?;
        marks::remember(&node.folder, &container.id)?;
        log::so_far(engine, &container.id, &node.folder.path("log")).await?;
    }
    Ok(attempt.write_spec(&spec)?)
}

/// Gives way to another store that submitted the same request at the same moment and was faster, so that a name was `taken`: removes what this
/// one has made, and returns the other's containers, to be watched over. Another request of that id is an error, and so is what is nobody's job.
pub(super) async fn give_way(engine: &Engine, attempt: &Attempt, spec: &JobSpec, taken: Error) -> Result<Vec<Made>, Error> {
    remove::all(engine, attempt, spec).await?;
    if let Error::NetworkTaken { name } = &taken {
        let network = engine.inspect_network(name).await?;
        if network.is_none_or(|network| network.labels.get(place::JOB).map(String::as_str) != Some(spec.id.as_str())) {
            return Err(taken);
        }
    }
    let all = nodes::all(attempt, spec);
    let first = made(engine, &all[0].name).await?;
    let found = find(engine, &spec.id).await?.filter(|found| first.is_some() && found.attempt == spec.attempt);
    let Some(found) = found else { return Err(taken) };
    let differences = differences(spec, &found);
    if !differences.is_empty() {
        return Err(Error::Outrun { id: spec.id.to_string(), differences });
    }
    marks::watch_only(attempt, &format!("{}:{}", found.machine, found.store))?;
    for node in &all {
        let container = made(engine, &node.name).await?.ok_or_else(|| Error::GivenUp { id: spec.id.to_string() })?;
        fs::create_private_dir_all(node.folder.folder())?;
        marks::remember(&node.folder, &container.id)?;
    }
    Ok(nodes::made(attempt, spec))
}

/// Names what of a job that was found is not as it is wanted.
fn differences(spec: &JobSpec, found: &Found) -> Vec<&'static str> {
    let parts = [
        ("run config", spec.request.config != found.request.config),
        ("snapshot", spec.snapshot != found.snapshot),
        ("environment", spec.request.environment != found.request.environment),
    ];
    parts.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}

/// Returns a container that its owner may be just making.
async fn made(engine: &Engine, name: &str) -> Result<Option<Container>, Error> {
    let begun = Instant::now();
    loop {
        match engine.inspect(name).await? {
            None if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            found => return Ok(found),
        }
    }
}

/// Returns the job description for who watches a job; what only its owner knows is not in it.
fn described(found: &Found, container: Option<&Container>) -> JobSpec {
    let grace = container.and_then(|container| container.labels.get(place::GRACE)).and_then(|text| text.parse().ok()).unwrap_or(30_000);
    JobSpec {
        id: found.id.clone(),
        attempt: found.attempt,
        digest: found.digest.clone(),
        request: found.request.clone(),
        command: Command::Shell(String::new()),
        setup: None,
        archive: std::path::PathBuf::new(),
        snapshot: found.snapshot.clone(),
        leases: Vec::new(),
        python: std::path::PathBuf::new(),
        variables: Vec::new(),
        secrets: Vec::new(),
        outputs: Vec::new(),
        cpus: None,
        memory: None,
        gpus: None,
        nodes: found.nodes,
        max_duration: None,
        grace: Duration::from_millis(grace),
        queue: None,
        preflight: false,
        hosted: None,
        container: Some(job::Container {
            image: container.map(|container| container.image.to_string()).unwrap_or_default(),
            user: User { uid: 1000, gid: 1000 },
            bound: Vec::new(),
            copied: Vec::new(),
            shared_memory: None,
            options: job::ContainerOptions::default(),
        }),
    }
}

/// Says something in a container, in a file of its own.
async fn say(engine: &Engine, container: &str, name: &str, text: &str) -> Result<(), Error> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    let packed = archive.append_data(&mut header, name, text.as_bytes()).and_then(|()| archive.into_inner());
    let packed = packed.expect("an archive in memory cannot fail");
    Ok(engine.put(container, &format!("{}/state", place::HOME), Tar::Whole(packed.into())).await?)
}

/// Returns what this store is called in the containers of others.
fn own_name(attempt: &Attempt) -> String {
    let digest = Sha256::digest(marks::own_place(attempt).as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Says that this store watches.
pub(super) async fn begin(engine: &Engine, container: &str, attempt: &Attempt) -> Result<(), Error> {
    say(engine, container, &format!("watched-{}", own_name(attempt)), "").await
}

/// Says that this store has what it wants.
pub(super) async fn done(engine: &Engine, container: &str, attempt: &Attempt) -> Result<(), Error> {
    say(engine, container, &format!("done-{}", own_name(attempt)), "").await
}

/// Says why the job is being ended.
pub(super) async fn stop(engine: &Engine, container: &str, why: Stop) -> Result<(), Error> {
    let word = match why {
        Stop::Cancelled => "cancelled",
        Stop::TimedOut => "timed out",
    };
    say(engine, container, STOPPED, word).await
}

/// Returns why the job was ended, as far as anybody has said.
pub(super) fn stopped(said: &BTreeMap<String, (String, Timestamp)>) -> Option<Stop> {
    match said.get(STOPPED)?.0.trim() {
        "timed out" => Some(Stop::TimedOut),
        _ => Some(Stop::Cancelled),
    }
}

/// Waits until all who watch have what they want, or are taken for dead.
pub(super) async fn leave_to_watchers(engine: &Engine, container: &str) {
    let begun = Instant::now();
    loop {
        // Of an engine that is away nobody knows who watches.
        let have_all = state(engine, container).await.is_ok_and(|said| {
            let mut watching = said.keys().filter_map(|name| name.strip_prefix("watched-"));
            watching.all(|name| said.contains_key(&format!("done-{name}")))
        });
        if have_all || begun.elapsed() > PATIENCE {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
