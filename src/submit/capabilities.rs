//! What the run config asks of the target, beside what the target can do.

use super::Error;
use crate::config::RunConfig;
use crate::support::words::{Count, Size, Span};
use crate::target::Target;

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

/// Compares; everything that the target cannot do is refused at once, each by the key's name.
pub(super) async fn check(run: &RunConfig, target: &dyn Target) -> Result<Vec<Capability>, Error> {
    let can = target.capabilities().await?;
    let cpus = Count(can.cpus as usize, "CPU").to_string();
    let gpus = can.gpus.map_or_else(|| "GPUs".to_owned(), |count| Count(count as usize, "GPU").to_string());
    let asked = &run.resources;
    let memory = can.memory_refusal.clone().or_else(|| can.memory.filter(|there| asked.memory > Some(*there)).map(has_memory));
    let refusals: Vec<(&'static str, String)> = [
        asked.cpus.filter(|count| *count > can.cpus).map(|_| ("resources.cpus", format!("it has {cpus}"))),
        asked.memory.and(memory).map(|reason| ("resources.memory", reason)),
        asked.gpus.filter(|count| can.gpus.is_some_and(|there| *count > there)).map(|_| ("resources.gpus", format!("it has {gpus}"))),
        asked
            .shared_memory
            .filter(|_| !can.shared_memory)
            .map(|_| ("resources.shared_memory", "only containers have their own".to_owned())),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !refusals.is_empty() {
        return Err(Error::Incapable { target: run.target.value.name.clone(), refusals });
    }
    let memory = can.memory_refusal.map_or_else(|| "can be limited".to_owned(), |reason| format!("cannot be limited: {reason}"));
    Ok(vec![
        Capability { key: "resources.cpus", asked: run.resources.cpus.map(|count| count.to_string()), can: format!("has {cpus}") },
        Capability { key: "resources.memory", asked: run.resources.memory.map(|bytes| Size(bytes).to_string()), can: memory },
        Capability { key: "resources.gpus", asked: run.resources.gpus.map(|count| count.to_string()), can: format!("has {gpus}") },
        Capability {
            key: "resources.max_duration",
            asked: run.resources.max_duration.map(|limit| Span(limit).to_string()),
            can: "is kept by the supervisor".to_owned(),
        },
    ])
}

fn has_memory(bytes: u64) -> String {
    format!("it has {}", Size(bytes))
}
