//! `sendoff tracking env`.

use std::collections::BTreeMap;

use clap::Args;
use sendoff::auth;
use sendoff::config::{self, Origin};
use sendoff::relay::personal::{Personal, Running, Upstream};
use sendoff::submit::Error;
use sendoff::support::shell;
use sendoff::support::words::{Count, Size};
use sendoff::target::config::TargetConfig;
use sendoff::tracking::managed::Managed;
use sendoff::tracking::{Client, Connection, Uri, through_relay};
use serde::Serialize;

use super::Talk;
use crate::cli::commands::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

/// Print the variables by which a notebook on this machine tracks
///
///     eval "$(sendoff tracking env)"
///
/// Starts a relay of your own, or takes the one that runs. MLflow's client then
/// logs through it into your tracker: `--tracking-uri`, MLFLOW_TRACKING_URI, your
/// settings, else the managed server. Credentials renew themselves, and nothing
/// is lost while the tracker is away. The relay ends after 12 hours without a
/// request, or with `--stop`; what it could not deliver waits for the next one.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Track where the jobs of this compute target do
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Choose the tracker: `managed` or an http(s) address
    #[arg(long, value_name = "URI")]
    tracking_uri: Option<String>,
    /// End the relay once it has delivered everything, within a minute
    #[arg(long)]
    stop: bool,
}

#[derive(Serialize)]
struct Environment {
    tracker: String,
    relay: String,
    pid: i32,
    /// Whether it ran already.
    reused: bool,
    /// Secrets among them, as in the text.
    variables: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Stopped {
    /// Whether one ran.
    stopped: bool,
    waiting: u64,
    waiting_bytes: u64,
    refused: u64,
}

pub(crate) async fn run(arguments: &Arguments, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let flags =
        config::Flags { target: arguments.target.clone(), tracking_uri: arguments.tracking_uri.clone(), ..config::Flags::default() };
    let found = config::settings_tracking(&config::Request {
        file: None,
        cwd: world.cwd.clone(),
        flags,
        purpose: config::Purpose::Look,
        environment: world.variables.clone(),
        user_settings: world.dirs.config.clone(),
        stored: None,
    })?;
    if let Some(target) = &found.target
        && let TargetConfig::NotBuilt(kind) = &target.config
    {
        return Err(Error::NotBuilt { name: target.name.clone(), kind: kind.word() }.into());
    }
    let Some(uri) = &found.uri.value else {
        return Err(Failure::Usage(format!("there is no tracker: `none` is chosen by {}", found.uri.origin)));
    };
    let is_managed = *uri == Uri::Managed;
    if arguments.stop {
        let personal = Personal::new(&world.dirs.data, &Upstream { uri: uri.to_string(), managed: is_managed });
        return stop(&personal, printer);
    }
    if is_managed && world.is_ci() && found.uri.origin == Origin::Default {
        return Err(Error::NoTrackerInCi.into());
    }
    let connection = match uri {
        Uri::Http(url) => {
            let typed = matches!(found.uri.origin, Origin::Flag(_));
            Connection::new(url, typed, &world.variables, &found.credentials).map_err(sendoff::tracking::Error::from)?
        }
        _ => Connection::managed(Managed::new(&world.dirs).ensure(&Talk(printer)).await?.uri()),
    };
    let upstream = Upstream { uri: connection.uri.clone(), managed: is_managed };
    let personal = Personal::new(&world.dirs.data, &upstream);
    let (running, reused) = match personal.serving(&upstream, &connection.auth) {
        Some(running) => (running, true),
        None => (start(&personal, &connection, &upstream, &found, printer).await?, false),
    };
    show(&running, reused, &personal, world, printer);
    Ok(Exit::Success)
}

async fn start(
    personal: &Personal,
    connection: &Connection,
    upstream: &Upstream,
    found: &config::Tracking,
    printer: &Printer,
) -> Result<Running, Failure> {
    match Client::new(connection)?.preflight().await {
        Err(error) if error.is_transient() => {
            printer.complain(&format!("warning: {error}; what is logged waits until it answers"));
        }
        answer => drop(answer?),
    }
    let program = std::env::current_exe().map_err(Failure::Runtime)?;
    let withheld: Vec<&str> = found.credentials.variables().chain(auth::VARIABLES).collect();
    Ok(personal.ensure(&program, upstream, &connection.auth, &withheld)?)
}

fn show(running: &Running, reused: bool, personal: &Personal, world: &World, printer: &Printer) {
    let own: Vec<(String, String)> = world.variables.clone().into_iter().collect();
    let variables = through_relay(&running.uri(), &running.token, &own);
    let mut variables: BTreeMap<String, String> = variables.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
    // The client would print the relay's address, where no browser gets.
    variables.insert("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT".to_owned(), "true".to_owned());
    if printer.is_json() {
        let environment =
            Environment { tracker: running.upstream.uri.clone(), relay: running.uri(), pid: running.process.pid, reused, variables };
        printer.json(&json::report("tracking-env", environment));
        return;
    }
    let waiting = personal.pending().records;
    let waits = if waiting == 0 { String::new() } else { format!("; {} wait to be delivered", writes(waiting)) };
    printer.say(&format!(
        "tracking into {} through a relay at {}{waits}; `sendoff tracking env --stop` ends it",
        running.upstream.uri,
        running.uri()
    ));
    printer.answer(&variables.iter().map(|(name, value)| format!("export {name}={}\n", shell::quote(value))).collect::<String>());
}

fn stop(personal: &Personal, printer: &Printer) -> Result<Exit, Failure> {
    let left = personal.stop()?;
    let pending = left.unwrap_or_else(|| personal.pending());
    if printer.is_json() {
        let (waiting, waiting_bytes, refused) = (pending.records, pending.bytes, pending.refused);
        printer.json(&json::report("tracking-env-stopped", Stopped { stopped: left.is_some(), waiting, waiting_bytes, refused }));
    } else {
        printer.say(if left.is_some() { "stopped" } else { "it did not run" });
        if pending.records > 0 {
            let text = format!("{} ({}) wait: the tracker does not answer", writes(pending.records), Size(pending.bytes));
            printer.complain(&format!("warning: {text}; the next `sendoff tracking env` delivers them"));
        }
    }
    Ok(if pending.records == 0 { Exit::Success } else { Exit::GateFailed })
}

fn writes(count: u64) -> Count {
    Count(usize::try_from(count).unwrap_or(usize::MAX), "write")
}
