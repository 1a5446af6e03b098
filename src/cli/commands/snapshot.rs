//! `sendoff snapshot`.

use clap::Subcommand;
use sendoff::snapshot::{self, Change, Manifest, SnapshotId, Spec, Store};
use sendoff::submit::{Jobs, snapshot_spec, working_tree};
use sendoff::support::words::{Count, Size};
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::{RunConfigArguments, json};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the files of a snapshot
    List {
        #[command(flatten)]
        run: RunConfigArguments,
        /// Show what is left out too, and the rule for each
        #[arg(long)]
        why: bool,
    },
    /// Print the name of a snapshot
    Id {
        #[command(flatten)]
        run: RunConfigArguments,
    },
    /// Pack a snapshot as a submission would, and print where its zip is
    Pack {
        #[command(flatten)]
        run: RunConfigArguments,
    },
    /// Show how the working tree, or another job's snapshot, differs from a job's
    Diff {
        /// A job id, a unique prefix of one, `@last`, or a handle
        job: String,
        /// Another job [default: the present working tree of the first]
        other: Option<String>,
    },
}

#[derive(Serialize)]
struct Listed {
    path: String,
    packed: bool,
    rule: Option<String>,
    size: Option<u64>,
}

#[derive(Serialize)]
struct Files {
    files: Vec<Listed>,
}

#[derive(Serialize)]
struct Named {
    id: String,
    files: usize,
}

#[derive(Serialize)]
struct Archive {
    id: String,
    path: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Difference {
    path: String,
    change: &'static str,
}

#[derive(Serialize)]
struct Differences {
    changes: Vec<Difference>,
}

pub(crate) fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    match command {
        Command::List { run, why } => {
            let loaded = sendoff::config::load(&run.request(world, sendoff::config::Purpose::Look))?;
            list(&snapshot_spec(&loaded.run), *why, printer)?;
        }
        Command::Id { run } => {
            let loaded = sendoff::config::load(&run.request(world, sendoff::config::Purpose::Look))?;
            let spec = snapshot_spec(&loaded.run);
            let listing = snapshot::list(&spec)?;
            let manifest = Store::new(&world.dirs.cache).scan(&spec, &listing)?;
            let id = manifest.id().to_string();
            if printer.is_json() {
                printer.json(&json::report("snapshot", Named { id, files: listing.files.len() }));
            } else {
                printer.answer(&id);
            }
        }
        Command::Pack { run } => {
            let loaded = sendoff::config::load(&run.request(world, sendoff::config::Purpose::Look))?;
            let (spec, store) = (snapshot_spec(&loaded.run), Store::new(&world.dirs.cache));
            let manifest = store.scan(&spec, &snapshot::list(&spec)?)?;
            let (_, packed) = store.pack(&spec, manifest)?;
            let path = packed.path.display().to_string();
            if printer.is_json() {
                printer.json(&json::report("snapshot-archive", Archive { id: packed.id.to_string(), path, bytes: packed.size }));
            } else {
                printer.answer(&path);
                printer.say(&Size(packed.size).to_string());
            }
        }
        Command::Diff { job, other } => {
            let mut jobs = Jobs::open(&world.dirs, &world.variables)?;
            let store = Store::new(&world.dirs.cache);
            let mut manifest = |job: &str| -> Result<Manifest, Failure> {
                let record = jobs.find(job)?;
                let gone = || Failure::Usage(format!("the snapshot of `{}` is no longer kept", record.id));
                store.manifest(&SnapshotId::new(record.snapshot.clone())).ok_or_else(gone)
            };
            let before = manifest(job)?;
            let after = match other {
                Some(other) => manifest(other)?,
                None => {
                    let record = jobs.find(job)?;
                    let spec = working_tree(&record, &world.dirs, &world.variables)?;
                    Store::looking(&world.dirs.cache).scan(&spec, &snapshot::list(&spec)?)?
                }
            };
            let changes = before.changes(&after);
            let word = |change| match change {
                Change::Added => "added",
                Change::Removed => "removed",
                Change::Changed => "changed",
            };
            let changes: Vec<Difference> = changes.into_iter().map(|(path, change)| Difference { path, change: word(change) }).collect();
            if printer.is_json() {
                printer.json(&json::report("snapshot-diff", Differences { changes }));
            } else if changes.is_empty() {
                printer.say("no file differs");
            } else {
                printer.answer(&changes.iter().map(|entry| format!("{:<8} {}\n", entry.change, entry.path)).collect::<String>());
            }
        }
    }
    Ok(Exit::Success)
}

fn list(spec: &Spec, why: bool, printer: &Printer) -> Result<(), Failure> {
    let listing = snapshot::list(spec)?;
    let entries: Vec<Listed> = if why {
        snapshot::why(spec)?
            .into_iter()
            .map(|answer| Listed { path: answer.path, packed: answer.packed, rule: Some(answer.rule), size: None })
            .collect()
    } else {
        listing.files.iter().map(|file| Listed { path: file.path.clone(), packed: true, rule: None, size: Some(file.size) }).collect()
    };
    if printer.is_json() {
        printer.json(&json::report("snapshot-files", Files { files: entries }));
        return Ok(());
    }
    let line = |entry: &Listed| match &entry.rule {
        Some(rule) => format!("{}  {}  ({rule})\n", if entry.packed { "in " } else { "out" }, entry.path),
        None => format!("{:>10}  {}\n", Size(entry.size.unwrap_or(0)).to_string(), entry.path),
    };
    printer.answer(&entries.iter().map(line).collect::<String>());
    printer.say(&format!("{}, {}", Count(listing.files.len(), "file"), Size(listing.size())));
    Ok(())
}
