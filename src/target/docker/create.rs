//! Makes a job's container, with the bundle in it.

use crate::engine::{self, ContainerSpec, Engine, GpuRequest, Removal};
use crate::job::{Container, JobSpec};
use crate::target::Error;
use crate::target::supervised::{Job, PROGRAMS};

use super::archive::pack;
use super::{marks, place};

pub(super) fn of(spec: &JobSpec) -> &Container {
    spec.container.as_ref().expect("a job of this target has a container")
}

/// Makes the container, or takes the one that an earlier supervisor of this attempt made, and puts the bundle into it.
pub(super) async fn create(engine: &Engine, job: &Job<'_>) -> Result<String, Error> {
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
            archive.input(goal.trim_start_matches('/'), source)?;
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
        pids: container.options.pids,
        gpus,
        init: true,
        no_new_privileges: true,
        open_stdin: true,
        network: container.options.network.clone(),
        hostname: Some(spec.id.to_string()),
        mounts: mounts(container),
        platform: container.options.platform.as_ref().map(|platform| platform.0.clone()),
        ..ContainerSpec::default()
    }
}

/// Returns what a container sees of the engine's machine.
pub(super) fn mounts(container: &Container) -> Vec<engine::Mount> {
    let mounts = container.options.mounts.iter().chain(&container.bound).map(|mount| {
        let (target, read_only) = (mount.target.clone(), mount.read_only);
        if mount.is_bind() {
            engine::Mount::Bind { source: mount.source.clone(), target, read_only }
        } else {
            engine::Mount::Volume { name: mount.source.clone(), target, read_only }
        }
    });
    mounts.collect()
}
