//! `sendoff gc`.

use clap::Args;
use sendoff::submit::{Garbage, GarbageKind, garbage, remove_garbage};
use sendoff::support::words::{Count, Size};
use serde::Serialize;

use super::World;
use super::jobs::open_jobs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

/// List what sendoff made and no longer needs, and remove it with --yes
///
/// Snapshots, environments, locks and caches that no job names; leftovers of what was interrupted; folders, locks and tickets of jobs that are gone.
/// What a live job holds is passed over. A job itself, with its log and outputs, goes with `sendoff delete`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Remove it
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Listed {
    items: Vec<Item>,
    bytes: u64,
    removed: bool,
}

#[derive(Serialize)]
struct Item {
    kind: GarbageKind,
    name: String,
    bytes: u64,
}

pub(crate) fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let jobs = open_jobs(world, printer)?;
    let mut found = garbage(&jobs, &world.dirs)?;
    if arguments.yes {
        found = remove_garbage(found, &world.dirs)?;
    }
    let bytes = found.iter().map(|item| item.bytes).sum();
    if printer.is_json() {
        let items = found.into_iter().map(|Garbage { kind, name, bytes, .. }| Item { kind, name, bytes }).collect();
        printer.json(&json::report("gc", Listed { items, bytes, removed: arguments.yes }));
        return Ok(Exit::Success);
    }
    let line = |item: &Garbage| format!("{:<18} {:>10}  {}\n", word(item.kind), Size(item.bytes).to_string(), item.name);
    printer.answer(&found.iter().map(line).collect::<String>());
    let sum = format!("{}, {}", Count(found.len(), "thing"), Size(bytes));
    match (arguments.yes, found.is_empty()) {
        (true, _) => printer.say(&format!("removed {sum}")),
        (false, true) => printer.say("there is nothing that is not needed"),
        (false, false) => printer.say(&format!("{sum} not needed; `sendoff gc --yes` removes them")),
    }
    Ok(Exit::Success)
}

fn word(kind: GarbageKind) -> String {
    json::word(&kind).replace('_', " ")
}
