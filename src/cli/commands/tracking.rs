//! `sendoff tracking`.

mod env;

use std::time::Duration;

use clap::{Args, Subcommand};
use sendoff::relay::personal::Personal;
use sendoff::submit::Jobs;
use sendoff::support::words::{Count, Size, all_of};
use sendoff::tracking::managed::{Managed, Progress, Server};
use serde::Serialize;

use super::World;
use crate::cli::browser;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the managed MLflow server, installing it first if need be
    Start,
    /// Stop it
    Stop,
    /// Show whether it runs, and where
    Status,
    /// Open it in the browser, or print its address; starts it if it does not run
    Open {
        /// Only print the address
        #[arg(long)]
        print: bool,
    },
    /// Print its log
    Logs,
    Env(env::Arguments),
    /// Deliver what a job that has ended has written and its tracker does not have yet
    Sync(Sync),
}

#[derive(Debug, Args)]
pub(crate) struct Sync {
    /// A job id, a unique prefix of one, `@last`, or a handle
    job: String,
    /// Give up after this many seconds; what is left stays
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    within: u64,
}

#[derive(Serialize)]
struct Synced {
    job: String,
    waiting: u64,
    waiting_bytes: u64,
    refused: u64,
}

#[derive(Serialize)]
struct Status {
    running: bool,
    installed: bool,
    uri: Option<String>,
    pid: Option<i32>,
    /// What a server whose main process died has left running.
    remains: Vec<i32>,
    mlflow_version: Option<String>,
    database: String,
    database_bytes: u64,
    log: String,
    /// Those of `tracking env`.
    relays: Vec<Relay>,
}

#[derive(Serialize)]
struct Relay {
    tracker: String,
    /// `null` when it does not run.
    uri: Option<String>,
    pid: Option<i32>,
    waiting: u64,
    refused: u64,
}

/// What `tracking open` and `tracking logs` print as JSON.
#[derive(Serialize)]
struct Address {
    url: String,
    opened: bool,
}

#[derive(Serialize)]
struct Log {
    path: String,
    text: String,
}

/// Tells the user what the managed server is busy with.
pub(crate) struct Talk<'a>(pub(crate) &'a Printer);

impl Progress for Talk<'_> {
    fn installing(&self) {
        self.0.say("installing the managed MLflow server (once) ...");
    }

    fn starting(&self) {
        self.0.say("starting the managed MLflow server ...");
    }
}

pub(crate) async fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let managed = Managed::new(&world.dirs);
    match command {
        Command::Start => {
            let server = managed.ensure(&Talk(printer)).await?;
            show(&managed, Some(&server), world, printer);
        }
        Command::Stop => {
            let mut jobs = Jobs::open(&world.dirs, &world.variables)?;
            // Brings the records up to date; a job whose target cannot be asked counts as live.
            let _ = jobs.list(0).await;
            let live = jobs.store.active()?;
            let live = live.iter().filter(|record| record.tracking.as_ref().is_some_and(|tracking| tracking.managed)).count();
            if live > 0 && managed.running().is_some() {
                printer.complain(&format!("warning: {} may still log to it", Count(live, "live job")));
            }
            let stopped = managed.stop()?;
            if printer.is_json() {
                show(&managed, None, world, printer);
            } else {
                printer.answer(if stopped { "stopped" } else { "it did not run" });
            }
        }
        Command::Status => show(&managed, managed.running().as_ref(), world, printer),
        Command::Open { print } => {
            let url = managed.ensure(&Talk(printer)).await?.uri();
            let opened = !print && !printer.is_json() && browser::open(&url, &world.variables, printer);
            if printer.is_json() {
                printer.json(&json::report("address", Address { url, opened }));
            } else {
                printer.answer(&url);
            }
        }
        Command::Env(arguments) => return env::run(arguments, world, printer).await,
        Command::Sync(arguments) => return sync(arguments, world, printer).await,
        Command::Logs => {
            let text = std::fs::read(managed.log()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            if printer.is_json() {
                printer.json(&json::report("tracking-log", Log { path: managed.log().display().to_string(), text }));
            } else if text.is_empty() {
                printer.say("there is no log yet");
            } else {
                printer.answer(&text);
            }
        }
    }
    Ok(Exit::Success)
}

async fn sync(arguments: &Sync, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let mut jobs = Jobs::open(&world.dirs, &world.variables)?;
    let record = jobs.locate(&arguments.job).await?;
    let id = record.id.to_string();
    let left = jobs.sync(record, Duration::from_secs(arguments.within)).await?;
    if printer.is_json() {
        let synced = Synced { job: id, waiting: left.records, waiting_bytes: left.bytes, refused: left.refused };
        printer.json(&json::report("tracking-sync", synced));
    } else if left.records == 0 {
        printer.answer("the tracker has everything");
    } else {
        let count = Count(usize::try_from(left.records).unwrap_or(usize::MAX), "write");
        printer.answer(&format!("{count} ({}) still wait: the tracker does not answer", Size(left.bytes)));
    }
    Ok(if left.records == 0 { Exit::Success } else { Exit::GateFailed })
}

/// Returns what is known of the relays of `tracking env` that run, or have something to deliver.
fn relays(world: &World) -> Vec<Relay> {
    let known = |personal: Personal| {
        let (last, pending, runs) = (personal.last()?, personal.pending(), personal.running().is_some());
        let relay = Relay {
            tracker: last.upstream.uri.clone(),
            uri: runs.then(|| last.uri()),
            pid: runs.then_some(last.process.pid),
            waiting: pending.records,
            refused: pending.refused,
        };
        (runs || pending.records > 0).then_some(relay)
    };
    Personal::all(&world.dirs.data).into_iter().filter_map(known).collect()
}

fn show(managed: &Managed, server: Option<&Server>, world: &World, printer: &Printer) {
    let status = Status {
        running: server.is_some(),
        installed: managed.is_installed(),
        uri: server.map(Server::uri),
        pid: server.map(|server| server.process.pid),
        remains: managed.remains(),
        mlflow_version: server.map(|server| server.version.clone()),
        database: managed.database().display().to_string(),
        database_bytes: std::fs::metadata(managed.database()).map_or(0, |metadata| metadata.len()),
        log: managed.log().display().to_string(),
        relays: relays(world),
    };
    if printer.is_json() {
        printer.json(&json::report("tracking", status));
        return;
    }
    let state = match (&status.uri, status.installed) {
        (Some(uri), _) => {
            format!("running at {uri} (MLflow {}, process {})", status.mlflow_version.unwrap_or_default(), status.pid.unwrap_or(0))
        }
        (None, _) if !status.remains.is_empty() => {
            format!("its main process died, and {} runs on: `sendoff tracking stop` ends what is left", all_of(&status.remains))
        }
        (None, true) => "stopped".to_owned(),
        (None, false) => "not installed yet".to_owned(),
    };
    let relay = |relay: &Relay| {
        let writes = Count(usize::try_from(relay.waiting).unwrap_or(usize::MAX), "write");
        let waits = if relay.waiting == 0 { String::new() } else { format!(", {writes} wait") };
        match (&relay.uri, relay.pid) {
            (Some(uri), Some(pid)) => format!("relay     {uri} for {} (process {pid}){waits}\n", relay.tracker),
            _ => format!("relay     stopped, for {}{waits}: `sendoff tracking env` delivers\n", relay.tracker),
        }
    };
    let relays: String = status.relays.iter().map(relay).collect();
    printer.answer(&format!(
        "state     {state}\ndatabase  {} ({})\nlog       {}\n{relays}",
        status.database,
        Size(status.database_bytes),
        status.log
    ));
}
