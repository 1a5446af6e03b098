//! Makes the container of a job's node, with the bundle in it.

use std::collections::BTreeMap;

use crate::engine::{self, ContainerSpec, Engine, GpuRequest, Removal};
use crate::job::{Container, JobSpec, node};
use crate::support::fs;
use crate::target::Error;
use crate::target::supervised::{Job, PROGRAMS};

use super::archive::pack;
use super::nodes::{self, Node};
use super::{marks, place};

pub(super) fn of(spec: &JobSpec) -> &Container {
    spec.container.as_ref().expect("a job of this target has a container")
}

/// Makes the container, or takes the one that an earlier supervisor of this attempt made, and puts the bundle into it.
pub(super) async fn create(engine: &Engine, job: &Job<'_>, node: &Node) -> Result<String, Error> {
    let (attempt, spec) = (job.attempt, job.spec);
    let wanted = described(spec, job, node);
    fs::create_private_dir_all(node.folder.folder())?;
    if let Some(found) = engine.inspect(&wanted.name).await? {
        let is_ours = wanted.labels.iter().all(|(label, value)| found.labels.get(label) == Some(value));
        if !is_ours || found.has_run() {
            return Err(Error::NameTaken { name: wanted.name.clone(), id: found.id.to_string() });
        }
        // Half made: nobody knows which files are in it.
        engine.remove(&found.id, Removal::Forced).await?;
    }
    let id = match engine.create(&wanted).await {
        // Somebody took the name since it was looked at.
        Err(engine::Error::Conflict { .. }) => {
            let id = engine.inspect(&wanted.name).await?.map(|found| found.id.to_string()).unwrap_or_default();
            return Err(Error::NameTaken { name: wanted.name, id });
        }
        made => made?,
    };
    marks::remember(&node.folder, &id)?;
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
fn described(spec: &JobSpec, job: &Job<'_>, node: &Node) -> ContainerSpec {
    let gpus = match (spec.gpus, &job.devices) {
        (None | Some(0), _) => None,
        (Some(count), None) => Some(GpuRequest::Count(count)),
        // Each node has devices of its own.
        (Some(count), Some(devices)) => Some(GpuRequest::Devices(own(devices, count, node.rank).iter().map(u32::to_string).collect())),
    };
    // Docker's init passes TERM on to the whole group of the bootstrap.
    let mut environment = BTreeMap::from([("TINI_KILL_PROCESS_GROUP".to_owned(), "1".to_owned())]);
    if spec.nodes > 1 {
        environment.extend(node::variables(node.rank, &place::names(spec)));
    }
    let mut labels = place::labels(spec, &marks::owner(job.attempt));
    labels.insert(place::NODE.to_owned(), node.rank.to_string());
    ContainerSpec {
        name: node.name.clone(),
        entrypoint: Some(vec!["/bin/sh".to_owned()]),
        command: vec![format!("{}/bootstrap.sh", place::HOME)],
        environment,
        labels,
        gpus,
        network: nodes::network(spec),
        hostname: Some(if spec.nodes > 1 { node.name.clone() } else { spec.id.to_string() }),
        ..place_of(spec)
    }
}

/// Returns what every container of a job is, the one of a shell too: its user, its limits and what it sees.
pub(super) fn place_of(spec: &JobSpec) -> ContainerSpec {
    let container = of(spec);
    ContainerSpec {
        image: container.image.clone(),
        user: Some(format!("{}:{}", container.user.uid, container.user.gid)),
        working_directory: Some(place::HOME.to_owned()),
        cpus: spec.cpus.map(f64::from),
        memory: spec.memory,
        shared_memory: container.shared_memory,
        pids: container.options.pids,
        init: true,
        no_new_privileges: true,
        open_stdin: true,
        mounts: mounts(container),
        platform: container.options.platform.as_ref().map(|platform| platform.0.clone()),
        ..ContainerSpec::default()
    }
}

/// Returns what a container sees of the engine's machine.
fn mounts(container: &Container) -> Vec<engine::Mount> {
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

/// Returns the devices of a node, among those of the job.
fn own(devices: &[u32], count: u32, rank: u32) -> &[u32] {
    devices.chunks(count as usize).nth(rank as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_nodes_share_a_device() {
        let devices = [0, 2, 3, 7];
        assert_eq!((own(&devices, 2, 0), own(&devices, 2, 1)), (&devices[..2], &devices[2..]));
        assert_eq!(own(&devices, 2, 2), [0; 0]);
    }
}
