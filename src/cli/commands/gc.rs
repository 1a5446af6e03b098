//! `sendoff gc`.

use clap::Args;
use sendoff::submit::{Garbage, GarbageFound, GarbageKind, garbage, remove_garbage};
use sendoff::support::words::{Count, Size};
use serde::Serialize;

use super::World;
use super::jobs::{complain_of, open_jobs};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

/// List what sendoff made and no longer needs, and remove it with --yes
///
/// Snapshots, environments, locks and caches that no job names; leftovers of what was interrupted; folders, locks and tickets of jobs that are gone. On
/// the container engines that were used: images that no job names, and containers, networks and volumes of jobs that have ended, those of `--keep` among
/// them. What a live job holds is passed over, and so is what other homes have on the same engine, unless that home was on this machine and is gone. A job
/// itself, with its log and outputs, goes with `sendoff delete`.
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
    /// Engines that could not be asked.
    away: Vec<String>,
}

#[derive(Serialize)]
struct Item {
    kind: GarbageKind,
    name: String,
    bytes: u64,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let jobs = open_jobs(world, printer)?;
    let GarbageFound { items: mut found, away } = garbage(&jobs, &world.dirs, &world.variables).await?;
    if arguments.yes {
        found = remove_garbage(found, &world.dirs).await?;
    }
    complain_of(&away, printer);
    let bytes = found.iter().map(|item| item.bytes).sum();
    if printer.is_json() {
        let items = found.into_iter().map(|Garbage { kind, name, bytes, .. }| Item { kind, name, bytes }).collect();
        printer.json(&json::report(
            "gc",
            Listed { items, bytes, removed: arguments.yes, away: away.iter().map(|away| away.endpoint.address.to_string()).collect() },
        ));
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
