//! What a run config asks of an engine beside what the engine has: refused before anything is made, all of it at once.

use std::collections::BTreeSet;

use super::probe;
use crate::engine::{About, Engine, Gpus, Product};
use crate::job::Mount;
use crate::support::suggest::nearest;
use crate::support::words::all_of;
use crate::target::config::DockerSpec;
use crate::target::{Capabilities, Error, Refusal};

/// No engine makes a container with less.
const LEAST_MEMORY: u64 = 6 << 20;

/// The networks that every engine has a word for.
const OWN_NETWORKS: [&str; 4] = ["bridge", "default", "host", "none"];

/// Asks the engine, and changes nothing.
pub(super) async fn capabilities(engine: &Engine, asked: &DockerSpec) -> Result<Capabilities, Error> {
    let about = engine.about().await?;
    let mut refusals = Vec::new();
    refusals.extend(network(engine, asked.options.network.as_deref()).await?);
    refusals.extend(twice(&asked.options.mounts));
    refusals.extend(paths(engine, &asked.options.mounts).await?);
    if asked.options.pids.is_some() && !about.limits.pids {
        refusals.push(refusal("compute_target.pids_limit", "this engine cannot limit it".to_owned()));
    }
    let missing = |has: bool| (!has).then(|| "this engine cannot limit it".to_owned());
    Ok(Capabilities {
        memory_refusal: missing(about.limits.memory),
        memory: Some(about.memory),
        least_memory: LEAST_MEMORY,
        cpus: about.cpus,
        cpus_refusal: missing(about.limits.cpus),
        gpus: match about.gpus {
            Gpus::Offered => None,
            Gpus::NotShown => Some(0),
        },
        gpus_refusal: (about.gpus == Gpus::NotShown).then(|| no_gpus(&about)),
        shared_memory: true,
        nodes: true,
        refusals,
        notes: volumes(engine, &asked.options.mounts).await?.into_iter().chain(foreign(&about, asked)).collect(),
    })
}

fn refusal(key: &'static str, reason: String) -> Refusal {
    Refusal { key, reason }
}

fn no_gpus(about: &About) -> String {
    match about.product {
        Product::DockerDesktop => "Docker Desktop shows none to containers".to_owned(),
        Product::Docker | Product::Podman => {
            "the container engine shows none; NVIDIA's container toolkit, installed where it runs, brings them".to_owned()
        }
    }
}

/// Says that a network is missing, and which ones are there.
async fn network(engine: &Engine, name: Option<&str>) -> Result<Option<Refusal>, Error> {
    let Some(name) = name.filter(|name| !OWN_NETWORKS.contains(name)) else { return Ok(None) };
    match engine.inspect_network(name).await {
        Ok(Some(_)) => return Ok(None),
        Ok(None) | Err(crate::engine::Error::Name { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut there: Vec<String> = engine.networks(&[]).await?.into_iter().map(|network| network.name).collect();
    there.sort();
    let others = nearest(name, there.iter().map(String::as_str))
        .map_or_else(|| format!("it has {}; `docker network create` makes one", all_of(&there)), |near| format!("did you mean `{near}`?"));
    Ok(Some(refusal("compute_target.network", format!("the container engine has no network `{name}`; {others}"))))
}

/// Says that the engine's machine would have to emulate what is asked for.
fn foreign(about: &About, asked: &DockerSpec) -> Option<String> {
    let wanted = &asked.options.platform.as_ref()?.0;
    let own = format!("{}/{}", about.os, about.architecture);
    let is_own = *wanted == own || wanted.strip_prefix(own.as_str()).is_some_and(|rest| rest.starts_with('/'));
    (!is_own).then(|| {
        format!("the container engine's machine is `{own}`: it runs `{wanted}` (`compute_target.platform`) only where it has an emulator for it (QEMU), and slowly")
    })
}

/// Names places in the container that two mounts want.
fn twice(mounts: &[Mount]) -> Vec<Refusal> {
    let mut seen = BTreeSet::new();
    let again = mounts.iter().filter(|mount| !seen.insert(mount.target.trim_end_matches('/')));
    again.map(|mount| refusal("compute_target.mounts", format!("`{}` in the container is named twice", mount.target))).collect()
}

/// Names paths that the engine's machine does not have. Without an image on the engine nothing can be tried, and the start will tell.
async fn paths(engine: &Engine, mounts: &[Mount]) -> Result<Vec<Refusal>, Error> {
    let sources: BTreeSet<&str> = mounts.iter().filter(|mount| mount.is_bind()).map(|mount| mount.source.as_str()).collect();
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    let Some(image) = probe::image(engine).await? else { return Ok(Vec::new()) };
    let sources: Vec<&str> = sources.into_iter().collect();
    let refused = engine.refused_binds(&sources, &image).await?;
    let missing = |source: &str| format!("the container engine's machine has no `{source}`, or does not share it with containers");
    Ok(refused.into_iter().map(|source| refusal("compute_target.mounts", missing(source))).collect())
}

/// Names volumes that are missing: they are made, as Docker makes them.
async fn volumes(engine: &Engine, mounts: &[Mount]) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    let names: BTreeSet<&str> = mounts.iter().filter(|mount| !mount.is_bind()).map(|mount| mount.source.as_str()).collect();
    for name in names {
        if engine.inspect_volume(name).await?.is_none() {
            notes.push(format!("the volume `{name}` is not there yet: the container engine makes it, and it stays after the job"));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_container_can_be_had_once() {
        let mount = |source: &str, target: &str| Mount { source: source.to_owned(), target: target.to_owned(), read_only: false };
        assert_eq!(twice(&[mount("/a", "/x"), mount("/a", "/y")]), []);
        let refusals = twice(&[mount("/a", "/x"), mount("/b", "/x/")]);
        assert_eq!(refusals.iter().map(|refusal| refusal.reason.as_str()).collect::<Vec<_>>(), ["`/x/` in the container is named twice"]);
    }
}
