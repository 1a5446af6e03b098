//! `sendoff gc`.

use std::collections::BTreeSet;

use clap::Args;
use sendoff::environment::Environments;
use sendoff::snapshot::Store;
use sendoff::submit::Jobs;
use sendoff::support::words::{Count, Size};
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Remove it
    #[arg(long)]
    yes: bool,
}

#[derive(Serialize)]
struct Garbage {
    snapshots: Vec<String>,
    environments: Vec<String>,
    snapshot_bytes: u64,
    removed: bool,
}

pub(crate) fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let jobs = Jobs::open(&world.dirs, &world.variables)?;
    let records = jobs.store.newest(usize::MAX)?;
    let named: BTreeSet<&str> = records.iter().flat_map(|record| [record.snapshot.as_str(), record.environment.as_str()]).collect();
    let (store, environments) = (Store::new(&world.dirs.cache), Environments::new(&world.dirs));
    let snapshots: Vec<_> =
        store.stored().into_iter().map(|(packed, _)| packed).filter(|packed| !named.contains(packed.id.as_str())).collect();
    let built: Vec<_> = environments.list().into_iter().filter(|built| !named.contains(built.id.as_str())).collect();
    if arguments.yes {
        for packed in &snapshots {
            store.remove(&packed.id)?;
        }
        for environment in &built {
            environments.prune(Some(&environment.id))?;
        }
    }
    let bytes = snapshots.iter().map(|packed| packed.size).sum();
    let garbage = Garbage {
        snapshots: snapshots.iter().map(|packed| packed.id.to_string()).collect(),
        environments: built.iter().map(|built| built.id.to_string()).collect(),
        snapshot_bytes: bytes,
        removed: arguments.yes,
    };
    if printer.is_json() {
        printer.json(&json::report("gc", garbage));
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for packed in &snapshots {
        text.push_str(&format!("snapshot     {}  {}\n", packed.id.short(), Size(packed.size)));
    }
    for environment in &built {
        text.push_str(&format!(
            "environment  {}  Python {}, {}\n",
            environment.id.short(),
            environment.python,
            Count(environment.packages.len(), "package")
        ));
    }
    printer.answer(&text);
    let verb = if arguments.yes { "removed" } else { "no job names" };
    printer.say(&format!("{verb} {} ({}) and {}", Count(snapshots.len(), "snapshot"), Size(bytes), Count(built.len(), "environment")));
    if !arguments.yes && !text.is_empty() {
        printer.say("remove them with `sendoff gc --yes`; a job with its log and outputs goes with `sendoff delete JOB`");
    }
    Ok(Exit::Success)
}
