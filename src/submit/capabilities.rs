//! What the run config asks of the target, beside what the target can do.

use super::Error;
use crate::config::RunConfig;
use crate::support::words::{Count, Size, Span};
use crate::target::config::TargetConfig;
use crate::target::docker::place;
use crate::target::{Capabilities, Target};

/// One key that the target was asked about, and can honour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The key.
    pub key: &'static str,
    /// What the run config asks; `None` when it leaves it to the target.
    pub asked: Option<String>,
    /// What the target can do.
    pub can: String,
}

/// What came of the comparison.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) capabilities: Vec<Capability>,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

/// Compares; everything that the target cannot do is refused at once, each by the key's name.
pub(super) async fn check(run: &RunConfig, target: &dyn Target) -> Result<Compared, Error> {
    let can = target.capabilities().await?;
    let mut refusals = refusals(run, &can);
    refusals.extend(can.refusals.iter().map(|refusal| (refusal.key, refusal.reason.clone())));
    if !refusals.is_empty() {
        return Err(Error::Incapable { target: run.target.value.name.clone(), refusals });
    }
    let cpus = Count(can.cpus as usize, "CPU");
    let gpus = can.gpus.map_or_else(|| "GPUs".to_owned(), |count| Count(count as usize, "GPU").to_string());
    let memory = can.memory_refusal.map_or_else(|| "can be limited".to_owned(), |reason| format!("cannot be limited: {reason}"));
    let asked = &run.resources;
    let nodes = asked.nodes.unwrap_or(1);
    let capabilities = vec![
        Capability { key: "resources.cpus", asked: asked.cpus.map(|count| count.to_string()), can: format!("has {cpus}") },
        Capability { key: "resources.memory", asked: asked.memory.map(|bytes| Size(bytes).to_string()), can: memory },
        Capability { key: "resources.gpus", asked: asked.gpus.map(|count| per_node(count, nodes)), can: format!("has {gpus}") },
        Capability {
            key: "resources.nodes",
            asked: asked.nodes.map(|count| count.to_string()),
            can: if can.nodes { "runs each in a container of its own, with these limits".to_owned() } else { "runs one".to_owned() },
        },
        Capability {
            key: "resources.max_duration",
            asked: asked.max_duration.map(|limit| Span(limit).to_string()),
            can: "is kept by the supervisor".to_owned(),
        },
    ];
    let mut notes = can.notes;
    notes.extend(crowded(asked.cpus, nodes, can.cpus));
    Ok(Compared { capabilities, notes })
}

/// Says why the nodes of a job could not find each other in the network that is asked for.
fn nameless(run: &RunConfig) -> Option<String> {
    let TargetConfig::Docker(docker) = &run.target.value.config else { return None };
    let network = docker.options.network.as_deref()?;
    place::is_nameless(network)
        .then(|| format!("the nodes do not find each other by name in `{network}`; without it they have a network of their own"))
}

/// Says how many GPUs each node gets: none is shared by two of them.
fn per_node(count: u32, nodes: u32) -> String {
    if nodes > 1 { format!("{count} for each of {nodes} nodes") } else { count.to_string() }
}

/// Says that nodes ask for more CPUs than there are for all of them: each is limited to its own number, and they take turns.
fn crowded(cpus: Option<u32>, nodes: u32, there: u32) -> Option<String> {
    let together = cpus?.saturating_mul(nodes);
    (nodes > 1 && together > there).then(|| {
        let (asked, there) = (Count(together as usize, "CPU"), Count(there as usize, "CPU"));
        format!("the {nodes} nodes together ask for {asked}, and the target has {there}: they share them (`resources.cpus`)")
    })
}

/// Returns which resources the target cannot give.
fn refusals(run: &RunConfig, can: &Capabilities) -> Vec<(&'static str, String)> {
    let asked = &run.resources;
    let has = |bytes: u64| format!("it has {}", Size(bytes));
    let too_much = |wanted: Option<u64>| can.memory.filter(|there| wanted > Some(*there)).map(has);
    let too_little =
        |wanted: u64| (wanted < can.least_memory).then(|| format!("{} is the least that a job can be limited to", Size(can.least_memory)));
    let cpus = asked.cpus.and_then(|count| {
        let few = (count > can.cpus).then(|| format!("it has {}", Count(can.cpus as usize, "CPU")));
        few.or_else(|| can.cpus_refusal.clone())
    });
    let nodes = asked.nodes.unwrap_or(1);
    let all_too_much = |bytes: u64| {
        let together = bytes.saturating_mul(u64::from(nodes));
        let reason = |has: String| format!("{has}, and the {nodes} nodes together ask for {}", Size(together));
        too_much(Some(together)).filter(|_| nodes > 1).map(reason)
    };
    let memory = asked.memory.and_then(|bytes| {
        let fits_not = || too_much(Some(bytes)).or_else(|| all_too_much(bytes)).or_else(|| too_little(bytes));
        can.memory_refusal.clone().or_else(fits_not)
    });
    let wanted = asked.gpus.map(|count| count.saturating_mul(nodes));
    let gpus = wanted.filter(|count| can.gpus.is_some_and(|there| *count > there)).map(|_| {
        let alone = if nodes > 1 { format!(", and no two of the {nodes} nodes share one") } else { String::new() };
        let count = || format!("it has {}{alone}", Count(can.gpus.unwrap_or_default() as usize, "GPU"));
        can.gpus_refusal.clone().unwrap_or_else(count)
    });
    let shared = match asked.shared_memory {
        Some(_) if !can.shared_memory => Some("only containers have their own".to_owned()),
        wanted => too_much(wanted),
    };
    let several = (nodes > 1 && !can.nodes).then(|| "it runs a job in one place only".to_owned());
    let named = [
        ("resources.cpus", cpus),
        ("resources.memory", memory),
        ("resources.gpus", gpus),
        ("resources.shared_memory", shared),
        ("resources.nodes", several),
        ("compute_target.network", (nodes > 1).then(|| nameless(run)).flatten()),
    ];
    named.into_iter().filter_map(|(key, reason)| Some((key, reason?))).collect()
}
