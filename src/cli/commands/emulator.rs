//! `sendoff emulator`.

use clap::{Args, Subcommand, ValueEnum};
use sendoff::emulator::azureml::{self, Faith, Fault, Options, Ordered, Row, Running};
use sendoff::support::azure::Scope;
use sendoff::support::words::Count;
use serde::Serialize;

use super::World;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::json;
use crate::cli::printer::Printer;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start it, or take the one that runs, and print where it is
    Up(Up),
    /// End it with the jobs that it runs; what it keeps stays
    Down(Down),
    /// Show whether it runs, and where
    Status(Of),
    /// Print its log
    Logs(Of),
    /// Let the next requests meet trouble that the service makes now and then
    Fault(FaultArguments),
    /// Print what of the service is faithful, what is approximated, and what is absent
    Parity(Of),
}

/// A service that has an emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Azure Machine Learning
    Azureml,
}

#[derive(Debug, Args)]
pub(crate) struct Of {
    /// Which service
    service: Service,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Which service
    service: Service,
    /// The workspace that it is to serve, made when it does not exist [default: emulated]
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    /// The workspace's resource group [default: emulated]
    #[arg(long, value_name = "NAME")]
    resource_group: Option<String>,
    /// The workspace's subscription [default: 00000000-0000-0000-0000-000000000001]
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// A compute that it is to have beside `cpu-cluster`
    #[arg(long, value_name = "NAME")]
    compute: Option<String>,
    /// Speak plain HTTP
    #[arg(long)]
    http: bool,
    /// Print the client's secret, too
    #[arg(long)]
    show_secret: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Which service
    service: Service,
    /// Forget everything that it keeps
    #[arg(long)]
    delete: bool,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Trouble {
    /// 429 with `Retry-After`
    Throttled,
    /// 500
    ServerError,
    /// 401: the token has ended
    ExpiredToken,
    /// The request is carried out, and the connection breaks before the answer
    LostReply,
    /// 403 of the storage: the address has ended
    StaleSignature,
    /// The job is shown as `NotResponding`
    NotResponding,
    /// A job on nodes of low priority loses them and waits for others
    Preempted,
}

#[derive(Debug, Args)]
pub(crate) struct FaultArguments {
    /// Which service
    service: Service,
    /// What goes wrong
    fault: Trouble,
    /// How many requests it meets
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    times: u32,
    /// The method that a request has to have
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// What a request's path has to contain
    #[arg(long, value_name = "TEXT")]
    path: Option<String>,
}

#[derive(Serialize)]
struct Status {
    running: bool,
    base_url: Option<String>,
    gateway_url: Option<String>,
    certificate_authority: Option<String>,
    subscription_id: Option<String>,
    resource_group: Option<String>,
    workspace_name: Option<String>,
    tenant_id: Option<String>,
    client_id: Option<String>,
    /// Only when it is asked for.
    client_secret: Option<String>,
    pid: Option<i32>,
    log: String,
}

#[derive(Serialize)]
struct Log {
    path: String,
    text: String,
}

#[derive(Serialize)]
struct Parity {
    rows: Vec<ParityRow>,
}

#[derive(Serialize)]
struct ParityRow {
    area: &'static str,
    what: String,
    faith: &'static str,
    note: Option<&'static str>,
}

pub(crate) async fn run(command: &Command, world: &World, printer: &Printer) -> Result<Exit, Failure> {
    let data = &world.dirs.data;
    match command {
        Command::Up(arguments) => {
            let Service::Azureml = arguments.service;
            let default = Options::default_scope();
            let options = Options {
                program: std::env::current_exe().map_err(Failure::Runtime)?,
                scope: Scope {
                    subscription_id: arguments.subscription.clone().unwrap_or(default.subscription_id),
                    resource_group: arguments.resource_group.clone().unwrap_or(default.resource_group),
                    workspace_name: arguments.workspace.clone().unwrap_or(default.workspace_name),
                },
                compute: arguments.compute.clone(),
                http: arguments.http,
            };
            let running = azureml::ensure_up(data, &options).await?;
            show(Some(&running), arguments.show_secret, world, printer);
        }
        Command::Down(arguments) => {
            let Service::Azureml = arguments.service;
            let stopped = azureml::stop(data)?;
            if arguments.delete {
                azureml::delete(data)?;
            }
            if printer.is_json() {
                show(None, false, world, printer);
            } else {
                printer.answer(if stopped { "stopped" } else { "it did not run" });
            }
        }
        Command::Status(Of { service: Service::Azureml }) => show(azureml::running(data).as_ref(), false, world, printer),
        Command::Logs(Of { service: Service::Azureml }) => logs(world, printer),
        Command::Fault(arguments) => {
            let Service::Azureml = arguments.service;
            let fault = match arguments.fault {
                Trouble::Throttled => Fault::Throttled,
                Trouble::ServerError => Fault::ServerError,
                Trouble::ExpiredToken => Fault::ExpiredToken,
                Trouble::LostReply => Fault::LostReply,
                Trouble::StaleSignature => Fault::StaleSignature,
                Trouble::NotResponding => Fault::NotResponding,
                Trouble::Preempted => Fault::Preempted,
            };
            let ordered = Ordered { fault, method: arguments.method.clone(), path: arguments.path.clone() };
            azureml::order(data, &ordered, arguments.times)?;
            printer.say(&format!("ordered for {}", Count(arguments.times as usize, "request")));
        }
        Command::Parity(Of { service: Service::Azureml }) => parity(printer),
    }
    Ok(Exit::Success)
}

fn logs(world: &World, printer: &Printer) {
    let path = azureml::log(&world.dirs.data);
    let text = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if printer.is_json() {
        printer.json(&json::report("emulator-log", Log { path: path.display().to_string(), text }));
    } else if text.is_empty() {
        printer.say("there is no log yet");
    } else {
        printer.answer(&text);
    }
}

fn parity(printer: &Printer) {
    let plain = |row: Row| {
        let (faith, note) = match row.faith {
            Faith::Faithful => ("faithful", None),
            Faith::Approximated(note) => ("approximated", Some(note)),
            Faith::Absent(note) => ("absent", Some(note)),
        };
        ParityRow { area: row.area, what: row.what, faith, note }
    };
    let rows: Vec<ParityRow> = azureml::parity().into_iter().map(plain).collect();
    if printer.is_json() {
        printer.json(&json::report("emulator-parity", Parity { rows }));
        return;
    }
    let mut text = String::new();
    let mut area = "";
    for row in &rows {
        if row.area != area {
            text.push_str(&format!("{}{}\n", if area.is_empty() { "" } else { "\n" }, row.area));
            area = row.area;
        }
        let note = row.note.map(|note| format!(": {note}")).unwrap_or_default();
        text.push_str(&format!("  {:<12}  {}{note}\n", row.faith, row.what));
    }
    printer.answer(&text);
}

fn show(running: Option<&Running>, show_secret: bool, world: &World, printer: &Printer) {
    let text = |of: fn(&Running) -> String| running.map(of);
    let status = Status {
        running: running.is_some(),
        base_url: text(|running| running.base_url.clone()),
        gateway_url: running.and_then(|running| running.gateway_url.clone()),
        certificate_authority: text(|running| running.certificate_authority.display().to_string()),
        subscription_id: text(|running| running.scope.subscription_id.clone()),
        resource_group: text(|running| running.scope.resource_group.clone()),
        workspace_name: text(|running| running.scope.workspace_name.clone()),
        tenant_id: text(|running| running.tenant_id.clone()),
        client_id: text(|running| running.client_id.clone()),
        client_secret: running.filter(|_| show_secret).map(|running| running.client_secret.expose().to_owned()),
        pid: running.map(|running| running.process.pid),
        log: azureml::log(&world.dirs.data).display().to_string(),
    };
    if printer.is_json() {
        printer.json(&json::report("emulator", status));
        return;
    }
    let Some(running) = running else {
        printer.answer(&format!("state        stopped\nlog          {}", status.log));
        return;
    };
    let secret = status.client_secret.unwrap_or_else(|| "shown by `sendoff emulator up azureml --show-secret`".to_owned());
    let gateway = running.gateway_url.as_deref().unwrap_or("none: no container engine was found when it started, so no job can run");
    let Scope { subscription_id, resource_group, workspace_name } = &running.scope;
    let lines = [
        ("state", format!("running at {} (process {})", running.base_url, running.process.pid)),
        ("for jobs", gateway.to_owned()),
        ("authority", running.certificate_authority.display().to_string()),
        ("workspace", format!("{workspace_name} in {resource_group}, subscription {subscription_id}")),
        ("tenant", running.tenant_id.clone()),
        ("client", running.client_id.clone()),
        ("secret", secret),
        ("log", status.log),
    ];
    printer.answer(&lines.iter().map(|(name, value)| format!("{name:<11}  {value}\n")).collect::<String>());
}
